//! The grammar of databases, as C reads them: records, fields, aliases.

use epics_base_rs::error::CaError;
use epics_base_rs::server::db_loader::{MacroDefs, parse_db_with_breaktables};

use super::bounds;
use super::database::{Database, Field, Record};
use super::lexer::{Broken, Kind, Lexer, Token};
use super::report::{NOT_IN_SOFT_IOC, Place, Report, UNKNOWN, suggest};
use super::text::Text;
use crate::known;

/// Characters of a record's name, at most: `PVNAME_STRINGSZ` of EPICS base, less its end.
const LONGEST_NAME: usize = 60;

/// Adds what a text defines to a database.
pub fn read(text: &Text, database: &mut Database, report: &mut Report) {
    // Macros may have brought more than their files have.
    if !bounds::text_within(text, crate::growth::Kind::Database, report) {
        return;
    }
    Reader { lexer: Lexer::new(text), database, report }.all();
    second_opinion(text, report);
}

/// The soft IOC's own parser has the last word: what it does not read cannot be loaded in the sandbox.
fn second_opinion(text: &Text, report: &mut Report) {
    if let Err(CaError::DbParseError { line, message, .. }) = parse_db_with_breaktables(&text.lossy(), MacroDefs::new())
    {
        let place = text.lines().nth(line.saturating_sub(1)).map_or(text.place(0), |line| line.place(0));
        if !report.has_error(place.file) {
            let what = format!("the soft IOC cannot read this: {}", message.replace('\u{1b}', ""));
            report.warning(
                place,
                NOT_IN_SOFT_IOC,
                what,
                "write it another way, or let EPICS itself read it: cargo xtask test --ioc make",
            );
        }
    }
}

/// Reads one text into a database.
struct Reader<'a> {
    lexer: Lexer<'a>,
    database: &'a mut Database,
    report: &'a mut Report,
}

impl Reader<'_> {
    /// Reads to the end; goes on behind what cannot be read.
    fn all(&mut self) {
        loop {
            match self.item() {
                Ok(true) => {}
                Ok(false) => return,
                Err(broken) => {
                    let place = self.lexer.text.place(broken.at);
                    self.report.error(place, "syntax", broken.what, broken.hint);
                    self.report.open = true;
                    self.lexer.recover();
                }
            }
        }
    }

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
                self.database.types.open |= matches!(word.as_str(), "menu" | "recordtype" | "device");
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
            // A file that is loaded again is one mistake, of the script.
            let again = self.database.before.filter(|(before, _)| first_at == at && known < *before);
            let at = again.map_or(at, |(_, load)| load);
            if !name.contains(UNKNOWN) {
                let there = if again.is_some() || first_at == at {
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
        if known::is_record_type(&kind) {
            let what = format!("record type {kind}");
            self.database.types.need("not-in-dbd", &what, known::definitions_of_type(&kind), kind_at, self.report);
        } else if !kind.contains(UNKNOWN) && !self.database.types.open {
            let hint = suggest(&kind, known::record_types(), || {
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
            self.report.error(at, "long-name", what, "shorten it: a C IOC loads nothing more of this file");
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
