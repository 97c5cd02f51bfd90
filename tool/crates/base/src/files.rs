//! Files that readers see whole or not at all.

use std::fs;
use std::io;
use std::path::Path;

/// Puts a text in the place of a file, or makes it: under another name first, which no other run uses.
///
/// # Errors
/// If it cannot be written; then an old file is as it was, and nothing is beside it.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let part = path.with_file_name(format!(".{name}.{}.part", std::process::id()));
    fs::write(&part, text).and_then(|()| fs::rename(&part, path)).inspect_err(|_| drop(fs::remove_file(&part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_leaves_all_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a b.json");
        replace(&file, "old").unwrap();
        replace(&file, "new").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        let folder = dir.path().join("folder");
        fs::create_dir(&folder).unwrap();
        replace(&folder, "text").unwrap_err();
        replace(&dir.path().join("nowhere/file"), "text").unwrap_err();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
