//! The grammar of `msi`'s substitutions: `global`, `file`, `pattern` and rows of macros.

use std::fs;
use std::path::Path;

use epics_base_rs::server::db_loader::{MacroDefs, MacroExpandOptions, MacroTable};

use super::Notice;
use super::template::Output;
use crate::growth::{self, Kind};

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    /// A comma, or the end of a line. Blanks separate words, too, but are no token.
    Separator,
    /// Quotes stay: the macro library takes them off.
    Word(Vec<u8>),
    End,
}

impl Token {
    fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(own) if own == word.as_bytes())
    }
}

/// Expands the rows of a file; `template` takes the place of every template that the file names.
pub fn rows(path: &Path, template: Option<&Path>, output: &mut Output) -> Result<(), Notice> {
    let at = |line: u32, what: &str| Notice { file: path.to_owned(), line, what: what.to_owned() };
    let bytes = fs::read(path).map_err(|error| at(1, &error.to_string()))?;
    if let Some((line, what)) = growth::lines(&bytes, Kind::Plain) {
        return Err(at(u32::try_from(line).unwrap_or(1), &what));
    }
    let mut reader = Reader {
        path,
        lines: bytes.split_inclusive(|byte| *byte == b'\n'),
        rest: &[],
        line: 0,
        token: Token::Separator,
    };
    // The template and the pattern that hold until the `}` of their `file`.
    let mut file: Option<Vec<u8>> = None;
    let mut in_file = false;
    let mut pattern: Option<Vec<Vec<u8>>> = None;
    loop {
        reader.skip_separators()?;
        if reader.token.is("global") {
            reader.next()?;
            reader.skip_separators()?;
            if reader.token == Token::Open {
                let macros = reader.definitions()?;
                output.define(&macros, true);
            }
            continue;
        }
        if reader.token == Token::End {
            return Ok(());
        }
        if reader.token.is("file") {
            let Token::Word(name) = reader.next()? else { return Err(reader.fault("expecting a filename")) };
            file = Some(unquoted(&name).to_owned());
            (in_file, pattern) = (true, None);
            reader.next_word()?;
            if reader.token != Token::Open {
                return Err(reader.fault("expecting '{'"));
            }
            reader.next()?;
            reader.skip_separators()?;
        }
        match &reader.token {
            Token::Open => {}
            Token::Close => return Err(reader.fault("unexpected '}'")),
            word if word.is("pattern") => pattern = Some(reader.names()?),
            _ => return Err(reader.fault("expecting 'pattern'")),
        }
        loop {
            reader.skip_separators()?;
            if reader.token == Token::Close && in_file {
                (file, in_file, pattern) = (None, false, None);
                reader.next()?;
                break;
            }
            if reader.token != Token::Open {
                break;
            }
            let line = reader.line;
            let macros = match &pattern {
                Some(names) => reader.values(names, output)?,
                None => reader.definitions()?,
            };
            let here = at(line, "");
            output.row(&macros);
            match (template, &file) {
                (Some(template), _) => output.template(template, true, &here)?,
                (None, Some(name)) => {
                    let name = without_macros(name).ok_or_else(|| {
                        at(line, "the name of the template has a macro that only the environment of make could give")
                    })?;
                    output.template(&name, false, &here)?;
                }
                (None, None) => {
                    return Err(at(line, "these macros belong to no template: `file NAME { … }` is around them"));
                }
            }
        }
    }
}

struct Reader<'a, I> {
    path: &'a Path,
    lines: I,
    /// What is left of the line.
    rest: &'a [u8],
    line: u32,
    token: Token,
}

