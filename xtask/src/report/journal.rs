//! Journals of a run's machines, as `sandbox-init` keeps them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;

#[derive(Deserialize)]
struct Entry {
    /// The unit that the manager speaks of.
    #[serde(rename = "UNIT")]
    about: Option<String>,
    /// The unit that speaks.
    #[serde(rename = "_SYSTEMD_UNIT")]
    unit: Option<String>,
    #[serde(rename = "MESSAGE")]
    message: Option<String>,
}

/// The last lines of each unit on each machine: `(machine, unit)` → lines. What cannot be read is left out.
pub fn tails(journals: &Path, lines: usize) -> BTreeMap<(String, String), Vec<String>> {
    let mut tails: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for machine in fs::read_dir(journals).into_iter().flatten().flatten() {
        let name = machine.file_name().to_string_lossy().into_owned();
        let Ok(file) = fs::File::open(machine.path().join("journal.jsonl")) else { continue };
        for line in BufReader::new(file).split(b'\n').map_while(Result::ok) {
            let Ok(Entry { about, unit, message: Some(message) }) = serde_json::from_slice(&line) else { continue };
            let Some(unit) = about.or(unit) else { continue };
            // The manager's own messages tell nothing about a failure.
            if unit == "init.scope" {
                continue;
            }
            let tail = tails.entry((name.clone(), unit)).or_default();
            tail.push(message);
            if tail.len() > lines {
                tail.remove(0);
            }
        }
    }
    tails
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_per_unit_and_short() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("machine")).unwrap();
        let line = |unit: &str, n: u32| format!("{{\"_SYSTEMD_UNIT\":\"{unit}\",\"MESSAGE\":\"{n}\"}}\n");
        let text: String = (0..5).map(|n| line("ioc.service", n) + &line("b.service", n)).collect();
        fs::write(dir.path().join("machine/journal.jsonl"), text + "not json\n{\"MESSAGE\":\"kernel\"}\n").unwrap();
        let tails = tails(dir.path(), 2);
        let of = |unit: &str| tails[&("machine".to_owned(), unit.to_owned())].clone();
        assert_eq!(of("ioc.service"), ["3", "4"]);
        assert_eq!(tails.len(), 2);
        let manager = "{\"_SYSTEMD_UNIT\":\"init.scope\",\"UNIT\":\"b.service\",\"MESSAGE\":\"Started\"}\n";
        fs::write(dir.path().join("machine/journal.jsonl"), manager).unwrap();
        assert_eq!(super::tails(dir.path(), 2)[&("machine".to_owned(), "b.service".to_owned())], ["Started"]);
    }
}
