//! What is too much for the readers of the soft IOC. They need the square of a line's length, a frame of the stack for each bracket
//! within brackets, and twice the work where a macro stands for others twice or a file includes others twice. Nobody's files come near.

use std::collections::HashMap;

/// Bytes of a line.
const LONGEST: usize = 1 << 20;
/// Brackets within brackets.
const BRACKETS: usize = 100;
/// Bytes that may come of one database or script with all that they include, and those that each file counts for, were it empty.
pub const LARGEST: usize = 64 << 20;
const FILE: usize = 4096;

/// What is left of [`LARGEST`].
#[derive(Debug)]
pub struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Self(LARGEST)
    }
}

impl Room {
    /// Whether there is room for one more file.
    pub fn takes_file(&mut self) -> bool {
        self.takes(FILE)
    }

    /// Whether there is room for so many bytes.
    pub fn takes(&mut self, bytes: usize) -> bool {
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}

/// Replacements, at most; and macros that stand for each other in a row.
const MOST: usize = 4096;
const DEEPEST: usize = 100;

/// Where there is too much of what: the number of the line.
pub type Beyond = (usize, String);

/// A line that is too long, or brackets that are too deep. Those of macros, in texts and in comments end with their line.
pub fn lines(text: &[u8]) -> Option<Beyond> {
    let mut depth = 0_usize;
    for (line, own) in text.split(|byte| *byte == b'\n').enumerate().map(|(at, own)| (at + 1, own)) {
        if own.len() > LONGEST {
            return Some((line, format!("this line has {} bytes: the soft IOC reads up to {LONGEST}", own.len())));
        }
        let (mut here, mut in_text, mut comment) = (0_usize, false, false);
        for &byte in own {
            comment |= byte == b'#' && !in_text;
            let level = if in_text || comment || b"()".contains(&byte) { &mut here } else { &mut depth };
            match byte {
                b'"' => in_text = !in_text,
                b'[' | b'{' | b'(' => *level += 1,
                b']' | b'}' | b')' => *level = level.saturating_sub(1),
                _ => {}
            }
            if depth.max(here) > BRACKETS {
                return Some((
                    line,
                    format!("more than {BRACKETS} brackets within brackets: the soft IOC reads no more"),
                ));
            }
        }
    }
    None
}

/// Whether to replace one of some macros would take too long.
pub fn is_endless<'a>(definitions: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> bool {
    let values: HashMap<&[u8], &[u8]> = definitions.collect();
    let mut known = HashMap::new();
    values.keys().any(|name| steps(name, &values, &mut known, DEEPEST) > MOST)
}

/// How many replacements one is.
fn steps<'a>(
    name: &'a [u8],
    values: &HashMap<&'a [u8], &'a [u8]>,
    known: &mut HashMap<&'a [u8], usize>,
    depth: usize,
) -> usize {
    if let Some(steps) = known.get(name) {
        return *steps;
    }
    let Some(value) = values.get(name) else { return 1 };
    if depth == 0 {
        return MOST + 1;
    }
    // The library ends where one stands for itself.
    known.insert(name, 1);
    let mut all = 1_usize;
    for at in 0..value.len().saturating_sub(1) {
        if value[at] == b'$' && matches!(value[at + 1], b'(' | b'{') {
            let rest = &value[at + 2..];
            let end = rest.iter().position(|byte| b")}=,$".contains(byte)).unwrap_or(rest.len());
            all = all.saturating_add(steps(&rest[..end], values, known, depth - 1));
        }
    }
    known.insert(name, all);
    all
}

#[cfg(test)]
mod tests {
    use super::{Room, is_endless};

    fn of(definitions: &[(String, String)]) -> bool {
        is_endless(definitions.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
    }

    #[test]
    fn only_what_grows_without_end_is_endless() {
        let chain = |count: usize, value: &dyn Fn(usize) -> String| -> Vec<(String, String)> {
            (0..count).map(|n| (format!("A{n}"), value(n + 1))).collect()
        };
        assert!(of(&chain(40, &|n| format!("$(A{n})${{A{n}}}"))));
        assert!(of(&chain(40, &|n| format!("$(X=$(A{n})$(A{n}))"))));
        assert!(of(&chain(5000, &|n| format!("$(A{n})"))));
        assert!(!of(&chain(50, &|n| format!("$(A{n})"))));
        assert!(!of(&chain(5000, &|n| format!("x{n}"))));
        // One that stands for itself is the library's to refuse.
        assert!(!of(&[("A".to_owned(), "$(A)$(A)".to_owned())]));
    }

    #[test]
    fn files_are_counted_though_they_are_empty() {
        let mut room = Room::default();
        assert!((0..10_000).all(|_| room.takes_file()));
        assert!(!(0..10_000).all(|_| room.takes_file()));
        assert!(!room.takes(1));
    }
}
