//! `checks/NAME.toml`: what a check needs beyond its script. Most need none.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde::Deserialize;

use crate::choice::Choice;
use crate::config::{Config, Ioc};
use crate::names::{programs_problem, valid_name, variables_problem};
use crate::toml_text::{find_key, read_toml};
use tool_base::fail;

/// Limit of a script where nothing else is said, in seconds, also in `tool/nix/checks.nix`: a check that hangs should not
/// hold a machine for the hour that NixOS allows.
pub const DEFAULT_TIMEOUT: u64 = 900;

/// What `checks/NAME.toml` says. Without the file, everything is default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Limit of the script in seconds.
    pub timeout: Option<u64>,
    /// Words to choose it by: `--tag`, `--skip-tag`.
    pub tags: Vec<String>,
    /// Backends that it is meant for; all of them where nothing is said.
    pub backends: Option<Vec<Choice>>,
    /// How often it is run again after a failure, where the command line says nothing.
    pub retries: u32,
    /// What it needs while it runs, in MiB.
    pub memory: Option<u64>,
    /// Where its machines and their services come from.
    pub services: Services,
    /// Python packages for programs on its machines, beside those of ioc.toml.
    pub python: Vec<String>,
    /// Folders of the project whose programs its machines have, beside those of ioc.toml.
    pub path: Vec<String>,
    /// Units that fail or are restarted because the check wants it so: no word is lost about them.
    pub may_fail: Vec<String>,
    /// The machines of the check; one called `machine` where there are none.
    pub nodes: BTreeMap<String, Node>,
}

/// Where the machines of a check and their services come from, in the sandbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Services {
    /// `ioc.toml`, and `[nodes.NAME]` of the check.
    #[default]
    #[serde(rename = "ioc.toml")]
    IocToml,
    /// The NixOS configuration of `checks/NAME.nix`, evaluated by Nix.
    #[serde(rename = "nixos")]
    Nixos,
}

/// Table `[nodes.NAME]`: a machine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Node {
    /// Whether IOCs and their simulators run on it.
    pub ioc: bool,
    /// Which IOCs, where not all of them run on it.
    pub iocs: Option<Vec<String>>,
    /// Its VLANs, a network card each: `eth1`, `eth2`, …
    pub vlans: Vec<u8>,
    /// Variables in the environment of the IOC.
    pub environment: BTreeMap<String, String>,
    /// A port before that of a simulator, by its name: what goes through there, the script can spoil (`fault`).
    pub faults: BTreeMap<String, u16>,
    /// Where its clients search for PVs besides the machine itself, as the option `environment.epics.ca_addr_list` of
    /// EPNix.
    pub ca_addr_list: Vec<String>,
}

/// Where every Channel Access server of a machine hears a search; `machine.nix` has it, too.
const ALL_OF_THIS_MACHINE: &str = "127.255.255.255";

impl Default for Node {
    fn default() -> Self {
        Self {
            ioc: true,
            iocs: None,
            vlans: vec![1],
            environment: BTreeMap::new(),
            faults: BTreeMap::new(),
            ca_addr_list: Vec::new(),
        }
    }
}

impl Node {
    /// The IOCs that run on it, by name.
    pub fn iocs_of<'a>(&self, config: &'a Config) -> Vec<(&'a str, &'a Ioc)> {
        let here = |name: &String| self.ioc && self.iocs.as_ref().is_none_or(|own| own.contains(name));
        config.iocs.iter().filter(|(name, _)| here(name)).map(|(name, ioc)| (name.as_str(), ioc)).collect()
    }

    /// What EPNix's module gives to the machine's commands and to its IOCs, of which there are so many.
    pub fn variables(&self, iocs: usize) -> BTreeMap<String, String> {
        // A search that is sent to one address reaches one of several servers on a machine only. Those that the machine's cards
        // give are such, and would find what this finds a second time.
        let all = (iocs > 1).then(|| ALL_OF_THIS_MACHINE.to_owned());
        let auto = if all.is_some() { "NO" } else { "YES" };
        let list = self.ca_addr_list.iter().cloned().chain(all).collect::<Vec<_>>().join(" ");
        [("EPICS_CA_AUTO_ADDR_LIST", auto.to_owned()), ("EPICS_CA_ADDR_LIST", list)]
            .map(|(name, value)| (name.to_owned(), value))
            .into()
    }
}

