//! Templates: lines with macros, `include` and `substitute`.

use std::collections::HashMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use epics_base_rs::runtime::mac_lib::macro_defn_pairs_bytes;

use crate::growth::{self, Kind, LONGEST, Room};
use crate::macros::{self, TooMuch};

use super::{Expanded, Notice, Origin};

/// Files that are open at once, which is what ends a template that includes itself.
const DEEPEST: usize = 1000;

/// Where `msi` runs, where it looks for files, and how a path becomes a file that is there.
pub struct Files<'a> {
    /// Names with a `/` start here.
    pub current: PathBuf,
    /// Others are looked for here (`-I`).
    pub folders: Vec<PathBuf>,
    /// The file that a path stands for, once all is installed.
    pub real: &'a dyn Fn(&Path) -> Option<PathBuf>,
}

impl Files<'_> {
    fn find(&self, name: &Path) -> Option<PathBuf> {
        if name.as_os_str().as_bytes().contains(&b'/') || self.folders.is_empty() {
            return (self.real)(&self.current.join(name));
        }
        self.folders.iter().find_map(|folder| (self.real)(&folder.join(name)))
    }
}

type Definitions = Vec<(Vec<u8>, Vec<u8>)>;

/// What was expanded so far, and the macros that hold.
pub struct Output<'a> {
    files: &'a Files<'a>,
    expanded: Expanded,
    globals: Definitions,
    row: Definitions,
    room: Room,
}

/// A file that is being read.
struct Input {
    number: usize,
    lines: std::vec::IntoIter<Vec<u8>>,
    line: u32,
}

impl<'a> Output<'a> {
    pub fn new(files: &'a Files<'a>) -> Self {
        Self { files, expanded: Expanded::default(), globals: Vec::new(), row: Vec::new(), room: Room::default() }
    }

    pub fn into_expanded(self) -> Expanded {
        self.expanded
    }

    pub fn warn(&mut self, notice: Notice) {
        self.expanded.warnings.push(notice);
    }

    /// Starts a row, whose macros end with it.
    pub fn row(&mut self, macros: &[u8]) {
        self.row.clear();
        self.define(macros, false);
    }

    /// Takes definitions as in `A=1,B=2`. A name without `=` is no longer defined, in any row.
    pub fn define(&mut self, macros: &[u8], global: bool) {
        for (name, value) in macro_defn_pairs_bytes(macros) {
            let own = if global { &mut self.globals } else { &mut self.row };
            let known = own.iter_mut().find(|known| known.0 == name);
            match (value, known) {
                (Some(value), Some(known)) => known.1 = value,
                (Some(value), None) => own.push((name, value)),
                (None, _) => {
                    self.row.retain(|known| known.0 != name);
                    self.globals.retain(|known| known.0 != name);
                }
            }
        }
    }

    /// What the macros stand for; not where the library would not come to the end of them.
    fn values(&self, from: &Notice) -> Result<HashMap<Vec<u8>, Vec<u8>>, Notice> {
        let values: HashMap<_, _> = self.globals.iter().chain(&self.row).cloned().collect();
        if macros::are_endless(values.values().map(Vec::as_slice), &|name| values.get(name).map(Vec::as_slice)) {
            let what = "these macros stand for each other too often".to_owned();
            return Err(Notice { what, ..from.clone() });
        }
        Ok(values)
    }

    /// Adds a template, which `from` asks for.
    pub fn template(&mut self, name: &Path, found: bool, from: &Notice) -> Result<(), Notice> {
        let mut values = self.values(from)?;
        let mut inputs = vec![self.open(name, found, from)?];
        while let Some(input) = inputs.last_mut() {
            let Some(line) = input.lines.next() else {
                inputs.pop();
                continue;
            };
            input.line += 1;
            let (file, number) = (input.number, input.line);
            let here = Notice { file: self.expanded.files[file].clone(), line: number, what: String::new() };
            match command(&line) {
                Some((Command::Include, name)) => {
                    if inputs.len() >= DEEPEST {
                        return Err(Notice { what: "this file includes itself".to_owned(), ..here });
                    }
                    if !self.room.takes_file() {
                        return Err(too_much(here));
                    }
                    inputs.push(self.open(Path::new(std::ffi::OsStr::from_bytes(name)), false, &here)?);
                }
                Some((Command::Substitute, macros)) => {
                    self.define(macros, false);
                    values = self.values(&here)?;
                }
                None => {
                    let before = self.expanded.bytes.len();
                    if self.line(&line, &values, Origin { file, line: number, column: 1 }).is_err() {
                        let what = format!("this line has more than {} MB once its macros are replaced", LONGEST >> 20);
                        return Err(Notice { what, ..here });
                    }
                    if !self.room.takes(self.expanded.bytes.len() - before) {
                        return Err(too_much(here));
                    }
                }
            }
        }
        Ok(())
    }

