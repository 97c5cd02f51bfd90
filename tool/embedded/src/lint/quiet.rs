//! Values that give a record no alarm.

use super::database::Record;

const STATES: [&str; 16] =
    ["ZR", "ON", "TW", "TH", "FR", "FV", "SX", "SV", "EI", "NI", "TE", "EL", "TV", "TT", "FT", "FF"];

/// What StreamDevice has read.
#[derive(Debug, Clone, PartialEq)]
pub enum Read {
    Number(f64),
    Whole(i64),
    State(i64),
    Text(Vec<u8>),
}

/// A value to answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    pub number: f64,
    pub whole: i64,
    pub state: i64,
    pub text: String,
}

impl Value {
    /// One that is good for as many of some records as can be.
    pub fn of(records: &[&Record]) -> Self {
        let with_states: Vec<&&Record> = records.iter().filter(|own| has_states(own)).collect();
        let good = |state: &i64| with_states.iter().all(|own| takes(own, &Read::State(*state)));
        let state = (0..16).find(good).unwrap_or(0);
        let limits = records.iter().filter(|own| !has_states(own)).map(|own| limits(own));
        let (low, high) = limits
            .fold((None, None), |(low, high), own| (tighter(low, own.0, f64::max), tighter(high, own.1, f64::min)));
        let number = match (low, high) {
            (Some(low), Some(high)) if low >= 1.0 || high <= 1.0 => f64::midpoint(low, high),
            (Some(low), None) if low >= 1.0 => low + 1.0,
            (None, Some(high)) if high <= 1.0 => high - 1.0,
            _ => 1.0,
        };
        #[expect(clippy::cast_possible_truncation, reason = "a sample")]
        let mut whole = number as i64;
        let mut text = "text".to_owned();
        if let Some(first) = with_states.first() {
            let raw = usize::try_from(state).ok().filter(|_| raw_states(first)).and_then(|at| raw_value(first, at));
            whole = raw.unwrap_or(state);
            text = state_text(first, state).unwrap_or(text);
        }
        Self { number, whole, state, text }
    }
}

/// Whether a record takes what was read for it, and is in no alarm then.
#[expect(clippy::cast_precision_loss, reason = "limits are no large numbers")]
pub fn takes(record: &Record, read: &Read) -> bool {
    if has_states(record) {
        let state = match read {
            Read::State(state) => Some(*state),
            Read::Text(text) => {
                let own = (0..16).find(|state| state_text(record, *state).is_some_and(|own| own.as_bytes() == text));
                if own.is_none() {
                    return false;
                }
                own
            }
            Read::Whole(whole) if raw_states(record) => (0..16_usize)
                .find(|at| raw_value(record, *at).unwrap_or(0) == *whole)
                .and_then(|at| i64::try_from(at).ok()),
            Read::Whole(whole) => Some(*whole),
            #[expect(clippy::cast_possible_truncation, reason = "a state")]
            Read::Number(number) => Some(*number as i64),
        };
        let severity = match (record.kind.as_str(), state) {
            ("bi", Some(0)) => "ZSV".to_owned(),
            ("bi", _) => "OSV".to_owned(),
            (_, state) => state
                .and_then(|state| STATES.get(usize::try_from(state).ok()?))
                .map_or("UNSV".to_owned(), |own| format!("{own}SV")),
        };
        return quiet(record, &severity);
    }
    let number = match read {
        Read::Number(number) => *number,
        Read::Whole(whole) | Read::State(whole) => *whole as f64,
        Read::Text(_) => return true,
    };
    let (low, high) = limits(record);
    low.is_none_or(|low| number > low) && high.is_none_or(|high| number < high)
}

/// Its value is one of some states.
fn has_states(record: &Record) -> bool {
    ["bi", "mbbi"].contains(&record.kind.as_str())
}

fn field<'a>(record: &'a Record, name: &str) -> Option<&'a str> {
    record.field(name).map(|field| field.value.trim())
}

