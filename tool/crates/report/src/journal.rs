//! Journals of a run's machines, as `sandbox-init` keeps them.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use tool_base::left::{self, Lines, Piece};
use tool_base::protocol::journal::Entry;

/// Bytes of a journal that are read.
const ROOM: u64 = 16 << 20;

/// What a failure shows of a unit's journal.
#[derive(Debug, Default, PartialEq)]
pub struct Tail {
    /// Earlier lines that speak of trouble, the first ones.
    pub trouble: Vec<String>,
    /// The last lines.
    pub last: VecDeque<String>,
}

/// Lines of trouble that are kept.
const TROUBLE: usize = 5;
/// Bytes of a line that are kept; less is shown.
const LONG: usize = 4096;
/// Services that are looked at: root of a machine can name as many as there are lines.
const UNITS: usize = 1000;

impl Tail {
    fn push(&mut self, line: String, lines: usize) {
        self.last.push_back(line);
        if self.last.len() > lines
            && let Some(line) = self.last.pop_front()
            && self.trouble.len() < TROUBLE
            && speaks_of_trouble(&line)
        {
            self.trouble.push(line);
        }
    }
}

/// Words that EPICS, StreamDevice and most programs use when something is wrong.
fn speaks_of_trouble(line: &str) -> bool {
    let line = anstream::adapter::strip_str(line).to_string().to_lowercase();
    // The IOC's shell shows, in bold, what it is told: `var streamError 1` is no trouble.
    if line.starts_with("var ") {
        return false;
    }
    ["error", "fail", "can't", "cannot", "not found", "no such", "invalid", "refused"].iter().any(|w| line.contains(w))
}

/// The last lines of each unit on each machine, by machine and unit. What cannot be read is left out.
pub fn tails(journals: &Path, lines: usize) -> BTreeMap<(String, String), Tail> {
    let mut tails: BTreeMap<(String, String), Tail> = BTreeMap::new();
    for machine in left::folders(journals) {
        let name = machine.to_string_lossy().into_owned();
        let Ok(pieces) = Lines::read(journals, &Path::new(&machine).join("journal.jsonl"), ROOM) else { continue };
        for piece in pieces {
            let Piece::Line(line) = piece else { continue };
            let Some(entry) = Entry::parse(&line) else { continue };
            let (Some(mut message), Some(unit)) = (entry.text(), entry.about.or(entry.unit)) else { continue };
            let key = (name.clone(), unit);
            // The manager's own messages tell nothing about a failure.
            if key.1 == "init.scope" || tails.len() >= UNITS && !tails.contains_key(&key) {
                continue;
            }
            message.truncate(message.floor_char_boundary(LONG));
            tails.entry(key).or_default().push(message, lines);
        }
    }
    tails
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_the_shell_shows_is_no_trouble() {
        assert!(!speaks_of_trouble("\u{1b}[1mvar streamError 1\u{1b}[0m"));
        assert!(speaks_of_trouble("\u{1b}[31;1mPS1 Can't connect\u{1b}[0m"));
    }

    #[test]
    fn tails_are_per_unit_and_short() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("machine")).unwrap();
        let line = |unit: &str, n: u32| format!("{{\"_SYSTEMD_UNIT\":\"{unit}\",\"MESSAGE\":\"{n}\"}}\n");
        let text: String = (0..5).map(|n| line("ioc.service", n) + &line("b.service", n)).collect();
        fs::write(dir.path().join("machine/journal.jsonl"), text + "not json\n{\"MESSAGE\":\"kernel\"}\n").unwrap();
        let tails = tails(dir.path(), 2);
        assert_eq!(tails[&("machine".to_owned(), "ioc.service".to_owned())].last, ["3", "4"]);
        assert_eq!(tails.len(), 2);
        let manager = "{\"_SYSTEMD_UNIT\":\"init.scope\",\"UNIT\":\"b.service\",\"MESSAGE\":\"Started\"}\n";
        fs::write(dir.path().join("machine/journal.jsonl"), manager).unwrap();
        assert_eq!(super::tails(dir.path(), 2)[&("machine".to_owned(), "b.service".to_owned())].last, ["Started"]);
        // Latin-1, as many a device speaks it.
        let bytes = "{\"_SYSTEMD_UNIT\":\"b.service\",\"MESSAGE\":[50,53,32,176,67]}\n";
        fs::write(dir.path().join("machine/journal.jsonl"), bytes).unwrap();
        assert_eq!(super::tails(dir.path(), 2)[&("machine".to_owned(), "b.service".to_owned())].last, ["25 \u{fffd}C"]);
    }

    #[test]
    fn early_trouble_is_not_lost() {
        let mut tail = Tail::default();
        for line in ["start", "ERROR in example.db line 3", "iocInit", "all done"] {
            tail.push(line.to_owned(), 2);
        }
        assert_eq!(tail.trouble, ["ERROR in example.db line 3"]);
        assert_eq!(tail.last, ["iocInit", "all done"]);
    }
}
