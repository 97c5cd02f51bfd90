//! nix.conf as Nix reads it, and as the bytes that it is.
//!
//! The rules are those of `applyConfig` in Nix's `src/libutil/configuration.cc`: a line ends at `#`, words are split
//! at white space, `KEY = WORDS`, `include FILE`, `!include FILE`; anything else is a syntax error.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

use tool_base::fail;

/// Files that include each other deeper than this are taken for a circle; Nix would not end.
const DEPTH: usize = 16;

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Its place in the file, the end of line included.
    pub range: Range<usize>,
    /// What Nix sees in it.
    pub meaning: Meaning,
}

/// What Nix sees in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Nothing: a comment or white space.
    Nothing,
    /// `KEY = WORDS`.
    Setting {
        /// The key, whole.
        key: String,
        /// The words of the value.
        words: Vec<String>,
    },
    /// `include FILE`, or `!include FILE`, which may be missing.
    Include {
        /// As written.
        file: String,
        /// Whether the file may be missing.
        optional: bool,
    },
}

/// Splits a file into its lines. The ranges cover every byte, in order.
pub(crate) fn lines(bytes: &[u8]) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    let mut start = 0;
    for text in bytes.split_inclusive(|&b| b == b'\n') {
        let range = start..start + text.len();
        start = range.end;
        let meaning = meaning(text).with_context(|| format!("line {}", lines.len() + 1))?;
        lines.push(Line { range, meaning });
    }
    Ok(lines)
}

fn meaning(line: &[u8]) -> Result<Meaning> {
    let code = line.split(|&b| b == b'#').next().unwrap_or_default();
    let is_space = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r');
    let words = code.split(is_space).filter(|w| !w.is_empty()).map(|w| String::from_utf8_lossy(w).into_owned());
    let words: Vec<String> = words.collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => Ok(Meaning::Nothing),
        ["include", file] => Ok(Meaning::Include { file: (*file).to_owned(), optional: false }),
        ["!include", file] => Ok(Meaning::Include { file: (*file).to_owned(), optional: true }),
        [key, "=", ..] if !["include", "!include"].contains(key) => {
            Ok(Meaning::Setting { key: (*key).to_owned(), words: words[2..].to_vec() })
        }
        _ => {
            let shown = String::from_utf8_lossy(code);
            Err(fail::host(format!("`{}` is neither `KEY = VALUE` nor an include", shown.trim()))
                .hint("Nix refuses this file too: mend the line by hand first")
                .into())
        }
    }
}

/// Settings in the order in which Nix applies them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfValues(pub Vec<(String, Vec<String>)>);

/// The system features that files settle.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Features {
    /// Value of the last `system-features`; `None` leaves Nix's own list.
    pub list: Option<Vec<String>>,
    /// What `extra-system-features` adds after that.
    pub extra: Vec<String>,
}

impl Features {
    /// Whether a feature is settled: `None` where Nix's own list decides.
    pub fn has(&self, feature: &str) -> Option<bool> {
        let holds = |words: &[String]| words.iter().any(|w| w == feature);
        match &self.list {
            _ if holds(&self.extra) => Some(true),
            Some(list) => Some(holds(list)),
            None => None,
        }
    }
}

impl ConfValues {
    /// The value that the last line for this key gives, its words joined by spaces.
    pub fn last(&self, key: &str) -> Option<String> {
        self.0.iter().rev().find(|(k, _)| k == key).map(|(_, words)| words.join(" "))
    }

    /// The system features: `extra-` adds, a later plain line starts anew.
    pub fn features(&self) -> Features {
        self.set("system-features")
    }

    /// A setting that is a set of words.
    pub fn set(&self, name: &str) -> Features {
        let mut set = Features::default();
        for (key, words) in &self.0 {
            if key == name {
                set = Features { list: Some(words.clone()), extra: Vec::new() };
            } else if key.strip_prefix("extra-") == Some(name) {
                set.extra.extend(words.iter().cloned());
            }
        }
        set
    }

    /// Adds those of a file and of what it includes. `read` gives the bytes of a file, `None` where there is none.
    pub fn add(&mut self, path: &Path, bytes: &[u8], read: &dyn Fn(&Path) -> Option<Vec<u8>>) -> Result<()> {
        self.add_below(path, bytes, read, 0)
    }

