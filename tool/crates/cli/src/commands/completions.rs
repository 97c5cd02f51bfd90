//! `cargo xtask completions`: a script for the shell, and what it asks for at each TAB.

use crate::cli::{Complete, Completions, Shell};
use crate::complete::candidates;
use tool_base::fail::Status;
use tool_base::ui;
use tool_project::Project;

/// Prints the script of a shell.
pub fn run(args: &Completions) -> Status {
    let script = match args.shell {
        Shell::Bash => include_str!("completions/cargo-xtask.bash"),
        Shell::Fish => include_str!("completions/cargo-xtask.fish"),
        Shell::Zsh => include_str!("completions/cargo-xtask.zsh"),
    };
    ui::data(script.trim_end());
    Status::Done
}

/// Prints what can come next, a line each: the word, a tab, what it means.
pub fn complete(args: &Complete, mut cli: clap::Command) -> Status {
    cli.build();
    // A project that cannot be read has no checks to offer.
    let checks = Project::load().and_then(|project| project.checks()).unwrap_or_default();
    let checks: Vec<String> = checks.into_iter().map(|check| check.name).collect();
    for candidate in candidates(&cli, &args.words, &checks) {
        ui::data(&format!("{}\t{}", candidate.word, candidate.help));
    }
    Status::Done
}
