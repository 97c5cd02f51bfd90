//! What is wrong, and where: findings, and the files they are in.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::exchange::Exchange;

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

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The IOC would not load it, or would not work.
    Error,
    /// It loads, and is most likely not what was meant.
    Warning,
}

/// One finding. Its code is stable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub place: Place,
    pub severity: Severity,
    pub code: &'static str,
    pub message: String,
    pub hint: String,
}

/// What is answered to xtask: `tool_base::protocol::lint::OfIoc` has the same shape, and one test for both.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    pub findings: Vec<Told>,
    /// Names of the records and aliases.
    pub records: BTreeSet<String>,
    /// Whether these are all that the IOC will have.
    pub complete: bool,
    /// What the IOC is made of.
    pub parts: Parts,
}

/// What an IOC is made of, as its script and databases say.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parts {
    pub applications: BTreeSet<String>,
    pub registers: Option<String>,
    pub ports: Vec<Port>,
    pub of_modules: BTreeSet<String>,
    pub exchanges: Vec<Exchange>,
    pub inputs: BTreeSet<(String, String)>,
}

/// A port that the script opens, and where it says so.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    pub name: String,
    pub command: String,
    pub address: String,
    pub file: String,
    pub line: u32,
    pub column: u32,
}

/// A finding as it is told: the file as seen from the folder that holds the top.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    pub file: String,
    pub line: u32,
    pub column: u32,
    pub severity: Severity,
    pub code: String,
    pub message: String,
    pub hint: String,
}

/// Codes of findings that are said once, wherever they come up again.
const ONCE: [&str; 6] = ["undefined-variable", "not-in-dbd", "no-command", "not-installed", "no-file", "unknown-port"];

/// All findings of a run, and what was read.
#[derive(Debug, Default)]
pub struct Report {
    files: Vec<PathBuf>,
    findings: BTreeSet<Finding>,
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

    /// A template is read once for each of its instances: what is wrong in it is said once. What is said of a value
    /// that is not known is no finding.
    fn add(&mut self, severity: Severity, place: Place, code: &'static str, message: String, hint: &str) {
        let hint = hint.replace(UNKNOWN, "…");
        let same = |own: &Finding| own.place == place || (ONCE.contains(&code) && own.message == message);
        if !message.contains(UNKNOWN) && !self.findings.iter().any(|own| own.code == code && same(own)) {
            self.findings.insert(Finding { place, severity, code, message, hint });
        }
    }

    /// Where a place is, for a message: `file:line`, the file as seen from the folder that holds the top.
    pub fn name(&self, place: Place, top: &Path) -> String {
        format!("{}:{}", shown(self.path(place.file), top), place.line)
    }

    /// The findings of a severity that have one of some codes, as text: `FILE:LINE: what`, and a hint if there is one.
    pub fn told(&self, severity: Severity, codes: &[&str], top: &Path) -> Vec<String> {
        let wanted = self.findings.iter().filter(|own| own.severity == severity && codes.contains(&own.code));
        let told = |own: &Finding| format!("{}: {}\n\nhint: {}", self.name(own.place, top), own.message, own.hint);
        wanted.map(|own| told(own).trim_end_matches("\n\nhint: ").to_owned()).collect()
    }

    /// The findings, files as seen from the folder that holds the top.
    pub fn all(&self, top: &Path) -> Vec<Told> {
        let one = |finding: &Finding| Told {
            file: shown(self.path(finding.place.file), top),
            line: finding.place.line,
            column: finding.place.column,
            severity: finding.severity,
            code: finding.code.to_owned(),
            message: finding.message.clone(),
            hint: finding.hint.clone(),
        };
        self.findings.iter().map(one).collect()
    }

    #[cfg(test)]
    pub fn lines(&self) -> Vec<(u32, u32, &'static str)> {
        self.findings.iter().map(|own| (own.place.line, own.place.column, own.code)).collect()
    }
}

/// A path as seen from the folder that holds the top, as in `ioc/iocBoot/iocExample/st.cmd`.
pub fn shown(path: &Path, top: &Path) -> String {
    path.strip_prefix(top.parent().unwrap_or(top)).unwrap_or(path).to_string_lossy().into_owned()
}

/// The known word that `word` was most likely meant to be.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    // Databases have many names: most of them are too long or too short to be looked at.
    let candidates = known.into_iter().filter(|own| own.len().abs_diff(word.len()) <= 1 + own.len() / 4);
    let scored = candidates.map(|own| {
        let other = own.to_lowercase();
        // Of two that are as near, the one that starts the same way.
        (distance(&lower, &other), lower.chars().next() != other.chars().next(), own)
    });
    let near = scored.filter(|(distance, _, own)| *distance <= 1 + own.len() / 4 && *distance < own.len());
    near.min().map(|(_, _, own)| own)
}

/// The nearest word as a hint, or what else there is.
pub fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>, otherwise: impl FnOnce() -> String) -> String {
    nearest(word, known).map_or_else(otherwise, |near| format!("did you mean `{near}`?"))
}

/// Edits between two words: letters put in, taken out, changed, or swapped with their neighbour.
pub fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let changed = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = changed.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_has_the_shape_that_xtask_reads() {
        let samples = include_str!("../../../driver/tests/protocol.json");
        let samples: serde_json::Value = serde_json::from_str(samples).unwrap_or_default();
        let sample = &samples["soft-ioc"][0];
        let read = serde_json::from_value::<Answer>(sample.clone());
        assert_eq!(
            read.as_ref().ok().and_then(|own| serde_json::to_value(own).ok()).as_ref(),
            Some(sample),
            "{read:?}"
        );
    }

    #[test]
    fn words_that_were_meant() {
        assert_eq!(nearest("DECS", ["DESC", "DTYP", "EGU"]), Some("DESC"));
        assert_eq!(nearest("stringinn", ["stringin", "stringout"]), Some("stringin"));
        assert_eq!(nearest("mbi", ["bi", "mbbi"]), Some("mbbi"));
        assert_eq!(nearest("QQQQ", ["DESC", "DTYP"]), None);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("größe", "grösse"), 2);
    }
}