fn quiet(record: &Record, severity: &str) -> bool {
    field(record, severity).is_none_or(|text| matches!(text, "" | "0" | "NO_ALARM"))
}

/// What a number must be above and below. Of outputs nobody asks.
fn limits(record: &Record) -> (Option<f64>, Option<f64>) {
    let limit = |name: &str, severity: &str| {
        field(record, name).filter(|_| !quiet(record, severity)).and_then(|text| text.parse::<f64>().ok())
    };
    if record.field("OUT").is_some() {
        return (None, None);
    }
    (
        tighter(limit("LOLO", "LLSV"), limit("LOW", "LSV"), f64::max),
        tighter(limit("HIHI", "HHSV"), limit("HIGH", "HSV"), f64::min),
    )
}

fn tighter(one: Option<f64>, other: Option<f64>, of: fn(f64, f64) -> f64) -> Option<f64> {
    [one, other].into_iter().flatten().reduce(of)
}

/// The text of a state, where it has one.
fn state_text(record: &Record, state: i64) -> Option<String> {
    let name = match (record.kind.as_str(), state) {
        ("bi", 0) => "ZNAM".to_owned(),
        ("bi", 1) => "ONAM".to_owned(),
        ("mbbi", _) => format!("{}ST", STATES.get(usize::try_from(state).ok()?)?),
        _ => return None,
    };
    field(record, &name).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Whether a record looks for a state that has the value that was read; else that is the state.
fn raw_states(record: &Record) -> bool {
    let has = |at: usize| {
        let text = state_text(record, i64::try_from(at).unwrap_or(0));
        raw_value(record, at).is_some_and(|value| value != 0) || text.is_some()
    };
    record.kind == "mbbi" && (0..16).any(has)
}

fn raw_value(record: &Record, at: usize) -> Option<i64> {
    field(record, &format!("{}VL", STATES.get(at)?)).and_then(whole_number)
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
    use super::*;

    #[test]
    fn values_keep_clear_of_alarms() {
        let all = Database::of(
            "record(ai, A) { field(LOW, 20) field(LSV, MINOR) field(HIGH, 40) field(HSV, MAJOR) }
             record(ai, B) { field(LOLO, 30) field(LLSV, MINOR) field(HIHI, 1) }
             record(bi, C) { field(ZSV, MAJOR) field(ZNAM, no) field(ONAM, yes) }
             record(mbbi, D) { field(ZRST, bad) field(ZRSV, MAJOR) field(ONST, good) field(ONVL, 0x10) field(UNSV, MAJOR) }
             record(mbbi, E) { }",
        );
        let [low, high, two, many, none] = &all.records[..] else { panic!("{:?}", all.records) };
        let of = |records: &[&Record]| {
            let own = Value::of(records);
            (own.number, own.whole, own.state, own.text)
        };
        assert_eq!(of(&[low]), (30.0, 30, 0, "text".to_owned()));
        assert_eq!(of(&[low, high]), (35.0, 35, 0, "text".to_owned()));
        assert_eq!(of(&[two]), (1.0, 1, 1, "yes".to_owned()));
        assert_eq!(of(&[many]), (1.0, 16, 1, "good".to_owned()));
        assert_eq!(of(&[none]), (1.0, 0, 0, "text".to_owned()));
        for (record, read, good) in [
            (low, Read::Number(20.0), false),
            (low, Read::Whole(21), true),
            (two, Read::Text(b"yes".to_vec()), true),
            (two, Read::Text(b"no".to_vec()), false),
            (two, Read::Text(b"text".to_vec()), false),
            (many, Read::Whole(16), true),
            (many, Read::Whole(1), false),
            (many, Read::State(1), true),
            (none, Read::Whole(7), true),
        ] {
            assert_eq!(takes(record, &read), good, "{} {read:?}", record.name);
        }
    }
}
