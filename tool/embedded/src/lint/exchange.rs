//! What StreamDevice records say to their devices, and an answer to each thing said that all who say it take.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::answer::Wanted;
use super::database::Record;
use super::protocol::{Compiled, Piece};
use super::quiet::Value;
use super::report::UNKNOWN;
use super::startup::Opened;
use crate::mistakes::Exchange;

/// So many forms of one answer are tried.
const FORMS: usize = 16;

/// What all records say.
#[derive(Debug, Default)]
pub struct Said<'a> {
    /// By port and what is said. A function that waits without saying anything has nothing there.
    exchanges: BTreeMap<(String, Vec<Option<String>>), Vec<Reader<'a>>>,
    /// The records that read.
    inputs: BTreeSet<&'a str>,
    /// The protocol file that a record names, and its call.
    pub calls: BTreeMap<String, (PathBuf, String)>,
}

/// A record that waits for an answer.
#[derive(Debug)]
struct Reader<'a> {
    record: &'a Record,
    function: String,
    wanted: Vec<Wanted>,
}

impl<'a> Said<'a> {
    /// Adds what a record says by a function.
    pub fn add(
        &mut self,
        record: &'a Record,
        reads: bool,
        function: &str,
        port: &str,
        own: Option<&Opened>,
        done: &Compiled,
    ) {
        if port.contains(UNKNOWN) {
            return;
        }
        let end = |number: usize| {
            let of_port = || own.map(|own| own.ends[number].clone()).unwrap_or_default();
            done.variables.ends[number].clone().unwrap_or_else(of_port)
        };
        let mut told: Vec<(Vec<Option<String>>, Vec<Wanted>)> = Vec::new();
        for step in &done.steps {
            if step.out {
                told.push((pattern(&step.pieces, &end(0)), Vec::new()));
                continue;
            }
            if told.is_empty() {
                told.push((Vec::new(), Vec::new()));
            }
            let wanted = Wanted {
                pieces: step.pieces.clone(),
                end: end(1),
                separator: done.variables.separator.clone(),
                more: done.variables.more,
                longest: done.variables.longest,
            };
            told.last_mut().into_iter().for_each(|(_, all)| all.push(wanted.clone()));
        }
        if reads && told.iter().any(|(_, wanted)| !wanted.is_empty()) {
            self.inputs.insert(&record.name);
        }
        for (out, wanted) in told {
            let reader = Reader { record, function: function.to_owned(), wanted };
            self.exchanges.entry((port.to_owned(), out)).or_default().push(reader);
        }
    }

    /// All of them, and the records that read by answers that they take, each with its port.
    pub fn exchanges(self) -> (Vec<Exchange>, BTreeSet<(String, String)>) {
        let mut inputs = BTreeMap::new();
        let mut all = Vec::new();
        for ((port, out), readers) in self.exchanges {
            let waiting: Vec<&Reader> = readers.iter().filter(|own| !own.wanted.is_empty()).collect();
            let first = waiting.first().copied().or(readers.first()).map(|own| own.function.clone());
            let mut exchange = Exchange { port, out, function: first.unwrap_or_default(), ..Exchange::default() };
            let answer = Some(answer(&waiting)).filter(|_| !waiting.is_empty());
            for own in &readers {
                let reads = self.inputs.contains(own.record.name.as_str());
                let good = match &answer {
                    None => true,
                    Some(Some((answer, _))) => own.takes(answer),
                    Some(None) => false,
                };
                let whole = inputs.entry(own.record.name.as_str()).or_insert((true, exchange.port.clone()));
                whole.0 &= reads && good && !exchange.out.is_empty();
                if !good && matches!(answer, Some(Some(_))) {
                    exchange.others.insert((own.function.clone(), own.record.name.clone()));
                }
            }
            match answer {
                None => exchange.answer = Some(String::new()),
                Some(Some((bytes, function))) => (exchange.answer, exchange.function) = (Some(text(&bytes)), function),
                Some(None) => {}
            }
            all.push(exchange);
        }
        let inputs = inputs.into_iter().filter(|(_, (whole, _))| *whole);
        (all, inputs.map(|(name, (_, port))| (name.to_owned(), port)).collect())
    }
}

/// The answer that most of them take, records that read first, and the function whose form it has.
fn answer(readers: &[&Reader]) -> Option<(Vec<u8>, String)> {
    let mut forms: Vec<&Reader> = Vec::new();
    for own in readers {
        if forms.len() < FORMS
            && !forms.iter().any(|form| form.wanted == own.wanted && form.record.kind == own.record.kind)
        {
            forms.push(own);
        }
    }
    let mut best: Option<(usize, Vec<u8>, String)> = None;
    for form in forms {
        // Where no value is good for all, one is for itself.
        let tries = [(readers, true), (readers, false), (&[form][..], true), (&[form][..], false)];
        for (others, rewrites) in tries {
            let values = form.values(others);
            let mut values = values.iter();
            let parts = form.wanted.iter().map(|own| own.sample(&mut values, rewrites));
            let Some(answer) = parts.collect::<Option<Vec<_>>>().map(|parts| parts.concat()) else { continue };
            let good = readers.iter().filter(|own| own.takes(&answer));
            let score =
                good.map(|own| if own.record.field("OUT").is_none() { readers.len() + 1 } else { 1 }).sum::<usize>();
            if score > best.as_ref().map_or(0, |(score, ..)| *score) {
                best = Some((score, answer, form.function.clone()));
            }
        }
    }
    best.map(|(_, answer, function)| (answer, function))
}

