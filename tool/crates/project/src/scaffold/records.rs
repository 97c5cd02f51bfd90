//! Names of records: in databases, and where scripts use them.

use std::collections::BTreeSet;
use std::ops::Range;

/// Programs whose arguments are names of records.
const TOOLS: [&str; 8] = ["caget", "caput", "camonitor", "cainfo", "pvget", "pvput", "pvmonitor", "pvinfo"];

/// Type and name of each `record(type, "$(PREFIX)NAME")` of a database. Names with other macros are left out.
pub fn of_database(text: &str) -> Vec<(String, String)> {
    let mut records = Vec::new();
    for line in text.lines().map(str::trim_start).filter(|line| !line.starts_with('#')) {
        let Some(rest) = line.strip_prefix("grecord").or(line.strip_prefix("record")) else { continue };
        let Some((kind, rest)) = rest.trim_start().strip_prefix('(').and_then(|r| r.split_once(',')) else { continue };
        // The name ends at its quote, or at the `)` that no macro opened.
        let rest = rest.trim_start();
        let name = match rest.strip_prefix('"') {
            Some(rest) => rest.split_once('"').map_or("", |(name, _)| name),
            None => rest.trim_end_matches(['{', ' ']).strip_suffix(')').unwrap_or_default().trim_end(),
        };
        let name = name.strip_prefix("$(PREFIX)").or(name.strip_prefix("${PREFIX}"));
        if let Some(name) = name.filter(|name| !name.is_empty() && !name.contains(['$', '"', ' '])) {
            records.push((kind.trim().trim_matches('"').to_owned(), name.to_owned()));
        }
    }
    records
}

/// Places of the default of the macro in a start-up script: what stands in `${PREFIX=…}`.
pub fn defaults(text: &[u8]) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    for (open, close) in [(b"${PREFIX=", b'}'), (b"$(PREFIX=", b')')] {
        let starts = (0..text.len()).filter(|at| text[*at..].starts_with(open)).map(|at| at + open.len());
        places.extend(starts.filter_map(|start| {
            let length = text[start..].iter().position(|b| *b == close)?;
            (!text[start..start + length].contains(&b'\n')).then_some(start..start + length)
        }));
    }
    places.sort_by_key(|place| place.start);
    places
}

/// Places of full names of records in a text: those given to `caget` and its like, and all others.
pub fn uses(text: &[u8], names: &BTreeSet<String>) -> (Vec<Range<usize>>, Vec<Range<usize>>) {
    let (mut given, mut others) = (Vec::new(), Vec::new());
    let mut start = 0;
    for line in text.split_inclusive(|b| *b == b'\n') {
        let mut after_tool = false;
        let mut at = 0;
        while at < line.len() {
            let length = line[at..].iter().take_while(|b| part(**b)).count();
            let token = &line[at..at + length];
            let before = at.checked_sub(1).map(|i| line[i]);
            let alone = before.is_none_or(|b| b" \t'\"`(,".contains(&b))
                && line.get(at + length).is_none_or(|b| b" \t\r\n'\"`),.|;&".contains(b));
            let place = start + at..start + at + length;
            if alone && TOOLS.iter().any(|tool| tool.as_bytes() == token) {
                after_tool = true;
            } else if alone && std::str::from_utf8(token).is_ok_and(|token| names.contains(token)) {
                if after_tool { given.push(place) } else { others.push(place) }
            }
            at += length.max(1);
        }
        start += line.len();
    }
    (given, others)
}

/// The text with `new` in these places.
pub fn replaced(text: &[u8], places: &[Range<usize>], new: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut result = Vec::with_capacity(text.len());
    let mut end = 0;
    for place in places {
        result.extend(&text[end..place.start]);
        result.extend(new(&text[place.clone()]));
        end = place.end;
    }
    result.extend(&text[end..]);
    result
}

fn part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-+:".contains(&byte) || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_a_database() {
        let text = "# record(ai, \"$(PREFIX)NOT\")\nrecord(ai, \"$(PREFIX)VOLT-RB\") {\n  record (bo,${PREFIX}ON)\n\
            grecord(\"ao\",\"$(PREFIX)A:B\") { field(DESC, \"(x)\") }\nrecord(ai, \"$(PREFIX)$(N)\")\nrecord(ai, \"X\")\nrecord(\nrecord(ai)\n";
        let found = of_database(text);
        let found: Vec<_> = found.iter().map(|(kind, name)| (kind.as_str(), name.as_str())).collect();
        assert_eq!(found, [("ai", "VOLT-RB"), ("bo", "ON"), ("ao", "A:B")]);
    }

    #[test]
    fn the_default_of_the_macro() {
        let text = b"dbLoadRecords(\"a.db\", \"PREFIX=${PREFIX=},P=$(PREFIX=A:)\")\n${PREFIX=\n}";
        let found: Vec<_> =
            defaults(text).into_iter().map(|r| String::from_utf8_lossy(&text[r]).into_owned()).collect();
        assert_eq!(found, ["", "A:"]);
    }

    #[test]
    fn records_that_scripts_use() {
        let names = BTreeSet::from(["VOLT".to_owned(), "VOLT-RB".to_owned()]);
        let prefixed = |text: &str| {
            let (given, others) = uses(text.as_bytes(), &names);
            let new = replaced(text.as_bytes(), &given, |name| [b"P:", name].concat());
            (String::from_utf8(new).unwrap(), others.len())
        };
        for (before, after) in [
            ("machine.succeed(\"caget -t VOLT-RB | grep 0\")", "machine.succeed(\"caget -t P:VOLT-RB | grep 0\")"),
            ("'caput VOLT 1; caget VOLT-RB.SEVR VOLT'", "'caput P:VOLT 1; caget P:VOLT-RB.SEVR P:VOLT'"),
            ("[\"caget\", \"VOLT\"]", "[\"caget\", \"P:VOLT\"]"),
            ("`caput VOLT`.", "`caput P:VOLT`."),
            ("caget A:VOLT VOLT-RBX {p}VOLT $VOLT VOLT{n} xVOLT", "caget A:VOLT VOLT-RBX {p}VOLT $VOLT VOLT{n} xVOLT"),
        ] {
            assert_eq!(prefixed(before), (after.to_owned(), 0));
        }
        let elsewhere = "VOLT = 1\nnames = ['VOLT-RB']\nmycaget VOLT\n";
        assert_eq!(prefixed(elsewhere), (elsewhere.to_owned(), 3));
    }
}
