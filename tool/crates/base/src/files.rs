//! Files that readers see whole or not at all: the only place that writes beside a file and renames over it.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Points between which a crash must do no harm; tests crash there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Half of the new text is in the file beside.
    HalfWritten,
    /// The file beside is whole and on the disk.
    Written,
}

/// A new text for a file, beside it until [`Aside::put`] gives it the name; gone if nobody does. It has the mode and the owner
/// of the old file.
#[derive(Debug)]
pub struct Aside {
    path: PathBuf,
    part: PathBuf,
}

impl Aside {
    /// Writes it under a name that no other run uses.
    ///
    /// # Errors
    /// If it cannot be written; then nothing is beside the file.
    pub fn write(path: &Path, bytes: &[u8]) -> io::Result<Self> {
        Self::at(path, &format!("{}.part", std::process::id()), |mut file| file.write_all(bytes))
    }

    /// Writes it so that it is on the disk, under one name: what a crash left there goes. `at` is told of each step.
    ///
    /// # Errors
    /// As [`Aside::write`].
    pub fn durable(path: &Path, bytes: &[u8], at: &mut dyn FnMut(Step)) -> io::Result<Self> {
        let aside = Self::at(path, "xtask-new", |mut file| {
            let (first, second) = bytes.split_at(bytes.len() / 2);
            file.write_all(first)?;
            at(Step::HalfWritten);
            file.write_all(second)?;
            file.sync_all()
        })?;
        at(Step::Written);
        Ok(aside)
    }

    fn at(path: &Path, end: &str, write: impl FnOnce(&fs::File) -> io::Result<()>) -> io::Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let aside = Self { path: path.to_owned(), part: path.with_file_name(format!(".{name}.{end}")) };
        let _ = fs::remove_file(&aside.part);
        let old = path.metadata().ok();
        // Nobody reads it before it has the old file's mode.
        let mode = if old.is_some() { 0o600 } else { 0o666 };
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&aside.part)?;
        if let Some(old) = &old {
            let new = file.metadata()?;
            if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
                fchown(&file, Some(old.uid()), Some(old.gid()))?;
            }
            // After the change of owner, which clears bits.
            file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
        }
        write(&file)?;
        Ok(aside)
    }

    /// Gives it the name.
    ///
    /// # Errors
    /// If that fails; then the old file is as it was.
    pub fn put(self) -> io::Result<()> {
        fs::rename(&self.part, &self.path)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // Where it has the name, nothing is there any more.
        let _ = fs::remove_file(&self.part);
    }
}

/// Puts a text in the place of a file, or makes it.
///
/// # Errors
/// If it cannot be written; then an old file is as it was, and nothing is beside it.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    Aside::write(path, text.as_bytes())?.put()
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
