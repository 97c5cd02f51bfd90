//! Subcommands of the user's own, beside ours.

use anyhow::Result;
use clap::{ArgMatches, Command, CommandFactory};

use crate::cli::Cli;
use tool_base::fail::{self, Failure, Status};
use tool_project::Project;

/// A subcommand of the user's own.
#[derive(Debug)]
pub struct Own {
    pub(crate) command: Command,
    pub(crate) run: fn(&Project, &ArgMatches) -> Result<Status>,
}

impl Own {
    /// `command` describes it to clap, `run` does it. An error with a [`Failure`] inside exits with its status, any other
    /// with 5.
    pub fn new(command: Command, run: fn(&Project, &ArgMatches) -> Result<Status>) -> Self {
        Self { command, run }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.command.get_name()).chain(self.command.get_all_aliases())
    }
}

/// The whole command line: ours, then the user's.
///
/// # Errors
/// A name of the user's is one of ours, or is there twice.
pub fn command(own: &[Own]) -> Result<Command> {
    let ours = Cli::command().version(version());
    let mut taken: Vec<String> = crate::STAGES.iter().map(|stage| (*stage).to_owned()).collect();
    taken.push("help".to_owned());
    taken.extend(ours.get_subcommands().map(|command| command.get_name().to_owned()));
    for one in own {
        if let Some(name) = one.names().find(|name| taken.iter().any(|other| other == name)) {
            return Err(collision(name).into());
        }
        taken.extend(one.names().map(str::to_owned));
    }
    Ok(own.iter().fold(ours, |all, one| all.subcommand(one.command.clone())))
}

/// What `--version` says: the tool's version, and its revision where an upgrade noted it.
fn version() -> &'static str {
    let root = Project::find().ok();
    // clap wants it for ever, and there is one.
    Box::leak(tool_project::upgrade::version(root.as_deref()).into_boxed_str())
}

fn collision(name: &str) -> Failure {
    fail::config(format!("xtask/src/main.rs: there is a subcommand `{name}` already"))
        .hint(format!("give yours another name, such as `my-{name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(name: &'static str) -> Own {
        Own::new(Command::new(name), |_, _| Ok(Status::Done))
    }

    #[test]
    fn names_of_ours_are_refused() {
        for name in ["test", "doctor", "help", "sandbox-init", "complete"] {
            let error = fail::render(&command(&[own("deploy"), own(name)]).unwrap_err());
            assert!(error.contains(&format!("there is a subcommand `{name}` already")), "{error}");
        }
        assert!(command(&[own("deploy"), own("deploy")]).is_err());
        let alias = Own::new(Command::new("deploy").alias("test"), |_, _| Ok(Status::Done));
        assert!(command(&[alias]).is_err());
        assert!(command(&[own("deploy")]).unwrap().find_subcommand("deploy").is_some());
    }
}
