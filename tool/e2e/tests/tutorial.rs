//! tool/docs/tutorial.md and adopt.md are true: every command in it is run, every file in it written, and what is shown comes out.
//!
//! A comment before a code block says what it is: `run` or `run: STATUS` (commands and what they print), `write: FILE`,
//! `append: FILE`, `edit: FILE` (a diff). Blocks without one are not run.
#![expect(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "tests run programs")]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Scratch, copy};
use regex_lite::Regex;

/// A prompt at which the page shows what is typed.
const PROMPTS: [&str; 2] = ["epics> ", ">>> "];

#[test]
fn every_step_works_and_shows_what_the_page_shows() {
    follow(&project(), "docs/tutorial.md", 21);
}

#[test]
fn an_ioc_is_adopted_as_the_page_shows() {
    let scratch = project();
    common::tops::Lab::beam_line(&scratch.scratch_dir().join("beam-line"));
    follow(&scratch, "docs/adopt.md", 2);
}

/// Does what a page says, which has so many steps at least.
fn follow(scratch: &Scratch, page: &str, least: usize) {
    let page = fs::read_to_string(tool().join(page)).unwrap();
    let steps = steps(&page);
    assert!(steps.len() >= least, "{} steps", steps.len());
    for (action, block) in steps {
        let (verb, file) = action.split_once(": ").unwrap_or((action, ""));
        match verb {
            "run" => {
                // Only the last command of a block may fail.
                let commands = commands(block);
                let status = file.parse().unwrap_or(0);
                for (i, (command, shown)) in commands.iter().enumerate() {
                    let status = if i + 1 == commands.len() { status } else { 0 };
                    run(scratch, command, shown, status);
                }
            }
            "write" => {
                fs::create_dir_all(scratch.root.join(file).parent().unwrap()).unwrap();
                scratch.write(file, block);
            }
            "append" => {
                let old = fs::read_to_string(scratch.root.join(file)).unwrap();
                scratch.write(file, &(old + block));
            }
            "edit" => edit(scratch, file, block),
            _ => panic!("unknown step `{action}`"),
        }
    }
}

fn tool() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The template's project in a Git repository, with a `cargo` that runs this build of xtask.
fn project() -> Scratch {
    let scratch = Scratch::new();
    for file in [".gitignore", "flake.nix"] {
        copy(&tool().join("template").join(file), &scratch.root.join(file));
    }
    copy(&tool().join("template/checks/simple.py"), &scratch.root.join("tool/template/checks/simple.py"));
    let bin = scratch.scratch_dir().join("bin");
    fs::create_dir(&bin).unwrap();
    let cargo = bin.join("cargo");
    common::executable(&cargo, &format!("#!/bin/sh\nshift\nexec '{}' \"$@\"\n", env!("CARGO_BIN_EXE_foreign")));
    run(&scratch, "git init --quiet && git add . && git commit --quiet --message template", &[], 0);
    scratch
}

/// Blocks of the page that have a comment before them.
fn steps(page: &str) -> Vec<(&str, &str)> {
    let step = Regex::new(r"(?ms)^<!-- (.*?) -->\n```\w*\n(.*?)^```$").unwrap();
    let found: Vec<_> =
        step.captures_iter(page).map(|c| (c.get(1).unwrap().as_str(), c.get(2).unwrap().as_str())).collect();
    assert_eq!(found.len(), page.matches("<!-- ").count(), "a comment that no code block follows");
    assert_eq!(
        found.iter().filter(|(action, _)| action.starts_with("run")).count(),
        page.matches("```console").count()
    );
    found
}

/// Commands of a block, each with the lines below it.
fn commands(block: &str) -> Vec<(&str, Vec<&str>)> {
    let mut commands: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in block.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => commands.push((command, Vec::new())),
            None => commands.last_mut().unwrap().1.push(line),
        }
    }
    commands
}

