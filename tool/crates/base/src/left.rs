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
}

/// Bytes of a line; what is longer is left out.
const LINE: usize = 1 << 20;

/// What [`Lines`] give.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// A whole line, without its end.
    Line(Vec<u8>),
    /// So many bytes are left out here.
    Gap(u64),
}

/// The lines at both ends of a file, one by one: a long file needs no memory. Empty ones are left out.
#[derive(Debug)]
pub struct Lines {
    file: BufReader<File>,
    /// Bytes until the gap, or until the end where there is none.
    left: u64,
    /// Bytes between the ends, and in the second one.
    behind: Option<(u64, u64)>,
    /// Bytes that were left out since the last piece.
    out: u64,
    /// The line after them.
    held: Option<Vec<u8>>,
    longest: usize,
}

impl Lines {
    /// Reads at most `room` bytes, a quarter of them at the begin.
    ///
    /// # Errors
    /// See [`open`].
    pub fn read(folder: &Path, path: &Path, room: u64) -> io::Result<Self> {
        let file = open(folder, path)?;
        let size = file.metadata()?.len();
        let head = room / 4;
        Ok(if size <= room {
            Self::of(file, size)
        } else {
            Self { behind: Some((size - room, room - head)), ..Self::of(file, head) }
        })
    }

    fn of(file: File, left: u64) -> Self {
        Self { file: BufReader::new(file), left, behind: None, out: 0, held: None, longest: LINE }
    }

    /// Bytes of the next line, and the line itself, unless it is too long or ends in the gap.
    fn line(&mut self) -> io::Result<(u64, Option<Vec<u8>>)> {
        let (mut size, mut line) = (0, Some(Vec::new()));
        while self.left > 0 {
            let buffer = self.file.fill_buf()?;
            if buffer.is_empty() {
                // It has become shorter.
                self.left = 0;
                break;
            }
            let part = &buffer[..buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX))];
            let end = part.iter().position(|b| *b == b'\n');
            let part = &part[..end.unwrap_or(part.len())];
            line = line.filter(|line| line.len() + part.len() <= self.longest);
            if let Some(line) = &mut line {
                line.extend_from_slice(part);
            }
            let count = part.len() + usize::from(end.is_some());
            self.file.consume(count);
            self.left -= count as u64;
            size += count as u64;
            if end.is_some() {
                return Ok((size, line));
            }
        }
        Ok((size, line.filter(|_| self.behind.is_none())))
    }

    /// Goes on to the next line; `false` at the end.
    fn advance(&mut self) -> io::Result<bool> {
        if self.left == 0 {
            let Some((gap, left)) = self.behind.take() else { return Ok(false) };
            self.file.seek_relative(i64::try_from(gap).map_err(io::Error::other)?)?;
            (self.left, self.out) = (left, self.out + gap);
            // Where the gap ends there is half of one.
            self.out += self.line()?.0;
            return Ok(true);
        }
        match self.line()? {
            (_, Some(line)) => self.held = Some(line).filter(|line| !line.is_empty()),
            (size, None) => self.out += size,
        }
        Ok(true)
    }
}

impl Iterator for Lines {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let mut more = true;
        while more && self.held.is_none() {
            // What cannot be read is left out.
            more = self.advance().unwrap_or_else(|_| {
                let (gap, left) = self.behind.take().unwrap_or_default();
                self.out += std::mem::take(&mut self.left) + gap + left;
                false
            });
        }
        match std::mem::take(&mut self.out) {
            0 => self.held.take().map(Piece::Line),
            out => Some(Piece::Gap(out)),
        }
    }
}

/// The lines in the first `room` bytes of a file; none where it cannot be read.
pub fn lines(folder: &Path, path: &Path, room: u64) -> impl Iterator<Item = Vec<u8>> + use<> {
    let lines = open(folder, path).ok().map(|file| Lines::of(file, room));
    lines.into_iter().flatten().filter_map(|piece| if let Piece::Line(line) = piece { Some(line) } else { None })
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
        fs::write(root.join("machine/empty"), "\n\na\n\nb").unwrap();
        assert_eq!(lines(&root, Path::new("machine/empty"), 100).collect::<Vec<_>>(), [b"a", b"b"]);
    }

    proptest! {
        #[test]
        fn lines_and_gaps_are_all_of_a_file(lines in prop::collection::vec("[a-z]{1,9}", 0..40), room in 0_u64..300, longest in 0_usize..9, end: bool) {
            let dir = tempfile::tempdir().unwrap();
            let text = lines.join("\n") + if end { "\n" } else { "" };
            fs::write(dir.path().join("file"), &text).unwrap();
            let mut reader = Lines::read(dir.path(), Path::new("file"), room).unwrap();
            reader.longest = longest;
            // What stands where: a line is found where the gaps before it say.
            let (mut rest, mut read, mut gap) = (text.as_str(), 0, false);
            for piece in reader {
                match piece {
                    Piece::Line(line) => {
                        let line = std::str::from_utf8(&line).unwrap();
                        rest = rest.trim_start_matches('\n');
                        let (found, behind) = rest.split_once('\n').unwrap_or((rest, ""));
                        prop_assert_eq!(found, line);
                        prop_assert!(line.len() <= longest);
                        (rest, read, gap) = (behind, read + line.len() + 1, false);
                    }
                    Piece::Gap(out) => {
                        prop_assert!(!gap, "two gaps in a row");
                        (rest, gap) = (&rest[usize::try_from(out).unwrap()..], true);
                    }
                }
            }
            prop_assert_eq!(rest.trim_matches('\n'), "");
            prop_assert!(read <= usize::try_from(room).unwrap() + 1);
            if text.len() as u64 <= room && lines.iter().all(|line| line.len() <= longest) {
                let found = Lines::read(dir.path(), Path::new("file"), room).unwrap().count();
                prop_assert_eq!(found, lines.len());
            }
        }
    }
}
