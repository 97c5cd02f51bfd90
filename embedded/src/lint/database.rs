//! Databases: from text to records, with what C's grammar and loader would refuse on the way.

use std::collections::HashMap;

use epics_base_rs::error::CaError;
use epics_base_rs::server::db_loader::{MacroDefs, parse_db_with_breaktables};
use epics_base_rs::server::record::{declared_field_table, declared_fields};

use super::finding::{Place, Report, suggest};
use super::lexer::{Broken, Kind, Lexer, Token};
use super::text::{Text, UNKNOWN};
use super::types;

/// Characters of a record's name, at most: `PVNAME_STRINGSZ` of EPICS base, less its end.
const LONGEST_NAME: usize = 60;

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
    index: HashMap<String, usize>,
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
        let mut reader = Reader { lexer: Lexer::new(text), database: self, report };
        loop {
            match reader.item() {
                Ok(true) => {}
                Ok(false) => break,
                Err(broken) => {
                    let place = text.place(broken.at);
                    reader.report.error(place, "syntax", broken.what, broken.hint);
                    reader.report.open = true;
                    reader.lexer.recover();
                }
            }
        }
        second_opinion(text, report);
    }

    fn alias(&mut self, target: &str, name: &str, at: Place, report: &mut Report) {
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

struct Reader<'a> {
    lexer: Lexer<'a>,
    database: &'a mut Database,
    report: &'a mut Report,
}

