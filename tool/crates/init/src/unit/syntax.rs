//! The text of a unit file: sections and assignments, before any meaning.

use std::fmt::Write as _;

/// One assignment of a unit file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Section without brackets.
    pub section: String,
    /// Directive, as written.
    pub key: String,
    /// Value: continuation lines joined by a blank, white space around it removed.
    pub value: String,
    /// Line of the key, from 1.
    pub line: usize,
}

/// Reads the text of a unit file. Errors name the line.
pub fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    let mut section: Option<String> = None;
    for (line, text) in logical_lines(text) {
        if let Some(rest) = text.strip_prefix('[') {
            let name = rest.strip_suffix(']').ok_or_else(|| format!("line {line}: section header without `]`"))?;
            section = Some(name.to_owned());
            continue;
        }
        let Some(section) = &section else {
            return Err(format!("line {line}: assignment outside of any section"));
        };
        let (key, value) = text.split_once('=').ok_or_else(|| format!("line {line}: no `=` in `{text}`"))?;
        let key = key.trim();
        if key.is_empty() {
            return Err(format!("line {line}: no directive before `=`"));
        }
        entries.push(Entry { section: section.clone(), key: key.to_owned(), value: value.trim().to_owned(), line });
    }
    Ok(entries)
}

/// Lines with their numbers: comments and blank lines dropped, continuation lines joined by a blank.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, raw) in text.lines().enumerate() {
        let trimmed = raw.trim();
        // A comment inside a continued line is dropped, and the continuation goes on.
        if trimmed.starts_with(['#', ';']) || (trimmed.is_empty() && open.is_none()) {
            continue;
        }
        let (number, mut joined) = open.take().unwrap_or((index + 1, String::new()));
        if let Some(part) = raw.trim_end_matches('\r').strip_suffix('\\') {
            joined.push_str(if joined.is_empty() { part.trim_start() } else { part });
            joined.push(' ');
            open = Some((number, joined));
        } else {
            joined.push_str(raw);
            lines.push((number, joined.trim().to_owned()));
        }
    }
    lines.extend(open.map(|(number, joined)| (number, joined.trim().to_owned())));
    lines.retain(|(_, text)| !text.is_empty());
    lines
}

/// The text of a unit file with these assignments.
pub fn render(entries: &[Entry]) -> String {
    let mut text = String::new();
    let mut section = None;
    for entry in entries {
        if section != Some(&entry.section) {
            let _ = writeln!(text, "[{}]", entry.section);
            section = Some(&entry.section);
        }
        let _ = writeln!(text, "{}={}", entry.key, entry.value);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(text: &str) -> Vec<(String, String, usize)> {
        parse(text).unwrap().into_iter().map(|e| (e.key, e.value, e.line)).collect()
    }

    #[test]
    fn continuation_lines_join_and_comments_inside_are_dropped() {
        let text = "[Service]\nExecStart=/bin/echo a \\\n# no\n  b\n; note\nType = simple\n";
        assert_eq!(
            pairs(text),
            [("ExecStart".into(), "/bin/echo a    b".into(), 2), ("Type".into(), "simple".into(), 6)]
        );
    }

    #[test]
    fn errors_name_the_line() {
        assert_eq!(parse("A=b").unwrap_err(), "line 1: assignment outside of any section");
        assert_eq!(parse("[Unit]\n\nwhat").unwrap_err(), "line 3: no `=` in `what`");
        assert_eq!(parse("[Unit").unwrap_err(), "line 1: section header without `]`");
    }

    fn entry() -> impl Strategy<Value = Entry> {
        let value = "([!-~&&[^\\\\#;]]([ -~]{0,20}[!-~&&[^\\\\]])?)?";
        ("(Unit|Service|Install)", "[A-Za-z]{1,12}", value).prop_map(|(section, key, value)| Entry {
            section,
            key,
            value,
            line: 0,
        })
    }

    proptest! {
        #[test]
        fn parse_never_panics(text in "(\\PC|\n|\\\\\n|\\[|\\]|=|#){0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn what_was_rendered_is_read_back(entries in prop::collection::vec(entry(), 0..12)) {
            let mut read = parse(&render(&entries)).unwrap();
            for entry in &mut read {
                entry.line = 0;
            }
            prop_assert_eq!(read, entries);
        }
    }
}
