//! The simulators that ioc.toml had before.

use std::collections::{BTreeMap, BTreeSet};

use super::super::device;
use super::{Facts, Plan};

/// A simulator that ioc.toml had.
#[derive(Default)]
pub(super) struct Old {
    /// Its table as it is written; empty where it is written otherwise.
    text: String,
    ioc: Option<String>,
    port: Option<i64>,
    serial: Option<String>,
}

/// The simulators that ioc.toml had, by name. That of the template goes with the example.
pub(super) struct Before(pub(super) BTreeMap<String, Old>);

impl Before {
    pub(super) fn read(facts: &Facts) -> Self {
        let text = facts.project.get("ioc.toml").filter(|_| !facts.shipped.contains("ioc.toml"));
        let text = text.map(|text| String::from_utf8_lossy(text)).unwrap_or_default();
        let parsed: toml::Table = toml::from_str(&text).unwrap_or_default();
        let mut all = BTreeMap::new();
        for (name, own) in parsed.get("simulators").and_then(toml::Value::as_table).into_iter().flatten() {
            let word = |key: &str| own.get(key).and_then(toml::Value::as_str).map(str::to_owned);
            if name == "simulator" && word("package").as_deref() == Some("psu-simulator") {
                continue;
            }
            let port = own.get("port").and_then(toml::Value::as_integer);
            all.insert(name.clone(), Old { text: String::new(), ioc: word("ioc"), port, serial: word("serial") });
        }
        let mut name = None;
        for line in text.lines() {
            if let Some(header) = line.trim_start().strip_prefix('[') {
                let own = header.trim_start().strip_prefix("simulators.");
                let own = own.and_then(|rest| rest.split([']', '.']).next());
                name = own.map(|own| own.trim().trim_matches(['"', '\'']).to_owned());
            }
            if let Some(old) = name.as_ref().and_then(|name| all.get_mut(name)) {
                old.text += &format!("{line}\n");
            }
        }
        Self(all)
    }

    /// The tables that stay: those of other devices than the new ones. A device keeps the port that it had; what else
    /// is taken is none of the new.
    pub(super) fn kept(mut self, facts: &Facts, plan: &mut Plan) -> String {
        let mut ports = BTreeMap::new();
        self.0.retain(|name, old| {
            if plan.devices.iter().any(|device| device.name == *name) {
                ports.extend(old.port.map(|port| (name.clone(), port)));
                return false;
            }
            let line = device::Place::Serial(old.serial.clone().unwrap_or_default());
            let why = if old.ioc.as_ref().is_some_and(|ioc| facts.iocs.iter().all(|own| facts.unit(own) != Some(ioc))) {
                "was of an IOC that goes"
            } else if plan.devices.iter().any(|device| device.place == line) {
                "was at the serial line of a new one"
            } else if old.text.is_empty() {
                "is not written as a table"
            } else {
                return true;
            };
            plan.todo.push(format!(
                "ioc.toml: [simulators.{name}] {why}, and goes; where it still has a use, take it from Git"
            ));
            false
        });
        let mut taken: BTreeSet<i64> = self.0.values().filter_map(|old| old.port).collect();
        ports.retain(|_, port| taken.insert(*port));
        let mut free = (device::FIRST_PORT..).filter(|port| !taken.contains(&i64::from(*port)));
        for device in &mut plan.devices {
            if let device::Place::Port(port) = &mut device.place {
                let old = ports.get(&device.name).and_then(|port| u16::try_from(*port).ok());
                *port = old.or_else(|| free.next()).unwrap_or(*port);
            }
        }
        self.0.values().map(|old| format!("\n{}\n", old.text.trim_end())).collect()
    }
}
