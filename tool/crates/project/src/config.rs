//! `ioc.toml`: what it says, and what it must not say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Deserialize;

use tool_base::fail::{self, Failure, Status};

use crate::choice::Choice;
use crate::names::{is_path, is_tty, misspelt_support, programs_problem, valid_name, variables_problem};
use crate::toml_text::{find_key, read_toml};

/// `ioc.toml`, the one description of the IOC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Backend for `test` and `interactive` where neither `--backend` nor `XTASK_BACKEND` names one.
    pub backend: Option<Choice>,
    /// Python packages for programs on a machine.
    pub python: Vec<String>,
    /// Folders of the project whose programs a machine has.
    pub path: Vec<String>,
    /// The IOCs by unit name, at least one: `[ioc]` is `ioc`, and `[iocs.NAME]` is `NAME`.
    pub iocs: BTreeMap<String, Ioc>,
    /// Device simulators by unit name: `simulator` becomes `simulator.service`.
    pub simulators: BTreeMap<String, Simulator>,
}

/// `ioc.toml` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Toml {
    #[serde(default, deserialize_with = "Choice::or_auto")]
    backend: Option<Choice>,
    #[serde(default)]
    python: Vec<String>,
    #[serde(default)]
    path: Vec<String>,
    ioc: Option<Ioc>,
    #[serde(default)]
    iocs: BTreeMap<String, Ioc>,
    #[serde(default)]
    simulators: BTreeMap<String, Simulator>,
}

/// Table `[ioc]` or `[iocs.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ioc {
    /// EPICS application: `APPApp/` and the name of its executable.
    pub app: String,
    /// Folder below `ioc/iocBoot/` that holds the start-up script.
    pub ioc: String,
    /// EPICS support modules: attributes of `epnix.support`.
    #[serde(default)]
    pub support: Vec<String>,
    /// The start-up script.
    #[serde(default = "st_cmd")]
    pub script: String,
    /// Variables in its environment.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

fn st_cmd() -> String {
    "st.cmd".to_owned()
}

impl Ioc {
    /// Its boot folder in a top.
    pub fn boot(&self, top: &Path) -> PathBuf {
        top.join("iocBoot").join(&self.ioc)
    }
}

/// Table `[simulators.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Simulator {
    /// Attribute of the EPNix package set, for NixOS.
    pub package: String,
    /// Program and arguments, for the sandbox.
    pub command: Vec<String>,
    /// The simulator is up when this TCP port answers.
    pub port: Option<u16>,
    /// It has its stdin and stdout at one end of a serial line; this is the tty at the other end.
    pub serial: Option<String>,
    /// It is up when this file is there.
    pub ready: Option<String>,
    /// The IOC whose device it is; without it, it runs beside every one.
    pub ioc: Option<String>,
    /// Variables of the IOCs beside which it runs: where they find it.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

impl Simulator {
    /// Where it is, for people.
    pub fn place(&self) -> String {
        let port = self.port.map(|port| format!("port {port}"));
        port.or_else(|| self.serial.clone()).or_else(|| self.ready.clone()).unwrap_or_default()
    }
}

/// Names that every IOC and every simulator can be asked for.
impl Config {
    /// The names of all applications.
    pub fn apps(&self) -> BTreeSet<&str> {
        self.iocs.values().map(|ioc| ioc.app.as_str()).collect()
    }

    /// The IOC that is meant, by its name or as the only one.
    ///
    /// # Errors
    /// There is no such IOC, or there are several.
    pub fn the_ioc(&self, name: Option<&str>) -> Result<(&str, &Ioc)> {
        let names: Vec<&str> = self.iocs.keys().map(String::as_str).collect();
        let found = match name {
            Some(name) => self.iocs.get_key_value(name),
            None => self.iocs.first_key_value().filter(|_| self.iocs.len() == 1),
        };
        found.map(|(name, ioc)| (name.as_str(), ioc)).ok_or_else(|| {
            let what = match name {
                Some(name) => Failure::new(Status::NothingSelected, format!("no IOC is called `{name}`")),
                None => Failure::new(Status::Usage, "ioc.toml has several IOCs: say which"),
            };
            what.hint(format!("the IOCs are: {}", names.join(", "))).into()
        })
    }

