//! EPICS' `msi`: what `make` expands substitutions and templates with.
//!
//! Its grammar is its own: `dbLoadTemplate`, which reads files of the same name when the IOC starts, takes fewer
//! characters in a word, and more between rows.

mod grammar;
mod template;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use template::{Files, reference_end};

/// What to expand: at least one of the two files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Rows of macros. Without them, the template is expanded once.
    pub substitutions: Option<PathBuf>,
    /// The template of all rows, whatever the substitutions say.
    pub template: Option<PathBuf>,
    /// Definitions as in `-M`: `A=1,B=2`.
    pub macros: String,
}

/// Where a byte of the result comes from: the number of a file in [`Expanded::files`], line and column (in
/// characters), both from 1 on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Origin {
    pub file: usize,
    pub line: u32,
    pub column: u32,
}

/// What `msi` says about a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub file: PathBuf,
    pub line: u32,
    pub what: String,
}

impl std::fmt::Display for Notice {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}:{}: {}", self.file.display(), self.line, self.what)
    }
}

/// A database, and where it comes from.
#[derive(Debug, Default)]
pub struct Expanded {
    pub bytes: Vec<u8>,
    /// One for each byte.
    pub origins: Vec<Origin>,
    pub files: Vec<PathBuf>,
    /// What `msi` complains about and goes on.
    pub warnings: Vec<Notice>,
}

/// Expands as `msi` does, or says why `msi` would not.
pub fn expand(request: &Request, files: &Files) -> Result<Expanded, Notice> {
    let mut output = template::Output::new(files);
    let first = request.substitutions.as_deref().or(request.template.as_deref()).unwrap_or(Path::new(""));
    output.define(request.macros.as_bytes(), true);
    match &request.substitutions {
        Some(path) => grammar::rows(path, request.template.as_deref(), &mut output)?,
        None => output.template(first, true, &Notice { file: first.to_owned(), line: 1, what: String::new() })?,
    }
    Ok(output.into_expanded())
}
