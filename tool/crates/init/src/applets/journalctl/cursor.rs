//! Cursors: places in the journal to go on from.

use std::fs;
use std::path::Path;

use super::super::Options;
use super::entry::Entry;

/// The text that stands for an entry.
pub(super) fn of(entry: &Entry) -> String {
    format!("b={};m={:x};t={:x}", entry.text("_BOOT_ID"), entry.monotonic(), entry.realtime())
}

/// The entries from the one that `--cursor`, `--after-cursor` or `--cursor-file` names.
pub(super) fn seek<'a>(entries: &'a [Entry], given: &Options) -> Result<&'a [Entry], String> {
    let from_file = given.last(&["--cursor-file"]).and_then(|path| fs::read_to_string(path).ok());
    let after = given.last(&["--after-cursor"]).map(str::to_owned).or(from_file);
    let (text, skip) = match (after, given.last(&["-c", "--cursor"])) {
        (Some(text), _) => (text, 1),
        (None, Some(text)) => (text.to_owned(), 0),
        (None, None) => return Ok(entries),
    };
    let at = entries.iter().position(|entry| of(entry) == text.trim());
    let at = at.ok_or("Failed to seek to cursor: Invalid argument")?;
    Ok(&entries[at + skip..])
}

/// Keeps the place of the last entry shown, in the file and on stdout where that is asked for.
pub(super) fn keep(last: Option<&Entry>, given: &Options) -> Result<String, String> {
    let Some(cursor) = last.map(of) else { return Ok(String::new()) };
    if let Some(path) = given.last(&["--cursor-file"]) {
        fs::write(Path::new(path), format!("{cursor}\n")).map_err(|e| format!("Failed to write {path}: {e}"))?;
    }
    Ok(if given.has(&["--show-cursor"]) { format!("-- cursor: {cursor}\n") } else { String::new() })
}
