//! Rules of access security.

use std::fs;
use std::ops::Range;

use epics_base_rs::server::access_security::parse_acf;

use super::database::Database;
use super::report::{Place, Report, nearest, suggest};
use super::startup::Startup;

/// Words that may stand before a parenthesis.
const KEYWORDS: [&str; 6] = ["UAG", "HAG", "ASG", "RULE", "CALC", "INPA"];

/// What a rule may allow.
const RIGHTS: [&str; 3] = ["NONE", "READ", "WRITE"];

/// What `iocInit` would refuse, and with it the whole IOC, what it would leave out, and records of groups that are not there.
pub fn judge(startup: &Startup, database: &Database, report: &mut Report) {
    let Some((path, at)) = &startup.acf else { return };
    // The shell may give values to its macros.
    let outside = |line: &str| if line.contains('"') { line.len() } else { line.find('#').unwrap_or(line.len()) };
    let has_macro = |line: &str| ["$(", "${"].iter().any(|own| line[..outside(line)].contains(own));
    let text = fs::read_to_string(path).ok().filter(|text| !text.lines().any(has_macro));
    let Some(text) = text else { return };
    let file = report.file(path);
    if let Ok(rules) = parse_acf(&text) {
        let groups: Vec<String> = rules.asg.keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        let of_records = database.records.iter().filter_map(|record| record.field("ASG"));
        for field in of_records.filter(|own| !own.value.is_empty() && !groups.contains(&own.value)) {
            let what = format!("no ASG of the rules is called `{}`: those of DEFAULT hold", field.value);
            let hint =
                suggest(&field.value, groups.iter().map(String::as_str), || format!("ASG({}) {{ … }}", field.value));
            report.warning(field.value_at, "access-rule", what, hint);
        }
    }
    let (unknown, mut error) = (unknown(&text), refusal(&text));
    // Where they are what is refused, nothing else is said.
    let mut meant = text.clone();
    for (range, known) in unknown.iter().rev() {
        meant.replace_range(range.clone(), nearest(&text[range.clone()], known.iter().copied()).unwrap_or_default());
    }
    let refused = error.is_some() && refusal(&meant) != error;
    error = error.filter(|_| !refused);
    for (range, known) in unknown {
        let (before, word) = (&text[..range.start], &text[range]);
        let line = u32::try_from(before.matches('\n').count() + 1).unwrap_or(1);
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let place = Place { file, line, column: u32::try_from(column).unwrap_or(1) };
        let hint = suggest(word, known.iter().copied(), || format!("there is {}", known.join(", ")));
        if refused {
            let what = format!("iocInit knows no `{word}` in rules of access security, and the IOC does not start");
            report.error(place, "access-rule", what, hint);
        } else {
            let what =
                format!("iocInit knows no `{word}` in rules of access security, and leaves out what it is part of");
            report.warning(place, "access-rule", what, hint);
        }
    }
    if let Some(error) = error {
        let (what, line) = error.rsplit_once(" at line ").unwrap_or((&error, ""));
        let at = line.parse().map_or(*at, |line| Place { file, line, column: 1 });
        let what = format!("iocInit refuses these rules of access security, so the IOC does not start: {what}");
        report.error(at, "syntax", what, "UAG(name) { … }, HAG(name) { … }, ASG(name) { RULE(1, WRITE) }");
    }
}

/// Why C takes no such rules: one a line, the first of which the others come from.
fn refusal(text: &str) -> Option<String> {
    let error = parse_acf(text).err()?.to_string();
    let error = error.split_once("ACF ").map_or(&*error, |(_, own)| own);
    error.split("; ").next().map(str::to_owned)
}

/// Words that stand before a parenthesis or for the right of a rule and mean nothing there, and those that may.
fn unknown(text: &str) -> Vec<(Range<usize>, &'static [&'static str])> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_-+:.[]<>;".contains(c);
    let (mut found, mut words, mut at) = (Vec::new(), Vec::<Range<usize>>::new(), 0);
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let end = match first {
            '#' => rest.find('\n'),
            '"' => rest[1..].find(['"', '\n']).map(|end| end + 2),
            c if is_word(c) => rest.find(|c| !is_word(c)),
            c => Some(c.len_utf8()),
        };
        let range = at..at + end.unwrap_or(rest.len());
        at = range.end;
        if !first.is_whitespace() && first != '#' {
            words.push(range);
        }
    }
    let of = |at: usize| words.get(at).map_or("", |range: &Range<usize>| &text[range.clone()]);
    for (at, range) in words.iter().enumerate() {
        let word = of(at);
        let input = word.strip_prefix("INP").is_some_and(|own| matches!(own.as_bytes(), [b'A'..=b'U']));
        if of(at + 1) == "(" && word.starts_with(is_word) && !KEYWORDS.contains(&word) && !input {
            found.push((range.clone(), &KEYWORDS[..]));
        }
        let is_right = at > 3 && [of(at - 4), of(at - 3), of(at - 1)] == ["RULE", "(", ","];
        if is_right && !RIGHTS.contains(&word.trim_matches('"')) {
            found.push((range.clone(), &RIGHTS[..]));
        }
    }
    found
}
