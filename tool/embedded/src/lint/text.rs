//! Text that knows where each of its bytes comes from: through macros, includes and substitutions, a
//! finding points to the user's own file.

use epics_base_rs::server::db_loader::MacroFault::{Recursive, Undefined, Unterminated};

use super::report::{Place, UNKNOWN};
use crate::growth::LONGEST;
use crate::macros;
use crate::msi::reference_end;

/// Bytes and their places.
#[derive(Debug, Clone, Default)]
pub struct Text {
    pub bytes: Vec<u8>,
    pub places: Vec<Place>,
}

/// A macro that could not be replaced: where it is used, and what the macro library says.
#[derive(Debug)]
pub struct Fault {
    pub place: Place,
    /// The name of the macro; `None` where a reference is not closed.
    pub name: Option<String>,
}

impl Text {
    /// The text of a file.
    pub fn of_file(file: usize, bytes: &[u8]) -> Self {
        let mut text = Self::default();
        let mut place = Place { file, line: 1, column: 1 };
        for (at, &byte) in bytes.iter().enumerate() {
            text.push(byte, place);
            // The bytes of one character share its column.
            if byte == b'\n' {
                place = Place { line: place.line + 1, column: 1, ..place };
            } else if bytes.get(at + 1).is_none_or(|next| next & 0xC0 != 0x80) {
                place.column += 1;
            }
        }
        text
    }

    pub fn push(&mut self, byte: u8, place: Place) {
        self.bytes.push(byte);
        self.places.push(place);
    }

    pub fn extend(&mut self, other: &Self) {
        self.bytes.extend(&other.bytes);
        self.places.extend(&other.places);
    }

    pub fn slice(&self, from: usize, to: usize) -> Self {
        Self { bytes: self.bytes[from..to].to_vec(), places: self.places[from..to].to_vec() }
    }

    /// The place of a byte; that of the last one where there are fewer.
    pub fn place(&self, at: usize) -> Place {
        self.places.get(at).or(self.places.last()).copied().unwrap_or(Place { file: 0, line: 1, column: 1 })
    }

    pub fn lossy(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub fn is_unknown(&self) -> bool {
        self.lossy().contains(UNKNOWN)
    }

    /// The lines, without their line feeds.
    pub fn lines(&self) -> impl Iterator<Item = Self> {
        let mut start = 0;
        std::iter::from_fn(move || {
            let rest = self.bytes.get(start..).filter(|rest| !rest.is_empty())?;
            let end = start + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            let line = self.slice(start, end);
            start = end + 1;
            Some(line)
        })
    }

    /// The text with macros replaced, line by line as C's readers do it, but for comments. One that
    /// cannot be replaced is given to `fault` and becomes [`UNKNOWN`]; with `fault` answering
    /// `false`, it stays as it is. The error is where more comes of a line than anyone could use.
    pub fn expand<'a>(
        &self,
        value: &dyn Fn(&[u8]) -> Option<&'a [u8]>,
        mut fault: impl FnMut(Fault) -> bool,
    ) -> Result<Self, Place> {
        let bytes = &self.bytes;
        let mut out = Self::default();
        let (mut at, mut quote, mut comment, mut start) = (0, 0, false, 0);
        while at < bytes.len() {
            let byte = bytes[at];
            if byte == b'\n' {
                (quote, comment, start) = (0, false, out.bytes.len());
            } else if byte == b'\\' && at + 1 < bytes.len() && bytes[at + 1] != b'\n' {
                out.push(byte, self.places[at]);
                at += 1;
            } else if quote != 0 {
                quote = if byte == quote { 0 } else { quote };
            } else if matches!(byte, b'"' | b'\'') && !comment {
                quote = byte;
            }
            comment |= byte == b'#' && quote == 0;
            let reference = byte == b'$' && matches!(bytes.get(at + 1), Some(b'(' | b'{'));
            if !reference || comment || quote == b'\'' {
                out.push(bytes[at], self.places[at]);
                at += 1;
                continue;
            }
            let place = self.places[at];
            let Some(end) = reference_end(bytes, at) else {
                fault(Fault { place, name: None });
                out.push(byte, place);
                at += 1;
                continue;
            };
            // It runs out of its text: one mistake, and the text is whole.
            let inner = bytes[at..end].iter().position(|byte| quote == b'"' && b"\"\\".contains(byte));
            if let Some(length) = inner.filter(|length| bytes[at + length] == quote) {
                fault(Fault { place, name: None });
                UNKNOWN.bytes().for_each(|byte| out.push(byte, place));
                at += length;
                continue;
            }
            let expansion = macros::expand(&bytes[at..end], value, false).map_err(|_| place)?;
            let value = match expansion.fault() {
                None => expansion.text,
                Some(found) => {
                    let name = match found {
                        Undefined(name) | Recursive(name) => Some(name.to_owned()),
                        Unterminated(_) => None,
                    };
                    let known = fault(Fault { place, name });
                    if known { UNKNOWN.as_bytes().to_vec() } else { bytes[at..end].to_vec() }
                }
            };
            if out.bytes.len() - start + value.len() > LONGEST {
                return Err(place);
            }
            comment |= quote == 0 && value.contains(&b'#');
            for byte in value {
                out.push(byte, place);
            }
            at = end;
        }
        Ok(out)
    }
}