impl Settings {
    /// Reads the settings of a check: `Check::settings` does it once.
    pub(crate) fn load(check: &str, file: &Path) -> Result<Self> {
        let name = format!("checks/{check}.toml");
        match std::fs::read_to_string(file) {
            Ok(text) => parse(&name, &text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(fail::config(format!("{name}: {e}")).into()),
        }
    }

    /// An error where a machine wants an IOC that ioc.toml does not have.
    ///
    /// # Errors
    /// There is such a machine in the settings of the check.
    pub fn fit(&self, check: &str, config: &Config) -> Result<()> {
        for (machine, node) in &self.nodes {
            let mut wanted = node.iocs.iter().flatten();
            if let Some(name) = wanted.find(|name| !config.iocs.contains_key(*name)) {
                let what = format!("checks/{check}.toml: machine `{machine}` wants an IOC `{name}`");
                let names: Vec<&str> = config.iocs.keys().map(String::as_str).collect();
                return Err(fail::config(what).hint(format!("those of ioc.toml are: {}", names.join(", "))).into());
            }
        }
        Ok(())
    }

    /// The machines of the check, by name.
    pub fn machines(&self) -> BTreeMap<String, Node> {
        if self.nodes.is_empty() {
            return BTreeMap::from([("machine".to_owned(), Node::default())]);
        }
        self.nodes.clone()
    }
}

/// The settings in the text of a file of `checks/`.
///
/// # Errors
/// Name file, line and cause.
pub fn parse(file: &str, text: &str) -> Result<Settings> {
    let settings: Settings = read_toml(file, text)?;
    let line = |key| find_key(text, key).map_or_else(String::new, |line| format!(":{line}"));
    if settings.timeout == Some(0) {
        let failure = fail::config(format!("{file}{}: `timeout` is 0: nothing ends within that", line("timeout")));
        return Err(failure.hint("timeout = 60, or leave the key out for 900 seconds").into());
    }
    if let Some(unit) = settings.may_fail.iter().find(|unit| !unit.contains('.')) {
        let failure = fail::config(format!("{file}{}: `{unit}` in may_fail is no unit", line("may_fail")));
        return Err(failure.hint(format!("may_fail = [\"{unit}.service\"]")).into());
    }
    if let Err((key, problem)) = programs_problem(&settings.python, &settings.path) {
        let (problem, hint) = problem.split_once("\n\nhint: ").unwrap_or((&problem, "leave the key out"));
        return Err(fail::config(format!("{file}{}: {problem}", line(&key))).hint(hint).into());
    }
    for tag in &settings.tags {
        valid_name(tag).map_err(|problem| fail::config(format!("{file}{}: tag `{tag}`: {problem}", line("tags"))))?;
    }
    if settings.backends.as_ref().is_some_and(Vec::is_empty) {
        let failure =
            fail::config(format!("{file}{}: `backends` is empty: the check would never run", line("backends")));
        return Err(failure.hint("name some of nixos, driver and sandbox, or leave the key out for all").into());
    }
    if settings.services == Services::Nixos && !settings.nodes.is_empty() {
        let nix = file.replace(".toml", ".nix");
        let what = format!("{file}: `services = \"nixos\"` takes the machines from {nix}, so [nodes] has no meaning");
        return Err(fail::config(what).hint("drop one of the two").into());
    }
    for (name, node) in &settings.nodes {
        valid_name(name).map_err(|problem| fail::config(format!("{file}: machine `{name}`: {problem}")))?;
        if let Some(vlan) = node.vlans.iter().find(|vlan| matches!(vlan, 0 | 255)) {
            return Err(
                fail::config(format!("{file}: machine `{name}`: there is no VLAN {vlan}; take 1 to 254")).into()
            );
        }
        if let Some(address) = node.ca_addr_list.iter().find(|a| a.is_empty() || a.contains(char::is_whitespace)) {
            let what = format!("{file}: machine `{name}`: `{address}` in ca_addr_list is not one address");
            return Err(fail::config(what).hint("ca_addr_list = [\"192.168.1.255\"]").into());
        }
        if !node.ioc && node.iocs.is_some() {
            let what = format!("{file}: machine `{name}`: `ioc = false` and `iocs` contradict each other");
            return Err(fail::config(what).hint("drop one of the two").into());
        }
        if let Some(problem) = variables_problem(&node.environment) {
            return Err(fail::config(format!("{file}: machine `{name}`: {problem}")).into());
        }
    }
    if settings.nodes.len() > 253 {
        return Err(fail::config(format!(
            "{file}: {} machines are more than a network has room for",
            settings.nodes.len()
        ))
        .into());
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(text: &str) -> String {
        fail::render(&parse("checks/two.toml", text).unwrap_err())
    }

    #[test]
    fn what_would_do_nothing_is_refused() {
        assert_eq!(
            error_of("path = [\"../x\"]\n"),
            "error: checks/two.toml:1: `path` is `../x`: it must be a folder of the project\n\nhint: path = [\"tools\"]"
        );
        assert!(error_of("timeout = 0\n").starts_with("error: checks/two.toml:1: `timeout` is 0"));
        assert!(error_of("may_fail = [\"ioc\"]\n").ends_with("hint: may_fail = [\"ioc.service\"]"));
        let wrong = error_of("timeout = \"20\"\n");
        assert_eq!(wrong, "error: checks/two.toml:1: `timeout`: invalid type: string \"20\", expected a whole number");
        assert!(error_of("tags = \"slow\"\n").ends_with("expected a list, as [\"…\"]"));
    }

    #[test]
    fn a_check_without_settings_has_one_machine_with_the_ioc() {
        let machines = Settings::default().machines();
        assert_eq!(machines.into_iter().collect::<Vec<_>>(), [("machine".to_owned(), Node::default())]);
    }

    #[test]
    fn nodes_have_defaults() {
        let settings = parse(
            "checks/two.toml",
            "timeout = 60\n[nodes.client]\nioc = false\n[nodes.server]\nenvironment = { PREFIX = \"A:\" }\n",
        )
        .unwrap();
        assert_eq!(settings.timeout, Some(60));
        assert!(!settings.nodes["client"].ioc);
        assert_eq!(settings.nodes["server"].environment["PREFIX"], "A:");
        assert_eq!(settings.nodes["server"].vlans, [1]);
    }

    #[test]
    fn tags_and_backends_are_words_that_are_known() {
        let settings = parse("checks/two.toml", "tags = [\"slow\"]\nbackends = [\"nixos\", \"driver\"]\n").unwrap();
        assert_eq!((settings.tags, settings.backends.unwrap().len()), (vec!["slow".to_owned()], 2));
        assert_eq!(
            error_of("timeout = 1\nbackends = [\"sandbx\"]\n"),
            "error: checks/two.toml:2: unknown backend `sandbx`\n\nhint: did you mean `sandbox`?"
        );
        assert!(error_of("backends = []\n").contains("checks/two.toml:1: `backends` is empty"));
        assert_eq!(
            error_of("\ntags = [\"a b\"]\n"),
            "error: checks/two.toml:2: tag `a b`: only ASCII letters, digits, `_` and `-` can be used"
        );
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(
            error_of("[nodes.a]\nvlan = [1]\n"),
            "error: checks/two.toml:2: unknown key `vlan`\n\nhint: did you mean `vlans`?"
        );
        assert_eq!(
            error_of("[nodes.a]\nvlans = [0]\n"),
            "error: checks/two.toml: machine `a`: there is no VLAN 0; take 1 to 254"
        );
        assert_eq!(
            error_of("[nodes.\"a b\"]\n"),
            "error: checks/two.toml: machine `a b`: only ASCII letters, digits, `_` and `-` can be used"
        );
        assert_eq!(
            error_of("services = \"nixos\"\n[nodes.a]\n"),
            "error: checks/two.toml: `services = \"nixos\"` takes the machines from checks/two.nix, so [nodes] has no \
             meaning\n\nhint: drop one of the two"
        );
        assert!(
            error_of("services = \"nix\"\n").contains("checks/two.toml:1: "),
            "{}",
            error_of("services = \"nix\"\n")
        );
        assert!(error_of("[nodes.a.environment]\n\"1x\" = \"\"\n").contains("`1x` is no name for a variable"));
    }
}
