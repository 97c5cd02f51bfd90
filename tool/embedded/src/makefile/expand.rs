//! References to variables: `$(NAME)`, `$(NAME:.a=.b)`, and calls of functions.

use super::{DEEPEST, LONGEST, Makefile, Result, Stop, doubt, functions, words};

/// Variables that a Makefile of EPICS adds to, or that stay away: they are empty until it does.
const EMPTY: [&str; 32] = [
    "DIRS",
    "DB",
    "DBD",
    "DB_INSTALLS",
    "DBD_INSTALLS",
    "DBDCAT",
    "DBDINC",
    "INC",
    "HTMLS",
    "DOCS",
    "SRC_DIRS",
    "USR_VPATH",
    "USR_DBFLAGS",
    "CMD_DBFLAGS",
    "TARGETS",
    "SCRIPTS",
    "SCRIPTS_HOST",
    "CFG",
    "LIBRARY",
    "LIBRARY_IOC",
    "LIBRARY_HOST",
    "PROD",
    "PROD_IOC",
    "PROD_HOST",
    "PROTOCOL",
    "DATA",
    "IOCSH",
    "T_A",
    "CROSS_COMPILER_TARGET_ARCHS",
    "CROSS1",
    "CROSS2",
    "USR_CPPFLAGS",
];

/// Their kind, by the end of the name.
const EMPTY_ENDS: [&str; 9] =
    ["_DEPEND_DIRS", "_DBD", "_DBFLAGS", "_TEMPLATE", "_SRCS", "_LIBS", "_SRCS_DEFAULT", "_INSTALLS", "_Linux"];

/// Whether nothing but the Makefiles themselves sets a variable.
pub fn is_empty_at_first(name: &str) -> bool {
    EMPTY.contains(&name) || EMPTY_ENDS.iter().any(|end| name.ends_with(end)) || name.parse::<u8>().is_ok()
}

impl Makefile {
    /// A text with its references replaced.
    pub(super) fn expand(&mut self, text: &str) -> Result<String> {
        if !text.contains('$') {
            return Ok(text.to_owned());
        }
        self.step()?;
        if self.depth >= DEEPEST {
            return Err(Stop("a variable leads to itself".to_owned()));
        }
        self.depth += 1;
        let expanded = self.expand_parts(text);
        self.depth -= 1;
        expanded
    }

    fn expand_parts(&mut self, text: &str) -> Result<String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            let Some(sign) = rest.chars().next() else { break };
            match sign {
                '$' => {
                    out.push('$');
                    rest = &rest[1..];
                }
                '(' | '{' => {
                    let Some(end) = closing(rest) else {
                        return Err(Stop(format!("`${rest}` is not closed")));
                    };
                    let value = self.reference(&rest[1..end], sign)?;
                    out.push_str(&value);
                    rest = &rest[end + 1..];
                }
                c => {
                    out.push_str(&self.value(c.encode_utf8(&mut [0; 4]))?);
                    rest = &rest[c.len_utf8()..];
                }
            }
            if out.len() > LONGEST {
                return Err(Stop("a value becomes too long".to_owned()));
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    fn reference(&mut self, inner: &str, open: char) -> Result<String> {
        let (name, rest) = inner.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((inner, ""));
        if let Some((most, function)) = functions::named(name).filter(|_| inner.len() > name.len()) {
            return function(self, &arguments(rest.trim_start(), open, most));
        }
        let inner = self.expand(inner)?;
        if doubt::is_in_doubt(&inner) {
            let what = format!("which variable `$({})` is, is not known here", doubt::shown(&inner));
            return Ok(self.doubt(what).to_string());
        }
        let change = inner.split_once(':').and_then(|(name, change)| Some((name, change.split_once('=')?)));
        let Some((name, (from, to))) = change else { return self.value(inner.trim()) };
        let value = self.value(name.trim())?;
        let any = if from.contains('%') { "" } else { "%" };
        let (from, to) = (format!("{any}{from}"), format!("{any}{to}"));
        Ok(doubt::each(&value, |word| words::replaced(&from, &to, word)))
    }

    /// What a variable stands for.
    pub(super) fn value(&mut self, name: &str) -> Result<String> {
        match self.variables.get(name) {
            Some(variable) if variable.simple => Ok(variable.value.to_string()),
            Some(variable) => {
                let raw = std::rc::Rc::clone(&variable.value);
                self.expand(&raw)
            }
            // Those of rules, where there is none.
            None if is_empty_at_first(name) || name.starts_with(['@', '<', '^', '*', '?', '+', '|', '%']) => {
                Ok(String::new())
            }
            None => Ok(self.doubt_of(name).to_string()),
        }
    }
}

/// Where the bracket closes that a text starts with.
fn closing(text: &str) -> Option<usize> {
    let (open, close) = if text.starts_with('(') { ('(', ')') } else { ('{', '}') };
    let mut depth = 0_u32;
    text.char_indices().find_map(|(at, c)| {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
        }
        (depth == 0).then_some(at)
    })
}

/// Splits arguments at commas, into at most `most`.
fn arguments(text: &str, open: char, most: usize) -> Vec<String> {
    let close = if open == '(' { ')' } else { '}' };
    let (mut found, mut start, mut depth) = (Vec::new(), 0, 0_u32);
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth = depth.saturating_sub(1);
        } else if c == ',' && depth == 0 && found.len() + 1 < most {
            found.push(text[start..at].to_owned());
            start = at + 1;
        }
    }
    found.push(text[start..].to_owned());
    found
}