    fn add_below(
        &mut self,
        path: &Path,
        bytes: &[u8],
        read: &dyn Fn(&Path) -> Option<Vec<u8>>,
        depth: usize,
    ) -> Result<()> {
        if depth > DEPTH {
            return Err(fail::host(format!("{}: files include each other in a circle", path.display())).into());
        }
        for (number, line) in lines(bytes).with_context(|| path.display().to_string())?.into_iter().enumerate() {
            match line.meaning {
                Meaning::Nothing => {}
                Meaning::Setting { key, words } => self.0.push((key, words)),
                Meaning::Include { file, optional } => {
                    let included = beside(path, &file);
                    match read(&included) {
                        Some(bytes) => self.add_below(&included, &bytes, read, depth + 1)?,
                        None if optional => {}
                        None => {
                            let (path, number) = (path.display(), number + 1);
                            let message = format!("{path}: line {number}: there is no file {}", included.display());
                            let hint = "write `!include` for a file that may be missing, or make the file";
                            return Err(fail::host(message).hint(hint).into());
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// The files that a file includes directly, as written; none where it has a syntax error.
pub(crate) fn includes(bytes: &[u8]) -> Vec<String> {
    let lines = lines(bytes).unwrap_or_default().into_iter();
    lines.filter_map(|l| if let Meaning::Include { file, .. } = l.meaning { Some(file) } else { None }).collect()
}

/// A path in a file is relative to that file.
pub(crate) fn beside(path: &Path, file: &str) -> PathBuf {
    path.parent().unwrap_or(Path::new("/")).join(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> ConfValues {
        let mut settings = ConfValues::default();
        settings.add(Path::new("/etc/nix/nix.conf"), text.as_bytes(), &|_| None).unwrap();
        settings
    }

    fn features(text: &str) -> Features {
        settings(text).features()
    }

    #[test]
    fn a_comment_starts_anywhere() {
        assert_eq!(settings("# all\nsandbox = true# no space\n\t\r\n").0, [("sandbox".into(), vec!["true".into()])]);
        assert_eq!(features("system-features = a # kvm").has("kvm"), Some(false));
    }

    #[test]
    fn order_counts() {
        assert_eq!(features("extra-system-features = kvm\nsystem-features = a").has("kvm"), Some(false));
        assert_eq!(features("system-features = a\nextra-system-features = kvm").has("kvm"), Some(true));
        assert_eq!(features("extra-system-features = x").has("kvm"), None);
        assert_eq!(features("system-features =").has("kvm"), Some(false));
    }

    #[test]
    fn keys_and_words_are_whole() {
        assert_eq!(features("extra-system-features-old = kvm").has("kvm"), None);
        assert_eq!(features("extra-system-features = kvm2 nokvm").has("kvm"), None);
    }

    #[test]
    fn errors_name_file_line_and_text() {
        let error = |text: &str| {
            let read = |_: &Path| None;
            let error = ConfValues::default().add(Path::new("/n.conf"), text.as_bytes(), &read).unwrap_err();
            format!("{error:#}")
        };
        assert_eq!(error("a = b\nkvm=1 # x"), "/n.conf: line 2: `kvm=1` is neither `KEY = VALUE` nor an include");
        assert_eq!(error("\ninclude gone"), "/n.conf: line 2: there is no file /gone");
        assert!(error("include").contains("line 1"));
    }

    #[test]
    fn includes_are_relative_and_in_place() {
        let read = |path: &Path| match path.to_str() {
            Some("/a/more.conf") => Some(b"extra-system-features = kvm".to_vec()),
            Some("/a/circle.conf") => Some(b"include circle.conf".to_vec()),
            _ => None,
        };
        let add = |text: &str| {
            let mut settings = ConfValues::default();
            settings.add(Path::new("/a/nix.conf"), text.as_bytes(), &read).map(|()| settings.features())
        };
        assert_eq!(add("include more.conf").unwrap().has("kvm"), Some(true));
        assert_eq!(
            add("!include gone.conf\n!include /a/more.conf\nsystem-features = a").unwrap().has("kvm"),
            Some(false)
        );
        assert!(format!("{:#}", add("include circle.conf").unwrap_err()).ends_with("include each other in a circle"));
    }
}
