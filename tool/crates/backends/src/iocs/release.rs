//! Where EPICS base and the support modules are: what the RELEASE files of an EPICS top say.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines `NAME = path`, with the file that each stands in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Release(BTreeMap<String, (String, PathBuf)>);

impl Release {
    /// Reads configure/RELEASE and what it includes; `make` and EPICS' own tools allow no more than this there.
    pub fn read(top: &Path) -> Self {
        let mut release = Self::default();
        let arch = std::env::var("EPICS_HOST_ARCH").ok();
        let arch = arch.unwrap_or_else(|| format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH));
        for (name, value) in [("TOP", top.display().to_string()), ("EPICS_HOST_ARCH", arch)] {
            release.0.insert(name.to_owned(), (value, PathBuf::new()));
        }
        release.add(&top.join("configure/RELEASE"), 0);
        release
    }

    /// What a name stands for, and the file that says so.
    pub fn get(&self, name: &str) -> Option<(&str, &Path)> {
        self.0.get(name).map(|(value, file)| (value.as_str(), file.as_path())).filter(|(value, _)| !value.is_empty())
    }

    /// All names, but for those that were not in a file.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str, &Path)> {
        let all = self.0.iter().map(|(name, (value, file))| (name.as_str(), value.as_str(), file.as_path()));
        all.filter(|(_, _, file)| !file.as_os_str().is_empty())
    }

    fn add(&mut self, file: &Path, depth: usize) {
        // A file that includes itself ends here.
        const DEEPEST: usize = 16;
        let Ok(text) = fs::read_to_string(file) else { return };
        for line in text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
            let included = line.strip_prefix("include ").or_else(|| line.strip_prefix("-include "));
            if let Some(path) = included.filter(|_| depth < DEEPEST) {
                let path = PathBuf::from(self.expand(path.trim()));
                self.add(&path, depth + 1);
            } else if let Some((name, value)) = line.split_once('=') {
                let weak = name.ends_with('?');
                let name = name.trim_end_matches(['?', ':']).trim();
                let fits = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                if fits && !(weak && self.0.contains_key(name)) {
                    self.0.insert(name.to_owned(), (self.expand(value.trim()), file.to_owned()));
                }
            }
        }
    }

    /// Replaces `$(NAME)` and `${NAME}` of names that are known by now, in the files or the environment.
    fn expand(&self, text: &str) -> String {
        let mut done = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            done += &rest[..at];
            let close = match rest[at + 1..].chars().next() {
                Some('(') => ')',
                Some('{') => '}',
                _ => return done + &rest[at..],
            };
            let Some(length) = rest[at + 2..].find(close) else { return done + &rest[at..] };
            let name = &rest[at + 2..at + 2 + length];
            let known = self.0.get(name).map(|(value, _)| value.clone());
            done += &known.or_else(|| std::env::var(name).ok()).unwrap_or_default();
            rest = &rest[at + 3 + length..];
        }
        done + rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_includes_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("ioc");
        fs::create_dir_all(top.join("configure")).unwrap();
        let write = |path: &str, text: &str| fs::write(top.join(path), text).unwrap();
        write(
            "configure/RELEASE",
            "# where\n-include $(TOP)/../RELEASE.local\n-include $(TOP)/configure/RELEASE.local\n",
        );
        assert_eq!(Release::read(&top).get("EPICS_BASE"), None);
        write(
            "../RELEASE.local",
            "SUPPORT = /opt/support # ours\nASYN=$(SUPPORT)/asyn\nEPICS_BASE = /old\nSTREAM ?= /s\n",
        );
        write(
            "configure/RELEASE.local",
            "EPICS_BASE := /opt/base\nSTREAM ?= /no\ninclude $(TOP)/configure/RELEASE.local\n",
        );
        let release = Release::read(&top);
        assert_eq!(release.get("EPICS_BASE").unwrap(), ("/opt/base", &*top.join("configure/RELEASE.local")));
        assert_eq!(release.get("ASYN").unwrap().0, "/opt/support/asyn");
        assert_eq!(release.get("STREAM").unwrap().0, "/s");
        assert_eq!(release.get("CALC"), None);
    }
}