impl Reader<'_> {
    fn takes(&self, answer: &[u8]) -> bool {
        self.wanted.iter().try_fold(answer, |rest, own| own.reads(rest, self.record)).is_some()
    }

    fn conversions(&self) -> Vec<(&[u8], bool)> {
        self.wanted.iter().flat_map(Wanted::conversions).collect()
    }

    /// A value for each of its conversions, good for all who have one of their own at the same place.
    fn values(&self, all: &[&Reader]) -> Vec<Value> {
        let own = self.conversions();
        let all: Vec<(&Record, Vec<bool>)> = all
            .iter()
            .map(|other| (other.record, other.conversions().into_iter().map(|(_, own)| own).collect()))
            .filter(|(_, places): &(_, Vec<bool>)| places.len() == own.len())
            .collect();
        let value = |place| {
            let records = all.iter().filter(|(_, places)| places[place]).map(|(record, _)| *record);
            Value::of(&records.collect::<Vec<_>>())
        };
        (0..own.len()).map(value).collect()
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
        Piece::Any | Piece::Value(..) => None,
    });
    for byte in bytes.chain(ends) {
        match (byte.map(char::from), out.last_mut()) {
            (Some(own), Some(Some(last))) => last.push(own),
            (own, _) => out.push(own.map(String::from)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::database::Database;
    use super::*;

    fn wanted(conversions: &[&str]) -> Vec<Wanted> {
        let values = conversions.iter().enumerate().flat_map(|(at, own)| {
            let before = if at == 0 { b'<' } else { b',' };
            [Piece::Byte(before), Piece::Value(own.as_bytes().to_vec(), true)]
        });
        vec![Wanted {
            pieces: values.collect(),
            end: b"\n".to_vec(),
            separator: b";".to_vec(),
            more: false,
            longest: 0,
        }]
    }

    /// The answer that records get, each by its own conversions, and how many take it.
    fn answers(database: &str, forms: &[&[&str]]) -> (Option<String>, usize) {
        let all = Database::of(database);
        let readers: Vec<Reader> = all
            .records
            .iter()
            .zip(forms)
            .map(|(record, own)| Reader { record, function: String::new(), wanted: wanted(own) })
            .collect();
        let answer = answer(&readers.iter().collect::<Vec<_>>()).map(|(answer, _)| answer);
        let count = readers.iter().filter(|own| answer.as_ref().is_some_and(|answer| own.takes(answer))).count();
        (answer.map(|own| text(&own)), count)
    }

    #[test]
    fn answers_have_the_form_of_the_conversion() {
        let cases = [
            ("f", "<1.000000\n"),
            ("*d", "<1\n"),
            ("!4x", "<   1\n"),
            ("04x", "<0001\n"),
            ("{OFF|ON}", "<OFF\n"),
            ("#{UP=3|DN=-3}", "<UP\n"),
            ("s", "<text\n"),
            ("39c", "<xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n"),
            ("3[A-Z]", "<AAA\n"),
            ("[^;]", "<1\n"),
            ("2r", "<\0\u{1}\n"),
            ("<sum8>", "<<\n"),
            ("?s", "<text\n"),
            ("20s", "<text\n"),
            (".1/v(\\d+)/", "<v1\n"),
        ];
        for (coded, wanted) in cases {
            assert_eq!(answers("record(stringin, A) {}", &[&[coded]]), (Some(wanted.to_owned()), 1), "{coded}");
        }
        assert_eq!(answers("record(stringin, A) {}", &[&["/(?=x)y/"]]).0, None, "what it matches is not told");
    }

    #[test]
    fn one_answer_is_for_all_who_ask_the_same() {
        type Case<'a> = (&'a str, &'a [&'a [&'a str]], Option<&'a str>, usize);
        let two =
            "record(ai, A) { field(HIGH, 5) field(HSV, MINOR) } record(ai, B) { field(LOW, 7) field(LSV, MAJOR) }";
        let three = "record(bi, A) { field(ZNAM, off) field(ONAM, on) } record(stringin, B) {} record(ai, C) {}";
        let same = "record(longin, A) {} record(ai, B) {} record(waveform, C) {}";
        let cases: [Case; 8] = [
            // Each takes a part of its own.
            (two, &[&["f", "*f"], &["*f", "f"]], Some("<1.000000,8.000000\n"), 2),
            (two, &[&["f"], &["f"]], Some("<1.000000\n"), 1),
            // The narrowest form is that of all.
            (same, &[&["x"], &["f"], &["d"]], Some("<1\n"), 3),
            (same, &[&["f"], &["d"], &["f"]], Some("<1\n"), 3),
            (three, &[&["s"], &["s"]], Some("<off\n"), 2),
            (three, &[&["{OFF|ON}"], &["s"], &["f"]], Some("<OFF\n"), 2),
            // EPNix's own: a version as a whole, by a pattern, and written anew.
            (
                "record(stringin, A) {} record(stringin, B) {} record(stringin, C) {}",
                &[&["s"], &[".1/^(\\d+\\.\\d+)$/"], &["#/^(\\d+)\\.(\\d+)$/\x1B\x01\x1B\x02/", "s"]],
                Some("<1.1\n"),
                2,
            ),
            (three, &[&["/x/"], &["s"]], Some("<x\n"), 1),
        ];
        for (database, forms, wanted, count) in cases {
            assert_eq!(answers(database, forms), (wanted.map(str::to_owned), count), "{forms:?}");
        }
    }
}
