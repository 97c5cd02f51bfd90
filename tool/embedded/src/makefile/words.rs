//! Words, patterns and file names, as make's functions see them.

use std::fs;
use std::path::{Path, PathBuf};

/// The words of a text.
pub fn of(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    text.split_ascii_whitespace()
}

/// The first word, and what follows it.
pub fn first(line: &str) -> (&str, &str) {
    let line = line.trim_start();
    let end = line.find(|c: char| c.is_ascii_whitespace() || c == '(' || c == '"' || c == '\'').unwrap_or(line.len());
    (&line[..end], line[end..].trim_start())
}

/// The two texts of `(a,b)`, `"a" "b"` or `'a' 'b'`.
pub fn pair(text: &str) -> Option<(String, String)> {
    let text = text.trim();
    if let Some(inner) = text.strip_prefix('(') {
        let (mut depth, mut comma) = (0_u32, None);
        for (at, c) in inner.char_indices() {
            match c {
                '(' => depth += 1,
                ')' if depth > 0 => depth -= 1,
                ')' => {
                    let comma: usize = comma?;
                    return Some((inner[..comma].trim_end().to_owned(), inner[comma + 1..at].trim_start().to_owned()));
                }
                ',' if depth == 0 && comma.is_none() => comma = Some(at),
                _ => {}
            }
        }
        return None;
    }
    let quoted = |text: &str| -> Option<(String, String)> {
        let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let (own, rest) = text[1..].split_once(quote)?;
        Some((own.to_owned(), rest.trim_start().to_owned()))
    };
    let (left, rest) = quoted(text)?;
    Some((left, quoted(&rest)?.0))
}

/// What `%` stands for where a word matches a pattern.
pub fn stem<'a>(pattern: &str, word: &'a str) -> Option<&'a str> {
    match pattern.split_once('%') {
        None => (pattern == word).then_some(""),
        Some((start, end)) if word.len() >= start.len() + end.len() => word.strip_prefix(start)?.strip_suffix(end),
        Some(_) => None,
    }
}

/// A word with a pattern replaced.
pub fn replaced(pattern: &str, by: &str, word: &str) -> String {
    match stem(pattern, word) {
        None => word.to_owned(),
        Some(stem) if pattern.contains('%') => by.replacen('%', stem, 1),
        Some(_) => by.to_owned(),
    }
}

/// The folder part of a name, as `$(dir …)` gives it.
pub fn folder(name: &str) -> &str {
    match name.rfind('/') {
        Some(at) => &name[..=at],
        None => "./",
    }
}

/// The part behind the last `/`.
pub fn file(name: &str) -> &str {
    &name[name.rfind('/').map_or(0, |at| at + 1)..]
}

/// Where the suffix starts.
pub fn suffix(name: &str) -> Option<usize> {
    let start = name.len() - file(name).len();
    name[start..].rfind('.').map(|at| start + at)
}

/// The names that a pattern with `*`, `?` and `[…]` stands for, in order. `folder` is where relative ones start.
pub fn glob(pattern: &str, folder: &Path) -> Vec<String> {
    let mut found = vec![(String::new(), crate::top::plain(folder))];
    if let Some(rest) = pattern.strip_prefix('/') {
        found = vec![("/".to_owned(), PathBuf::from("/"))];
        return steps(rest, found);
    }
    steps(pattern, found)
}

fn steps(pattern: &str, mut found: Vec<(String, PathBuf)>) -> Vec<String> {
    for (number, part) in pattern.split('/').enumerate() {
        let slash = if number > 0 { "/" } else { "" };
        let mut next = Vec::new();
        for (name, path) in found {
            if part.contains(['*', '?', '[']) {
                let entries = fs::read_dir(&path).into_iter().flatten().flatten();
                let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
                let mut names: Vec<String> = names
                    .filter(|own| {
                        own.starts_with('.') == part.starts_with('.') && matches(part.as_bytes(), own.as_bytes())
                    })
                    .collect();
                names.sort();
                next.extend(names.into_iter().map(|own| (format!("{name}{slash}{own}"), path.join(own))));
            } else {
                next.push((format!("{name}{slash}{part}"), crate::top::plain(&path.join(part))));
            }
        }
        found = next;
    }
    found.into_iter().filter(|(_, path)| path.exists()).map(|(name, _)| name).collect()
}

/// Whether a name matches a pattern, by going back to the last `*` only.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut own, mut star) = (0, 0, None);
    while own < name.len() {
        if pattern.get(at) == Some(&b'*') {
            star = Some((at, own));
            at += 1;
        } else if let Some(length) = pattern.get(at..).and_then(|rest| one(rest, name[own])) {
            at += length;
            own += 1;
        } else if let Some((star_at, star_own)) = star {
            star = Some((star_at, star_own + 1));
            (at, own) = (star_at + 1, star_own + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// How much of a pattern takes one character.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern.first()? {
        b'?' => Some(1),
        b'[' => {
            let Some(end) = pattern.iter().skip(2).position(|own| *own == b']').map(|at| at + 2) else {
                return (byte == b'[').then_some(1);
            };
            let (not, set) = match &pattern[1..end] {
                [b'!' | b'^', set @ ..] => (true, set),
                set => (false, set),
            };
            let inside = set.contains(&byte) || set.windows(3).any(|w| w[1] == b'-' && (w[0]..=w[2]).contains(&byte));
            (inside != not).then_some(end + 1)
        }
        own => (*own == byte).then_some(1),
    }
}
