//! The macro library, but for what it would not come to the end of: a macro that stands for another one twice is twice the work.

use std::collections::{BTreeMap, HashSet};

use epics_base_rs::server::db_loader::{MacroDefs, MacroExpandOptions, MacroExpansion, MacroTable};

use crate::growth::LONGEST;

/// Bytes that are read to replace what one text refers to, over and over.
const MOST: usize = 8 << 20;
/// Values within values: the library takes some of the stack for each.
const DEEPEST: usize = 500;

/// More would come of it than anyone could use.
#[derive(Debug)]
pub struct TooMuch;

/// A text with its macros replaced. `value` has what a name stands for.
pub fn expand<'a>(
    text: &[u8],
    value: &dyn Fn(&[u8]) -> Option<&'a [u8]>,
    suppress_warnings: bool,
) -> Result<MacroExpansion<Vec<u8>>, TooMuch> {
    let used = measured(std::iter::once(text), value)?;
    let mut defs = MacroDefs::new();
    for (name, value) in used {
        defs.put(name, value);
    }
    let options = MacroExpandOptions { suppress_warnings, ..MacroExpandOptions::default() };
    Ok(MacroTable::new(defs, options).expand_bytes_deferred(text).0)
}

/// Whether the library, which replaces what is in all values before it replaces anything, would not come to the end of some.
pub fn are_endless<'a>(values: impl Iterator<Item = &'a [u8]>, value: &dyn Fn(&[u8]) -> Option<&'a [u8]>) -> bool {
    measured(values, value).is_err()
}

/// What some texts refer to.
fn measured<'a, 't>(
    texts: impl Iterator<Item = &'t [u8]>,
    value: &dyn Fn(&[u8]) -> Option<&'a [u8]>,
) -> Result<BTreeMap<Vec<u8>, &'a [u8]>, TooMuch> {
    let mut walk =
        Walk { value, used: BTreeMap::new(), scoped: Vec::new(), within: HashSet::new(), depth: 0, left: MOST };
    for text in texts {
        walk.text(text, &mut Vec::new())?;
    }
    for value in walk.used.clone().into_values() {
        walk.text(value, &mut Vec::new())?;
    }
    Ok(walk.used)
}

/// The way of the library through a text, as `trans` and `refer` of C's macCore.c.
struct Walk<'a, 'f> {
    value: &'f dyn Fn(&[u8]) -> Option<&'a [u8]>,
    used: BTreeMap<Vec<u8>, &'a [u8]>,
    /// Names and values of `$(NAME,A=1)`, the innermost at the end.
    scoped: Vec<(Vec<u8>, Vec<u8>)>,
    /// What is being replaced: a name, and its number if it is scoped.
    within: HashSet<(Vec<u8>, Option<usize>)>,
    depth: usize,
    left: usize,
}

impl Walk<'_, '_> {
    fn pay(&mut self, bytes: usize) -> Result<(), TooMuch> {
        self.left = self.left.checked_sub(bytes + 1).ok_or(TooMuch)?;
        Ok(())
    }

