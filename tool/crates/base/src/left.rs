//! What machines leave in folders that they write to: their root may have put links, pipes and devices there, and files
//! without end. Only regular files are read, no link below the folder is followed, nothing blocks, and no more is read than
//! there is room for.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Component, Path};

use unix::fcntl::{OFlag, openat};
use unix::sys::stat::Mode;

/// Opens a regular file below a folder.
///
/// # Errors
/// It is not there, or it is something else; or a part of its path is a link.
pub fn open(folder: &Path, path: &Path) -> io::Result<File> {
    let always = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut at: File = File::open(folder)?;
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next() {
        let Component::Normal(name) = part else { return Err(ErrorKind::InvalidInput.into()) };
        // The open of a pipe would wait for a writer.
        let kind = if parts.peek().is_some() { OFlag::O_DIRECTORY } else { OFlag::O_NONBLOCK | OFlag::O_NOCTTY };
        at = openat(&at, name, always | kind, Mode::empty())?.into();
    }
    if at.metadata()?.is_file() { Ok(at) } else { Err(io::Error::other("it is no regular file")) }
}

/// Begin and end of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// The begin; all of the file where it is short.
    pub head: Vec<u8>,
    /// Bytes between the two.
    pub cut: u64,
    /// The end.
    pub tail: Vec<u8>,
}

impl Ends {
    /// Reads at most `room` bytes, a quarter of them at the begin.
    ///
    /// # Errors
    /// See [`open`].
    pub fn read(folder: &Path, path: &Path, room: u64) -> io::Result<Self> {
        let mut file = open(folder, path)?;
        let size = file.metadata()?.len();
        let mut part = |from: u64, count: u64| {
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(from))?;
            (&mut file).take(count).read_to_end(&mut bytes).map(|_| bytes)
        };
        if size <= room {
            return Ok(Self { head: part(0, size)?, ..Self::default() });
        }
        let (head, tail) = (room / 4, room - room / 4);
        Ok(Self { head: part(0, head)?, cut: size - room, tail: part(size - tail, tail)? })
    }

    /// The whole lines at both ends, cut ones left out; `true` comes with the first one behind the gap.
    pub fn lines(&self) -> impl Iterator<Item = (&[u8], bool)> {
        let end = if self.cut > 0 {
            self.head.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1)
        } else {
            self.head.len()
        };
        let begin = self.tail.iter().position(|b| *b == b'\n').map_or(self.tail.len(), |at| at + 1);
        let lines = |text| <[u8]>::split(text, |b| *b == b'\n').filter(|line| !line.is_empty());
        let tail = lines(&self.tail[begin..]).enumerate().map(|(at, line)| (line, at == 0));
        lines(&self.head[..end]).map(|line| (line, false)).chain(tail)
    }
}

/// The lines in the first `room` bytes of a file; none where it cannot be read.
pub fn lines(folder: &Path, path: &Path, room: u64) -> impl Iterator<Item = Vec<u8>> + use<> {
    let file = open(folder, path).ok().map(|file| BufReader::new(file.take(room)));
    file.into_iter().flat_map(|file| file.split(b'\n').map_while(Result::ok))
}

/// The last bytes of a file, at most `room`, and how many there are before them.
///
/// # Errors
/// See [`open`].
pub fn tail(folder: &Path, path: &Path, room: u64) -> io::Result<(u64, Vec<u8>)> {
    let mut file = open(folder, path)?;
    let from = file.metadata()?.len().saturating_sub(room);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(room).read_to_end(&mut bytes).map(|_| (from, bytes))
}

/// Names of the folders in a folder, sorted; none where it cannot be read.
pub fn folders(folder: &Path) -> Vec<OsString> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<OsString> =
        entries.filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.file_name()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_regular_files_are_read_and_no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (root, secret) = (dir.path().join("root"), dir.path().join("secret"));
        fs::create_dir_all(root.join("machine")).unwrap();
        fs::write(&secret, "secret").unwrap();
        fs::write(root.join("machine/good"), "good").unwrap();
        symlink(&secret, root.join("machine/link")).unwrap();
        symlink("machine", root.join("other")).unwrap();
        symlink("/dev/zero", root.join("machine/zero")).unwrap();
        unix::unistd::mkfifo(&root.join("machine/fifo"), Mode::S_IRWXU).unwrap();
        let read = |path: &str| Ends::read(&root, Path::new(path), 100).map(|ends| ends.head);
        assert_eq!(read("machine/good").unwrap(), b"good");
        for path in
            ["machine/link", "other/good", "machine/zero", "machine/fifo", "machine", "../secret", "/etc/passwd"]
        {
            assert!(read(path).is_err(), "{path}");
            assert!(tail(&root, Path::new(path), 100).is_err(), "{path}");
            assert_eq!(lines(&root, Path::new(path), 100).count(), 0, "{path}");
        }
        assert_eq!(folders(&root), ["machine"]);
        assert_eq!(lines(&root, Path::new("machine/good"), 3).collect::<Vec<_>>(), [b"goo"]);
    }

    proptest! {
        #[test]
        fn both_ends_are_whole_lines(lines in prop::collection::vec("[a-z]{1,9}", 0..40), room in 0_u64..300) {
            let dir = tempfile::tempdir().unwrap();
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            fs::write(dir.path().join("file"), &text).unwrap();
            let ends = Ends::read(dir.path(), Path::new("file"), room).unwrap();
            prop_assert!(ends.head.len() + ends.tail.len() <= usize::try_from(room).unwrap());
            let found: Vec<(String, bool)> =
                ends.lines().map(|(line, gap)| (String::from_utf8(line.to_vec()).unwrap(), gap)).collect();
            let head = found.iter().take_while(|(_, gap)| !gap).count();
            prop_assert!(found.iter().zip(&lines).take(head).all(|((found, _), line)| found == line));
            let behind = &found[head..];
            prop_assert!(behind.iter().rev().zip(lines.iter().rev()).all(|((found, _), line)| found == line));
            prop_assert_eq!(ends.cut == 0, text.len() as u64 <= room);
            prop_assert!(ends.cut > 0 || found.len() == lines.len());
        }
    }
}
