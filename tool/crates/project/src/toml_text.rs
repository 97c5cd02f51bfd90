//! Texts of TOML files: values by serde, and errors with file, line and key.

use anyhow::Result;

use tool_base::fail::{self, Failure};

/// The known word that `word` was most likely meant to be.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|k| (strsim::damerau_levenshtein(word, k), *k))
        .filter(|(distance, k)| *distance <= 1 + k.len() / 3)
        .min()
        .map(|(_, k)| k)
}

/// Reads the text of a TOML file. Errors name file, line and key.
pub fn read_toml<T: serde::de::DeserializeOwned>(file: &str, text: &str) -> Result<T> {
    toml::from_str(text).map_err(|e| describe(file, text, &e).into())
}

/// Line of a key, counted from 1: of its entry, else of the innermost table around it.
pub fn find_key(text: &str, path: &str) -> Option<usize> {
    let bare = |key: &str| key.split('.').map(|part| part.trim().trim_matches('"')).collect::<Vec<_>>().join(".");
    let (mut table, mut found) = (String::new(), None);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        let at = if let Some(header) = line.strip_prefix('[') {
            table = bare(header.split(']').next().unwrap_or_default());
            table.clone()
        } else if let Some((key, _)) = line.split_once('=') {
            if table.is_empty() { bare(key) } else { format!("{table}.{}", bare(key)) }
        } else {
            continue;
        };
        if at == path {
            return Some(number);
        }
        if path.strip_prefix(&at).is_some_and(|rest| rest.starts_with('.')) {
            found = Some(number);
        }
    }
    found
}

/// Turns the parser's error into `FILE:LINE: …` with the nearest known key as hint.
fn describe(file: &str, text: &str, error: &toml::de::Error) -> Failure {
    let at = error.span().map(|span| span.start.min(text.len()));
    let line = at.map_or_else(String::new, |at| format!(":{}", text[..at].matches('\n').count() + 1));
    let message = error.message();
    let mut named = message.split('`').skip(1).step_by(2);
    let key = at.and_then(|at| {
        let line = text[text[..at].rfind('\n').map_or(0, |i| i + 1)..].lines().next()?;
        line.split_once('=').map(|(key, _)| key.trim())
    });
    let unknown = match () {
        () if message.starts_with("unknown field") => Some("key"),
        () if message.starts_with("unknown variant") => Some(key.map_or("word", |key| key.trim_end_matches('s'))),
        () => None,
    };
    if let Some(what) = unknown {
        let word = named.next().unwrap_or_default();
        let known: Vec<&str> = named.collect();
        let failure = fail::config(format!("{file}{line}: unknown {what} `{word}`"));
        return match nearest(word, &known) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure.hint(format!("the {what}s here are: {}", known.join(", "))),
        };
    }
    if message.starts_with("missing field") {
        return fail::config(format!("{file}{line}: the key `{}` is missing", named.next().unwrap_or_default()));
    }
    let key = key.map_or_else(String::new, |key| format!("`{key}`: "));
    // What is no table was taken for one, as below [simulators] without a name.
    if message.contains("expected struct") {
        let table =
            text[..at.unwrap_or(0)].lines().rev().find_map(|line| line.trim().strip_prefix('[')?.split(']').next());
        let table = table.unwrap_or("TABLE");
        return fail::config(format!("{file}{line}: {key}this is no table")).hint(format!("[{table}.NAME]"));
    }
    // As people call what Rust has names of its own for.
    let (found, wanted) = message.rsplit_once(", expected ").unwrap_or((message, ""));
    let wanted = match wanted {
        "" => String::new(),
        "u16" => ", expected a number up to 65535".to_owned(),
        "u8" => ", expected a number up to 255".to_owned(),
        "u32" | "u64" => ", expected a whole number".to_owned(),
        "a sequence" => ", expected a list, as [\"…\"]".to_owned(),
        other => format!(", expected {other}"),
    };
    fail::config(format!("{file}{line}: {key}{found}{wanted}"))
}
