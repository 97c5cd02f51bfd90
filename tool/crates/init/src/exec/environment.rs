//! The variables of a service's processes.

use std::fs;

use anyhow::anyhow;

use super::super::manager::types::{Exit, Phase, Rt};
use super::super::unit::service::Service;
use super::super::unit::words::{Env, is_name};
use tool_base::glob;

/// All that comes from the manager and from the unit; `ignored` gets what is no assignment, with its file. The error says
/// why the process cannot be started at all.
pub(super) fn environment(
    rt: &Rt,
    service: &Service,
    phase: Phase,
    manager: &Env,
    ignored: &mut Vec<String>,
) -> anyhow::Result<Env> {
    let mut env = manager.clone();
    let mut put = |key: &str, value: &str| env.insert(key.to_owned(), value.to_owned());
    put("INVOCATION_ID", &rt.invocation);
    if let Some(pid) = rt.main.filter(|_| phase != Phase::Start) {
        put("MAINPID", &pid.to_string());
    }
    if let Some(path) = &service.pid_file {
        put("PIDFILE", &path.display().to_string());
    }
    if matches!(phase, Phase::Stop | Phase::StopPost) {
        put("SERVICE_RESULT", rt.result.as_str());
        if let Some((code, status)) = rt.exec_main.exit.map(Exit::texts) {
            put("EXIT_CODE", code);
            put("EXIT_STATUS", &status);
        }
    }
    for (key, value) in &rt.monitor {
        put(key, value);
    }
    for name in &service.pass_environment {
        if let Ok(value) = std::env::var(name) {
            env.insert(name.clone(), value);
        }
    }
    env.extend(service.environment.iter().cloned());
    for (pattern, optional) in &service.environment_files {
        let found = glob::paths(&pattern.display().to_string());
        if found.is_empty() && !optional {
            return Err(anyhow!("Failed to load environment files: No such file or directory"));
        }
        for path in found {
            let text = fs::read_to_string(&path).map_err(|e| anyhow!("Failed to load environment files: {e}"))?;
            for (key, value) in assignments(&text) {
                if is_name(&key) {
                    env.insert(key, value);
                } else {
                    ignored.push(format!("'{key}={value}': {}", path.display()));
                }
            }
        }
    }
    Ok(env)
}

/// Assignments of an environment file: quoted as in a shell, without any expansion. Names may be wrong.
fn assignments(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(first) = chars.next() {
        if first.is_whitespace() {
            continue;
        }
        if first == '#' || first == ';' {
            while chars.next_if(|c| *c != '\n').is_some() {}
            continue;
        }
        let mut key = first.to_string();
        while let Some(c) = chars.next_if(|c| *c != '=' && *c != '\n') {
            key.push(c);
        }
        if chars.next() == Some('=') {
            let value = value(&mut chars);
            found.push((key.trim_end().to_owned(), value));
        }
    }
    found
}

/// A value up to the end of its line. Quotes count only where a part of it begins.
fn value(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut value = String::new();
    loop {
        while chars.next_if(|c| *c != '\n' && c.is_whitespace()).is_some() {}
        match chars.next() {
            None | Some('\n') => return value,
            Some('\'') => value.extend(chars.by_ref().take_while(|c| *c != '\'')),
            Some('"') => in_quotes(chars, &mut value),
            Some(first) => {
                bare(first, chars, &mut value);
                return value.trim_end().to_owned();
            }
        }
    }
}

fn in_quotes(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, value: &mut String) {
    while let Some(c) = chars.next().filter(|c| *c != '"') {
        match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('\n') | None) => {}
            ('\\', Some(escaped @ ('"' | '\\' | '`' | '$'))) => value.push(escaped),
            ('\\', Some(other)) => value.extend(['\\', other]),
            _ => value.push(c),
        }
    }
}

fn bare(first: char, chars: &mut std::iter::Peekable<std::str::Chars<'_>>, value: &mut String) {
    let mut next = Some(first);
    while let Some(c) = next.filter(|c| *c != '\n') {
        if c == '\\' {
            value.extend(chars.next().filter(|c| *c != '\n'));
        } else {
            value.push(c);
        }
        next = chars.next();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn environment_files() {
        let text = "# note\nA=1\n B = \"two words\" \nC='x'\nbad line\n1X=2\nD=a\\\nb\nexport E=1\nF=\n; note\n\
                    G=tail # kept  \nH='a'b\"c\"\nI=\"x\\\"y\\n\"\nJ=\"two\nlines\"\nK=last";
        let want = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "x"),
            ("1X", "2"),
            ("D", "ab"),
            ("export E", "1"),
            ("F", ""),
            ("G", "tail # kept"),
            ("H", "ab\"c\""),
            ("I", "x\"y\\n"),
            ("J", "two\nlines"),
            ("K", "last"),
        ];
        assert_eq!(assignments(text), want.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[A=\"'\\\\\n# \\PC]{0,40}") {
            let _ = assignments(&text);
        }
    }
}