/// Whether a macro stands outside of quotes and comments, where it may be any part of a database.
pub fn has_bare_macro(bytes: &[u8]) -> bool {
    let (mut quoted, mut comment, mut before) = (false, false, 0);
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'\n' => (quoted, comment) = (false, false),
            b'"' if before != b'\\' && !comment => quoted = !quoted,
            b'#' if !quoted => comment = true,
            b'$' if !quoted && !comment && matches!(bytes.get(at + 1), Some(b'(' | b'{')) => return true,
            _ => {}
        }
        before = byte;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> (String, Vec<u32>, Vec<String>) {
        let values: [(&[u8], &[u8]); 3] = [(b"P", b"me:"), (b"EMPTY", b""), (b"HASH", b"#")];
        let value = |name: &[u8]| values.iter().find(|own| own.0 == name).map(|own| own.1);
        let mut faults = Vec::new();
        let out = Text::of_file(0, text.as_bytes()).expand(&value, |fault| {
            faults.push(fault.name.unwrap_or_else(|| "unclosed".to_owned()));
            true
        });
        let out = out.unwrap();
        (out.lossy(), out.places.iter().map(|place| place.column).collect(), faults)
    }

    #[test]
    fn bytes_keep_their_places() {
        let (text, columns, faults) = expanded("ü$(P)x ${EMPTY}y");
        assert_eq!(text, "üme:x y");
        assert_eq!(columns, [1, 1, 2, 2, 2, 6, 7, 16]);
        assert!(faults.is_empty());
    }

    #[test]
    fn a_line_ends_where_too_much_comes_of_it() {
        let large = "x".repeat(LONGEST / 16);
        let of = |text: &str| Text::of_file(0, text.as_bytes()).expand(&|_| Some(large.as_bytes()), |_| true);
        assert_eq!(of(&"$(A)".repeat(17)).unwrap_err().column, 16 * 4 + 1);
        assert_eq!(of(&"$(A)$(A)$(A)\n".repeat(6)).unwrap().bytes.len(), 18 * large.len() + 6);
    }

    #[test]
    fn defaults_and_nested_references_are_the_librarys() {
        assert_eq!(expanded("$(Q=$(P)z) $(Q=) $(Q,Q=3)").0, "me:z  3");
    }

    #[test]
    fn what_is_not_there_is_named_once_and_not_in_comments() {
        let (text, _, faults) = expanded("\"$(Q)\" '$(P)' # $(R)\n$(HASH) $(S)\n$(P\n");
        assert_eq!(text, "\"__macro__\" '$(P)' # $(R)\n# $(S)\n$(P\n");
        assert_eq!(faults, ["Q", "unclosed"]);
    }
}
