//! Files that are too much for the readers of the soft IOC are told, and given to none of them.

use std::collections::HashMap;

use super::report::{Place, Report};
use super::text::Text;
use crate::growth::{Beyond, Kind, lines};

/// Bytes of a variable's value. Linux gives a program none of twice as many (execve(2)).
pub const VALUE: usize = 1 << 16;
/// Bytes of a text in quotes of a protocol; StreamDevice counts on to its end for each of its bytes.
const QUOTED: usize = 4096;
/// Bytes that a variable or a function of a protocol stands for.
const LARGEST: usize = 1 << 20;

/// Whether a file is as its readers take it. Else it is said where that ends.
pub fn within(text: &str, file: usize, kind: Kind, report: &mut Report) -> bool {
    let protocol = Some(text).filter(|_| kind == Kind::Protocol);
    let beyond =
        lines(text.as_bytes(), kind).or_else(|| protocol.and_then(|text| quoted(text).or_else(|| grown(text))));
    let Some((line, what)) = beyond else { return true };
    let place = Place { file, line: u32::try_from(line).unwrap_or(1), column: 1 };
    report.beyond(place, what);
    false
}

/// Whether a text is as its readers take it, once its macros are replaced. Else it is said where that ends.
pub fn text_within(text: &Text, kind: Kind, report: &mut Report) -> bool {
    let Some((line, what)) = lines(&text.bytes, kind) else { return true };
    let place = text.lines().nth(line - 1).map_or(text.place(0), |own| own.place(0));
    report.beyond(place, what);
    false
}

/// The parts of a protocol: words, references, texts in quotes and single characters, each with its line.
fn parts(text: &str) -> Vec<(usize, &str)> {
    let bytes = text.as_bytes();
    let (mut parts, mut at, mut line) = (Vec::new(), 0, 1);
    while at < bytes.len() {
        let start = at;
        let to = |from: usize, ends: &dyn Fn(u8) -> bool| {
            bytes[from..].iter().position(|byte| ends(*byte)).map_or(bytes.len(), |length| from + length)
        };
        match bytes[at] {
            b'#' => at = to(at, &|byte| byte == b'\n'),
            byte if byte.is_ascii_whitespace() => {
                line += usize::from(byte == b'\n');
                at += 1;
            }
            quote @ (b'"' | b'\'') => {
                at += 1;
                while at < bytes.len() && bytes[at] != quote && bytes[at] != b'\n' {
                    at += 1 + usize::from(bytes[at] == b'\\');
                }
                at = (at + 1).min(bytes.len());
                while !text.is_char_boundary(at) {
                    at += 1;
                }
                parts.push((line, &text[start..at]));
            }
            byte if b",;{}=()".contains(&byte) => {
                at += 1;
                parts.push((line, &text[start..at]));
            }
            _ => {
                at += usize::from(bytes[at] == b'$') + usize::from(bytes[at..].starts_with(b"${"));
                at = to(at, &|byte| byte.is_ascii_whitespace() || b",;{}=()$'\"#".contains(&byte)).max(start + 1);
                while !text.is_char_boundary(at) {
                    at += 1;
                }
                parts.push((line, &text[start..at]));
            }
        }
    }
    parts
}

/// A text in quotes that is too long.
fn quoted(text: &str) -> Option<Beyond> {
    let (line, long) = parts(text).into_iter().find(|(_, part)| part.len() > QUOTED)?;
    Some((line, format!("a text of {} bytes: the soft IOC reads up to {QUOTED}", long.len())))
}

/// A variable or a function that stands for too much, as others are put into it.
fn grown(text: &str) -> Option<Beyond> {
    let mut sizes: HashMap<String, usize> = HashMap::new();
    // What a statement stands for, and what all of the function around it do.
    let (mut own, mut function, mut depth) = (0_usize, 0_usize, 0_usize);
    let (mut name, mut last, mut called) = (None, String::new(), String::new());
    for (line, part) in parts(text) {
        let word = || part.trim_start_matches(['$', '{']).to_lowercase();
        match part {
            "=" => (name, own) = (Some(last.clone()), 0),
            ";" | "}" => {
                if let Some(name) = name.take() {
                    sizes.insert(name, own);
                } else {
                    function = function.saturating_add(own);
                }
                own = 0;
                depth = depth.saturating_sub(usize::from(part == "}"));
                if part == "}" && depth == 0 {
                    sizes.insert(std::mem::take(&mut called), std::mem::take(&mut function));
                }
            }
            "{" => {
                if depth == 0 {
                    called.clone_from(&last);
                }
                depth += 1;
                own = 0;
            }
            _ => {
                last = word();
                let known = |name: &str| sizes.get(name).copied().unwrap_or(0);
                let inside: usize = part.split('$').skip(1).fold(0, |all, reference| {
                    let own = reference.trim_start_matches('{');
                    let end = own.find(|c: char| c.is_whitespace() || ",;{}=()$'\"\\".contains(c)).unwrap_or(own.len());
                    all.saturating_add(known(&own[..end].to_lowercase()))
                });
                own = own.saturating_add(part.len()).saturating_add(inside.max(known(&last)));
            }
        }
        if own.max(function) > LARGEST {
            return Some((line, format!("this stands for more than {} MB", LARGEST >> 20)));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told, and where.
    fn said(text: &str, kind: Kind) -> Option<(u32, String)> {
        let mut report = Report::default();
        report.file(std::path::Path::new("/top/file"));
        assert_eq!(within(text, 0, kind, &mut report), !report.open);
        report.all(std::path::Path::new("/top")).pop().map(|own| (own.line, own.message))
    }

    #[test]
    fn what_people_write_is_read() {
        let db = "record(ai, \"$(P)A\") { field(INP, {calc:{expr:'A', args:[\"x\", [1]]}}) }\n# ((((\n";
        let proto =
            "a = \"x\"; # {\nb = $a \"\\$a\" ${a};\nf { out \"(%(A.B)f\"; @init { g; f; } }\ng { a = $a; f; }\n";
        for (text, kind) in [(db, Kind::Database), (proto, Kind::Protocol)] {
            assert_eq!(said(text, kind), None);
        }
        assert_eq!(said(&"[".repeat(101), Kind::Database).map(|own| own.0), Some(1));
    }

    #[test]
    fn a_long_text_of_a_protocol_is_not() {
        let long = "9".repeat(42_000 / 10);
        for text in [format!("a {{ out \"%{long}f\"; }}"), format!("a {{ in '%/{long}/'; }}")] {
            assert_eq!(said(&text, Kind::Protocol).map(|(line, _)| line), Some(1));
        }
        // In a comment it costs nothing.
        assert_eq!(said(&format!("# \"{long}\"\na {{ out \"b\"; }}"), Kind::Protocol), None);
    }

    #[test]
    fn values_do_not_grow_without_end() {
        let twice = |statement: &dyn Fn(usize) -> String| -> String { (1..40).map(statement).collect() };
        for text in [
            format!("v0 = \"abc\";\n{}", twice(&|n| format!("v{n} = $v{} ${{V{}}};\n", n - 1, n - 1))),
            format!("v = \"abc\";\n{}", twice(&|_| "v = $v $v;\n".to_owned())),
            format!("v = \"abc\";\n{}", twice(&|_| "v = \"\\$v\\${v}\";\n".to_owned())),
            format!("f0 {{ out \"a\"; }}\n{}", twice(&|n| format!("f{n} {{ f{}; f{}; }}\n", n - 1, n - 1))),
        ] {
            let (_, what) = said(&text, Kind::Protocol).unwrap();
            assert_eq!(what, "this stands for more than 1 MB", "{text}");
        }
    }
}
