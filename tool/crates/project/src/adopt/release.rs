//! `configure/RELEASE`: the support modules that a top names, and what keeps others from saying where they are.

use std::collections::BTreeSet;

use crate::names::MODULES;

/// The local file that EPNix and people write.
pub const LOCAL: &str = "RELEASE.local";

/// What the RELEASE files name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Modules {
    /// Attributes of `epnix.support`.
    pub known: BTreeSet<String>,
    /// Names and paths of the others.
    pub others: Vec<(String, String)>,
}

/// The modules of RELEASE files.
pub fn modules<'a>(texts: impl Iterator<Item = &'a str> + Clone) -> Modules {
    let lines = texts.flat_map(str::lines).filter_map(|line| {
        let (name, path) = line.trim_start().split_once('=')?;
        let name = name.trim_end_matches([':', '?']).trim();
        let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        plain.then(|| (name, path.split('#').next().unwrap_or(path).trim()))
    });
    let all: Vec<(&str, &str)> = lines.collect();
    let mut modules = Modules::default();
    for (name, path) in &all {
        let within = |(_, other): &(&str, &str)| {
            [format!("$({name})"), format!("${{{name}}}")].iter().any(|own| other.contains(own.as_str()))
        };
        if let Some((_, own)) = MODULES.iter().find(|(own, _)| own == name) {
            modules.known.insert((*own).to_owned());
        } else if path.contains(['/', '$'])
            && !["EPICS_BASE", "TOP", "TEMPLATE_TOP", "RULES", "MAKE_TEST_PROJECT"].contains(name)
            // A folder of modules is none.
            && !all.iter().any(within)
            && !modules.others.iter().any(|(own, _)| own == name)
        {
            modules.others.push(((*name).to_owned(), (*path).to_owned()));
        }
    }
    modules
}

/// A RELEASE or CONFIG_SITE file that a local file may correct: `None` where it is so already.
pub fn open(text: &str, local: &str) -> Option<String> {
    let mut after = String::new();
    for line in text.lines() {
        // Of another place: where it is missing, make goes on.
        let foreign =
            line.strip_prefix("include ").is_some_and(|rest| !rest.trim_start().starts_with("$(TOP)/configure/"));
        after += &format!("{}{line}\n", if foreign { "-" } else { "" });
    }
    let path = format!("$(TOP)/configure/{local}");
    if !text.lines().any(|line| line.trim_start().starts_with("-include") && line.contains(&path)) {
        after += &format!("\n# Where modules are is said by whoever builds: EPNix, or you.\n-include {path}\n");
    }
    (after != text).then_some(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_told_from_folders_and_settings() {
        let text = "# X = /no\nSUPPORT = /opt/epics/support\nASYN=$(SUPPORT)/asyn-4-42 # good\nSTREAMDEVICE=${SUPPORT}/stream\n\
                    MOTOR = $(SUPPORT)/motor\nEPICS_BASE = /opt/epics/base\nCHECK = YES\n-include $(TOP)/x=y\n";
        let found = modules([text].into_iter());
        assert_eq!(found.known.iter().collect::<Vec<_>>(), ["StreamDevice", "asyn"]);
        assert_eq!(found.others, [("MOTOR".to_owned(), "$(SUPPORT)/motor".to_owned())]);
    }

    #[test]
    fn a_local_file_has_the_last_word() {
        let text = "include /site/RELEASE\ninclude $(TOP)/configure/RELEASE.x\nASYN=/a\n";
        let after = open(text, LOCAL).unwrap();
        assert!(after.starts_with("-include /site/RELEASE\ninclude $(TOP)/configure/RELEASE.x\nASYN=/a\n"), "{after}");
        assert!(after.ends_with("-include $(TOP)/configure/RELEASE.local\n"));
        assert_eq!(open(&after, LOCAL), None);
    }
}
