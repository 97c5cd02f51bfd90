//! Finds out what there is to record on a machine whose units are not ours.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::spec::UnitFile;
use tool_init::unit::{syntax, words};

/// What a unit says of the IOC that it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The unit, `ioc.service`.
    pub unit: String,
    /// Folder that the IOC starts in.
    pub boot: PathBuf,
    /// Its start-up script, as seen from there.
    pub script: String,
    /// Its environment.
    pub environment: BTreeMap<String, String>,
}

/// The IOCs that some units start: by a start-up script, of procServ or on its own.
///
/// A script is what ends with `.cmd`, or has one of the names that are given.
pub fn starts(units: &[UnitFile], scripts: &[&str]) -> Vec<Start> {
    units.iter().filter(|unit| unit.name.ends_with(".service")).filter_map(|unit| start(unit, scripts)).collect()
}

fn start(unit: &UnitFile, scripts: &[&str]) -> Option<Start> {
    let entries = syntax::parse(&unit.text).ok()?;
    let values = |key: &'static str| {
        entries.iter().filter(move |e| e.section == "Service" && e.key == key).map(|e| e.value.as_str())
    };
    let command = words::split(values("ExecStart").next_back()?).ok()?;
    let is_script = |word: &Path| {
        let named = word.file_name().is_some_and(|name| scripts.iter().any(|script| name == *script));
        named || word.extension().is_some_and(|kind| kind == "cmd")
    };
    let script = command.iter().rfind(|word| is_script(Path::new(word)))?.clone();
    let chdir = command.iter().enumerate().find_map(|(i, word)| match word.strip_prefix("--chdir=") {
        None if word == "--chdir" || word == "-c" => command.get(i + 1).map(String::as_str),
        folder => folder,
    });
    let boot = chdir.or_else(|| values("WorkingDirectory").next_back())?;
    let environment = values("Environment").flat_map(|text| words::split(text).unwrap_or_default());
    let environment = environment.filter_map(|word| word.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())));
    Some(Start {
        unit: unit.name.clone(),
        boot: Path::new(boot).to_owned(),
        script,
        environment: environment.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<Start> {
        start(&UnitFile { name: "ioc.service".into(), text: text.into() }, &["start.iocsh"])
    }

    #[test]
    fn an_ioc_of_procserv_is_found() {
        let unit = "[Service]\nEnvironment=\"EPICS_CA_SERVER_PORT=5070\" \"P=a b\"\nEnvironment=\"Q=1\"\n\
                    ExecStart=/nix/store/x-procServ/bin/procServ --chdir=/nix/store/y-ioc/iocBoot/iocExample --foreground \\\n  \
                    --logfile=- 2000 \\\n  ./st.cmd\n";
        let start = of(unit).unwrap();
        assert_eq!(
            (start.boot.as_path(), start.script.as_str()),
            (Path::new("/nix/store/y-ioc/iocBoot/iocExample"), "./st.cmd")
        );
        let port = start.environment["EPICS_CA_SERVER_PORT"].as_str();
        assert_eq!((port, start.environment["P"].as_str(), start.environment.len()), ("5070", "a b", 3));
    }

    #[test]
    fn other_services_are_none() {
        let own = of("[Service]\nWorkingDirectory=/i\nExecStart=/i/bin/ioc 'other st.cmd'\n").unwrap();
        assert_eq!((own.boot.as_path(), own.script.as_str()), (Path::new("/i"), "other st.cmd"));
        let own = of("[Service]\nWorkingDirectory=/i\nExecStart=/i/procServ 2000 ./start.iocsh\n").unwrap();
        assert_eq!(own.script, "./start.iocsh");
        assert_eq!(of("[Service]\nExecStart=/bin/sleep infinity\n"), None);
        assert_eq!(of("[Service]\nExecStart=/bin/ioc st.cmd\n"), None, "nobody knows where");
        assert_eq!(of("no unit"), None);
    }
}
