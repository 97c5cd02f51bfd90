//! The records of an IOC, and what C's loader would refuse on the way to them.

use std::collections::HashMap;

use epics_base_rs::error::CaError;
use epics_base_rs::server::db_loader::{MacroDefs, parse_db_with_breaktables};
use epics_base_rs::server::record::{declared_field_table, declared_fields};

use super::finding::{Place, Report, suggest};
use super::grammar::Reader;
use super::text::{Text, UNKNOWN};

/// A field as a file gives it.
#[derive(Debug, Clone)]
pub struct Field {
    pub name: String,
    pub at: Place,
    pub value: String,
    /// The place of each byte of the value.
    pub places: Vec<Place>,
    pub value_at: Place,
}

impl Field {
    /// The place of a byte of the value.
    pub fn place(&self, byte: usize) -> Place {
        self.places.get(byte).copied().unwrap_or(self.value_at)
    }

    pub fn is_unknown(&self) -> bool {
        self.value.contains(UNKNOWN)
    }
}

/// A record, with the fields of all its definitions.
#[derive(Debug, Clone)]
pub struct Record {
    pub name: String,
    pub kind: String,
    pub at: Place,
    pub fields: Vec<Field>,
}

impl Record {
    /// The last value given to a field.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().rev().find(|field| field.name == name)
    }
}

/// All records of an IOC.
#[derive(Debug, Default)]
pub struct Database {
    pub records: Vec<Record>,
    pub(super) index: HashMap<String, usize>,
    /// A breakpoint table was defined: LINR has more choices than the menu.
    pub tables: bool,
    /// Record types or device support come from a module that is not built in here.
    pub open_types: bool,
}

impl Database {
    /// An empty one.
    pub fn new(open_types: bool) -> Self {
        Self { open_types, ..Self::default() }
    }

    pub fn get(&self, name: &str) -> Option<&Record> {
        self.index.get(name).map(|at| &self.records[*at])
    }

    /// All names: of records and their aliases.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.index.keys().map(String::as_str)
    }

    /// Adds what a text defines.
    pub fn read(&mut self, text: &Text, report: &mut Report) {
        Reader::new(text, self, report).all();
        second_opinion(text, report);
    }

    pub(super) fn alias(&mut self, target: &str, name: &str, at: Place, report: &mut Report) {
        if let Some(record) = self.index.get(target).copied() {
            match self.index.get(name) {
                Some(own) if *own != record => report.error(
                    at,
                    "duplicate-record",
                    format!("`{name}` is a record already"),
                    "give the alias another name",
                ),
                _ => {
                    self.index.insert(name.to_owned(), record);
                }
            }
        } else if !target.contains(UNKNOWN) && !report.open {
            let hint = suggest(target, self.names(), || "define the record above its alias".to_owned());
            report.error(at, "unknown-record", format!("there is no record `{target}` to give an alias"), hint);
        }
    }
}

/// The soft IOC's own parser has the last word: what it does not read cannot be loaded in the sandbox.
fn second_opinion(text: &Text, report: &mut Report) {
    if let Err(CaError::DbParseError { line, message, .. }) = parse_db_with_breaktables(&text.lossy(), MacroDefs::new())
    {
        let place = text.lines().get(line.saturating_sub(1)).map_or(text.place(0), |line| line.place(0));
        if !report.has_error(place.file) {
            let what = format!("the soft IOC cannot read this: {}", message.replace('\u{1b}', ""));
            report.warning(place, "not-in-soft-ioc", what, "EPICS itself may read it; the sandbox would not");
        }
    }
}

/// Names that a record's fields can have.
pub fn field_names(kind: &str) -> impl Iterator<Item = &'static str> {
    declared_fields(kind).map(|field| field.name)
}

