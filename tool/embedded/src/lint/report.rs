//! What is wrong, and where: findings, and the files they are in.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::edits::distance;
use crate::mistakes::{Mistake, Severity};

/// What stands for a macro that is not known here. Nothing that has it in it is judged.
pub const UNKNOWN: &str = "__macro__";

/// Code of what a C IOC does with the files and ours does not.
pub const NOT_IN_SOFT_IOC: &str = "not-in-soft-ioc";

/// A place in a file: the number of the file in [`Report`], the line and the column, both from 1 on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub file: usize,
    pub line: u32,
    /// In characters.
    pub column: u32,
}

/// A mistake at a place of the report's own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    place: Place,
    severity: Severity,
    code: &'static str,
    message: String,
    hint: String,
    /// Where the same came up again.
    more: BTreeSet<Place>,
}

/// Codes of what is said once, wherever it comes up again.
const ONCE: [&str; 9] = [
    "undefined-variable",
    "not-in-dbd",
    "no-command",
    "not-installed",
    "no-file",
    "unknown-port",
    "unknown-function",
    "bad-call",
    "bad-conversion",
];

/// Places that a message names, beside its own one.
const NAMED: usize = 3;

/// What makes two findings of a code one.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Same {
    Place(Place),
    Message(String),
    Hint(String),
}

/// All findings of a run, and what was read.
#[derive(Debug, Default)]
pub struct Report {
    files: Vec<PathBuf>,
    numbers: HashMap<PathBuf, usize>,
    findings: Vec<Entry>,
    /// Which of them is known by what: there may be thousands.
    known: HashMap<(&'static str, Same), usize>,
    with_error: HashSet<usize>,
    /// Where there is too much for the readers of the soft IOC.
    beyond: BTreeSet<Place>,
    /// Something could not be known, so that what seems to be missing may be there.
    pub open: bool,
}

impl Report {
    /// The same files, and only what was found under one code.
    pub fn only(mut self, code: &str) -> Self {
        self.findings.retain(|own| own.code == code);
        self.known.clear();
        for (number, own) in self.findings.iter().enumerate() {
            self.known.extend(same(own.code, own.place, &own.message, &own.hint).map(|key| (key, number)));
        }
        self
    }

    /// The number of a file.
    pub fn file(&mut self, path: &Path) -> usize {
        if let Some(known) = self.numbers.get(path) {
            return *known;
        }
        self.numbers.insert(path.to_owned(), self.files.len());
        self.files.push(path.to_owned());
        self.files.len() - 1
    }

    /// Where a line of a file starts.
    pub fn line(&mut self, path: &Path, line: u32) -> Place {
        Place { file: self.file(path), line, column: 1 }
    }

    /// The path of a file.
    pub fn path(&self, file: usize) -> &Path {
        &self.files[file]
    }

    /// Whether a file has an error.
    pub fn has_error(&self, file: usize) -> bool {
        self.with_error.contains(&file)
    }

    pub fn error(&mut self, place: Place, code: &'static str, message: impl Into<String>, hint: impl Into<String>) {
        self.add(Severity::Error, place, code, message.into(), &hint.into());
    }

    pub fn warning(&mut self, place: Place, code: &'static str, message: impl Into<String>, hint: impl Into<String>) {
        self.add(Severity::Warning, place, code, message.into(), &hint.into());
    }

    /// Notes what is too much for the readers of the soft IOC: none of them gets it.
    pub fn beyond(&mut self, place: Place, what: impl Into<String>) {
        self.warning(
            place,
            NOT_IN_SOFT_IOC,
            what,
            "make it smaller, or let EPICS itself read it: cargo xtask test --ioc make",
        );
        self.beyond.insert(place);
        self.open = true;
    }