    /// The variables of an IOC beside its simulators, or without them.
    pub fn environment(&self, name: &str, ioc: &Ioc, simulators: bool) -> BTreeMap<String, String> {
        let own = self.simulators_of(name).filter(|_| simulators).flat_map(|(_, simulator)| &simulator.environment);
        ioc.environment.iter().chain(own).map(|(variable, value)| (variable.clone(), value.clone())).collect()
    }

    /// The simulators that run beside an IOC.
    pub fn simulators_of(&self, ioc: &str) -> impl Iterator<Item = (&String, &Simulator)> {
        self.simulators.iter().filter(move |(_, simulator)| simulator.ioc.as_ref().is_none_or(|own| own == ioc))
    }
}

/// Reads the text of an `ioc.toml`. Errors name file, line and key.
pub fn parse(text: &str) -> Result<Config> {
    let Toml { backend, python, path, ioc, iocs, simulators } = read_toml("ioc.toml", text)?;
    let table = if iocs.is_empty() { "ioc" } else { "iocs" };
    let problem = |(key, problem): (String, String)| {
        // The only IOC has a table of its own.
        let key = if table == "ioc" { key.replace("iocs.ioc", "ioc") } else { key };
        let line = find_key(text, &key).map_or_else(String::new, |line| format!(":{line}"));
        let (problem, hint) = problem.split_once("\n\nhint: ").unwrap_or((&problem, ""));
        let failure = fail::config(format!("ioc.toml{line}: {problem}"));
        if hint.is_empty() { failure } else { failure.hint(hint) }
    };
    let iocs = match (ioc, iocs) {
        (Some(ioc), iocs) if iocs.is_empty() => BTreeMap::from([("ioc".to_owned(), ioc)]),
        (None, iocs) if !iocs.is_empty() => iocs,
        (None, _) => return Err(fail::config("ioc.toml: the key `ioc` is missing").hint("[ioc]").into()),
        (Some(_), _) => {
            let both = ("ioc".to_owned(), "[ioc] is for one IOC, and there is [iocs] for several".to_owned());
            return Err(problem(both).hint("give the one of [ioc] a name, too: [iocs.NAME]").into());
        }
    };
    let config = Config { backend, python, path, iocs, simulators };
    validate(&config).map_err(problem)?;
    Ok(config)
}

