//! What a soft IOC cannot do with an IOC: told from its files, without running it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::database::Database;
use super::layout::Layout;
use super::report::{Place, Report, UNKNOWN};
use super::startup::Startup;
use crate::known::{self, Devices};
use crate::top::sorted;

/// Code of all that is found here.
pub const GAP: &str = "gap";

/// Judges the sources of an application, the records that its script loads, and the commands that it calls.
pub fn judge(
    layout: &Layout,
    database: &Database,
    startup: &Startup,
    commands: &BTreeSet<String>,
    report: &mut Report,
) {
    for file in sources(&layout.top) {
        if let Some(what) = judge_source(&layout.types.app, &file) {
            let place = Place { file: report.file(&file), line: 1, column: 1 };
            report.warning(place, GAP, what, "");
        }
    }
    for (name, at) in layout.build.definitions.values().flat_map(|own| &own.parts) {
        if !known::has_definitions(name) {
            let place = Place { file: report.file(&at.file), line: at.line, column: 1 };
            report.warning(place, GAP, &at.what, "");
        }
    }
    records(database, report);
    for (name, at) in &startup.called {
        if name == "seq" {
            report.warning(*at, GAP, "a sequencer program is not run", "");
        } else if !commands.contains(name) && !name.contains(UNKNOWN) && !name.starts_with('<') {
            report.warning(*at, GAP, format!("command `{name}` is not in a soft IOC"), "");
        }
    }
    for (name, at) in &startup.of_modules {
        let module = name.split('/').next().unwrap_or(name);
        report.warning(*at, GAP, format!("`{name}` is of a support module: {module} is nowhere"), "");
    }
}

fn records(database: &Database, report: &mut Report) {
    let mut devices = Devices::default();
    for record in &database.records {
        let kind = &record.kind;
        if kind.contains(UNKNOWN) {
            continue;
        }
        if !known::is_record_type(kind) {
            report.warning(record.at, GAP, format!("record type `{kind}` is not in a soft IOC"), "");
            continue;
        }
        let mut is_subroutine = matches!(kind.as_str(), "sub" | "aSub");
        for field in &record.fields {
            let value = &field.value;
            match field.name.as_str() {
                "DTYP" if !devices.of(kind).contains(&value.as_str()) => {
                    let what = format!("device support `{value}` for {kind} is not in a soft IOC");
                    report.warning(field.at, GAP, what, "");
                }
                "SNAM" | "INAM" if !value.is_empty() && std::mem::take(&mut is_subroutine) => {
                    let what = format!("subroutine `{value}` is C code, which is not run");
                    report.warning(field.at, GAP, what, "");
                }
                _ => {}
            }
        }
    }
}

/// The files in the source folders of all applications and support libraries.
fn sources(top: &Path) -> Vec<PathBuf> {
    let below = |folder: &Path, ends: [&str; 2]| -> Vec<PathBuf> {
        let named = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            path.is_dir() && ends.iter().any(|end| name.ends_with(end))
        };
        sorted(folder).unwrap_or_default().into_iter().filter(named).collect()
    };
    let applications = below(top, ["App", "Sup"]);
    let folders = applications.iter().flat_map(|application| below(application, ["src", "Src"]));
    folders.flat_map(|folder| sorted(&folder).unwrap_or_default()).filter(|path| path.is_file()).collect()
}

fn judge_source(app: &str, file: &Path) -> Option<&'static str> {
    match file.extension()?.to_str()? {
        "c" | "cc" | "cpp" | "cxx" | "C" => {
            let named = file.file_stem().is_some_and(|stem| *stem == *format!("{app}Main"));
            let is_main = named && fs::read(file).is_ok_and(|text| String::from_utf8_lossy(&text).contains("iocsh("));
            (!is_main).then_some("C or C++ code of this IOC is not run")
        }
        "st" | "stt" => Some("a sequencer program is not run"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::grammar;
    use super::super::text::Text;
    use super::*;

    fn gaps(text: &str) -> Vec<(u32, u32, &'static str)> {
        let mut report = Report::default();
        report.file(Path::new("x.db"));
        let mut database = Database::default();
        grammar::read(&Text::of_file(0, text.as_bytes()), &mut database, &mut report);
        let mut report = Report::default();
        report.file(Path::new("x.db"));
        records(&database, &mut report);
        report.lines()
    }

    #[test]
    fn the_common_records_are_there() {
        let text = r#"
            record(ai, "A") { field(DTYP, "stream") field(INP, "@x.proto get P") }
            record (ao , B) { field(DTYP,"Soft Channel") }
            record(longin, "C") { field(DTYP, "asynInt32") }
            record(scalcout, "D") { field(DTYP, "stream") }
            record(stringin, "E") { field(DTYP, "Soft Timestamp") }
        "#;
        assert_eq!(gaps(text), []);
    }

    #[test]
    fn what_is_missing_has_its_place() {
        let text = "record(motor, \"A\") {}\nrecord(ai, \"B\") {\n  field(DTYP, \"My Card\")\n}\n\
                    record(aSub, \"C\") { field(INPA, \"x\") field(SNAM, \"compute\") }\n\
                    record(bi, \"D\") { field(DTYP, \"stream2\") }\n";
        assert_eq!(gaps(text), [(1, 15, GAP), (3, 9, GAP), (5, 44, GAP), (6, 25, GAP)]);
    }
}