/// Whether the fields of a record type are known here.
pub fn has_fields(kind: &str) -> bool {
    declared_field_table(kind).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::fields;

    fn found(text: &str) -> Vec<(u32, u32, &'static str)> {
        let mut report = Report::default();
        report.file(std::path::Path::new("x.db"));
        let mut database = Database::new(false);
        database.read(&Text::of_file(0, text.as_bytes()), &mut report);
        fields::judge(&database, &mut report);
        report.lines()
    }

    #[test]
    fn what_c_loads_is_silent() {
        for text in [
            "record(ai, A)",
            "record(ai, \"A\") {} grecord(ai, \"A:b[1]<2>;\") { info(x, {a:[1, \"b\"]}) alias(C) }",
            "path \"a\" addpath \"b\" breaktable(t) { 0 0 1 1 } record(ai, A) { field(LINR, \"t\") }",
            "record(calc, A) { field(INPA, {const: 3}) field(INPB, -3.5e2) field(CALC, 'A+B') }",
            "record(ai, A) {} record(\"*\", A) { field(SCAN, \"\") } alias(A, B)",
            "record(ai, A) {} record(\"#\", A) {} record(bi, A) {}",
            "record(ai, A) { field(PREC, \"\") field(HOPR, \"1e3\") field(SCAN, \"9\") field(FLNK, \"A.PROC\") }",
            "record(ai, A) { field(INP, \"far:A.VAL CP MS\") field(SDIS, \"far:B CA\") field(SIOL, \"A.VAL NPP\") }",
            "record(sub, A) { field(SNAM, \"x\") } # record(nothing",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn what_c_refuses_is_found() {
        let cases: [(&str, u32, &str); 19] = [
            ("record(ai, A) { field(DESC, \"12345678901234567890123456789012345678901\") }", 70, "too-long"),
            ("record(ai, A) { field(PREC, \"08\") }", 29, "bad-value"),
            ("record(ai, A) { field(HOPR, \"1 V\") }", 29, "bad-value"),
            ("record(ai, A) { field(SCAN, \"99\") }", 29, "unknown-choice"),
            ("record(ai, A) { field(DTYP, \"nix\") }", 29, "unknown-device"),
            ("record(ai, A) { field(RSET, \"1\") }", 23, "fixed-field"),
            ("record(ai, A) { field(desc, \"1\") }", 23, "unknown-field"),
            ("record(ai, A) { field(INP, \"@x y\") }", 28, "bad-link"),
            ("record(ai, A) { field(INP, {nix:3}) }", 28, "bad-link"),
            ("record(ai, A) { field(INP, a:b) }", 29, "syntax"),
            ("record(ai, A) {} record(bi, A) {}", 29, "duplicate-record"),
            ("record(\"*\", A) {}", 13, "unknown-record"),
            ("record(ai, A) { alias(\"x.y\") }", 23, "bad-name"),
            ("alias(B, C)", 7, "unknown-record"),
            ("record(ai A) {}", 11, "syntax"),
            ("record(ai, A) { field(VAL, 1) } }", 33, "syntax"),
            ("record(ai, A) { filed(VAL, 1) }", 17, "syntax"),
            ("recrod(ai, A)", 1, "syntax"),
            ("record(ai, \"A B\") {}", 12, "bad-name"),
        ];
        for (text, column, code) in cases {
            assert_eq!(found(text), [(1, column, code)], "{text}");
        }
        let long = "x".repeat(61);
        assert_eq!(found(&format!("record(ai, {long}) {{}}")), [(1, 12, "bad-name")]);
        assert_eq!(found(&format!("record(ai, {}) {{}}", &long[1..])), []);
    }

    #[test]
    fn any_part_of_a_database_is_read_without_a_panic() {
        let text = "record(ai, \"$(P)ü\") { field(INP, {calc:{expr:'A', args:[\"x\", 1]}}) info(a, [1]) alias(B) }\n\
                    breaktable(t) { 1 2 } alias(\"a\", b) %x\ninclude \"y\" # z\n";
        for from in 0..text.len() {
            for to in from..text.len() {
                let bytes = &text.as_bytes()[from..to];
                found(&String::from_utf8_lossy(bytes));
            }
        }
    }
}
