//! The words of a database, as C's `dbLex.l` and the loader of the soft IOC read them.

use super::text::Text;

/// A word of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A word without quotes: a keyword where one is expected.
    Bare,
    /// What stands between double quotes.
    Quoted,
    /// `( ) { } ,`, and in a value also `[ ] :`.
    Mark(u8),
    End,
}

/// A word: its kind, and from where to where its text goes. The text of a quoted word is between the quotes.
#[derive(Debug, Clone)]
pub struct Token {
    pub kind: Kind,
    pub from: usize,
    pub to: usize,
}

/// What cannot be a word: where, what, and what to do.
#[derive(Debug)]
pub struct Broken {
    pub at: usize,
    pub what: String,
    pub hint: &'static str,
}

/// Reads words from a text.
pub struct Lexer<'a> {
    pub text: &'a Text,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a Text) -> Self {
        Self { text, at: 0 }
    }

    /// The next word. Values of fields have fewer characters that need no quotes, and lists.
    pub fn next(&mut self, in_value: bool) -> Result<Token, Broken> {
        let bytes = &self.text.bytes;
        loop {
            match bytes.get(self.at) {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                Some(b'#') => self.skip_line(),
                Some(b'%') if !in_value => self.skip_line(),
                _ => break,
            }
        }
        let from = self.at;
        let Some(&first) = bytes.get(from) else { return Ok(Token { kind: Kind::End, from, to: from }) };
        match first {
            b'"' => self.quoted(from, first),
            b'\'' if in_value => self.quoted(from, first),
            b'(' | b')' | b'{' | b'}' | b',' => Ok(self.mark(first)),
            b'[' | b']' | b':' if in_value => Ok(self.mark(first)),
            _ if is_bare(first, in_value) => {
                let length = bytes[from..].iter().position(|byte| !is_bare(*byte, in_value));
                self.at = length.map_or(bytes.len(), |length| from + length);
                Ok(Token { kind: Kind::Bare, from, to: self.at })
            }
            _ => Err(self.strange(from, in_value)),
        }
    }

    fn mark(&mut self, byte: u8) -> Token {
        self.at += 1;
        Token { kind: Kind::Mark(byte), from: self.at - 1, to: self.at }
    }

    fn quoted(&mut self, from: usize, quote: u8) -> Result<Token, Broken> {
        let bytes = &self.text.bytes;
        let mut at = from + 1;
        loop {
            match bytes.get(at) {
                Some(b'\\') => at += 2,
                Some(byte) if *byte == quote => break,
                None | Some(b'\n') => {
                    return Err(Broken {
                        at: from,
                        what: "this text has no closing quote".to_owned(),
                        hint: "end it on the same line",
                    });
                }
                Some(_) => at += 1,
            }
        }
        self.at = at + 1;
        Ok(Token { kind: Kind::Quoted, from: from + 1, to: at })
    }

    fn strange(&self, at: usize, in_value: bool) -> Broken {
        let rest = &self.text.bytes[at..(at + 4).min(self.text.bytes.len())];
        let c = String::from_utf8_lossy(rest).chars().next().unwrap_or_default();
        let what = match c {
            '\u{feff}' => "the file starts with a byte order mark".to_owned(),
            c if c.is_control() || c == char::REPLACEMENT_CHARACTER => "this is no text".to_owned(),
            c => format!("`{c}` cannot stand here"),
        };
        let hint = match c {
            '\u{feff}' => "save it as UTF-8 without BOM",
            c if c.is_control() || c == char::REPLACEMENT_CHARACTER => "a database is plain text",
            _ if in_value => "put the value in double quotes",
            _ => "put names and values in double quotes",
        };
        Broken { at, what, hint }
    }

    fn skip_line(&mut self) {
        let rest = &self.text.bytes[self.at..];
        self.at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    }

    /// Goes on at the next line that starts a record, after a mistake.
    pub fn recover(&mut self) {
        loop {
            self.skip_line();
            if self.at >= self.text.bytes.len() {
                return;
            }
            self.at += 1;
            let line = self.text.bytes[self.at..].trim_ascii_start();
            if ["record", "grecord", "alias", "include"].iter().any(|word| line.starts_with(word.as_bytes())) {
                return;
            }
        }
    }

    /// Goes back to a word, to read it again.
    pub fn back_to(&mut self, token: &Token) {
        self.at = token.from - usize::from(token.kind == Kind::Quoted);
    }
}

fn is_bare(byte: u8, in_value: bool) -> bool {
    let of_both = byte.is_ascii_alphanumeric() || b"_-+.".contains(&byte);
    of_both || (!in_value && b":[]<>;".contains(&byte))
}
