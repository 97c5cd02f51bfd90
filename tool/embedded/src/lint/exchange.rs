//! What StreamDevice records say to their devices, and answers of the form that they want: StreamDevice's own converters
//! print them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use stream_rs::StreamBuffer;
use stream_rs::converter::{find, parse_format};
use stream_rs::format::{
    DOUBLE_FORMAT, ENUM_FORMAT, PSEUDO_FORMAT, SIGNED_FORMAT, STRING_FORMAT, StreamFormat, UNSIGNED_FORMAT,
};
use stream_rs::protocol::FormatType;

use super::database::Record;
use super::protocol::{Compiled, Piece};
use super::startup::Opened;

/// `tool_base::protocol::lint::Exchange` has the same shape.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    pub port: String,
    pub out: Vec<Option<String>>,
    pub answer: Option<String>,
    pub function: String,
}

/// What all records say.
#[derive(Debug, Default)]
pub struct Said {
    /// By port and what is said. A function that waits without saying anything has nothing there.
    exchanges: BTreeMap<(String, Vec<Option<String>>), (Option<String>, String)>,
    /// The records that read, and their ports.
    pub inputs: BTreeSet<(String, String)>,
    /// The protocol file that a record names, and its call.
    pub calls: BTreeMap<String, (PathBuf, String)>,
}

impl Said {
    /// Adds what a record says by a function.
    pub fn add(&mut self, record: &Record, reads: bool, function: &str, port: &str, ports: &[Opened], done: &Compiled) {
        let own = ports.iter().find(|own| own.name == port);
        let end = |number: usize| {
            let of_port = || own.map(|own| own.ends[number].clone()).unwrap_or_default();
            done.ends[number].clone().unwrap_or_else(of_port)
        };
        let mut told: Vec<(Vec<Option<String>>, Option<Vec<u8>>)> = Vec::new();
        for step in &done.steps {
            if step.out {
                told.push((pattern(&step.pieces, &end(0)), Some(Vec::new())));
                continue;
            }
            if told.is_empty() {
                told.push((Vec::new(), Some(Vec::new())));
            }
            let Some((_, answer)) = told.last_mut() else { continue };
            let own = sample(&step.pieces, record).map(|own| [own, end(1)].concat());
            *answer = answer.take().zip(own).map(|(before, own)| [before, own].concat());
        }
        if reads && told.iter().any(|(_, answer)| answer.as_ref().is_some_and(|answer| !answer.is_empty())) {
            let whole = told.iter().all(|(out, answer)| !out.is_empty() && answer.is_some());
            if whole {
                self.inputs.insert((record.name.clone(), port.to_owned()));
            }
        }
        for (out, answer) in told {
            let own = (answer.map(|answer| text(&answer)), function.to_owned());
            self.exchanges.entry((port.to_owned(), out)).or_insert(own);
        }
    }

    /// All of them.
    pub fn exchanges(self) -> Vec<Exchange> {
        let one = |((port, out), (answer, function))| Exchange { port, out, answer, function };
        self.exchanges.into_iter().map(one).collect()
    }
}

/// A character for each byte.
fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// What is said: texts, and `None` for each value.
fn pattern(pieces: &[Piece], end: &[u8]) -> Vec<Option<String>> {
    let mut out: Vec<Option<String>> = Vec::new();
    let ends = end.iter().map(|own| Some(*own));
    let bytes = pieces.iter().map(|piece| match piece {
        Piece::Byte(own) => Some(*own),
        Piece::Blank => Some(b' '),
        Piece::Any | Piece::Value(_) => None,
    });
    for byte in bytes.chain(ends) {
        match (byte.map(char::from), out.last_mut()) {
            (Some(own), Some(Some(last))) => last.push(own),
            (own, _) => out.push(own.map(String::from)),
        }
    }
    out
}

/// An answer of this form whose values give the record no alarm.
fn sample(pieces: &[Piece], record: &Record) -> Option<Vec<u8>> {
    let mut out = StreamBuffer::new();
    for piece in pieces {
        match piece {
            Piece::Value(coded) => value(coded, record, &mut out)?,
            Piece::Byte(own) => _ = out.append_byte(*own),
            Piece::Blank => _ = out.append_byte(b' '),
            Piece::Any => _ = out.append_byte(b'x'),
        }
    }
    Some(out.bytes().to_vec())
}

/// A value as a conversion would read it.
fn value(coded: &[u8], record: &Record, out: &mut StreamBuffer) -> Option<()> {
    // What only input has.
    let flags = coded.iter().take_while(|byte| b"-+ #0*?!=".contains(byte)).count();
    let (flags, rest) = coded.split_at(flags);
    let flags = flags.iter().copied().filter(|byte| !b"*?!=".contains(byte));
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let width = std::str::from_utf8(&rest[..digits]).ok()?.parse().unwrap_or(1);
    let filler = match rest[digits..] {
        [b'c', ..] => Some(b'x'),
        [b'[', b'^', ..] => Some(b'1'),
        [b'[', first, ..] => Some(first),
        _ => None,
    };
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
    let of_record = Value::of(record);
    let printed = match kind {
        ENUM_FORMAT => {
            (of_record.state..of_record.state + 1).chain(0..16).any(|state| converter.print_long(&format, out, state))
        }
        UNSIGNED_FORMAT | SIGNED_FORMAT => converter.print_long(&format, out, of_record.whole),
        DOUBLE_FORMAT => converter.print_double(&format, out, of_record.number),
        STRING_FORMAT => converter.print_string(&format, out, b"text"),
        PSEUDO_FORMAT => converter.print_pseudo(&format, out),
        _ => false,
    };
    printed.then_some(())
}