    fn open(&mut self, name: &Path, found: bool, from: &Notice) -> Result<Input, Notice> {
        let fault = |what| Notice { what, ..from.clone() };
        let path = if found { Some(name.to_owned()) } else { self.files.find(name) };
        let path = path.ok_or_else(|| fault(format!("there is no file `{}`", name.display())))?;
        let bytes = fs::read(&path).map_err(|error| fault(format!("{}: {error}", path.display())))?;
        if let Some((line, what)) = growth::lines(&bytes, Kind::Plain) {
            return Err(Notice { file: path, line: u32::try_from(line).unwrap_or(1), what });
        }
        let lines: Vec<Vec<u8>> = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        let files = &mut self.expanded.files;
        let number = files.iter().position(|own| *own == path).unwrap_or_else(|| {
            files.push(path);
            files.len() - 1
        });
        Ok(Input { number, lines: lines.into_iter(), line: 0 })
    }

    /// Adds a line, its macros replaced.
    fn line(&mut self, line: &[u8], values: &HashMap<Vec<u8>, Vec<u8>>, start: Origin) -> Result<(), TooMuch> {
        let expand = |text: &[u8]| macros::expand(text, &|name| values.get(name).map(Vec::as_slice), true);
        let whole = expand(line)?.text;
        let mut origins = Vec::with_capacity(whole.len());
        let mut origin = start;
        let mut at = 0;
        let mut seen = Vec::with_capacity(whole.len());
        for (from, to) in references(line) {
            plain(&line[at..from], &mut origin, &mut origins);
            seen.extend(&line[at..from]);
            let value = expand(&line[from..to])?.text;
            origins.resize(origins.len() + value.len(), origin);
            seen.extend(value);
            plain(&line[from..to], &mut origin, &mut Vec::new());
            at = to;
        }
        plain(&line[at..], &mut origin, &mut origins);
        seen.extend(&line[at..]);
        // Piece by piece it is not always what it is as a whole: then only the line is known.
        if seen != whole {
            origins = vec![start; whole.len()];
        }
        self.expanded.bytes.extend(whole);
        self.expanded.origins.extend(origins);
        Ok(())
    }
}

fn too_much(at: Notice) -> Notice {
    Notice { what: format!("more than {} MB come of this", growth::LARGEST >> 20), ..at }
}

/// Counts columns over bytes that stay as they are.
fn plain(bytes: &[u8], origin: &mut Origin, origins: &mut Vec<Origin>) {
    for (at, _) in bytes.iter().enumerate() {
        origins.push(*origin);
        if bytes.get(at + 1).is_none_or(|next| next & 0xC0 != 0x80) {
            origin.column += 1;
        }
    }
}

/// Where macros are referred to in a line, outside of single quotes.
fn references(line: &[u8]) -> Vec<(usize, usize)> {
    let (mut found, mut at, mut quote) = (Vec::new(), 0, 0);
    while at < line.len() {
        match line[at] {
            byte if quote != 0 && byte == quote => quote = 0,
            byte @ (b'"' | b'\'') if quote == 0 => quote = byte,
            b'$' if quote != b'\'' && matches!(line.get(at + 1), Some(b'(' | b'{')) => {
                if let Some(end) = reference_end(line, at) {
                    found.push((at, end));
                    at = end;
                    continue;
                }
            }
            b'\\' => at += 1,
            _ => {}
        }
        at += 1;
    }
    found
}

/// Where the macro reference that starts there ends, on the same line.
pub fn reference_end(line: &[u8], start: usize) -> Option<usize> {
    let mut closers = Vec::new();
    let mut at = start;
    while at < line.len() && line[at] != b'\n' {
        match (line[at], line.get(at + 1)) {
            (b'$', Some(b'(')) => closers.push(b')'),
            (b'$', Some(b'{')) => closers.push(b'}'),
            (byte, _) if closers.last() == Some(&byte) => {
                closers.pop();
                if closers.is_empty() {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Include,
    Substitute,
}

/// A line that is a command, with the text in its quotes. The rules are `msi`'s: the command's name may stand
/// anywhere in a line that starts with an `i` or `s`, as long as the quote is where it would be behind it.
fn command(line: &[u8]) -> Option<(Command, &[u8])> {
    let line = line.split(|byte| *byte == 0).next().unwrap_or_default();
    let line = &line[line.iter().position(|byte| !byte.is_ascii_whitespace())?..];
    if !matches!(line[0], b'i' | b's') {
        return None;
    }
    let has = |name: &str| line.windows(name.len()).any(|part| part == name.as_bytes());
    let (command, name) = match (has("include"), has("substitute")) {
        (_, true) => (Command::Substitute, "substitute"),
        (true, false) => (Command::Include, "include"),
        (false, false) => return None,
    };
    let rest = line.get(name.len()..)?;
    let rest = rest[rest.iter().position(|byte| !byte.is_ascii_whitespace())?..].strip_prefix(b"\"")?;
    let mut end = 0;
    loop {
        match (rest.get(end)?, rest.get(end + 1)) {
            (b'\\', Some(b'"')) => end += 2,
            (b'"', _) => break,
            _ => end += 1,
        }
    }
    let behind = rest[end + 1..].iter().find(|byte| **byte != b' ');
    matches!(behind, None | Some(b'\n')).then_some((command, &rest[..end]))
}