    /// A template is read once for each of its instances: what is wrong in it is said once. What is said of a value
    /// that is not known is no finding.
    fn add(&mut self, severity: Severity, place: Place, code: &'static str, message: String, hint: &str) {
        let (message, hint) = (shortened(message), shortened(hint.replace(UNKNOWN, "…")));
        if message.contains(UNKNOWN) {
            return;
        }
        if let Some(known) = same(code, place, &message, &hint).find_map(|key| self.known.get(&key).copied()) {
            let own = &mut self.findings[known];
            if own.place != place && own.message == message {
                own.more.insert(place);
            }
            return;
        }
        self.known.extend(same(code, place, &message, &hint).map(|key| (key, self.findings.len())));
        if severity == Severity::Error {
            self.with_error.insert(place.file);
        }
        self.findings.push(Entry { place, severity, code, message, hint, more: BTreeSet::new() });
    }

    /// Where a place is, for a message: `file:line`, the file as seen from the folder that holds the top.
    pub fn name(&self, place: Place, top: &Path) -> String {
        format!("{}:{}", shown(self.path(place.file), top), place.line)
    }

    /// The findings of a severity that have one of some codes, as text: `FILE:LINE: what`, and a hint if there is one.
    pub fn told(&self, severity: Severity, codes: &[&str], top: &Path) -> Vec<String> {
        self.those(|own| own.severity == severity && codes.contains(&own.code), top)
    }

    /// Whether anything is too much for the soft IOC.
    pub fn is_beyond(&self) -> bool {
        !self.beyond.is_empty()
    }

    /// What is too much for the soft IOC, likewise.
    pub fn told_beyond(&self, top: &Path) -> Vec<String> {
        self.those(|own| own.code == NOT_IN_SOFT_IOC && self.beyond.contains(&own.place), top)
    }

    /// Those of a place, likewise.
    pub fn told_at(&self, place: Place, top: &Path) -> Vec<String> {
        self.those(|own| own.place == place, top)
    }

    fn those(&self, wanted: impl Fn(&Entry) -> bool, top: &Path) -> Vec<String> {
        let wanted = self.sorted().into_iter().filter(|own| wanted(own));
        let told = |own: &Entry| format!("{}: {}\n\nhint: {}", self.name(own.place, top), own.message, own.hint);
        wanted.map(|own| told(own).trim_end_matches("\n\nhint: ").to_owned()).collect()
    }

    /// Whether a finding of a code is in a file.
    pub fn has(&self, code: &str, file: usize) -> bool {
        self.findings.iter().any(|own| own.place.file == file && own.code == code)
    }

    /// The findings, files as seen from the folder that holds the top.
    pub fn all(&self, top: &Path) -> Vec<Mistake> {
        let one = |own: &Entry| Mistake {
            file: shown(self.path(own.place.file), top),
            line: own.place.line,
            column: own.place.column,
            severity: own.severity,
            code: own.code.to_owned(),
            message: format!("{}{}", own.message, self.also(own, top)),
            hint: own.hint.clone(),
        };
        self.sorted().into_iter().map(one).collect()
    }

    fn sorted(&self) -> Vec<&Entry> {
        let mut sorted: Vec<&Entry> = self.findings.iter().collect();
        sorted.sort();
        sorted
    }

    /// Where else, as in ` (also line 31, line 42, line 53 and 5 more)`.
    fn also(&self, own: &Entry, top: &Path) -> String {
        if own.more.is_empty() {
            return String::new();
        }
        let here = |at: &Place| (at.file == own.place.file).then(|| format!("line {}", at.line));
        let place = |at: &Place| here(at).unwrap_or_else(|| self.name(*at, top));
        let named: Vec<String> = own.more.iter().take(NAMED).map(place).collect();
        let rest = own.more.len() - named.len();
        let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
        format!(" (also {}{rest})", named.join(", "))
    }

