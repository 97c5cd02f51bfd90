//! Files that readers see whole or not at all: the only place that writes beside a file and renames over it.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Read, Write};
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

/// A new text for a file, beside it until [`Aside::put`] gives it the name; gone if nobody does. It has the mode, the
/// owner, the access control list and the other attributes of the old file.
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
        let old = regular(path).ok();
        // Nobody reads it before it has the old file's mode.
        let mode = if old.is_some() { 0o600 } else { 0o666 };
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(&aside.part)?;
        match &old {
            Some(old) => make_like(&file, old)?,
            // A file that we may not read has an owner and a mode all the same.
            None => path.metadata().ok().map_or(Ok(()), |old| own_like(&file, &old))?,
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

    /// Gives it the name if the file there still holds `before` (`None`: if none is there), and tells whether it did. Where
    /// the file system can exchange two names, a change by somebody else cannot slip through in between.
    ///
    /// # Errors
    /// If that fails; then the old file is as it was.
    pub fn put_over(self, before: Option<&[u8]>) -> io::Result<bool> {
        let Some(before) = before else {
            return match fs::hard_link(&self.part, &self.path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
                Ok(()) => Ok(true),
                Err(_) => self.put().map(|()| true),
            };
        };
        match exchange(&self.part, &self.path) {
            Ok(()) if read_regular(&self.part)? == before => Ok(true),
            Ok(()) => exchange(&self.part, &self.path).map(|()| false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) if CANNOT_EXCHANGE.contains(&error.raw_os_error().unwrap_or(0)) => {
                if read_regular(&self.path)? == before { self.put().map(|()| true) } else { Ok(false) }
            }
            Err(error) => Err(error),
        }
    }
}

/// Removes a file if it still holds `before`, and tells whether it did.
///
/// # Errors
/// If that fails; then the file is as it was.
pub fn remove_if(path: &Path, before: &[u8]) -> io::Result<bool> {
    // Nothing takes its place for a moment, so that what is removed can be looked at.
    if !Aside::at(path, "xtask-new", |_| Ok(()))?.put_over(Some(before))? {
        return Ok(false);
    }
    fs::remove_file(path).map(|()| true)
}

/// What a file system says that cannot exchange names: EINVAL, ENOSYS, EOPNOTSUPP.
pub const CANNOT_EXCHANGE: [i32; 3] = [22, 38, 95];

/// Two files or folders change places, at once.
///
/// # Errors
/// If that fails, with one of [`CANNOT_EXCHANGE`] where the file system cannot do so.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    use unix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
    Ok(renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE)?)
}

/// The same where no kernel does so.
///
/// # Errors
/// Always.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn exchange(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::Error::from_raw_os_error(CANNOT_EXCHANGE[0]))
}

/// Opens a regular file for reading, and nothing else: a pipe would hang.
///
/// # Errors
/// It is something else, or cannot be opened.
pub fn regular(path: &Path) -> io::Result<fs::File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no regular file")) }
}

/// What a regular file holds.
///
/// # Errors
/// As [`regular`].
pub fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    regular(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Gives a new file the owner, the mode and the attributes of another one.
///
/// # Errors
/// If it cannot have one of them.
pub fn make_like(file: &fs::File, old: &fs::File) -> io::Result<()> {
    own_like(file, &old.metadata()?)?;
    // After the mode, which is a part of an access control list.
    #[cfg(target_os = "linux")]
    crate::xattr::set_all(file, &crate::xattr::all(old)?)?;
    Ok(())
}

fn own_like(file: &fs::File, old: &fs::Metadata) -> io::Result<()> {
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        fchown(file, Some(old.uid()), Some(old.gid()))?;
    }
    // After the change of owner, which clears bits.
    file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))
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

/// A path that the user gave for something that we write: the only door to such paths.
///
/// Links are followed. A regular file is replaced as a whole; into anything else (a device, a pipe, a descriptor below
/// /proc) it is written, for no rename may put a file in its place.
#[derive(Debug)]
pub enum Given {
    /// A regular file, or none yet.
    File(PathBuf),
    /// Something else.
    Other(PathBuf),
}

