//! The text of a protocol file: its functions and variables, and where what StreamDevice says of it is.

use std::collections::HashMap;

use crate::lint::report::nearest;

/// The line that a message is about, by the one it tells. A variable's value is without its line: what the message quotes
/// tells it then. StreamDevice tells any number where it has read behind the end of what it has of a line.
pub fn known_line(all: &[&str], told: u32, what: &str) -> Option<u32> {
    let lines = || (1..).zip(all);
    let with = |word: &str| lines().find(|(_, own)| code(own).to_lowercase().contains(word)).map(|(number, _)| number);
    if let Some(value) = what.strip_prefix("Value '").and_then(|rest| rest.split('\'').next()) {
        let value = value.to_lowercase();
        // Of the one variable whose values are few.
        let is_it = |own: &str| own.split_once("extrainput").is_some_and(|(_, rest)| rest.contains(&value));
        let own = lines().find(|(_, own)| is_it(&code(own).to_lowercase())).map(|(number, _)| number);
        return own.or_else(|| with(&value)).or(Some(told));
    }
    if told == 0 {
        let quoted = what.rsplit(": ").next().unwrap_or(what);
        return lines().find(|(_, own)| own.contains(quoted)).map(|(number, _)| number);
    }
    (told as usize <= all.len()).then_some(told)
}

/// The first message: the following ones tell what it is part of. `start` is the line of the function.
pub fn first_message(said: &str, name: &str, start: u32) -> Option<(u32, String)> {
    let placed = |line: &'_ str| -> Option<(u32, String)> {
        let (line, what) = line.strip_prefix(name)?.strip_prefix(" line ")?.split_once(": ")?;
        Some((line.parse().ok()?, what.trim().to_owned()))
    };
    let first = said.lines().find(|line| !line.trim().is_empty())?;
    // One without a line is followed by the command it is about.
    let line = said.lines().find_map(placed).map(|(line, _)| line);
    let line = line.or_else(|| first.rsplit_once("' line ")?.1.trim().parse().ok());
    let what = placed(first)
        .map_or_else(|| first.split(" defined in protocol file").next().unwrap_or(first).to_owned(), |(_, what)| what);
    Some((line.unwrap_or(start), what.trim().to_owned()))
}

/// The lines where functions start, by their names in lower case.
pub fn starts(lines: &[&str]) -> HashMap<String, u32> {
    let mut starts = HashMap::new();
    for (number, line) in (1..).zip(lines) {
        let line = line.trim().to_lowercase();
        let name = line.split(['{', '#']).next().unwrap_or_default().trim_end();
        if !name.is_empty() {
            starts.entry(name.to_owned()).or_insert(number);
        }
    }
    starts
}

/// The column of what a message quotes, or of the first word of the line.
pub fn column(text: &str, line: u32, what: &str) -> u32 {
    column_in(text.lines().nth(line.saturating_sub(1) as usize).unwrap_or_default(), what)
}

/// The same, in a line.
pub fn column_in(line: &str, what: &str) -> u32 {
    let quoted = what.split('\'').nth(1).filter(|word| !word.is_empty());
    let lower = line.to_ascii_lowercase();
    let at = quoted.and_then(|word| lower.find(&word.to_ascii_lowercase()));
    let at = at.unwrap_or_else(|| line.find(|c: char| !c.is_whitespace()).unwrap_or(0));
    u32::try_from(line[..at].chars().count() + 1).unwrap_or(1)
}

/// The functions of a protocol file.
pub fn functions(text: &str) -> Vec<String> {
    let (mut found, mut depth, mut word, mut quote) = (Vec::new(), 0_u32, String::new(), None);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(_), '\\') => drop(chars.next()),
            (Some(open), _) => quote = if c == open || c == '\n' { None } else { quote },
            (None, '"' | '\'') => quote = Some(c),
            (None, '#') => drop(chars.find(|c| *c == '\n')),
            // A reference, `${1}`.
            (None, '$') if chars.peek() == Some(&'{') => drop(chars.find(|c| *c == '}')),
            (None, '{') => {
                if depth == 0 && !word.is_empty() {
                    found.push(std::mem::take(&mut word));
                }
                depth += 1;
                word.clear();
            }
            (None, '}') => {
                depth = depth.saturating_sub(1);
                word.clear();
            }
            (None, ';' | '=') => word.clear(),
            (None, c) if c.is_whitespace() => {}
            (None, c) => word.push(c),
        }
    }
    found
}

/// Variables that StreamDevice looks at.
pub const VARIABLES: [&str; 11] = [
    "Terminator",
    "InTerminator",
    "OutTerminator",
    "Separator",
    "LockTimeout",
    "ReadTimeout",
    "ReplyTimeout",
    "WriteTimeout",
    "MaxInput",
    "PollPeriod",
    "ExtraInput",
];

/// A line without its strings and its comment.
fn code(line: &str) -> String {
    let (mut quote, mut escaped) = (None, false);
    let outside = |c: &char| match quote {
        Some(_) if std::mem::take(&mut escaped) => false,
        Some(own) => {
            escaped = *c == '\\';
            quote = quote.filter(|_| *c != own);
            false
        }
        None => {
            quote = Some(*c).filter(|c| ['"', '\''].contains(c));
            quote.is_none()
        }
    };
    let text: String = line.chars().filter(outside).collect();
    text.split('#').next().unwrap_or_default().to_owned()
}

/// Variables that are nearly one of those, with their lines, and that nothing in the file refers to.
pub fn unknown_variables(text: &str) -> Vec<(String, u32)> {
    let lower = text.to_lowercase();
    let statements = (1..).zip(text.lines()).flat_map(|(number, line)| {
        code(line).split([';', '{', '}']).map(|own| (own.to_owned(), number)).collect::<Vec<_>>()
    });
    let own = statements.filter_map(|(statement, number)| {
        let name = statement.split_once('=')?.0.trim();
        let near = nearest(name, VARIABLES).filter(|own| !own.eq_ignore_ascii_case(name));
        let word = name.to_lowercase();
        let used = lower.contains(&format!("${word}")) || lower.contains(&format!("${{{word}}}"));
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (near.is_some() && is_name && !used).then(|| (name.to_owned(), number))
    });
    own.collect()
}
