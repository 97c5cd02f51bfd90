//! What went wrong on a check's machines although its script passed, out of their journals: a green check is to hide nothing.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use tool_base::left::{self, Lines, Piece};
use tool_base::protocol::journal::Entry;

/// Bytes of a journal that are read.
const ROOM: u64 = 128 << 20;

/// Lines of an IOC that are shown at most.
const LINES: usize = 5;
/// Characters of such a line.
const WIDEST: usize = 160;
/// Units that are looked at: what is no unit has a name, too, if root of a machine says so.
const UNITS: usize = 10_000;
/// What an IOC says at the end of `iocInit`.
const INITIALISED: &str = "iocRun: All initialization complete";
/// What only an IOC says, `Starting iocInit` before the other one.
const OF_IOC: &str = "iocInit";

/// Where a unit is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Way {
    #[default]
    Running,
    /// An IOC until the end of `iocInit`.
    Starting,
    Stopping,
    /// It has ended, well, and nobody told it to.
    Ended,
}

/// What is known of a unit.
#[derive(Debug, Default)]
struct Life {
    restarts: u32,
    failed: Option<String>,
    way: Way,
    /// It is an IOC. What others say while they start is theirs.
    is_ioc: bool,
    errors: Vec<String>,
    more_errors: usize,
}