impl<'a, I: Iterator<Item = &'a [u8]>> Reader<'a, I> {
    fn fault(&self, what: &str) -> Notice {
        Notice { file: self.path.to_owned(), line: self.line.max(1), what: what.to_owned() }
    }

    fn next(&mut self) -> Result<Token, Notice> {
        self.token = self.read()?;
        Ok(self.token.clone())
    }

    fn read(&mut self) -> Result<Token, Notice> {
        // Only here does a # start a comment: not behind a blank.
        if matches!(self.rest.first(), None | Some(b'\n' | b'#')) {
            return Ok(self.next_line());
        }
        let start = self.rest.iter().position(|byte| !is_blank(*byte)).unwrap_or(self.rest.len());
        self.rest = &self.rest[start..];
        match self.rest.first() {
            Some(b'{') => {
                self.rest = &self.rest[1..];
                Ok(Token::Open)
            }
            Some(b'}') => {
                self.rest = &self.rest[1..];
                Ok(Token::Close)
            }
            None | Some(b',') => {
                let end = self.rest.iter().position(|byte| !is_blank(*byte) && *byte != b',');
                self.rest = &self.rest[end.unwrap_or(self.rest.len())..];
                Ok(Token::Separator)
            }
            Some(b'"') => self.quoted(),
            Some(_) => {
                let end = self.rest.iter().position(|byte| is_blank(*byte) || b"\",{}".contains(byte));
                let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
                self.rest = rest;
                Ok(Token::Word(word.to_owned()))
            }
        }
    }

    fn next_line(&mut self) -> Token {
        loop {
            let Some(line) = self.lines.next() else {
                self.rest = &[];
                return Token::End;
            };
            self.line += 1;
            if line.first() != Some(&b'#') {
                // C's strings end at a NUL.
                self.rest = line.split(|byte| *byte == 0).next().unwrap_or_default();
                return Token::Separator;
            }
        }
    }

    fn quoted(&mut self) -> Result<Token, Notice> {
        let mut at = 1;
        loop {
            match (self.rest.get(at), self.rest.get(at + 1)) {
                (None | Some(b'\n'), _) => return Err(self.fault("a text in quotes ends on its line")),
                (Some(b'\\'), Some(b'"')) => at += 2,
                (Some(b'"'), _) => break,
                _ => at += 1,
            }
        }
        let (word, rest) = self.rest.split_at(at + 1);
        self.rest = rest;
        Ok(Token::Word(word.to_owned()))
    }

    fn skip_separators(&mut self) -> Result<(), Notice> {
        while self.token == Token::Separator {
            self.next()?;
        }
        Ok(())
    }

    /// Goes on to the next token that is no separator.
    fn next_word(&mut self) -> Result<(), Notice> {
        self.next()?;
        self.skip_separators()
    }

    /// The names of a pattern, behind the word itself.
    fn names(&mut self) -> Result<Vec<Vec<u8>>, Notice> {
        self.next_word()?;
        if self.token != Token::Open {
            return Err(self.fault("expecting '{'"));
        }
        let mut names = Vec::new();
        loop {
            self.next_word()?;
            match &self.token {
                Token::Word(name) => names.push(name.clone()),
                Token::Close => break,
                _ => return Err(self.fault("expecting '}'")),
            }
        }
        self.next()?;
        Ok(names)
    }

    /// A row of a pattern, as definitions.
    fn values(&mut self, names: &[Vec<u8>], output: &mut Output) -> Result<Vec<u8>, Notice> {
        let mut macros = Vec::new();
        let mut names = names.iter();
        let mut first = true;
        loop {
            self.next_word()?;
            match &self.token {
                Token::Close => break,
                Token::Word(value) => {
                    if !first {
                        macros.push(b',');
                    }
                    first = false;
                    if let Some(name) = names.next() {
                        macros.extend([name, &b"="[..], value].concat());
                    } else {
                        output.warn(self.fault("too many values given"));
                    }
                }
                _ => return Err(self.fault("expecting macro value")),
            }
        }
        self.next()?;
        Ok(macros)
    }

    /// A row of definitions. Blanks between its words are lost.
    fn definitions(&mut self) -> Result<Vec<u8>, Notice> {
        let mut macros = Vec::new();
        loop {
            match self.next()? {
                Token::Close => break,
                Token::Separator => macros.push(b','),
                Token::Word(word) => macros.extend(word),
                Token::Open => return Err(self.fault("unexpected '{'")),
                Token::End => return Err(self.fault("incomplete file?")),
            }
        }
        self.next()?;
        Ok(macros)
    }
}

fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

fn unquoted(word: &[u8]) -> &[u8] {
    word.strip_prefix(b"\"").and_then(|word| word.strip_suffix(b"\"")).unwrap_or(word)
}

/// A name with macros replaced by their defaults; `None` where one has none.
fn without_macros(name: &[u8]) -> Option<std::path::PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    let expanded = MacroTable::new(MacroDefs::new(), MacroExpandOptions::default()).expand_bytes_deferred(name).0;
    (!expanded.errored()).then(|| std::ffi::OsString::from_vec(expanded.text).into())
}