impl Given {
    /// Looks where a path leads.
    ///
    /// # Errors
    /// It leads to a folder, into a folder that is not there, or round in circles.
    pub fn new(path: &Path) -> io::Result<Self> {
        let mut path = std::path::absolute(path)?;
        for _ in 0..40 {
            let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?.to_owned();
            let dir = path.parent().unwrap_or(Path::new("/")).canonicalize()?;
            path = dir.join(name);
            if dir.starts_with("/proc") {
                return Ok(Self::Other(path));
            }
            match path.symlink_metadata() {
                Ok(meta) if meta.is_symlink() => path = dir.join(fs::read_link(&path)?),
                Ok(meta) if meta.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
                Ok(meta) if !meta.is_file() => return Ok(Self::Other(path)),
                Ok(_) => return Ok(Self::File(path)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::File(path)),
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::from_raw_os_error(unix::errno::Errno::ELOOP as i32))
    }

    /// Drops what an earlier run has left there, and tells whether it can be written.
    ///
    /// # Errors
    /// It cannot.
    pub fn clear(&self) -> io::Result<()> {
        match self {
            Self::File(path) => replace(path, "").and_then(|()| fs::remove_file(path)),
            // Not opened: whoever reads a pipe would see its end.
            Self::Other(path) => Ok(unix::unistd::access(path, unix::unistd::AccessFlags::W_OK)?),
        }
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// It cannot be written; then an old file is as it was.
    pub fn write(&self, text: &str) -> io::Result<()> {
        match self {
            Self::File(path) => replace(path, text),
            // What stands there stays: another program writes there, too.
            Self::Other(path) => OpenOptions::new().append(true).open(path)?.write_all(text.as_bytes()),
        }
    }
}

/// Whether the caller may write a file or a folder, as the kernel decides.
#[cfg(target_os = "linux")]
pub fn may_write(path: &Path) -> bool {
    use unix::unistd::{AccessFlags, eaccess};
    eaccess(path, AccessFlags::W_OK).is_ok()
}

/// Whether the caller may write a file or a folder, as its mode says.
#[cfg(not(target_os = "linux"))]
pub fn may_write(path: &Path) -> bool {
    path.metadata().is_ok_and(|m| !m.permissions().readonly())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileTypeExt, symlink};

    use unix::sys::stat::{Mode, SFlag, makedev, mknod};

    #[test]
    fn only_files_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("old"), "old").unwrap();
        symlink("old", at("link")).unwrap();
        symlink(at("new"), at("dangling")).unwrap();
        for (name, file) in [("old", "old"), ("link", "old"), ("dangling", "new"), ("fresh", "fresh")] {
            let given = Given::new(&at(name)).unwrap();
            given.clear().unwrap();
            given.write(name).unwrap();
            assert_eq!(fs::read_to_string(at(file)).unwrap(), name);
        }
        assert!(at("link").is_symlink() && at("dangling").is_symlink());
        symlink("round", at("round")).unwrap();
        for name in ["", "nowhere/file", "round", "old/file"] {
            Given::new(&at(name)).unwrap_err();
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 6);
    }

    #[test]
    fn pipes_and_devices_stay_what_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let (fifo, link) = (dir.path().join("fifo"), dir.path().join("link"));
        unix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        symlink("fifo", &link).unwrap();
        let reader = std::thread::spawn({
            let fifo = fifo.clone();
            move || fs::read_to_string(fifo).unwrap()
        });
        let given = Given::new(&link).unwrap();
        given.clear().unwrap();
        given.write("all of it").unwrap();
        assert_eq!(reader.join().unwrap(), "all of it");
        assert!(fifo.metadata().unwrap().file_type().is_fifo());
        // A stand-in for /dev/null; only root can make it, and not everywhere.
        let null = dir.path().join("null");
        if mknod(&null, SFlag::S_IFCHR, Mode::S_IRWXU, makedev(1, 3)).is_ok() {
            let given = Given::new(&null).unwrap();
            given.clear().unwrap();
            let _ = given.write("x");
            assert!(null.metadata().unwrap().file_type().is_char_device());
        }
        // What /dev/stdout leads to where stdout is a file: an open descriptor, which keeps what it has.
        let file = dir.path().join("file");
        let open = fs::File::create(&file).unwrap();
        (&open).write_all(b"before ").unwrap();
        let descriptor = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&open));
        symlink(descriptor, dir.path().join("stdout")).unwrap();
        let given = Given::new(&dir.path().join("stdout")).unwrap();
        given.clear().unwrap();
        given.write("after").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "before after");
    }

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
