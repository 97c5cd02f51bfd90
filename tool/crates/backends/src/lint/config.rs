//! Whether ioc.toml fits the IOCs that it names.

use tool_base::protocol::lint::{Mistake, Parts, Severity};
use tool_project::{Config, find_key, nearest};

/// ioc.toml.
pub(super) struct Toml<'a> {
    pub config: &'a Config,
    pub text: &'a str,
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
        if others.is_empty() || others.contains(&app) {
            return None;
        }
        let hint = match nearest(app, &others) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("ioc/ has: {}", others.join(", ")),
        };
        let what = format!("no Makefile of ioc/ builds the application `{app}`");
        Some(self.mistake(&format!("iocs.{name}.app"), Severity::Error, "not-built", what, hint))
    }

    /// Simulators that listen where nobody looks for them, as far as the port of the command, or that of an IOC, tells.
    pub fn simulators(&self, name: &str, parts: &Parts) -> Vec<Mistake> {
        let own: Vec<_> =
            self.config.simulators_of(name).filter_map(|(name, own)| Some((name, own, own.port?))).collect();
        let wanted: Vec<u16> = parts.ports.iter().filter_map(|port| local(&port.address)).collect();
        let mut found = Vec::new();
        for (simulator, sim, port) in &own {
            let numbers = sim.command.iter().skip(1).flat_map(|word| word.split(|c: char| !c.is_ascii_digit()));
            let numbers: Vec<u16> = numbers.filter(|own| own.len() > 3).filter_map(|own| own.parse().ok()).collect();
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

/// The port of an address on the IOC's own machine.
fn local(address: &str) -> Option<u16> {
    let (host, port) = address.split_whitespace().next()?.split_once(':')?;
    let port = port.split(':').next()?.parse().ok()?;
    ["localhost", "127.0.0.1"].contains(&host).then_some(port)
}
