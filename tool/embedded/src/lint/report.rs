//! What is wrong, and where: findings, and the files they are in.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::edits::distance;
use crate::mistakes::{Mistake, Severity};

/// What stands for a macro that is not known here. Nothing that has it in it is judged.
pub const UNKNOWN: &str = "__macro__";

/// Code of what a C IOC does with the files and ours does not.
pub const NOT_IN_SOFT_IOC: &str = "not-in-soft-ioc";

/// A place in a file: the number of the file in [`Report`], the line and the column, both from 1 on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
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

/// All findings of a run, and what was read.
#[derive(Debug, Default)]
pub struct Report {
    files: Vec<PathBuf>,
    findings: BTreeSet<Entry>,
    /// Where there is too much for the readers of the soft IOC.
    beyond: BTreeSet<Place>,
    /// Something could not be known, so that what seems to be missing may be there.
    pub open: bool,
}

impl Report {
    /// The same files, and only what was found under one code.
    pub fn only(mut self, code: &str) -> Self {
        self.findings.retain(|own| own.code == code);
        self
    }

    /// The number of a file.
    pub fn file(&mut self, path: &Path) -> usize {
        if let Some(known) = self.files.iter().position(|own| own == path) {
            return known;
        }
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
        self.findings.iter().any(|own| own.place.file == file && own.severity == Severity::Error)
    }

    pub fn error(&mut self, place: Place, code: &'static str, message: impl Into<String>, hint: impl Into<String>) {
        self.add(Severity::Error, place, code, message.into(), &hint.into());
    }

    pub fn warning(&mut self, place: Place, code: &'static str, message: impl Into<String>, hint: impl Into<String>) {
        self.add(Severity::Warning, place, code, message.into(), &hint.into());
    }

    /// Notes what is too much for the readers of the soft IOC: none of them gets it.
    pub fn beyond(&mut self, place: Place, what: impl Into<String>) {
        self.warning(place, NOT_IN_SOFT_IOC, what, "EPICS itself may read it; the sandbox would not");
        self.beyond.insert(place);
        self.open = true;
    }

    /// A template is read once for each of its instances: what is wrong in it is said once. What is said of a value
    /// that is not known is no finding.
    fn add(&mut self, severity: Severity, place: Place, code: &'static str, message: String, hint: &str) {
        let (message, hint) = (shortened(message), shortened(hint.replace(UNKNOWN, "…")));
        // All that one .dbd lacks is one mistake.
        let same = |own: &Entry| {
            own.place == place
                || ONCE.contains(&code) && own.message == message
                || code == "not-in-dbd" && own.hint == hint
        };
        if message.contains(UNKNOWN) {
            return;
        }
        match self.findings.iter().find(|own| own.code == code && same(own)).cloned() {
            None => drop(self.findings.insert(Entry { place, severity, code, message, hint, more: BTreeSet::new() })),
            Some(known) if known.place != place && known.message == message => {
                let mut own = self.findings.take(&known).unwrap_or(known);
                own.more.insert(place);
                self.findings.insert(own);
            }
            Some(_) => {}
        }
    }

    /// Where a place is, for a message: `file:line`, the file as seen from the folder that holds the top.
    pub fn name(&self, place: Place, top: &Path) -> String {
        format!("{}:{}", shown(self.path(place.file), top), place.line)
    }

    /// The findings of a severity that have one of some codes, as text: `FILE:LINE: what`, and a hint if there is one.
    pub fn told(&self, severity: Severity, codes: &[&str], top: &Path) -> Vec<String> {
        self.those(|own| own.severity == severity && codes.contains(&own.code), top)
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
        let wanted = self.findings.iter().filter(|own| wanted(own));
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
        self.findings.iter().map(one).collect()
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
        self.findings.iter().map(|own| (own.place.line, own.place.column, own.code)).collect()
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

/// A path as seen from the folder that holds the top, as in `ioc/iocBoot/iocExample/st.cmd`.
pub fn shown(path: &Path, top: &Path) -> String {
    path.strip_prefix(top.parent().unwrap_or(top)).unwrap_or(path).to_string_lossy().into_owned()
}

/// What to do about a text that still has a reference in it.
pub fn unreplaced(text: &str) -> Option<String> {
    let quoted = text.contains("$(") || text.contains("${");
    quoted.then(|| format!("the shell replaces no variable within single quotes: write \"{text}\""))
}

/// The known word that `word` was most likely meant to be.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    // Short words have many neighbours.
    let edits = |own: &str| if own.len() <= 4 { 1 } else { 1 + own.len() / 4 };
    // Databases have many names: most of them are too long or too short to be looked at.
    let candidates = known.into_iter().filter(|own| own.len().abs_diff(word.len()) <= edits(own));
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
    fn words_that_were_meant() {
        assert_eq!(nearest("DECS", ["DESC", "DTYP", "EGU"]), Some("DESC"));
        assert_eq!(nearest("stringinn", ["stringin", "stringout"]), Some("stringin"));
        assert_eq!(nearest("mbi", ["bi", "mbbi"]), Some("mbbi"));
        assert_eq!(nearest("QQQQ", ["DESC", "DTYP"]), None);
        assert_eq!(nearest("MDEL", ["RDES", "DESC"]), None);
        assert_eq!(nearest("aout", ["aSub", "ao"]), None);
    }
}
