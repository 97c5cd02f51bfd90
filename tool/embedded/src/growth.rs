//! Macros that stand for others twice: with each such step the macro library has twice the work.

use std::collections::HashMap;

/// Replacements, at most; and macros that stand for each other in a row.
const MOST: usize = 4096;
const DEEPEST: usize = 100;

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
    use super::is_endless;

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
}
