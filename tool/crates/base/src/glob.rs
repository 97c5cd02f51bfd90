//! Patterns as `fnmatch(3)` reads them: `*`, `?`, `[a-z]`, `[!a]`.

use std::fs;
use std::path::PathBuf;

/// Whether a text has a character that makes it a pattern.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Whether `pattern` matches all of `text`.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where to go on when a star has to take one character more.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                star = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some('?') => Some(p + 1),
            Some('[') => class(&pattern, p, text[t]),
            Some(c) if *c == text[t] => Some(p + 1),
            _ => None,
        };
        match (step, star) {
            (Some(next), _) => {
                p = next;
                t += 1;
            }
            (None, Some((after, at))) => {
                star = Some((after, at + 1));
                p = after;
                t = at + 1;
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// The paths that are there and match an absolute pattern, sorted.
pub fn paths(pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("/")];
    for part in pattern.split('/').filter(|p| !p.is_empty()) {
        found = if is_pattern(part) {
            let entries = found.iter().flat_map(|dir| fs::read_dir(dir).into_iter().flatten().flatten());
            let fits = |name: &str| matches(part, name) && (part.starts_with('.') || !name.starts_with('.'));
            entries.filter(|e| e.file_name().to_str().is_some_and(fits)).map(|e| e.path()).collect()
        } else {
            found.into_iter().map(|dir| dir.join(part)).filter(|path| path.exists()).collect()
        };
    }
    found.sort();
    found
}

/// Where a class that begins at `start` ends, if it takes `c`.
fn class(pattern: &[char], start: usize, c: char) -> Option<usize> {
    let negate = matches!(pattern.get(start + 1), Some('!' | '^'));
    let first = start + 1 + usize::from(negate);
    let end = (first + 1..pattern.len()).find(|i| pattern[*i] == ']');
    let Some(end) = end else { return (c == '[').then_some(start + 1) };
    let set = &pattern[first..end];
    let mut hit = false;
    let mut i = 0;
    while i < set.len() {
        if i + 2 < set.len() && set[i + 1] == '-' {
            hit |= (set[i]..=set[i + 2]).contains(&c);
            i += 3;
        } else {
            hit |= set[i] == c;
            i += 1;
        }
    }
    (hit != negate).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns() {
        assert!(
            matches("io*.service", "ioc.service")
                && matches("*", "")
                && matches("inst@[a-c].?ervice", "inst@b.service")
        );
        assert!(!matches("io", "ioc") && !matches("[!a]", "a") && matches("a*b*c", "aXbYbZc"));
    }

    #[test]
    fn patterns_of_paths() {
        assert_eq!(paths("/pro[c]/sel?/comm"), [PathBuf::from("/proc/self/comm")]);
        assert_eq!(paths("/proc/self/comm").len(), 1);
        assert!(paths("/proc/none*").is_empty() && paths("/none/x").is_empty());
    }

    proptest! {
        #[test]
        fn no_pattern_panics_and_a_star_takes_all(pattern in "[a*?\\[\\]!-]{0,12}", text in "\\PC{0,12}") {
            let _ = matches(&pattern, &text);
            prop_assert!(matches("*", &text));
        }
    }
}
