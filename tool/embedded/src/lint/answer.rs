//! Answers of the form that an `in` wants: StreamDevice's own converters print them, and scan them to judge.

use stream_rs::StreamBuffer;
use stream_rs::converter::{find, parse_format};
use stream_rs::format::{
    DEFAULT_FLAG, DOUBLE_FORMAT, ENUM_FORMAT, NEEDS_ORIGINAL_FORMAT, PSEUDO_FORMAT, SIGNED_FORMAT, SKIP_FLAG,
    STRING_FORMAT, StreamFormat, UNSIGNED_FORMAT,
};
use stream_rs::protocol::FormatType;

use super::database::Record;
use super::protocol::Piece;
use super::quiet::{Read, Value, takes};
use super::regexp;

/// Characters of a value that is printed, at most.
const LONGEST: usize = 4096;

/// What an `in` waits for.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    pub pieces: Vec<Piece>,
    /// What ends it; nothing, where a pause does.
    pub end: Vec<u8>,
    /// Stands between the elements of an array.
    pub separator: Vec<u8>,
    /// More than it reads is no mistake.
    pub more: bool,
    /// So many bytes are enough, where it is not 0.
    pub longest: usize,
}

impl Wanted {
    /// Its conversions: coded, and whether what they read is for the record itself.
    pub fn conversions(&self) -> impl Iterator<Item = (&[u8], bool)> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Value(coded, own) => Some((coded.as_slice(), *own && !flags(coded).contains(&b'*'))),
            _ => None,
        })
    }

    /// Something of its form with these values, one for each conversion, and its end. `%#/A/B/` writes anew what comes
    /// behind it: with `rewrites`, that is what A matches.
    pub fn sample<'a>(&self, values: &mut impl Iterator<Item = &'a Value>, rewrites: bool) -> Option<Vec<u8>> {
        let (mut out, mut done) = (StreamBuffer::new(), false);
        for piece in &self.pieces {
            let value = if let Piece::Value(..) = piece { Some(values.next()?) } else { None };
            match (piece, value) {
                _ if done => {}
                (Piece::Value(coded, _), Some(_)) if is_rewrite(coded) => {
                    if rewrites {
                        out.append(&regexp::sample(&regexp::of_conversion(coded)?)?);
                        done = true;
                    }
                }
                (Piece::Value(coded, _), Some(value)) => print(coded, value, &mut out)?,
                (Piece::Byte(own), _) => _ = out.append_byte(*own),
                (Piece::Blank, _) => _ = out.append_byte(b' '),
                (Piece::Any | Piece::Value(..), _) => _ = out.append_byte(b'x'),
            }
        }
        Some([out.bytes(), &self.end].concat())
    }

    /// Whether the record reads the start of an answer by it, without an alarm: the rest.
    pub fn reads<'a>(&self, answer: &'a [u8], record: &Record) -> Option<&'a [u8]> {
        let (mut line, mut rest) = match self.end.len() {
            0 => (answer, &answer[answer.len()..]),
            long => {
                let at = answer.windows(long).position(|own| own == self.end)?;
                (&answer[..at], &answer[at + long..])
            }
        };
        if (1..line.len()).contains(&self.longest) {
            (line, rest) = answer.split_at(self.longest);
        }
        Scan { line: StreamBuffer::from_bytes(line), original: StreamBuffer::from_bytes(line), at: 0, delta: 0 }
            .all(self, record)
            .then_some(rest)
    }
}

/// The flags of a conversion.
fn flags(coded: &[u8]) -> &[u8] {
    &coded[..coded.iter().take_while(|byte| b"-+ #0*?!=".contains(byte)).count()]
}

/// What stands behind flags, width and precision.
fn conversion(coded: &[u8]) -> Option<u8> {
    coded[flags(coded).len()..].iter().copied().find(|byte| !byte.is_ascii_digit() && *byte != b'.')
}

/// Whether it is `%#/A/B/`.
fn is_rewrite(coded: &[u8]) -> bool {
    flags(coded).contains(&b'#') && conversion(coded) == Some(b'/')
}

/// Prints a value as a conversion would read it.
fn print(coded: &[u8], value: &Value, out: &mut StreamBuffer) -> Option<()> {
    let (flags, rest) = coded.split_at(flags(coded).len());
    // What only input has.
    let flags = flags.iter().copied().filter(|byte| !b"*?!=".contains(byte));
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let width = std::str::from_utf8(&rest[..digits]).ok()?.parse().unwrap_or(1);
    // Nobody answers so much, and it takes time.
    let number = |own: &[u8]| {
        own.iter().fold(0_usize, |all, digit| all.saturating_mul(10).saturating_add(usize::from(digit - b'0')))
    };
    let sizes = rest.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    if rest[..sizes].split(|byte| *byte == b'.').any(|own| number(own) > LONGEST) {
        return None;
    }
    let filler = match rest[digits..] {
        [b'c', ..] => Some(b'x'),
        [b'[', b'^', ..] => Some(b'1'),
        [b'[', first, ..] => Some(first),
        _ => None,
    };
    if conversion(coded) == Some(b'/') {
        out.append(&regexp::sample(&regexp::of_conversion(coded)?)?);
        return Some(());
    }
    if let Some(filler) = filler {
        out.append_repeat(filler, width);
        return Some(());
    }
    // `%s` stops at white space, so no width may bring some.
    let rest = if rest[digits..].starts_with(b"s") { &rest[digits..] } else { rest };
    let source: Vec<u8> = [b'%'].into_iter().chain(flags).chain(rest.iter().copied()).collect();
    let source = StreamBuffer::from_bytes(&source);
    let (mut format, mut info) = (StreamFormat::default(), StreamBuffer::new());
    let mut at = source.ptr(0);
    let kind = parse_format(&mut at, FormatType::PrintFormat, &mut format, &mut info);
    format = StreamFormat { info: info.bytes(), ..format };
    let converter = &find(format.conv)?.converter;
    let printed = match kind {
        ENUM_FORMAT => (value.state..=value.state).chain(0..16).any(|state| converter.print_long(&format, out, state)),
        UNSIGNED_FORMAT | SIGNED_FORMAT => converter.print_long(&format, out, value.whole),
        DOUBLE_FORMAT => converter.print_double(&format, out, value.number),
        STRING_FORMAT => converter.print_string(&format, out, value.text.as_bytes()),
        PSEUDO_FORMAT => converter.print_pseudo(&format, out),
        _ => false,
    };
    printed.then_some(())
}

