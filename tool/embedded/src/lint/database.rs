//! The records of an IOC, and what C's loader would refuse on the way to them.

use std::collections::{BTreeSet, HashMap};

use epics_base_rs::server::record::{declared_field_table, declared_fields};

use super::report::{Place, Report, UNKNOWN, suggest};

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

/// The record types and menus of an application, as its definitions have them.
#[derive(Debug, Clone, Default)]
pub struct Types {
    pub app: String,
    /// The files that the definitions are made of; none where that is not known.
    pub parts: BTreeSet<String>,
    /// Some come from what is not built in here.
    pub open: bool,
    /// The choices of SCAN, where they are not EPICS base's.
    pub scan: Option<Vec<String>>,
}

impl Types {
    /// Reports what these definitions lack, if it is in none of the files that could bring it.
    pub fn need(&self, code: &'static str, what: &str, files: &[&str], at: Place, report: &mut Report) {
        if let Some(file) = files.first().filter(|_| self.lack(files)) {
            let app = &self.app;
            let what = format!("{what} comes with {file}, which is no part of {app}.dbd");
            report.error(at, code, what, format!("add to {app}App/src/Makefile: {app}_DBD += {file}"));
        }
    }

    /// Whether these definitions are known to have none of some files.
    pub fn lack(&self, files: &[&str]) -> bool {
        !self.open && !self.parts.is_empty() && !files.iter().any(|file| self.parts.contains(*file))
    }
}

/// All records of an IOC.
#[derive(Debug, Default)]
pub struct Database {
    pub records: Vec<Record>,
    pub index: HashMap<String, usize>,
    /// A breakpoint table was defined: LINR has more choices than the menu.
    pub tables: bool,
    pub types: Types,
    /// How many records there were when what is being loaded began, and where the script says so.
    pub before: Option<(usize, Place)>,
    /// How many records there were before each file that the script loads, and behind the last one.
    pub ends: Vec<usize>,
}

impl Database {
    /// An empty one.
    pub fn new(types: &Types) -> Self {
        Self { types: types.clone(), ..Self::default() }
    }

    pub fn get(&self, name: &str) -> Option<&Record> {
        self.index.get(name).map(|at| &self.records[*at])
    }

    /// All names: of records and their aliases.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.index.keys().map(String::as_str)
    }

    pub fn alias(&mut self, target: &str, name: &str, at: Place, report: &mut Report) {
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

/// Names that a record's fields can have.
pub fn field_names(kind: &str) -> impl Iterator<Item = &'static str> {
    declared_fields(kind).map(|field| field.name)
}

/// Whether the fields of a record type are known here.
pub fn has_fields(kind: &str) -> bool {
    declared_field_table(kind).is_some()
}

#[cfg(test)]
impl Database {
    /// Those of a text.
    pub fn of(text: &str) -> Self {
        let (mut all, mut report) = (Self::default(), Report::default());
        report.file(std::path::Path::new("x.db"));
        super::grammar::read(&super::text::Text::of_file(0, text.as_bytes()), &mut all, &mut report);
        all
    }
}