/// A value that gives a record no alarm.
struct Value {
    number: f64,
    whole: i64,
    state: i64,
}

impl Value {
    fn of(record: &Record) -> Self {
        const STATES: [&str; 16] =
            ["ZR", "ON", "TW", "TH", "FR", "FV", "SX", "SV", "EI", "NI", "TE", "EL", "TV", "TT", "FT", "FF"];
        let field = |name: &str| record.field(name).map(|field| field.value.trim());
        let number = |name: &str| field(name).and_then(|text| text.parse::<f64>().ok());
        let quiet = |name: &str| field(name).is_none_or(|text| matches!(text, "" | "0" | "NO_ALARM"));
        match record.kind.as_str() {
            "bi" => {
                let state = i64::from(!quiet("ZSV") && quiet("OSV"));
                Self { number: 0.0, whole: state, state }
            }
            "mbbi" => {
                let texts = STATES.iter().any(|own| field(&format!("{own}ST")).is_some());
                let good = |own: &&str| quiet(&format!("{own}SV")) && (!texts || field(&format!("{own}ST")).is_some());
                let at = STATES.iter().position(|own| good(&own)).unwrap_or(0);
                let state = i64::try_from(at).unwrap_or(0);
                let own = field(&format!("{}VL", STATES[at])).and_then(whole_number);
                let values = STATES.iter().any(|own| field(&format!("{own}VL")).is_some());
                Self { number: 0.0, whole: if values { own.unwrap_or(0) } else { state }, state }
            }
            _ => {
                let limit = |name: &str, severity: &str| number(name).filter(|_| !quiet(severity));
                let low = [limit("LOLO", "LLSV"), limit("LOW", "LSV")].into_iter().flatten().reduce(f64::max);
                let high = [limit("HIHI", "HHSV"), limit("HIGH", "HSV")].into_iter().flatten().reduce(f64::min);
                let number = match (low, high) {
                    (Some(low), Some(high)) if low >= 1.0 || high <= 1.0 => f64::midpoint(low, high),
                    (Some(low), None) if low >= 1.0 => low + 1.0,
                    (None, Some(high)) if high <= 1.0 => high - 1.0,
                    _ => 1.0,
                };
                #[expect(clippy::cast_possible_truncation, reason = "a sample")]
                Self { number, whole: number as i64, state: 0 }
            }
        }
    }
}

/// A number as EPICS reads it.
fn whole_number(text: &str) -> Option<i64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => i64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::database::Database;
    use super::super::finding::Report;
    use super::super::grammar;
    use super::super::text::Text;
    use super::*;

    /// The answer to `in "FORMAT"` with one conversion, for a record of a database.
    fn answer(database: &str, coded: &str) -> Option<String> {
        let (mut all, mut report) = (Database::default(), Report::default());
        report.file(std::path::Path::new("x.db"));
        grammar::read(&Text::of_file(0, database.as_bytes()), &mut all, &mut report);
        let pieces = [Piece::Byte(b'<'), Piece::Value(coded.as_bytes().to_vec())];
        sample(&pieces, &all.records[0]).map(|answer| text(&answer))
    }

    #[test]
    fn answers_have_the_form_of_the_conversion() {
        let of_ai = |coded| answer("record(ai, \"A\") {}", coded);
        let cases = [
            ("f", "<1.000000"),
            ("*d", "<1"),
            ("!4x", "<   1"),
            ("04x", "<0001"),
            ("{OFF|ON}", "<OFF"),
            ("#{UP=3|DN=-3}", "<UP"),
            ("s", "<text"),
            ("39c", "<xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
            ("3[A-Z]", "<AAA"),
            ("[^;]", "<1"),
            ("2r", "<\0\u{1}"),
            ("<sum8>", "<<"),
            ("?s", "<text"),
            ("20s", "<text"),
        ];
        for (coded, wanted) in cases {
            assert_eq!(of_ai(coded).as_deref(), Some(wanted), "{coded}");
        }
        assert_eq!(of_ai("/.*/"), None, "what a pattern matches is not told");
    }

    #[test]
    fn values_keep_clear_of_alarms() {
        let ai =
            "record(ai, \"A\") { field(LOW, \"20\") field(LSV, \"MINOR\") field(HIGH, \"40\") field(HSV, \"MAJOR\") }";
        assert_eq!(answer(ai, "d").as_deref(), Some("<30"));
        assert_eq!(answer("record(bi, \"A\") { field(ZSV, \"MAJOR\") }", "{OFF|ON}").as_deref(), Some("<ON"));
        let mbbi = "record(mbbi, \"A\") { field(ZRST, \"bad\") field(ZRSV, \"MAJOR\") field(ONST, \"good\") field(ONVL, \"0x10\") }";
        assert_eq!(answer(mbbi, "d").as_deref(), Some("<16"));
        assert_eq!(answer(mbbi, "{A|B}").as_deref(), Some("<B"));
    }
}
