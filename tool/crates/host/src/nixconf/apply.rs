//! Replaces a file that is not ours: checked, backed up, atomic. A crash leaves the old file or the new one.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};

use tool_base::fail;
use tool_base::files::{self, Aside};

/// Points between which a crash must do no harm; tests crash there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The backup is on the disk.
    BackedUp,
    /// Half of the new text is in the temporary file.
    HalfWritten,
    /// The temporary file is whole and on the disk.
    Written,
    /// The new file has the name.
    Renamed,
}

/// One change of one file. `None` means that there is no file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The file, not a link.
    pub path: PathBuf,
    /// What it must hold now.
    pub before: Option<Vec<u8>>,
    /// What it is to hold.
    pub after: Option<Vec<u8>>,
}

impl Edit {
    /// Reads the file that `path` leads to, through links, as the start of an edit.
    pub fn start(path: &Path) -> Result<Self> {
        let path = match path.canonicalize() {
            Ok(real) => real,
            Err(_) if path.is_symlink() => {
                return Err(fail::host(format!("{} is a link to nothing", path.display()))
                    .hint(format!("look where it leads: ls -l {}", tool_base::process::quote(path.as_os_str())))
                    .into());
            }
            Err(_) => path.to_owned(),
        };
        if path.starts_with("/nix/store") {
            return Err(fail::host(format!("{} is in the Nix store: it must not be edited", path.display())).into());
        }
        let before = match files::read_regular(&path) {
            Ok(bytes) => Some(bytes),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(fail::host(format!("cannot read {}: {e}", path.display())).into()),
        };
        Ok(Self { after: before.clone(), before, path })
    }

    /// Whether the caller may make this edit: the folder, or the nearest one that exists, can be written.
    pub fn is_permitted(&self) -> bool {
        let folder = self.path.ancestors().skip(1).find(|p| p.is_dir());
        folder.is_some_and(files::may_write) && self.before.as_ref().is_none_or(|_| files::may_write(&self.path))
    }

    /// Makes the edit and returns the backup of the old file. `at` is told of each step.
    pub fn make(&self, now: SystemTime, at: &mut dyn FnMut(Step)) -> Result<Option<PathBuf>> {
        let path = &self.path;
        let changed = || -> anyhow::Error {
            fail::host(format!("{} was changed by someone else meanwhile", path.display()))
                .hint("run the command again")
                .into()
        };
        if Self::start(path)?.before != self.before {
            return Err(changed());
        }
        if let Ok(meta) = path.metadata()
            && meta.nlink() > 1
        {
            let names = meta.nlink();
            let text = format!("{} has {names} names (hard links), which a new file would part", path.display());
            return Err(fail::host(text).hint("make the change that is shown by hand").into());
        }
        let folder = path.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let backup = self.before.as_ref().map(|bytes| back_up(path, bytes, now)).transpose()?;
        at(Step::BackedUp);
        match self.put(at).with_context(|| format!("writing {}", path.display())) {
            Ok(true) => {}
            failed => {
                // Nothing was changed, so nothing is to be kept.
                let _ = backup.map(std::fs::remove_file);
                return Err(failed.err().unwrap_or_else(changed));
            }
        }
        at(Step::Renamed);
        // The name is in the folder: without this it may be lost with the power.
        File::open(folder).and_then(|f| f.sync_all()).with_context(|| format!("syncing {}", folder.display()))?;
        Ok(backup)
    }

    /// Puts the new text in place of what must be there, and tells whether it was there.
    fn put(&self, at: &mut dyn FnMut(Step)) -> std::io::Result<bool> {
        let mut written = |step| {
            at(match step {
                files::Step::HalfWritten => Step::HalfWritten,
                files::Step::Written => Step::Written,
            });
        };
        match (&self.before, &self.after) {
            (before, Some(after)) => Aside::durable(&self.path, after, &mut written)?.put_over(before.as_deref()),
            (Some(before), None) => files::remove_if(&self.path, before),
            (None, None) => Ok(true),
        }
    }
}

/// Keeps the old text beside the file, under a dated name that was free, as the file's owner and others may read it.
fn back_up(path: &Path, bytes: &[u8], now: SystemTime) -> Result<PathBuf> {
    let stamp = tool_base::date::stamp(now);
    for number in 1..100 {
        let end = if number == 1 { format!("backup-{stamp}") } else { format!("backup-{stamp}-{number}") };
        let backup = sibling(path, &end);
        let mut options = OpenOptions::new();
        let mut file = match options.read(true).write(true).create_new(true).mode(0o600).open(&backup) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => continue,
            Err(e) => return Err(e).with_context(|| format!("writing {}", backup.display())),
        };
        let like = files::regular(path).and_then(|old| files::make_like(&file, &old));
        let written = like.and_then(|()| file.write_all(bytes)).and_then(|()| file.sync_all());
        if written.is_err() {
            let _ = std::fs::remove_file(&backup);
        }
        written.with_context(|| format!("writing {}", backup.display()))?;
        return Ok(backup);
    }
    Err(fail::host(format!("there are too many backups beside {}", path.display())).into())
}

/// `nix.conf` → `nix.conf.END`, in the same folder.
fn sibling(path: &Path, end: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{end}"));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::time::UNIX_EPOCH;

    fn edit(path: &Path, after: Option<&str>) -> Edit {
        Edit { after: after.map(|t| t.as_bytes().to_vec()), ..Edit::start(path).unwrap() }
    }

    #[test]
    fn mode_link_and_backup_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("real.conf"), dir.path().join("nix.conf"));
        std::fs::write(&file, "old").unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("real.conf", &link).unwrap();
        let backup = edit(&link, Some("new")).make(UNIX_EPOCH, &mut |_| {}).unwrap().unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o640);
        assert_eq!(backup.file_name().unwrap(), "real.conf.backup-19700101T000000Z");
        assert_eq!(std::fs::read_to_string(&backup).unwrap(), "old");
        assert_eq!(backup.metadata().unwrap().mode() & 0o7777, 0o640);
        let second = edit(&link, Some("newer")).make(UNIX_EPOCH, &mut |_| {}).unwrap().unwrap();
        assert_ne!(second, backup);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 4, "no temporary file is left");
    }

    #[test]
    fn a_file_is_made_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("deep/nix.conf");
        assert_eq!(edit(&file, Some("x")).make(UNIX_EPOCH, &mut |_| {}).unwrap(), None);
        assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o644);
        edit(&file, None).make(UNIX_EPOCH, &mut |_| {}).unwrap();
        assert!(!file.exists());
    }

    #[test]
    fn a_link_to_nothing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("nix.conf");
        std::os::unix::fs::symlink("gone", &link).unwrap();
        assert!(Edit::start(&link).unwrap_err().to_string().ends_with("is a link to nothing"));
    }
}