    #[cfg(test)]
    pub fn lines(&self) -> Vec<(u32, u32, &'static str)> {
        self.sorted().into_iter().map(|own| (own.place.line, own.place.column, own.code)).collect()
    }
}

/// A text without its middle, where it quotes what no one would read.
fn shortened(text: String) -> String {
    let ends = (text.char_indices().nth(400), text.char_indices().rev().nth(99));
    match ends {
        (Some((head, _)), Some((tail, _))) if head < tail => format!("{}…{}", &text[..head], &text[tail..]),
        _ => text,
    }
}

/// What a finding is known by.
fn same(code: &'static str, place: Place, message: &str, hint: &str) -> impl Iterator<Item = (&'static str, Same)> {
    let message = ONCE.contains(&code).then(|| Same::Message(message.to_owned()));
    // All that one .dbd lacks is one mistake.
    let hint = (code == "not-in-dbd").then(|| Same::Hint(hint.to_owned()));
    [Some(Same::Place(place)), message, hint].into_iter().flatten().map(move |key| (code, key))
}

/// A path as seen from the folder that holds the top, as in `ioc/iocBoot/iocExample/st.cmd`.
pub fn shown(path: &Path, top: &Path) -> String {
    path.strip_prefix(top.parent().unwrap_or(top)).unwrap_or(path).to_string_lossy().into_owned()
}

/// What to do about a text that still has a reference in it.
pub fn unreplaced(text: &str) -> Option<String> {
    let quoted = text.contains("$(") || text.contains("${");
    quoted.then(|| format!("the shell replaces no variable within single quotes: write \"{text}\""))
}

thread_local! {
    /// How many words may still be compared. Thousands of mistakes among thousands of names are one mistake, and who reads of
    /// them needs no word for each.
    static COMPARED: Cell<usize> = const { Cell::new(100_000) };
}

/// Whether one more word may be compared.
pub fn may_compare() -> bool {
    let left = COMPARED.get();
    COMPARED.set(left.saturating_sub(1));
    left > 0
}

/// The known word that `word` was most likely meant to be.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    // Short words have many neighbours.
    let edits = |own: &str| if own.len() <= 4 { 1 } else { 1 + own.len() / 4 };
    // Databases have many names: most of them are too long or too short to be looked at.
    let candidates = known.into_iter().filter(|own| own.len().abs_diff(word.len()) <= edits(own) && may_compare());
    let scored = candidates.map(|own| {
        let other = own.to_lowercase();
        // Of two that are as near, the one that starts the same way.
        (distance(&lower, &other), lower.chars().next() != other.chars().next(), own)
    });
    let near = scored.filter(|(distance, _, own)| *distance <= edits(own) && *distance < own.len());
    near.min().map(|(_, _, own)| own)
}

/// The nearest word as a hint, or what else there is.
pub fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>, otherwise: impl FnOnce() -> String) -> String {
    nearest(word, known).map_or_else(otherwise, |near| format!("did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_of_words_are_not_compared_with_thousands() {
        let names: Vec<String> = (0..1000).map(|n| format!("name{n:04}")).collect();
        let near = |word: &str| nearest(word, names.iter().map(String::as_str)).is_some();
        assert!(near("nome0999"));
        assert!(!(0..1000).all(|_| near("nome0999")));
    }

    #[test]
    fn a_mistake_is_one_by_its_place_and_some_by_what_is_said() {
        let mut report = Report::default();
        let at = |line| Place { line, ..Place::default() };
        let all = [
            (1, "a", ""),
            (1, "a", ""),
            (2, "a", ""),
            (1, "b", ""),
            (3, "no-file", ""),
            (4, "no-file", ""),
            (5, "not-in-dbd", "x"),
            (6, "not-in-dbd", "x"),
        ];
        for (line, code, hint) in all {
            report.error(at(line), code, "what", hint);
        }
        let told = report.lines();
        assert_eq!(told, [(1, 0, "a"), (1, 0, "b"), (2, 0, "a"), (3, 0, "no-file"), (5, 0, "not-in-dbd")]);
        assert!(report.has_error(0) && !report.has_error(1));
        let mut report = report.only("no-file");
        report.error(at(7), "no-file", "what", "");
        assert_eq!(report.lines(), [(3, 0, "no-file")]);
    }

    #[test]
    fn words_that_were_meant() {
        assert_eq!(nearest("DECS", ["DESC", "DTYP", "EGU"]), Some("DESC"));
        assert_eq!(nearest("stringinn", ["stringin", "stringout"]), Some("stringin"));
        assert_eq!(nearest("mbi", ["bi", "mbbi"]), Some("mbbi"));
        assert_eq!(nearest("QQQQ", ["DESC", "DTYP"]), None);
        assert_eq!(nearest("MDEL", ["RDES", "DESC"]), None);
        assert_eq!(nearest("aout", ["aSub", "ao"]), None);
    }
}
