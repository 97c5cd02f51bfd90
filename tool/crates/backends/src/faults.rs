//! What spoils the answers of simulators, where a check asks for it: `faults` in `checks/NAME.toml`. tool/nix/faults.nix gives
//! the same to the NixOS machine.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use tool_base::fail;
use tool_project::settings::{Node, Settings};
use tool_project::{Config, Simulator};
use tool_sandbox::spec::{Program, UnitFile};

use crate::units;

/// Its name on a machine.
pub const PROGRAM: &str = "fault";
/// The program's file below `tool/driver/`.
const FILE: &str = "fault.py";

/// An error where a machine of a check wants to spoil a simulator that it has not, or on a port that is taken.
pub fn fit(check: &str, settings: &Settings, config: &Config) -> Result<()> {
    settings.nodes.values().try_for_each(|node| fits(check, node, config))
}

fn fits(check: &str, node: &Node, config: &Config) -> Result<()> {
    let iocs = node.iocs_of(config);
    let ports: BTreeMap<&str, u16> = iocs
        .iter()
        .flat_map(|(ioc, _)| config.simulators_of(ioc))
        .filter_map(|(name, simulator)| Some((name.as_str(), simulator.port?)))
        .collect();
    for (name, port) in &node.faults {
        let wrong = |what: String| fail::config(format!("checks/{check}.toml: faults of `{name}`: {what}"));
        if *port == 0 {
            return Err(wrong("TCP port 0 is none".to_owned()).hint(format!("faults = {{ {name} = 9998 }}")).into());
        }
        if !ports.contains_key(name.as_str()) {
            let names: Vec<&str> = ports.keys().copied().collect();
            let hint = match names.as_slice() {
                [] if !node.ioc => "its machine has none: ioc = false".to_owned(),
                [] => "its machine has none: iocs = [\"…\"] leaves out the IOC whose device it is".to_owned(),
                names => format!("those of its machine are: {}", names.join(", ")),
            };
            return Err(wrong("there is no such simulator with a TCP port".to_owned()).hint(hint).into());
        }
        let others =
            node.faults.iter().filter(|(other, _)| *other != name).map(|(other, port)| (other.as_str(), *port));
        let consoles = iocs.iter().map(|(ioc, _)| (*ioc, units::console(config, ioc)));
        let taken = ports.iter().map(|(name, port)| (*name, *port)).chain(others).chain(consoles);
        let taken: BTreeMap<u16, &str> = taken.map(|(name, port)| (port, name)).collect();
        if let Some(other) = taken.get(port) {
            let free = (1..*port).rev().find(|port| !taken.contains_key(port)).unwrap_or(9998);
            let hint = format!("faults = {{ {name} = {free} }}");
            return Err(wrong(format!("TCP port {port} is that of `{other}`")).hint(hint).into());
        }
    }
    Ok(())
}

/// The units that stand between IOCs and their simulators, all of whose units are given.
pub fn units(
    simulators: &BTreeMap<String, Simulator>,
    faults: &BTreeMap<String, u16>,
    all: &[UnitFile],
) -> Vec<UnitFile> {
    let is_simulator = |unit: &str| unit.strip_suffix(".service").is_some_and(|name| simulators.contains_key(name));
    let iocs: Vec<&str> = all.iter().map(|unit| unit.name.as_str()).filter(|name| !is_simulator(name)).collect();
    let unit = |(name, port): (&String, &u16)| {
        all.iter().find(|unit| unit.name == format!("{name}.service"))?;
        let target = simulators.get(name)?.port?;
        let text = format!(
            "[Unit]\nDescription=Faults of simulator {name}\nAfter={name}.service\nBefore={}\n\n[Service]\nType=notify\n\
             ExecStart=/machine/bin/fault --relay {name} {port} {target}\n\n[Install]\nWantedBy=multi-user.target\n",
            iocs.join(" ")
        );
        Some(UnitFile { name: format!("{name}-faults.service"), text })
    };
    faults.iter().filter_map(unit).collect()
}

/// The program that a script calls, and that stands there.
pub fn program(driver: &Path) -> Program {
    Program { name: PROGRAM.to_owned(), path: driver.join(FILE), searches: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        tool_project::parse(include_str!("../../../template/ioc.toml")).unwrap()
    }

    #[test]
    fn what_cannot_stand_there_is_named() {
        let node = |name: &str, port| Node { faults: [(name.to_owned(), port)].into(), ..Node::default() };
        let told = |name: &str, port| fail::render(&fits("x", &node(name, port), &config()).unwrap_err());
        assert_eq!(
            told("psu", 9998),
            "error: checks/x.toml: faults of `psu`: there is no such simulator with a TCP port\n\n\
             hint: those of its machine are: simulator"
        );
        let bare = Node { ioc: false, ..node("simulator", 9998) };
        assert!(
            fail::render(&fits("x", &bare, &config()).unwrap_err())
                .ends_with("hint: its machine has none: ioc = false")
        );
        assert!(told("simulator", 0).contains("TCP port 0 is none"));
        assert!(told("simulator", 2000).contains("TCP port 2000 is that of `ioc`"));
        assert_eq!(
            told("simulator", 9999),
            "error: checks/x.toml: faults of `simulator`: TCP port 9999 is that of `simulator`\n\n\
             hint: faults = { simulator = 9998 }"
        );
        fits("x", &node("simulator", 9998), &config()).unwrap();

        let two = "[iocs.a]\napp = \"a\"\nioc = \"iocA\"\n[iocs.b]\napp = \"b\"\nioc = \"iocB\"\n\
                   [simulators.psu]\npackage = \"p\"\ncommand = [\"p\"]\nport = 9999\nioc = \"a\"\n";
        let two = tool_project::parse(two).unwrap();
        let console = fail::render(&fits("x", &node("psu", 2001), &two).unwrap_err());
        assert!(console.ends_with("is that of `b`\n\nhint: faults = { psu = 1999 }"), "{console}");
        let other = Node { iocs: Some(vec!["b".to_owned()]), ..node("psu", 9998) };
        let other = fail::render(&fits("x", &other, &two).unwrap_err());
        assert!(other.contains("leaves out the IOC"), "{other}");
    }

    #[test]
    fn it_is_there_before_the_ioc() {
        let all = ["ioc.service", "simulator.service"].map(|name| UnitFile { name: name.into(), text: String::new() });
        let units = units(&config().simulators, &[("simulator".to_owned(), 9998)].into(), &all);
        assert_eq!((units.len(), units[0].name.as_str()), (1, "simulator-faults.service"));
        for line in ["Before=ioc.service", "After=simulator.service", "fault --relay simulator 9998 9999"] {
            assert!(units[0].text.contains(&format!("{line}\n")), "{line}: {}", units[0].text);
        }
    }
}