/// A line that is read, as far as it is.
struct Scan {
    line: StreamBuffer,
    /// As it came, for checksums, and how much longer what is read now is.
    original: StreamBuffer,
    at: usize,
    delta: isize,
}

impl Scan {
    fn all(mut self, wanted: &Wanted, record: &Record) -> bool {
        for piece in &wanted.pieces {
            let next = self.line.bytes().get(self.at).copied();
            match piece {
                Piece::Byte(own) if next != Some(*own) => return false,
                Piece::Byte(_) => self.at += 1,
                Piece::Any => self.at += usize::from(next.is_some()),
                Piece::Blank => {
                    let blanks = self.line.bytes()[self.at..].iter();
                    self.at += blanks.take_while(|byte| byte.is_ascii_whitespace()).count();
                }
                Piece::Value(coded, own) => {
                    if self.value(coded, wanted, Some(record).filter(|_| *own)).is_none() {
                        return false;
                    }
                }
            }
        }
        wanted.more || self.at == self.line.length()
    }

    /// Reads a value, for a record or for nobody.
    fn value(&mut self, coded: &[u8], wanted: &Wanted, record: Option<&Record>) -> Option<()> {
        if flags(coded).contains(&b'=') {
            let mut own = StreamBuffer::new();
            print(coded, &Value::of(record.as_slice()), &mut own)?;
            self.at += self.line.bytes()[self.at..].starts_with(own.bytes()).then_some(own.length())?;
            return Some(());
        }
        let source = StreamBuffer::from_bytes(&[b"%", coded].concat());
        let (mut format, mut info) = (StreamFormat::default(), StreamBuffer::new());
        let kind = parse_format(&mut source.ptr(0), FormatType::ScanFormat, &mut format, &mut info);
        format = StreamFormat { info: info.bytes(), ..format };
        let converter = &find(format.conv)?.converter;
        if kind == PSEUDO_FORMAT || kind == NEEDS_ORIGINAL_FORMAT {
            let read = if kind == PSEUDO_FORMAT {
                let before = self.line.length();
                let read = converter.scan_pseudo(&format, &mut self.line, &mut self.at);
                self.delta += self.line.length().cast_signed() - before.cast_signed();
                read
            } else {
                let mut at = self.at.checked_add_signed(-self.delta)?;
                let read = converter.scan_pseudo(&format, &mut self.original, &mut at);
                self.at = at.checked_add_signed(self.delta)?;
                read
            };
            return self.forward(read, &format);
        }
        let own = record.filter(|_| format.flags & SKIP_FLAG == 0);
        let array = own.is_some_and(|own| ["waveform", "aai"].contains(&own.kind.as_str())) && kind != STRING_FORMAT;
        let mut first = true;
        loop {
            let input = self.line.ptr(self.at.cast_signed());
            let (mut whole, mut number, mut text, mut size) = (0, 0.0, [0; 512], 512);
            let (read, value) = match kind {
                UNSIGNED_FORMAT | SIGNED_FORMAT => {
                    let read = converter.scan_long(&format, input, &mut whole);
                    (read, Read::Whole(whole))
                }
                ENUM_FORMAT => {
                    let read = converter.scan_long(&format, input, &mut whole);
                    (read, Read::State(whole))
                }
                DOUBLE_FORMAT => {
                    let read = converter.scan_double(&format, input, &mut number);
                    (read, Read::Number(number))
                }
                STRING_FORMAT => {
                    let read = converter.scan_string(&format, input, &mut text, &mut size);
                    (read, Read::Text(text.iter().copied().take_while(|byte| *byte != 0).collect()))
                }
                _ => return None,
            };
            if !first && read <= 0 {
                return Some(());
            }
            self.forward(read, &format)?;
            if own.is_some_and(|own| !takes(own, &value)) {
                return None;
            }
            first = false;
            if !array || !self.line.bytes()[self.at..].starts_with(&wanted.separator) {
                return Some(());
            }
            self.at += wanted.separator.len();
        }
    }

    fn forward(&mut self, read: isize, format: &StreamFormat) -> Option<()> {
        let read = usize::try_from(read).ok().or((format.flags & DEFAULT_FLAG != 0).then_some(0))?;
        self.at = self.at.checked_add(read).filter(|at| *at <= self.line.length())?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_take_minutes_to_print_is_not_printed() {
        let printed = |coded: &str| {
            let mut out = StreamBuffer::new();
            print(coded.as_bytes(), &Value::of(&[]), &mut out).map(|()| out.length())
        };
        for coded in ["5000000d", ".5000000f", "99999999999999999999d", "50000000c", "4097s"] {
            assert_eq!(printed(coded), None, "{coded}");
        }
        assert_eq!(printed("4096d"), Some(4096));
    }
}
