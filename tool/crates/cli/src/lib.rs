//! `main()` of `cargo xtask`: the command line, and one file per command that turns arguments into calls of the crates
//! below and their answers into what people read. The only crate that knows clap.
//!
//! It must not decide anything that a crate below can decide. xtask/src/main.rs of a project calls [`main`].

mod cli;
mod commands;
mod complete;
mod convert;
pub mod errors_page;
mod own;
pub mod reference;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{Command as ClapCommand, FromArgMatches};

use crate::cli::Command;
use tool_base::{limits, sys};
use tool_report::github::Github;

pub use anyhow::{self, Result};
pub use clap;
pub use cli::Cli;
pub use commands::build::build;
pub use own::Own;
pub use tool_base::fail::{self, Failure, Status};
pub use tool_base::{process, ui};
pub use tool_project::Project;

/// Words that make this program a stage of its own: never typed by people.
const STAGES: [&str; 6] = ["guard", "kvm-probe", "sandbox-cage", "sandbox-keeper", "sandbox-init", "userns-probe"];

/// Runs the command line of this process, with subcommands of the user's own beside ours.
pub fn main(own: &[Own]) -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let status = match run(&args, own) {
        Ok(status) => status,
        Err(error) => ui::report(&error),
    };
    // Whoever asked for data must hear that it is not there; what failed before is worse.
    match ui::finish().map_err(|error| ui::report(&error)) {
        Err(trouble) if status == Status::Done => trouble.into(),
        _ => status.into(),
    }
}

/// Runs one command line, `args[0]` being the name the program was called by.
///
/// # Errors
/// Whatever the command fails with; [`ui::report`] tells it.
fn run(args: &[OsString], own: &[Own]) -> Result<Status> {
    if let Some(status) = tool_init::applets::dispatch(args)? {
        return Ok(status);
    }
    if let Some(status) = stage(args) {
        return status;
    }
    sys::settle()?;
    limits::raise();
    limits::own()?;
    let name = args.get(1).map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    let line = own::command(own)?;
    let matches = match line.clone().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(answer) if !answer.use_stderr() => {
            ui::data(answer.render().ansi().to_string().trim_end());
            return Ok(Status::Done);
        }
        Err(error) => {
            ui::say(error.render().ansi().to_string().trim_end());
            return Ok(Status::Usage);
        }
    };
    if let Some((word, matches)) = matches.subcommand()
        && let Some(own) = own.iter().find(|own| own.command.get_name() == word)
    {
        return reported(&name, true, |_| (own.run)(&Project::load()?, matches));
    }
    let parsed = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let Some(command) = parsed.command else { return Ok(commands::overview::run(own)) };
    // Those that show programs of the user's as they are, and `ci`, whose steps report by themselves.
    let guarded = !matches!(
        command,
        Command::Run(_)
            | Command::Exec(_)
            | Command::Interactive(_)
            | Command::Driver(_)
            | Command::Ci(_)
            | Command::Complete(_)
    );
    reported(&name, guarded, |github| dispatch(command, line, github))
}

/// Runs a command and tells GitHub why it failed, where we are a step of it. `guarded`: what it prints is not ours.
fn reported(
    name: &str,
    guarded: bool,
    command: impl FnOnce(Option<&mut Github<'static>>) -> Result<Status>,
) -> Result<Status> {
    let begin = || Github::detect(&Project::find().unwrap_or_default());
    let mut github = if guarded { begin()? } else { None };
    let result = command(github.as_mut());
    if let (Err(_), None) = (&result, &github) {
        github = begin()?;
    }
    if let Some(github) = &mut github {
        if let Err(error) = &result {
            github.trouble(name, &fail::render(error));
        }
        github.end();
    }
    result
}

/// The stage that the first word names; `None` where it names none.
fn stage(args: &[OsString]) -> Option<Result<Status>> {
    let (name, words) = args.get(1..)?.split_first()?;
    Some(match name.to_str()? {
        "guard" => tool_base::guard::run(words),
        "kvm-probe" => commands::check_kvm::probe(words),
        "sandbox-cage" => tool_sandbox::cage::run(words),
        "sandbox-keeper" => tool_sandbox::keeper::run(words),
        "sandbox-init" => tool_init::run(words),
        "userns-probe" => commands::doctor::probe(words),
        _ => return None,
    })
}

fn dispatch(command: Command, line: ClapCommand, github: Option<&mut Github<'static>>) -> Result<Status> {
    // What fails without them speaks of other things.
    let starts = matches!(command, Command::Test(_) | Command::Run(_) | Command::Interactive(_) | Command::Driver(_));
    for (needed, hint) in [("/proc/self/fd", "mount -t proc proc /proc"), ("/dev/null", "mknod -m 666 /dev/null c 1 3")]
    {
        if starts && !Path::new(needed).exists() {
            return Err(fail::host(format!("there is no {needed}")).hint(format!("sudo {hint}")).into());
        }
    }
    if starts {
        limits::of_machines()?;
    }
    match command {
        Command::Test(args) if args.watch => commands::watch::run(&args),
        Command::Test(args) => commands::test::run(&args, github),
        Command::Run(args) => commands::run::run(&args),
        Command::Exec(args) => commands::exec::run(&args),
        Command::Report(args) => commands::report::run(&args),
        Command::Interactive(args) => commands::interactive::run(&args),
        Command::Driver(args) => commands::driver::run(&args),
        Command::List(args) => commands::list::run(&args),
        Command::Lint(args) => commands::lint::run(&args, github),
        Command::Ci(args) => commands::ci::run(&args),
        Command::CiMatrix(args) => commands::ci_matrix::run(&args),
        Command::Completions(args) => Ok(commands::completions::run(&args)),
        Command::Man => commands::man::run(line),
        Command::Complete(args) => Ok(commands::completions::complete(&args, line)),
        Command::Adopt(args) => commands::adopt::run(&args),
        Command::Rename(args) => commands::rename::run(&args),
        Command::Upgrade(args) => commands::upgrade::run(&args),
        Command::NewCheck(args) => commands::new_check::run(&args),
        Command::Build(args) => commands::build::run(&args),
        Command::CheckKvm(args) => commands::check_kvm::run(&args),
        Command::ConfigureNix(args) => commands::configure_nix::run(&args),
        Command::Doctor(args) => commands::doctor::run(&args),
    }
}