/// What went wrong on all machines of a run, a sentence each. `lasting` units are there until the end; those that may fail are left
/// out. What cannot be read is said to be so.
pub fn remarks(journals: &Path, lasting: &[String], may_fail: &[String]) -> Vec<String> {
    let mut remarks = Vec::new();
    let machines = left::folders(journals);
    if machines.is_empty() {
        remarks.push("no machine was started".to_owned());
    }
    for machine in machines {
        let name = machine.to_string_lossy();
        match Lines::read(journals, &Path::new(&machine).join("journal.jsonl"), ROOM) {
            Ok(lines) => {
                let mut out = 0;
                let entries = lines.filter_map(|piece| match piece {
                    Piece::Line(line) => Entry::parse(&line),
                    Piece::Gap(bytes) => {
                        out += bytes;
                        None
                    }
                });
                remarks.extend(judge(entries, lasting, may_fail, &name));
                if out > 0 {
                    remarks.push(format!("{} MB of the journal of {name} were not looked at", out.div_ceil(1_000_000)));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => remarks.push(format!("the journal of {name} was not looked at: {error}")),
        }
    }
    remarks
}

fn judge(entries: impl Iterator<Item = Entry>, lasting: &[String], may_fail: &[String], machine: &str) -> Vec<String> {
    let mut lives: BTreeMap<String, Life> = BTreeMap::new();
    for entry in entries {
        let Some(text) = entry.text() else { continue };
        let is_told = entry.about.is_some();
        let Some(unit) = entry.about.or(entry.unit) else { continue };
        if lives.len() >= UNITS && !lives.contains_key(&unit) {
            continue;
        }
        let life = lives.entry(unit).or_default();
        if is_told {
            if text.contains(": Scheduled restart job") {
                life.restarts += 1;
            } else if let Some((_, result)) = text.split_once(": Failed with result '") {
                life.failed = Some(result.trim_end_matches("'.").to_owned());
            } else if text.contains(": Deactivated successfully") && life.way != Way::Stopping {
                life.way = Way::Ended;
            } else if text.starts_with("Stopping ") {
                life.way = Way::Stopping;
            } else if text.starts_with("Starting ") {
                life.way = Way::Starting;
            } else if text.starts_with("Started ") && life.way != Way::Starting {
                life.way = Way::Running;
            }
        } else {
            life.is_ioc |= text.contains(OF_IOC);
            if life.way == Way::Starting && text.contains(INITIALISED) {
                life.way = Way::Running;
            }
            if life.way == Way::Starting && speaks_of_an_error(&text) {
                if life.errors.len() < LINES {
                    life.errors.push(text.trim().chars().take(WIDEST).collect());
                } else {
                    life.more_errors += 1;
                }
            }
        }
    }
    let mut remarks = Vec::new();
    for (unit, life) in lives.into_iter().filter(|(unit, _)| !may_fail.contains(unit)) {
        let has_failed = life.failed.is_some();
        let failed = life.failed.map_or_else(String::new, |result| format!(" ({result})"));
        match life.restarts {
            0 if failed.is_empty() => {
                if life.way == Way::Ended && lasting.contains(&unit) {
                    remarks.push(format!("{unit} ended by itself on {machine}"));
                }
            }
            0 => remarks.push(format!("{unit} failed on {machine}{failed}")),
            1 => remarks.push(format!("{unit} was restarted once on {machine}{failed}")),
            count => remarks.push(format!("{unit} was restarted {count} times on {machine}{failed}")),
        }
        if !life.is_ioc && life.restarts == 0 && !has_failed {
            continue;
        }
        let said = life.errors.iter().map(|line| format!("{unit} said on {machine} while it started: {line}"));
        remarks.extend(said);
        if life.more_errors > 0 {
            remarks.push(format!("{unit} said {} more lines like that on {machine}", life.more_errors));
        }
    }
    remarks
}

/// As EPICS base, asyn and StreamDevice write it; not the lines of st.cmd that the shell repeats.
fn speaks_of_an_error(line: &str) -> bool {
    let plain = anstream::adapter::strip_str(line).to_string();
    let words = plain.trim_start();
    words.split(|c: char| !c.is_ascii_alphabetic()).any(|word| word == "ERROR") || words.starts_with("Error")
}

#[cfg(test)]
mod tests {
    use tool_base::protocol::journal::Message;

    use super::*;

    fn entry(about: &str, unit: &str, message: &str) -> Entry {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Entry { about: some(about), unit: some(unit), message: some(message).map(Message::Text), ..Entry::default() }
    }

    /// Root of a machine leaves what it likes: it is named, and neither followed nor waited for.
    #[test]
    fn a_journal_that_is_no_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let failed = "{\"UNIT\":\"a.service\",\"MESSAGE\":\"a.service: Failed with result 'x'.\"}\n";
        std::fs::write(dir.path().join("elsewhere"), failed).unwrap();
        let journal = |machine: &str| {
            let folder = dir.path().join("journals").join(machine);
            std::fs::create_dir_all(&folder).unwrap();
            folder.join("journal.jsonl")
        };
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), journal("linked")).unwrap();
        tool_base::process::Cmd::new("mkfifo").arg(journal("piped")).read().unwrap();
        std::os::unix::fs::symlink("/dev/zero", journal("zero")).unwrap();
        std::fs::write(journal("good"), failed).unwrap();
        let remarks = remarks(&dir.path().join("journals"), &[], &[]);
        assert_eq!(remarks.len(), 4, "{remarks:?}");
        assert_eq!(remarks[0], "a.service failed on good (x)");
        assert!(remarks[1..].iter().all(|text| text.contains(" was not looked at: ")), "{remarks:?}");
    }

    #[test]
    fn a_quiet_run_has_no_remarks() {
        let entries = [
            entry("ioc.service", "init.scope", "Starting ioc.service - EPICS IOC…"),
            entry("", "ioc.service", "var streamError 1"),
            entry("", "ioc.service", INITIALISED),
            entry("", "ioc.service", "2026/11/28 PS1: ERROR after the start is the script's business"),
            entry("simulator.service", "init.scope", "simulator.service: Deactivated successfully."),
        ];
        assert_eq!(judge(entries.into_iter(), &[], &[], "machine"), Vec::<String>::new());
    }

    #[test]
    fn what_went_wrong_is_named() {
        let failed = |unit: &str| entry(unit, "init.scope", &format!("{unit}: Failed with result 'exit-code'."));
        let again = "ioc.service: Scheduled restart job, restart counter is at 1.";
        let entries = || {
            [
                entry("ioc.service", "init.scope", "Starting ioc.service - EPICS IOC…"),
                entry("", "ioc.service", "\u{1b}[31;1mERROR\u{1b}[0m: no such record type"),
                failed("ioc.service"),
                entry("ioc.service", "init.scope", again),
                failed("simulator.service"),
            ]
            .into_iter()
        };
        let all = judge(entries(), &[], &[], "machine");
        assert_eq!(all.len(), 3, "{all:?}");
        assert_eq!(all[0], "ioc.service was restarted once on machine (exit-code)");
        assert!(all[1].starts_with("ioc.service said on machine while it started: "), "{all:?}");
        assert_eq!(all[2], "simulator.service failed on machine (exit-code)");
        assert_eq!(judge(entries(), &[], &["simulator.service".to_owned()], "machine").len(), 2);
        let said = |text: &str| {
            let start = entry("a.service", "init.scope", "Starting a.service…");
            let error = entry("", "a.service", "ERROR: unknown command");
            judge([start, error, entry("", "a.service", text)].into_iter(), &[], &[], "machine").len()
        };
        let ended = |from: usize| {
            let ends = ["Stopping a.service…", "a.service: Deactivated successfully."];
            let ends = ends[from..].iter().map(|text| entry("a.service", "init.scope", text));
            judge(ends, &["a.service".to_owned()], &[], "machine")
        };
        assert_eq!((ended(0), ended(1)), (vec![], vec!["a.service ended by itself on machine".to_owned()]));
        assert_eq!((said("Starting iocInit"), said("listening")), (1, 0), "only an IOC has a start that ends");
    }
}
