//! Databases: record types, device support and subroutines that a soft IOC does not have.

use epics_base_rs::server::db_loader::create_record;
use epics_base_rs::server::record::dbd_generated::device_menu;

use super::{Finding, lines_without_comments};
use crate::ioc::ADDED_RECORD_TYPES;

/// Judges one database file. Where a macro decides, the run will tell.
pub fn judge(text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut record_type = String::new();
    for (number, line) in lines_without_comments(text) {
        for (what, first, second) in calls(line) {
            match (what, first) {
                ("record" | "grecord", name) => {
                    name.clone_into(&mut record_type);
                    if !name.contains('$') && !has_record_type(name) {
                        findings.push((number, format!("record type `{name}` is not in a soft IOC")));
                    }
                }
                ("field", "DTYP") if !second.contains('$') && !has_device(&record_type, second) => {
                    let what = format!("device support `{second}` for {record_type} is not in a soft IOC");
                    findings.push((number, what));
                }
                ("field", "SNAM" | "INAM") if is_subroutine(&record_type) && !second.is_empty() => {
                    findings.push((number, format!("subroutine `{second}` is C code, which is not run")));
                }
                _ => {}
            }
        }
    }
    findings
}

/// Everything of the form `what(first, second)` that starts in a line, quotes removed.
fn calls(line: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    line.match_indices('(').filter_map(move |(open, _)| {
        if line[..open].matches('"').count() % 2 == 1 {
            return None;
        }
        let what = line[..open].trim_end();
        let what = &what[what.rfind(|c: char| !c.is_ascii_alphabetic()).map_or(0, |at| at + 1)..];
        let inner = &line[open + 1..];
        let (first, rest) = inner.split_once(',')?;
        let second = rest.trim_start();
        let second = match second.strip_prefix('"') {
            Some(quoted) => &quoted[..quoted.find('"')?],
            None => second[..second.find([')', ',']).unwrap_or(second.len())].trim_end(),
        };
        let first = first.trim().trim_matches('"');
        (!first.is_empty()).then_some((what, first, second))
    })
}

fn has_record_type(name: &str) -> bool {
    ADDED_RECORD_TYPES.contains(&name) || create_record(name).is_ok()
}

fn has_device(record_type: &str, device: &str) -> bool {
    let of_base = || device_menu(record_type).is_some_and(|menu| menu.contains(&device));
    let of_stream = || {
        stream_rs::dev::devices()
            .iter()
            .any(|(name, rows)| *name == record_type && rows.iter().any(|row| row.choice == device))
    };
    // The soft IOC has all of asyn's, for every record type asyn has them for.
    device.starts_with("asyn") || of_base() || of_stream() || device == "Soft Channel"
}

fn is_subroutine(record_type: &str) -> bool {
    matches!(record_type, "sub" | "aSub")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_records_are_there() {
        let text = r#"
            record(ai, "$(P)A") { field(DTYP, "stream") field(INP, "@x.proto get $(PORT)") }
            record (ao , B) { field(DTYP,"Soft Channel") }
            record(longin, "C") { field(DTYP, "asynInt32") }
            record(scalcout, "D") { field(DTYP, "stream") }
            record(stringin, "E") { field(DTYP, "Soft Timestamp") }
            record("bi", "F") { field(DTYP, "$(DTYP)") }
            # record(nonsense, "G")
            record(ai, "H # not a comment") { field(DESC, "record(x, y)") }
        "#;
        assert_eq!(judge(text), []);
    }

    #[test]
    fn what_is_missing_is_named_with_its_line() {
        let text = "record(motor, \"A\") {}\nrecord(ai, \"B\") {\n  field(DTYP, \"My Card\")\n}\n\
                    record(aSub, \"C\") { field(INPA, \"x\") field(SNAM, \"compute\") }\n\
                    record(bi, \"D\") { field(DTYP, \"stream2\") }\n";
        let lines: Vec<usize> = judge(text).iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 3, 5, 6]);
        assert_eq!(judge(text)[1].1, "device support `My Card` for ai is not in a soft IOC");
    }
}
