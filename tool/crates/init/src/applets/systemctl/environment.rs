//! The manager's variables, which all services get.

use std::fmt::Write as _;

use super::super::{print, say};
use super::{ask, asked, too_few};
use crate::unit::words::is_name;
use tool_base::protocol::control::{Reply, Request};

/// `systemctl show-environment`.
pub(super) fn list() -> Result<u8, String> {
    let mut text = String::new();
    for (key, value) in asked!(Pairs, Request::Environment) {
        let _ = writeln!(text, "{key}={}", quoted(&value));
    }
    print(text.as_bytes());
    Ok(0)
}

/// A value as a shell would take it.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@%+,~^{}[]#".contains(c);
    if value.chars().all(plain) {
        return value.to_owned();
    }
    format!("$'{}'", value.replace('\\', r"\\").replace('\'', r"\'").replace('\n', r"\n"))
}

/// `set-environment`, `unset-environment`, `import-environment`.
pub(super) fn change(verb: &str, words: &[String]) -> Result<u8, String> {
    let pairs: Vec<(String, Option<String>)> = match verb {
        "set-environment" => {
            too_few(words)?;
            let pair = |word: &String| {
                let (key, value) = word.split_once('=').filter(|(key, _)| is_name(key))?;
                Some((key.to_owned(), Some(value.to_owned())))
            };
            let pairs: Option<Vec<_>> = words.iter().map(pair).collect();
            pairs.ok_or("Failed to set environment: Invalid environment assignments")?
        }
        "unset-environment" => {
            too_few(words)?;
            let key = |word: &String| word.split('=').next().unwrap_or_default().to_owned();
            words.iter().map(|word| (key(word), None)).collect()
        }
        _ if words.is_empty() => {
            say("Calling import-environment without a list of variable names is deprecated.");
            std::env::vars().map(|(key, value)| (key, Some(value))).collect()
        }
        _ => {
            let mut pairs = Vec::new();
            for name in words {
                match std::env::var(name) {
                    Ok(value) => pairs.push((name.clone(), Some(value))),
                    Err(_) => say(&format!("Environment variable ${name} not set, ignoring.")),
                }
            }
            pairs
        }
    };
    ask(&Request::SetEnvironment { pairs }).map(|_| 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_for_a_shell() {
        assert_eq!((quoted("a/b"), quoted("two words")), ("a/b".to_owned(), "$'two words'".to_owned()));
        assert_eq!(quoted("it's\n"), r"$'it\'s\n'");
    }
}
