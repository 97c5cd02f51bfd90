//! The text of a database that is loaded: made by `msi`, put together from rows and includes, macros replaced.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use epics_base_rs::server::db_loader::{SubstitutionEvent, SubstitutionFault, parse_substitutions};

use super::bounds;
use super::layout::Layout;
use super::report::{Place, Report, nearest};
use super::startup::Load;
use super::text::Text;
use crate::build::Recipe;
use crate::growth::{self, Kind, LONGEST, Room};
use crate::macros;
use crate::msi;

/// Files that may include each other.
const DEEPEST: usize = 100;

/// What was read on the way.
#[derive(Debug, Default)]
pub struct Read {
    pub files: BTreeSet<PathBuf>,
    /// Macros that were found to have no value: said once for each file and load.
    without_value: BTreeSet<(usize, Place, String)>,
}

/// What a macro stands for.
type Value<'a> = dyn Fn(&[u8]) -> Option<&'a [u8]> + 'a;

/// Reads what is loaded.
pub struct Loader<'a> {
    pub layout: &'a Layout,
    pub report: &'a mut Report,
    pub read: &'a mut Read,
    pub room: Room,
}

impl Loader<'_> {
    /// The database that `msi` makes.
    pub fn expanded(&mut self, recipe: &Recipe) -> Text {
        const HINT: &str = "file NAME.template { pattern { A, B } { 1, 2 } }";
        self.read.files.insert(recipe.source().to_owned());
        let made = match self.layout.build.expand(recipe) {
            Ok(made) => made,
            Err(msi::Notice { file, line, what }) => {
                let place = self.report.line(&file, line);
                self.report.error(place, "make-stops", format!("make stops: msi refuses this: {what}"), HINT);
                self.report.open = true;
                return Text::default();
            }
        };
        for msi::Notice { file, line, what } in made.warnings {
            let place = self.report.line(&file, line);
            self.report.warning(place, "substitutions", what, HINT);
        }
        self.read.files.extend(made.files.iter().cloned());
        let numbers: Vec<usize> = made.files.iter().map(|file| self.report.file(file)).collect();
        let mut text = Text::default();
        for (byte, origin) in made.bytes.iter().zip(made.origins) {
            text.push(*byte, Place { file: numbers[origin.file], line: origin.line, column: origin.column });
        }
        text
    }

    /// The text that a load stands for, macros replaced.
    pub fn text(&mut self, load: &Load) -> Text {
        if load.template {
            return self.rows(load);
        }
        let values: HashMap<&[u8], &[u8]> = load.macros.iter().collect();
        let value = |name: &[u8]| values.get(name).copied();
        if macros::are_endless(values.values().copied(), &value) {
            self.report.error(
                load.at,
                "endless-macro",
                "these macros stand for each other too often",
                "give one of them its value",
            );
            self.report.open = true;
            return Text::default();
        }
        match &load.recipe {
            None => self.file(&load.path, &value, load, DEEPEST),
            Some(recipe) => {
                let text = self.expanded(recipe);
                self.body(&text, &value, load, DEEPEST)
            }
        }
    }

    /// The rows of a file that `dbLoadTemplate` reads, each of which is a `dbLoadRecords`.
    fn rows(&mut self, load: &Load) -> Text {
        self.read.files.insert(load.path.clone());
        let file = self.report.file(&load.path);
        let mut bytes = fs::read(&load.path).unwrap_or_default();
        let written = String::from_utf8_lossy(&bytes).into_owned();
        if !bounds::within(&written, file, Kind::Plain, self.report) {
            bytes.clear();
        }
        let lines: Vec<&str> = written.lines().collect();
        let parsed = parse_substitutions(bytes);
        // The head of the last row, how far was looked for one, and whose it is.
        let (mut head, mut looked, mut of) = (None, 0, String::new());
        let mut text = Text::default();
        for event in parsed.events {
            match event {
                SubstitutionEvent::Load(row) => {
                    let mut macros = load.macros.clone();
                    for defined in &row.macros {
                        macros.put(defined.name.clone(), defined.value.clone());
                    }
                    let at = Place { file, line: u32::try_from(row.line).unwrap_or(1), column: 1 };
                    // The row is further down.
                    let is_head = |line: &str| line.contains("file") && line.contains(&row.file);
                    let to = row.line.clamp(looked, lines.len().max(looked));
                    let later = lines.get(looked..to).unwrap_or_default().iter().rposition(|line| is_head(line));
                    head = match later {
                        Some(at) => Some(looked + at),
                        None if of == row.file => head,
                        None => lines.iter().take(row.line).rposition(|line| is_head(line)),
                    };
                    (looked, of) = (to, row.file.clone());
                    let line = head.and_then(|head| u32::try_from(head + 1).ok()).unwrap_or(at.line);
                    let Some(path) = self.named(&row.file, Place { line, ..at }, "template", load) else { continue };
                    let recipe = load.search.find_recipe(&row.file, self.layout);
                    let row = Load { path, recipe, macros, at, template: false, search: load.search.clone() };
                    let body = self.text(&row);
                    text.extend(&body);
                }
                SubstitutionEvent::Fault(fault) => self.substitutions_fault(file, &fault),
                SubstitutionEvent::Notice(_) => {}
            }
        }
        if let Some(fault) = parsed.stopped {
            self.substitutions_fault(file, &fault);
            self.report.open = true;
        }
        text
    }

    fn substitutions_fault(&mut self, file: usize, fault: &SubstitutionFault) {
        let place = Place { file, line: u32::try_from(fault.line).unwrap_or(1), column: 1 };
        let what = fault.message.clone().unwrap_or_else(|| "syntax error".to_owned());
        let what = if fault.yytext.is_empty() {
            format!("{what} at the end of the file")
        } else {
            format!("{what} at `{}`", fault.yytext)
        };
        self.report.error(place, "syntax", what, "file NAME { pattern { A, B } { 1, 2 } }");
    }

    /// The file that a database or substitutions name; it is a finding where there is none.
    fn named(&mut self, name: &str, at: Place, kind: &str, load: &Load) -> Option<PathBuf> {
        let found = load.search.find(name, self.layout);
        if found.is_none() {
            if !load.search.is_open(name) {
                let (what, hint) = match load.search.missing(name, self.layout) {
                    Some((why, hint)) => (format!("there is no {kind} `{name}`: {why}"), hint),
                    None => (
                        format!("there is no {kind} `{name}`"),
                        "names start at the current folder of the IOC, or in EPICS_DB_INCLUDE_PATH".to_owned(),
                    ),
                };
                self.report.error(at, "no-file", what, hint);
            }
            self.report.open = true;
        }
        found
    }

    /// A file with its includes, macros replaced. What is missing is reported where `load` says who loads it.
    fn file(&mut self, path: &Path, value: &Value<'_>, load: &Load, depth: usize) -> Text {
        self.read.files.insert(path.to_owned());
        let number = self.report.file(path);
        let mut bytes = fs::read(path).unwrap_or_default();
        if !bounds::within(&String::from_utf8_lossy(&bytes), number, Kind::Database, self.report) {
            bytes.clear();
        }
        self.body(&Text::of_file(number, &bytes), value, load, depth)
    }

    fn body(&mut self, text: &Text, value: &Value<'_>, load: &Load, depth: usize) -> Text {
        let mut out = Text::default();
        let mut end = text.place(0);
        for line in text.lines() {
            let line = match self.expand(&line, value, load) {
                Ok(line) => line,
                Err(at) => {
                    let what = format!("this line has more than {} MB once its macros are replaced", LONGEST >> 20);
                    self.report.error(at, "endless-macro", what, "give one of them a shorter value");
                    self.report.open = true;
                    return Text::default();
                }
            };
            if !self.room.takes(line.bytes.len()) {
                self.too_much(line.place(0));
                return Text::default();
            }
            end = line.places.last().copied().unwrap_or(end);
            let words = line.lossy();
            let included =
                words.trim().strip_prefix("include").map(str::trim_start).filter(|rest| rest.starts_with('"'));
            let Some(name) = included.and_then(|rest| rest.split('"').nth(1)) else {
                out.extend(&line);
                out.push(b'\n', end);
                continue;
            };
            let at = line.place(line.bytes.iter().position(|byte| *byte == b'"').unwrap_or(0));
            match self.named(name, at, "file", load) {
                Some(_) if !self.room.takes_file() => self.too_much(at),
                Some(path) if depth > 0 => {
                    let body = self.file(&path, value, load, depth - 1);
                    out.extend(&body);
                }
                Some(_) => {
                    let what = format!("`{name}` includes itself");
                    self.report.error(at, "includes-itself", what, "take this line out");
                }
                None => {}
            }
        }
        out
    }

    fn too_much(&mut self, at: Place) {
        self.report.beyond(at, format!("more than {} MB come of this", growth::LARGEST >> 20));
    }

    fn expand(&mut self, text: &Text, value: &Value<'_>, load: &Load) -> Result<Text, Place> {
        let (report, layout, without_value) = (&mut *self.report, self.layout, &mut self.read.without_value);
        text.expand(value, |fault| {
            let Some(name) = fault.name else {
                report.error(fault.place, "syntax", "this macro is not closed", "add the `)` or `}`");
                return true;
            };
            if !without_value.insert((fault.place.file, load.at, name.clone())) {
                return true;
            }
            let there = report.name(load.at, &layout.top);
            let given: Vec<String> =
                load.macros.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
            let hint = match nearest(&name, given.iter().map(String::as_str)) {
                Some(near) => format!("{there} defines `{near}`: did you mean that?"),
                None => format!("define it at {there}, as in \"{name}=…\", or give it a default: $({name}=…)"),
            };
            let what = format!("macro `{name}` has no value where {there} loads this file");
            report.error(fault.place, "undefined-macro", what, hint);
            true
        })
    }
}