impl Reader<'_> {
    fn word(&self, token: &Token) -> Text {
        self.lexer.text.slice(token.from, token.to)
    }

    fn place(&self, token: &Token) -> Place {
        self.lexer.text.place(token.from - usize::from(token.kind == Kind::Quoted))
    }

    fn expected(&self, token: &Token, what: &str, hint: &'static str) -> Broken {
        let found = match token.kind {
            Kind::End => "the file ends".to_owned(),
            _ => format!("`{}` stands", self.word(token).lossy()),
        };
        let at = token.from - usize::from(token.kind == Kind::Quoted);
        Broken { at, what: format!("{found} where {what} is expected"), hint }
    }

    fn mark(&mut self, byte: u8, hint: &'static str) -> Result<(), Broken> {
        let token = self.lexer.next(false)?;
        if token.kind == Kind::Mark(byte) {
            return Ok(());
        }
        Err(self.expected(&token, &format!("`{}`", char::from(byte)), hint))
    }

    fn name(&mut self, what: &str, hint: &'static str) -> Result<Token, Broken> {
        let token = self.lexer.next(false)?;
        match token.kind {
            Kind::Bare | Kind::Quoted => Ok(token),
            _ => Err(self.expected(&token, what, hint)),
        }
    }

    /// Reads one item of the file; false at its end.
    fn item(&mut self) -> Result<bool, Broken> {
        const HINT: &str = "a database has records: record(ai, \"NAME\") { … }";
        let token = self.lexer.next(false)?;
        if token.kind == Kind::End {
            return Ok(false);
        }
        let word = self.word(&token).lossy();
        match (token.kind == Kind::Bare, word.as_str()) {
            (true, "record" | "grecord") => self.record()?,
            (true, "alias") => {
                self.mark(b'(', "alias(\"RECORD\", \"OTHER NAME\")")?;
                let target = self.name("the name of a record", "alias(\"RECORD\", \"OTHER NAME\")")?;
                self.mark(b',', "alias(\"RECORD\", \"OTHER NAME\")")?;
                let name = self.name("a name", "alias(\"RECORD\", \"OTHER NAME\")")?;
                self.mark(b')', "alias(\"RECORD\", \"OTHER NAME\")")?;
                self.judge_name(&self.word(&name).lossy(), self.place(&name));
                let (target, at, name) = (self.word(&target).lossy(), self.place(&target), self.word(&name).lossy());
                self.database.alias(&target, &name, at, self.report);
            }
            (true, "path" | "addpath") => {
                self.name("a path", "path \"folder\"")?;
            }
            // What a .dbd has may stand in a database too.
            (
                true,
                "menu" | "recordtype" | "device" | "driver" | "link" | "registrar" | "function" | "variable"
                | "breaktable",
            ) => {
                self.database.tables |= word == "breaktable";
                self.database.open_types |= matches!(word.as_str(), "menu" | "recordtype" | "device");
                self.definition()?;
            }
            _ => return Err(self.expected(&token, "`record`", HINT)),
        }
        Ok(true)
    }

    /// Skips `( … )` and, where it follows, `{ … }`.
    fn definition(&mut self) -> Result<(), Broken> {
        self.mark(b'(', "a definition has its names in ( )")?;
        let mut depth = 1;
        loop {
            let token = self.lexer.next(false)?;
            match token.kind {
                Kind::Mark(b'(' | b'{') => depth += 1,
                Kind::Mark(b')' | b'}') => depth -= 1,
                Kind::End if depth > 0 => return Err(self.expected(&token, "`)` or `}`", "close what is open")),
                _ if depth == 0 => {
                    self.lexer.back_to(&token);
                    return Ok(());
                }
                _ => {}
            }
        }
    }

    fn record(&mut self) -> Result<(), Broken> {
        const HINT: &str = "record(TYPE, \"NAME\") { field(NAME, \"VALUE\") … }";
        self.mark(b'(', HINT)?;
        let kind = self.name("a record type", HINT)?;
        self.mark(b',', HINT)?;
        let name = self.name("the record's name", HINT)?;
        self.mark(b')', HINT)?;
        let record = self.head(&kind, &name);
        let token = self.lexer.next(false)?;
        if token.kind != Kind::Mark(b'{') {
            self.lexer.back_to(&token);
            return Ok(());
        }
        loop {
            let token = self.lexer.next(false)?;
            let word = self.word(&token).lossy();
            match (&token.kind, word.as_str()) {
                (Kind::Mark(b'}'), _) => return Ok(()),
                (Kind::Bare, what @ ("field" | "info")) => {
                    let field = self.field()?;
                    if let (Some(record), "field") = (record, what) {
                        self.database.records[record].fields.push(field);
                    }
                }
                (Kind::Bare, "alias") => {
                    self.mark(b'(', "alias(\"OTHER NAME\")")?;
                    let alias = self.name("a name", "alias(\"OTHER NAME\")")?;
                    self.mark(b')', "alias(\"OTHER NAME\")")?;
                    if let Some(record) = record {
                        let target = self.database.records[record].name.clone();
                        let (alias, at) = (self.word(&alias).lossy(), self.place(&alias));
                        self.judge_name(&alias, at);
                        self.database.alias(&target, &alias, at, self.report);
                    }
                }
                (Kind::Bare, "record" | "grecord") | (Kind::End, _) => {
                    let head = self.lexer.text.place(name.from);
                    return Err(Broken {
                        at: token.from,
                        what: format!("the record of line {} is not closed", head.line),
                        hint: "put a `}` before",
                    });
                }
                _ => {
                    let hint = "in a record there are field(NAME, \"VALUE\"), info(…) and alias(…)";
                    return Err(self.expected(&token, "`field` or `}`", hint));
                }
            }
        }
    }

    /// What `record(…)` does: makes a record, or finds the one that is meant.
    fn head(&mut self, kind: &Token, name: &Token) -> Option<usize> {
        let (kind_at, at) = (self.place(kind), self.place(name));
        let (kind, name) = (self.word(kind).lossy(), self.word(name).lossy());
        if name.contains(UNKNOWN) || kind.contains(UNKNOWN) {
            self.report.open = true;
        } else {
            self.judge_name(&name, at);
        }
        let known = self.database.index.get(&name).copied();
        match (kind.as_str(), known) {
            ("*", None) => {
                if !self.report.open {
                    let what = format!("there is no record `{name}` to add to");
                    let hint =
                        suggest(&name, self.database.names(), || "`*` adds to a record defined above".to_owned());
                    self.report.error(at, "unknown-record", what, hint);
                }
                return None;
            }
            ("*", known) => return known,
            ("#", _) => {
                self.database.index.remove(&name);
                return None;
            }
            _ => {}
        }
        if let Some(known) = known {
            let first = &self.database.records[known];
            let (own, first_at) = (first.kind.clone(), first.at);
            if !name.contains(UNKNOWN) {
                let there = if first_at == at {
                    "the same file is loaded before with the same name".to_owned()
                } else {
                    let file = self.report.path(first_at.file).file_name().unwrap_or_default().to_string_lossy();
                    format!("the first one is at {file}:{}", first_at.line)
                };
                if own == kind {
                    let what = format!("record `{name}` is defined twice: {there}, and both become one");
                    let hint = "rename one of them; to add fields on purpose, write record(\"*\", …)";
                    self.report.warning(at, "duplicate-record", what, hint);
                } else {
                    let what = format!("record `{name}` of type {kind} is of type {own} already: {there}");
                    self.report.error(at, "duplicate-record", what, "rename one of them");
                    return None;
                }
            }
            return Some(known);
        }
        if !kind.contains(UNKNOWN) && !types::is_record_type(&kind) && !self.database.open_types {
            let hint = suggest(&kind, types::record_types(), || {
                "a record type of a support module needs its .dbd in src/Makefile".to_owned()
            });
            self.report.error(kind_at, "unknown-record-type", format!("there is no record type `{kind}`"), hint);
        }
        self.database.index.insert(name.clone(), self.database.records.len());
        self.database.records.push(Record { name, kind, at, fields: Vec::new() });
        Some(self.database.records.len() - 1)
    }

    fn judge_name(&mut self, name: &str, at: Place) {
        if name.is_empty() {
            self.report.error(at, "bad-name", "a record needs a name", "record(ai, \"NAME\")");
        } else if let Some(c) = name.chars().find(|c| " \t\"'.$".contains(*c)) {
            let what = format!("`{c}` cannot be in a record's name: `{name}`");
            self.report.error(at, "bad-name", what, "letters, digits and _ - : [ ] < > ; are safe");
        } else if name.len() > LONGEST_NAME {
            let what = format!("the name `{name}` has {} bytes, at most {LONGEST_NAME} can be", name.len());
            self.report.error(at, "bad-name", what, "shorten it");
        } else if !name.is_ascii() || name.starts_with(['-', '+', '[', '{']) || name.chars().any(char::is_control) {
            let what = format!("not every client can write the name `{name}`");
            self.report.warning(at, "odd-name", what, "letters, digits and _ - : [ ] < > ; are safe");
        }
    }

    fn field(&mut self) -> Result<Field, Broken> {
        const HINT: &str = "field(NAME, \"VALUE\")";
        self.mark(b'(', HINT)?;
        let name = self.name("the field's name", HINT)?;
        self.mark(b',', HINT)?;
        let value = self.lexer.next(true)?;
        let text = match value.kind {
            Kind::Bare => self.word(&value),
            Kind::Quoted => unescaped(&self.word(&value)),
            Kind::Mark(b'{' | b'[') => self.list(&value)?,
            _ => return Err(self.expected(&value, "a value", HINT)),
        };
        let place = self.place(&value);
        self.mark(b')', HINT)?;
        Ok(Field {
            at: self.place(&name),
            name: self.word(&name).lossy(),
            value: text.lossy(),
            value_at: place,
            places: text.places,
        })
    }

    /// The text of a list, which starts with `first`.
    fn list(&mut self, first: &Token) -> Result<Text, Broken> {
        let mut depth = 1;
        loop {
            let token = self.lexer.next(true)?;
            match token.kind {
                Kind::Mark(b'{' | b'[') => depth += 1,
                Kind::Mark(b'}' | b']') => depth -= 1,
                Kind::Mark(b'(' | b')') | Kind::End => {
                    return Err(self.expected(&token, "`}` or `]`", "close the list"));
                }
                _ => {}
            }
            if depth == 0 {
                return Ok(self.lexer.text.slice(first.from, token.to));
            }
        }
    }
}

/// A quoted text with its escapes replaced; those that stand for no single character stay.
fn unescaped(text: &Text) -> Text {
    let mut out = Text::default();
    let mut at = 0;
    while at < text.bytes.len() {
        let byte = match (text.bytes[at], text.bytes.get(at + 1)) {
            (b'\\', Some(quote @ (b'"' | b'\\' | b'\''))) => {
                at += 1;
                *quote
            }
            (byte, _) => byte,
        };
        out.push(byte, text.places[at]);
        at += 1;
    }
    out
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
