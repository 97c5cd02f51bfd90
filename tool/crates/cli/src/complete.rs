//! Completion of command lines: what can come next, out of clap's own description of the command line.
//!
//! The shells ask a hidden command for it at each TAB, so their scripts never age and know the checks.

use clap::{Arg, Command};

/// Something that can come next.
#[derive(Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The whole word.
    pub word: String,
    /// What it means; may be empty.
    pub help: String,
}

/// What an argument's value is called where it names checks.
const CHECKS: [&str; 2] = ["NAME|GLOB", "CHECK"];

/// What can come next. `words` follow `cargo xtask`; the last one is being typed. None means: a file, or anything.
pub fn candidates(cli: &Command, words: &[String], checks: &[String]) -> Vec<Candidate> {
    // bash makes `--a=b` three words.
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| *word != "=").collect();
    let Some((typed, before)) = words.split_last() else { return Vec::new() };
    let (mut command, mut positionals, mut open) = (cli, 0, None);
    for word in before {
        if open.take().is_some() {
        } else if *word == "--" {
            return Vec::new();
        } else if let Some(option) = word.strip_prefix('-') {
            open = option_of(command, option).filter(|arg| takes_value(arg) && !word.contains('='));
        } else if let Some(sub) = command.find_subcommand(word).filter(|_| positionals == 0) {
            command = sub;
        } else {
            positionals += 1;
        }
    }
    let found = if let Some(arg) = open {
        values(arg, checks)
    } else if let Some((option, _)) = typed.split_once('=').filter(|_| typed.starts_with("--")) {
        let values = option_of(command, &option[1..]).map(|arg| values(arg, checks)).unwrap_or_default();
        values.into_iter().map(|value| Candidate { word: format!("{option}={}", value.word), ..value }).collect()
    } else if typed.starts_with('-') {
        options(command)
    } else if command.has_subcommands() {
        let commands = command.get_subcommands().filter(|sub| !sub.is_hide_set());
        commands.map(|sub| candidate(sub.get_name(), sub.get_about())).collect()
    } else {
        let all: Vec<&Arg> = command.get_positionals().filter(|arg| !arg.is_last_set()).collect();
        let arg = all.get(positionals).or_else(|| all.last().filter(|arg| repeats(arg)));
        arg.map(|arg| values(arg, checks)).unwrap_or_default()
    };
    found.into_iter().filter(|candidate| candidate.word.starts_with(typed)).collect()
}

fn candidate(word: &str, help: Option<&impl ToString>) -> Candidate {
    Candidate { word: word.to_owned(), help: help.map(ToString::to_string).unwrap_or_default() }
}

/// The option of this name, without its first dash.
fn option_of<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    let name = name.split('=').next().unwrap_or_default();
    command.get_arguments().find(|arg| match name.strip_prefix('-') {
        Some(long) => arg.get_long() == Some(long),
        None => arg.get_short().is_some_and(|short| name.chars().eq([short])),
    })
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

fn options(command: &Command) -> Vec<Candidate> {
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    shown.filter_map(|arg| Some(candidate(&format!("--{}", arg.get_long()?), arg.get_help()))).collect()
}

fn repeats(arg: &Arg) -> bool {
    matches!(arg.get_action(), clap::ArgAction::Append)
}

fn values(arg: &Arg, checks: &[String]) -> Vec<Candidate> {
    if arg.get_value_names().is_some_and(|names| names.iter().any(|name| CHECKS.contains(&name.as_str()))) {
        return checks.iter().map(|check| candidate(check, None::<&String>)).collect();
    }
    let shown = arg.get_possible_values();
    shown
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| candidate(value.get_name(), value.get_help()))
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use proptest::prelude::*;

    use super::*;
    use crate::cli::Cli;

    fn next(line: &str) -> Vec<String> {
        let mut cli = Cli::command();
        cli.build();
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let checks = ["simple".to_owned(), "reconnect".to_owned()];
        candidates(&cli, &words, &checks).into_iter().map(|candidate| candidate.word).collect()
    }

    #[test]
    fn commands_options_values_and_checks() {
        assert_eq!(next("tes"), ["test"]);
        assert_eq!(next("test si"), ["simple"]);
        assert_eq!(next("test simple r"), ["reconnect"]);
        assert_eq!(next("interactive s"), ["simple"]);
        assert_eq!(next("test --back"), ["--backend"]);
        assert_eq!(next("test --backend s"), ["sandbox"]);
        assert_eq!(next("test --backend = s"), ["sandbox"], "as bash splits it");
        assert_eq!(next("test --backend=s"), ["--backend=sandbox"]);
        assert_eq!(next("test --backend sandbox si"), ["simple"]);
        assert_eq!(next("completions "), ["bash", "fish", "zsh"]);
        assert_eq!(next("run --ioc m"), ["make"]);
    }

    #[test]
    fn plumbing_and_the_arguments_of_others_are_left_alone() {
        assert_eq!(next("sandbox"), [""; 0]);
        assert_eq!(next("test --timeout "), [""; 0]);
        assert_eq!(next("test -- --ba"), [""; 0]);
        assert_eq!(next("driver script.py -o "), [""; 0]);
    }

    proptest! {
        #[test]
        fn any_words_are_taken(line in "(-{0,2}[a-z=]{0,6} ){0,4}\\PC{0,5}") {
            let _ = next(&line);
        }
    }
}