    fn text(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), TooMuch> {
        self.pay(text.len())?;
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(TooMuch);
        }
        let (mut at, mut quote) = (0, 0);
        while at < text.len() {
            let byte = text[at];
            let next = text.get(at + 1);
            if quote != 0 && byte == quote {
                quote = 0;
            } else if quote == 0 && matches!(byte, b'"' | b'\'') {
                quote = byte;
            } else if let (b'\\', Some(next)) = (byte, next) {
                out.push(*next);
                at += 1;
            } else if let (b'$', Some(open @ (b'(' | b'{')), true) = (byte, next, quote != b'\'') {
                let Some(length) = closed(&text[at + 2..], if *open == b'(' { b')' } else { b'}' }) else {
                    self.pay(text.len())?;
                    break;
                };
                self.reference(&text[at + 2..at + 2 + length], out)?;
                at += 2 + length;
            } else {
                out.push(byte);
            }
            at += 1;
            if out.len() > LONGEST {
                return Err(TooMuch);
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// What stands between the brackets of a reference.
    fn reference(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), TooMuch> {
        self.pay(body.len())?;
        let (name, mut rest) = split(body, b"=,");
        let name = self.inner(name)?;
        let default = rest.strip_prefix(b"=").map(|own| split(own, b","));
        if let Some((_, behind)) = default {
            rest = behind;
        }
        let outside = self.scoped.len();
        while let Some(own) = rest.strip_prefix(b",") {
            let (name, tail) = split(own, b"=,");
            let name = self.inner(name)?;
            rest = tail;
            if let Some(own) = tail.strip_prefix(b"=") {
                let (value, tail) = split(own, b",");
                let value = self.inner(value)?;
                self.scoped.push((name, value));
                rest = tail;
            }
        }
        let scope = self.scoped.iter().rposition(|(own, _)| *own == name);
        let value = match scope {
            Some(scope) => Some(self.scoped[scope].1.clone()),
            None => (self.value)(&name).map(|value| self.used.entry(name.clone()).or_insert(value).to_vec()),
        };
        let own = (name, scope);
        match (value, default) {
            (Some(value), _) if self.within.insert(own.clone()) => {
                self.text(&value, out)?;
                self.within.remove(&own);
            }
            (None, Some((default, _))) => self.text(default, out)?,
            _ => out.extend([b"$(", &*own.0, b")"].concat()),
        }
        self.scoped.truncate(outside);
        Ok(())
    }

    fn inner(&mut self, text: &[u8]) -> Result<Vec<u8>, TooMuch> {
        let mut out = Vec::new();
        self.text(text, &mut out)?;
        Ok(out)
    }
}

/// Where the bracket is that closes a reference, as seen from what stands behind the one that opens it.
fn closed(text: &[u8], close: u8) -> Option<usize> {
    let (mut depth, mut at) = (1_usize, 0);
    while at < text.len() {
        if text[at] == b'$' && matches!(text.get(at + 1), Some(b'(' | b'{')) {
            depth += 1;
            at += 1;
        } else if text[at] == close || depth > 1 && matches!(text[at], b')' | b'}') {
            depth -= 1;
            if depth == 0 {
                return Some(at);
            }
        }
        at += 1;
    }
    None
}

/// A text up to the first of some marks outside of references, and the rest.
fn split<'t>(text: &'t [u8], marks: &[u8]) -> (&'t [u8], &'t [u8]) {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        if text[at] == b'$' && matches!(text.get(at + 1), Some(b'(' | b'{')) {
            depth += 1;
            at += 1;
        } else if depth > 0 && matches!(text[at], b')' | b'}') {
            depth -= 1;
        } else if depth == 0 && marks.contains(&text[at]) {
            break;
        }
        at += 1;
    }
    text.split_at(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Pairs = Vec<(String, String)>;

    fn of(text: &str, pairs: &Pairs) -> Option<(Vec<u8>, String)> {
        let value = |name: &[u8]| pairs.iter().rfind(|own| own.0.as_bytes() == name).map(|own| own.1.as_bytes());
        let found = expand(text.as_bytes(), &value, false).ok()?;
        let fault = format!("{:?}", found.fault());
        Some((found.text, fault))
    }

    fn chain(count: usize, value: impl Fn(usize) -> String) -> Pairs {
        (0..count).map(|n| (format!("A{n}"), value(n + 1))).collect()
    }

    #[test]
    fn only_what_grows_without_end_is_endless() {
        for doubling in [
            chain(40, |n| format!("$(A{n})${{A{n}}}")),
            chain(40, |n| format!("$(X=$(A{n})$(A{n}))")),
            // Names that are put together.
            std::iter::once(("X".to_owned(), "A".to_owned()))
                .chain(chain(40, |n| format!("$($(X){n})$($(X){n})")))
                .collect(),
            // Nothing comes of it, and no one would wait.
            chain(40, |n| format!("$(A{n})$(A{n})")).into_iter().chain([("A40".to_owned(), String::new())]).collect(),
            chain(5000, |n| format!("$(A{n})")),
        ] {
            assert!(of("$(A0)", &doubling).is_none());
            let value = |name: &[u8]| doubling.iter().find(|own| own.0.as_bytes() == name).map(|own| own.1.as_bytes());
            assert!(are_endless(doubling.iter().map(|own| own.1.as_bytes()), &value));
            assert!(of("$(B)", &doubling).is_some());
        }
        for count in [101, 150, DEEPEST - 1] {
            let mut long = chain(count, |n| format!("$(A{n})"));
            long[count - 1].1 = "x".to_owned();
            assert_eq!(of("$(A0)", &long).unwrap().0, b"x");
            let value = |name: &[u8]| long.iter().find(|own| own.0.as_bytes() == name).map(|own| own.1.as_bytes());
            assert!(!are_endless(long.iter().map(|own| own.1.as_bytes()), &value), "{count}");
        }
        // One that stands for itself is the library's to refuse.
        assert!(of("$(A)", &vec![("A".to_owned(), "$(A)$(A)".to_owned())]).unwrap().1.contains("Recursive"));
    }

    #[test]
    fn a_line_has_its_bound() {
        let large = vec![("A".to_owned(), "x".repeat(1 << 16))];
        assert_eq!(of(&"$(A)".repeat(16), &large).unwrap().0.len(), LONGEST);
        assert!(of(&"$(A)".repeat(17), &large).is_none());
    }

    proptest! {
        /// Nothing is missing that the library looks for.
        #[test]
        fn all_is_as_with_all_macros(
            text in "(\\$\\([AB]\\)|\\$\\([AB],[AB]=x*\\)|\\$[({]|[ABC(){}=,'\"\\\\ x]){0,24}",
            values in prop::collection::vec("(\\$\\([ABC]\\)|\\$[({]|[ABC(){}=,'\"\\\\ x]){0,9}", 3),
        ) {
            let pairs: Pairs = ["A", "B", "C"].map(str::to_owned).into_iter().zip(values).collect();
            let mut defs = MacroDefs::new();
            for (name, value) in &pairs {
                defs.put(name.as_str(), value.as_str());
            }
            let all = MacroTable::new(defs, MacroExpandOptions::default()).expand_bytes_deferred(text.as_bytes()).0;
            if let Some((own, fault)) = of(&text, &pairs) {
                prop_assert_eq!(fault, format!("{:?}", all.fault()));
                prop_assert_eq!(own, all.text);
            }
        }
    }
}
