//! Commands that the documentation shows exist, and those that can run here run. tool/docs/tutorial.md has tests/tutorial.rs.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::BTreeSet;

use clap::CommandFactory;
use clap::error::ErrorKind;
use common::Scratch;
use common::pages::{pages, readme};
use regex_lite::Regex;
use tool::Cli;

/// Commands by their beginning that are not run here, and why not. What runs elsewhere, runs there for real.
const NOT_HERE: &[(&str, &str)] = &[
    ("ci", "runs these tests with --tool: tests/cargo.rs"),
    ("test --backend", "needs EPNix"),
    ("test simple --backend", "needs EPNix"),
    ("test --changed", "needs a Git repository"),
    ("test --accel", "needs EPNix"),
    ("interactive simple --backend", "needs EPNix"),
    ("build", "calls make where EPICS is there: tests/make.rs"),
    ("check-kvm", "as the host is: tests/check_kvm.rs; `--fix` needs root"),
    ("configure-nix", "changes nix.conf: tests/configure_nix.rs"),
    ("doctor", "as the host is: tests/doctor.rs"),
    ("test simple --debug", "wants a terminal: tests/debug.rs"),
    ("test --debug", "wants a terminal: tests/debug.rs"),
    ("test --unit", "calls make where EPICS is there: tests/make.rs"),
    ("test --watch", "ends by Ctrl-C: tests/watch.rs"),
    ("test simple --until-failure", "never ends with a check that passes: tests/many.rs"),
    ("test NAME", "has a name to fill in"),
    ("interactive NAME", "has a name to fill in"),
    ("driver", "has a script to fill in: tests/semantics.rs"),
    ("report", "opens a browser, or names a run that was"),
    ("run --host", "takes ports of this host: tests/run.rs"),
    ("exec", "needs a machine that runs: tests/run.rs"),
    ("rename", "needs a Git repository: tests/tutorial.rs"),
    ("adopt", "needs a top to adopt: tests/tutorial.rs"),
    ("new-check", "needs a Git repository: tests/tutorial.rs"),
    ("upgrade", "needs a newer tool: tests/upgrade.rs"),
];

/// Words after `cargo xtask` on each command line of the pages, with the page.
fn documented() -> BTreeSet<(Vec<String>, String)> {
    let span = Regex::new("`(cargo xtask[^`\n]*)`").unwrap();
    let in_block = Regex::new(r"^\s*(?:\$ )?(?:.*(?:&&|\|) |(?:[A-Z_]+=\S* )+)?(cargo xtask\b.*)").unwrap();
    let mut found = BTreeSet::new();
    for (page, text) in pages() {
        // The one is made out of the program, the other tells of commands that were.
        if page.ends_with("cli.md") || page.ends_with("CHANGELOG.md") {
            continue;
        }
        let mut fenced = false;
        for line in text.lines() {
            fenced ^= line.starts_with("```");
            let code = if fenced || line.starts_with("    ") { &in_block } else { &span };
            for shown in code.captures_iter(line).map(|c| c.get(1).unwrap().as_str()) {
                // `cargo xtask …` in a sentence means any of them.
                let rest = &shown["cargo xtask".len()..];
                if !rest.contains('…') {
                    found.insert((words(rest), page.display().to_string()));
                }
            }
        }
    }
    found
}

/// Words of a shell's command line, up to its end or what follows the command.
fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let (mut quote, mut open) = (None, false);
    for c in line.chars() {
        match (quote, c) {
            (None, ' ') => {
                open = false;
                continue;
            }
            (None, '|' | '&' | ';' | '>' | '<') => break,
            (None, '#') if !open => break,
            _ => {}
        }
        if !open {
            words.push(String::new());
            open = true;
        }
        match quote {
            Some(q) if q == c => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            _ => words.last_mut().unwrap().push(c),
        }
    }
    words
}

#[test]
fn words_end_where_the_shell_ends_a_command() {
    assert_eq!(words(" test simple 'net*' # all"), ["test", "simple", "net*"]);
    assert_eq!(words(" completions bash > ~/x && echo 'y'"), ["completions", "bash"]);
    assert_eq!(words(" exec sh -c \"a | b\" | c"), ["exec", "sh", "-c", "a | b"]);
}

#[test]
fn every_command_of_the_pages_is_one() {
    let documented = documented();
    assert!(documented.len() > 50, "{}", documented.len());
    for (words, page) in documented {
        let line = std::iter::once("xtask").chain(words.iter().map(String::as_str));
        if let Err(error) = Cli::command().try_get_matches_from(line) {
            let help = [ErrorKind::DisplayHelp, ErrorKind::DisplayVersion].contains(&error.kind());
            // A command may be named without what it needs.
            let named = words.len() == 1 && error.kind() == ErrorKind::MissingRequiredArgument;
            assert!(help || named, "{page}: cargo xtask {}\n{error}", words.join(" "));
        }
    }
}

#[test]
fn what_can_run_here_runs() {
    let scratch = Scratch::new();
    // Checks that the pages name. What they do is not the point here.
    for name in ["simple", "network", "psu-ramp"] {
        scratch.check(name, "machine.succeed('true')\n");
        scratch.write(&format!("checks/{name}.nix"), "");
    }
    let mut unused: BTreeSet<&str> = NOT_HERE.iter().map(|(start, _)| *start).collect();
    // The tutorial's are run in their order: tests/tutorial.rs.
    let others = documented().into_iter().filter(|(_, page)| page != "tool/docs/tutorial.md");
    let lines: BTreeSet<Vec<String>> = others.map(|(words, _)| words).collect();
    let (mut ran, mut failed) = (0, Vec::new());
    for words in lines {
        let line = words.join(" ");
        let begins =
            |start: &str| line == start || line.strip_prefix(start).is_some_and(|rest| rest.starts_with([' ', '=']));
        // The longest beginning is meant.
        if let Some((start, _)) = NOT_HERE.iter().filter(|(s, _)| begins(s)).max_by_key(|(s, _)| s.len()) {
            unused.remove(start);
            continue;
        }
        let mut command = scratch.command(&words.iter().map(String::as_str).collect::<Vec<_>>());
        command.env("XTASK_BACKEND", "sandbox").stdin(std::process::Stdio::null());
        let run = common::Run::of(&command.output().unwrap());
        if run.code != Some(0) {
            failed.push(format!("cargo xtask {line}: {:?}\n{}\n{}", run.code, run.stdout, run.stderr));
        }
        ran += 1;
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(ran >= 10, "only {ran} ran");
    // The README has some of them.
    assert!(readme().is_none() || unused.is_empty(), "no page has these any more: {unused:?}");
}