/// Applies a diff without line numbers, whose old text must be there once.
fn edit(scratch: &Scratch, file: &str, diff: &str) {
    let side = |skip: char| -> String {
        diff.lines().filter(|line| !line.starts_with(skip)).map(|line| format!("{}\n", &line[1..])).collect()
    };
    let (old, new) = (side('+'), side('-'));
    let text = fs::read_to_string(scratch.root.join(file)).unwrap();
    assert_eq!(text.matches(&old).count(), 1, "{file} should have this once:\n{old}");
    scratch.write(file, &text.replace(&old, &new));
}

fn run(scratch: &Scratch, command: &str, shown: &[&str], status: i32) {
    let (code, text) = talk(scratch, command, shown);
    assert_eq!(code, Some(status), "{command}\n{text}");
    let text = plain(&text);
    let mut lines = text.lines();
    for line in
        shown.iter().filter(|line| !PROMPTS.iter().any(|p| line.starts_with(p)) && **line != "…" && !line.is_empty())
    {
        let wanted = plain(line);
        let found =
            lines.any(|l| PROMPTS.iter().fold(l, |l, p| l.trim_start_matches(p)).trim_end() == wanted.trim_end());
        assert!(found, "`{command}` does not print, or not there:\n{line}\nbut:\n{text}");
    }
}

/// Runs a command; types what stands at the prompts, each line once its prompt is there. Returns all it printed.
fn talk(scratch: &Scratch, command: &str, shown: &[&str]) -> (Option<i32>, String) {
    let mut typed = shown.iter().filter_map(|line| PROMPTS.iter().find_map(|p| Some((*p, line.strip_prefix(p)?))));
    let mut bash = if command.ends_with("--debug") {
        // It wants a terminal.
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--flush", "--command", command, "/dev/null"]);
        script
    } else {
        let mut bash = Command::new("timeout");
        bash.args(["120", "bash", "-c", &format!("{{ {command}; }} 2>&1")]);
        bash
    };
    scratch.environment(&mut bash);
    let path = format!("{}:{}", scratch.scratch_dir().join("bin").display(), std::env::var("PATH").unwrap());
    bash.env("PATH", path).env("XTASK_BACKEND", "sandbox").env("GIT_CONFIG_GLOBAL", "/dev/null");
    for who in ["AUTHOR", "COMMITTER"] {
        bash.env(format!("GIT_{who}_NAME"), "me").env(format!("GIT_{who}_EMAIL"), "me@example.org");
    }
    let mut child = bash.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut keyboard, mut screen) = (child.stdin.take(), child.stdout.take().unwrap());
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    let mut next = typed.next();
    let mut seen = 0;
    if next.is_none() {
        keyboard = None;
    }
    while let Ok(size @ 1..) = screen.read(&mut buffer) {
        text.extend_from_slice(&buffer[..size]);
        while let Some((prompt, line)) = next {
            let said = String::from_utf8_lossy(&text).into_owned();
            let Some(at) = said[seen..].find(prompt) else { break };
            seen += at + prompt.len();
            writeln!(keyboard.as_mut().unwrap(), "{line}").unwrap();
            next = typed.next();
        }
    }
    assert_eq!(next, None, "`{command}` ended before this could be typed:\n{}", String::from_utf8_lossy(&text));
    (child.wait().unwrap().code(), String::from_utf8_lossy(&text).into_owned())
}

/// Without colours, times, dates, counts of files and the reason for the backend.
fn plain(text: &str) -> String {
    let changes = [
        (r"\x1b\[[0-9;?]*[a-zA-Z]|\r", ""),
        (r"\d+\.\d+ s(econds)?\b", "SOME s"),
        (r"\d{4}/\d\d/\d\d [0-9:.]+", "WHEN"),
        (r"\d{8}T\d{6}Z-\d+", "RUN"),
        (r"\d+ files, ", "SOME files, "),
        // The page is about those who ask for nothing.
        (" --backend sandbox", ""),
        (r"(?m)^(sandbox with .*) \(.*\)$", "$1"),
    ];
    changes
        .iter()
        .fold(text.to_owned(), |text, (from, to)| Regex::new(from).unwrap().replace_all(&text, *to).into_owned())
}
