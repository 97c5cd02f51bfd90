//! Command lines of our own hidden stages, `sandbox-init --name machine --shell-fd 3`: words that we wrote ourselves.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};

use crate::sys;

/// Flag of `sandbox-init` before `NAME=VALUE`: a variable of the machine's commands and shells. It may be repeated.
pub const VARIABLE: &str = "--variable";

/// The word that follows a flag.
pub fn optional<'a>(words: &'a [OsString], flag: &str) -> Option<&'a OsStr> {
    words.windows(2).find(|pair| pair[0] == flag).map(|pair| pair[1].as_os_str())
}

/// The word that follows a flag.
///
/// # Errors
/// It is not there: somebody typed the command.
pub fn required<'a>(words: &'a [OsString], flag: &str) -> Result<&'a OsStr> {
    optional(words, flag).with_context(|| format!("a stage that xtask starts by itself, and it lacks {flag}"))
}

/// A descriptor that was left open for us, by its number.
///
/// # Errors
/// The number is none, or nothing is open there.
pub fn descriptor(word: &OsStr) -> Result<OwnedFd> {
    let number = word.to_str().and_then(|word| word.parse().ok());
    let number = number.with_context(|| format!("`{}` is no descriptor", word.display()))?;
    sys::inherited(number).with_context(|| format!("descriptor {number}"))
}