/// What the types cannot say. The error is the path of the key and the problem.
fn validate(config: &Config) -> Result<(), (String, String)> {
    let named = |key: &str, value: &str| {
        let name = key.rsplit('.').next().unwrap_or(key);
        valid_name(value).map_err(|problem| (key.to_owned(), format!("`{name}` is `{value}`: {problem}")))
    };
    programs_problem(&config.python, &config.path)?;
    for (name, ioc) in &config.iocs {
        let key = |key: &str| format!("iocs.{name}.{key}");
        valid_name(name)
            .map_err(|problem| (format!("iocs.{name}"), format!("`iocs.{name}` is `{name}`: {problem}")))?;
        named(&key("app"), &ioc.app)?;
        named(&key("ioc"), &ioc.ioc)?;
        ioc.support.iter().try_for_each(|module| named(&key("support"), module))?;
        if let Some((own, near)) = ioc.support.iter().find_map(|own| Some((own, misspelt_support(own)?))) {
            let problem = format!("EPNix has no support module `{own}`\n\nhint: did you mean `{near}`?");
            return Err((key("support"), problem));
        }
        if ioc.script.starts_with('.') || valid_name(&ioc.script.replace('.', "_")).is_err() {
            let script = &ioc.script;
            return Err((
                key("script"),
                format!("`script` is `{script}`: it is the name of a file in the boot folder"),
            ));
        }
        if let Some(problem) = variables_problem(&ioc.environment) {
            return Err((key("environment"), problem));
        }
    }
    let mut places: BTreeMap<String, &str> = BTreeMap::new();
    for (name, simulator) in &config.simulators {
        let key = |key: &str| format!("simulators.{name}.{key}");
        valid_name(name)
            .map_err(|problem| (format!("simulators.{name}"), format!("`simulators.{name}` is `{name}`: {problem}")))?;
        if config.iocs.contains_key(name) {
            let problem = format!("a simulator cannot be called `{name}`: that is the unit of the IOC");
            return Err((format!("simulators.{name}"), problem));
        }
        if let Some(ioc) = simulator.ioc.as_ref().filter(|ioc| !config.iocs.contains_key(*ioc)) {
            return Err((key("ioc"), format!("simulator `{name}` is of an IOC `{ioc}`, which is not there")));
        }
        named(&key("package"), &simulator.package)?;
        if simulator.command.first().is_none_or(String::is_empty) {
            return Err((key("command"), format!("the command of simulator `{name}` is empty")));
        }
        if simulator.port == Some(0) {
            return Err((key("port"), format!("simulator `{name}` has port 0: give the port that it listens on")));
        }
        if let Some(path) = simulator.serial.as_ref().filter(|path| !is_tty(path)) {
            let problem = format!("`serial` is `{path}`: it is a tty that no machine has by itself, as /dev/ttyPSU");
            return Err((key("serial"), problem));
        }
        if let Some(path) = simulator.ready.as_ref().filter(|path| !is_path(path)) {
            return Err((key("ready"), format!("`ready` is `{path}`: it is the absolute path of a file")));
        }
        if simulator.place().is_empty() {
            let problem = format!("simulator `{name}` has no `port`, `serial` or `ready`: nobody knows when it is up");
            return Err((format!("simulators.{name}"), problem));
        }
        if let Some(problem) = variables_problem(&simulator.environment) {
            return Err((key("environment"), problem));
        }
        let port = simulator.port.map(|port| format!("port {port}"));
        for (own, place) in [("port", port), ("serial", simulator.serial.clone()), ("ready", simulator.ready.clone())] {
            let Some(place) = place else { continue };
            if let Some(other) = places.insert(place.clone(), name).filter(|other| *other != name) {
                return Err((key(own), format!("simulators `{other}` and `{name}` both use {place}")));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tool_base::fail;

    use super::*;

    const GOOD: &str = include_str!("../../../template/ioc.toml");

    fn error_of(text: &str) -> String {
        fail::render(&parse(text).unwrap_err())
    }

    #[test]
    fn a_problem_has_the_line_of_its_own_key() {
        let text = "[ioc]\napp = \"a\"\nioc = \"i\"\n[simulators.x]\npackage = \"p\"\ncommand = []\nport = 1\n\
                    [simulators.y]\npackage = \"p\"\ncommand = [\"c\"]\nport = 0\n";
        assert!(error_of(text).contains("ioc.toml:6: the command of simulator `x` is empty"), "{}", error_of(text));
        let text = text.replace("[]", "[\"c\"]");
        assert!(error_of(&text).contains("ioc.toml:11: simulator `y` has port 0"), "{}", error_of(&text));
    }

    #[test]
    fn the_templates_own_file_is_valid() {
        let config = parse(GOOD).unwrap();
        assert_eq!(config.iocs["ioc"].app, "example");
        assert_eq!(config.simulators["simulator"].port, Some(9999));
    }

    #[test]
    fn an_unknown_key_is_named_with_line_and_neighbour() {
        let text = "[ioc]\napp = \"a\"\nioc = \"b\"\nsuport = []\n";
        assert_eq!(error_of(text), "error: ioc.toml:4: unknown key `suport`\n\nhint: did you mean `support`?");
    }

    #[test]
    fn a_misspelt_support_module_is_named_and_one_of_an_overlay_is_let_pass() {
        let of = |name| format!("[ioc]\napp = \"a\"\nioc = \"b\"\nsupport = [\"asyn\", \"{name}\"]\n");
        for (name, meant) in
            [("StreamDevise", "StreamDevice"), ("streamdevice", "StreamDevice"), ("autosav", "autosave")]
        {
            let said = format!("ioc.toml:4: EPNix has no support module `{name}`\n\nhint: did you mean `{meant}`?");
            assert_eq!(error_of(&of(name)), format!("error: {said}"));
        }
        for name in ["motor", "std", "calc2", "pvxs"] {
            assert!(parse(&of(name)).is_ok(), "{name}");
        }
    }

    #[test]
    fn an_unknown_backend_is_named_with_its_line() {
        let of = |name| format!("backend = \"{name}\"\n[ioc]\napp = \"a\"\nioc = \"b\"\n");
        assert_eq!(parse(&of("driver")).unwrap().backend, Some(Choice::Driver));
        assert_eq!(parse(&of("auto")).unwrap().backend, None);
        assert_eq!(
            error_of(&of("sandbx")),
            "error: ioc.toml:1: unknown backend `sandbx`\n\nhint: did you mean `sandbox`?"
        );
    }

    #[test]
    fn a_wrong_type_names_key_and_line() {
        let text = "[ioc]\napp = \"a\"\nioc = 3\n";
        assert_eq!(error_of(text), "error: ioc.toml:3: `ioc`: invalid type: integer `3`, expected a string");
    }

    #[test]
    fn a_table_without_a_name_is_told_so() {
        let text = "[ioc]\napp = \"a\"\nioc = \"b\"\n[simulators]\npackage = \"p\"\nport = 7\n";
        assert_eq!(error_of(text), "error: ioc.toml:5: `package`: this is no table\n\nhint: [simulators.NAME]");
        let text = text.replace("package = \"p\"", "command = [\"p\"]");
        assert_eq!(error_of(&text), "error: ioc.toml:5: `command`: this is no table\n\nhint: [simulators.NAME]");
    }

    #[test]
    fn a_missing_key_is_named() {
        assert_eq!(error_of("[ioc]\napp = \"a\"\n"), "error: ioc.toml:1: the key `ioc` is missing");
    }

    #[test]
    fn broken_syntax_has_a_line() {
        assert!(error_of("[ioc]\napp = \n").starts_with("error: ioc.toml:2: "), "{}", error_of("[ioc]\napp = \n"));
    }

    #[test]
    fn two_simulators_cannot_share_a_port() {
        let simulator = |name| format!("[simulators.{name}]\npackage = \"p\"\ncommand = [\"c\"]\nport = 7\n");
        let text = format!("[ioc]\napp = \"a\"\nioc = \"b\"\n{}{}", simulator("x"), simulator("y"));
        assert_eq!(error_of(&text), "error: ioc.toml:11: simulators `x` and `y` both use port 7");
        let text = text
            .replacen("port = 7", "serial = \"/dev/ttyA\"\nport = 8", 1)
            .replace("port = 7", "serial = \"/dev/ttyA\"\nport = 7");
        assert!(error_of(&text).ends_with(": simulators `x` and `y` both use /dev/ttyA"), "{}", error_of(&text));
    }

    #[test]
    fn names_that_no_unit_can_have_are_refused() {
        let text = "[ioc]\napp = \"../x\"\nioc = \"b\"\n";
        assert_eq!(
            error_of(text),
            "error: ioc.toml:2: `app` is `../x`: only ASCII letters, digits, `_` and `-` can be used"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC*|([a-z.\\[\\]=\"\n ]{0,60})") {
            let _ = parse(&text);
        }
    }
}
