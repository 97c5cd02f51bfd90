//! Whether ioc.toml fits the IOCs that it names.

use std::collections::BTreeSet;
use std::path::Path;

use tool_base::protocol::lint::{Mistake, Parts, Severity};
use tool_project::{Config, find_key, nearest};

/// ioc.toml.
pub(super) struct Toml<'a> {
    pub config: &'a Config,
    pub text: &'a str,
    /// Ports where checks spoil what simulators say.
    pub spoilt: BTreeSet<u16>,
}

impl Toml<'_> {
    fn mistake(&self, key: &str, severity: Severity, code: &str, message: String, hint: String) -> Mistake {
        // The only IOC has a table of its own.
        let own = key.replacen("iocs.ioc.", "ioc.", 1);
        let line = find_key(self.text, key).or_else(|| find_key(self.text, &own)).unwrap_or(1);
        let text = self.text.lines().nth(line - 1).unwrap_or_default();
        let value = text.find('=').map_or(0, |at| text[..at].chars().count() + 2);
        Mistake {
            file: "ioc.toml".to_owned(),
            line: u32::try_from(line).unwrap_or(1),
            column: u32::try_from(value + 1).unwrap_or(1),
            severity,
            code: code.to_owned(),
            message,
            hint,
        }
    }

    /// An application that no Makefile builds: what else would be said of its IOC follows from that.
    pub fn application(&self, name: &str, app: &str, parts: &Parts) -> Option<Mistake> {
        let others: Vec<&str> = parts.applications.iter().map(String::as_str).collect();
        // Where st.cmd has it as well, the Makefile is wrong.
        let registers = parts.registers.as_ref().is_some_and(|own| own.starts_with(&format!("{app}_register")));
        if others.is_empty() || others.contains(&app) || registers {
            return None;
        }
        let hint = match nearest(app, &others) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("ioc/ has: {}", others.join(", ")),
        };
        let what = format!("no Makefile of ioc/ builds the application `{app}`");
        Some(self.mistake(&format!("iocs.{name}.app"), Severity::Error, "not-built", what, hint))
    }

    /// Files of the project that simulators are to run and that are not there: how many machines would tell.
    pub fn commands(&self, root: &Path) -> Vec<Mistake> {
        let mut found = Vec::new();
        for (name, own) in &self.config.simulators {
            for file in own.command.iter().filter(|word| word.starts_with("simulators/") && !root.join(word).exists()) {
                let what = format!("simulator `{name}` is to run {file}, which is not there");
                let entries = std::fs::read_dir(root.join("simulators")).into_iter().flatten().flatten();
                let names: Vec<String> =
                    entries.map(|own| format!("simulators/{}", own.file_name().display())).collect();
                let near = nearest(file, &names.iter().map(String::as_str).collect::<Vec<_>>());
                let hint = near.map_or_else(
                    || "write it, or correct its name".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                );
                found.push(self.mistake(&format!("simulators.{name}.command"), Severity::Error, "no-file", what, hint));
            }
        }
        found
    }

    /// Simulators that listen where nobody looks for them, as far as the port of the command, or that of an IOC, tells.
    pub fn simulators(&self, name: &str, parts: &Parts) -> Vec<Mistake> {
        let own: Vec<_> =
            self.config.simulators_of(name).filter_map(|(name, own)| Some((name, own, own.port?))).collect();
        let wanted = parts.ports.iter().filter_map(|port| local(&port.address));
        let wanted: Vec<u16> = wanted.filter(|port| !self.spoilt.contains(port)).collect();
        let mut found = Vec::new();
        for (simulator, sim, port) in &own {
            let numbers = named_ports(&sim.command);
            let key = format!("simulators.{simulator}.port");
            if let Some(other) = numbers.first().filter(|_| !numbers.contains(port)) {
                let what = format!("the command of simulator `{simulator}` says {other}, its `port` is {port}");
                let hint = format!("port = {other}");
                found.push(self.mistake(&key, Severity::Warning, "other-port", what, hint));
                continue;
            }
            let lost = wanted.iter().find(|wanted| own.iter().all(|(_, _, port)| port != *wanted));
            if let Some(other) = lost.filter(|_| !wanted.contains(port)) {
                let what =
                    format!("st.cmd looks for a device at localhost:{other}, and simulator `{simulator}` is at {port}");
                let hint = format!("one of them is wrong: port = {other}, or localhost:{port}");
                found.push(self.mistake(&key, Severity::Warning, "other-port", what, hint));
            }
        }
        found
    }
}

/// The ports that a command names as such: `--port 9998`, `port=9998`, `--port=0.0.0.0:9998`.
fn named_ports(command: &[String]) -> Vec<u16> {
    let is_key = |word: &str| word.trim_start_matches('-').eq_ignore_ascii_case("port");
    let after =
        command.iter().zip(command.iter().skip(1)).filter(|(key, _)| is_key(key)).map(|(_, value)| value.as_str());
    let within = command.iter().filter_map(|word| word.split_once('=').filter(|(key, _)| is_key(key)));
    let values = after.chain(within.map(|(_, value)| value));
    values.filter_map(|value| value.rsplit(':').next()?.parse().ok()).collect()
}

/// The port of an address on the IOC's own machine.
fn local(address: &str) -> Option<u16> {
    let (host, port) = address.split_whitespace().next()?.split_once(':')?;
    let port = port.split(':').next()?.parse().ok()?;
    ["localhost", "127.0.0.1"].contains(&host).then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_what_a_command_calls_so() {
        let ports = |line: &str| named_ports(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(ports("sim --port 9998 -port=9997 port=[::]:9996 --PORT x"), [9998, 9997, 9996]);
        for none in
            ["sim --baud 9600", "python3 simulators/keithley2450.py", "sim --report 1000", "sim --web-port 8080"]
        {
            assert_eq!(ports(none), [0; 0], "{none}");
        }
    }
}
