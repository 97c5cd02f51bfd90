//! The workflow of an EPICS IOC as a library; the `xtask` binary is a thin shell around [`run`].
//!
//! `docs/ARCHITECTURE.md` has the map of the modules and the rules they keep.

pub mod backend;
pub mod cli;
mod commands;
mod complete;
pub mod conformance;
pub mod embedded;
pub mod fail;
pub mod files;
pub mod guard;
pub mod iocs;
pub mod lint;
pub mod nix;
pub mod process;
pub mod project;
pub mod reference;
pub mod report;
pub mod runner;
pub mod sandbox;
pub mod scaffold;
pub mod select;
pub mod settings;
mod slots;
pub mod ui;

pub mod doctor;
pub mod finding;
pub mod host;
pub mod kvm;
pub mod nixconf;

use std::ffi::OsString;

use anyhow::Result;
use clap::Parser;

use crate::cli::{Cli, Command};
use crate::fail::Status;

/// Runs one command line, `args[0]` being the name the program was called by.
pub fn run(args: impl Iterator<Item = OsString>) -> Result<Status> {
    let args: Vec<OsString> = args.collect();
    if let Some(status) = sandbox::applets::dispatch(&args)? {
        return Ok(status);
    }
    let name = args.get(1).map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    let Some(command) = Cli::parse_from(args).command else {
        return Ok(commands::overview::run());
    };
    // `test` reports to GitHub itself.
    let annotate = !matches!(command, Command::Test(_));
    let result = dispatch(command);
    if let (Err(error), true) = (&result, annotate) {
        report::github::announce(&name, &fail::render(error));
    }
    result
}

fn dispatch(command: Command) -> Result<Status> {
    match command {
        Command::Test(args) => commands::test::run(&args),
        Command::Run(args) => commands::run::run(&args),
        Command::Exec(args) => commands::exec::run(&args),
        Command::Report(args) => commands::report::run(&args),
        Command::Interactive(args) => commands::interactive::run(&args),
        Command::Driver(args) => commands::driver::run(&args),
        Command::List(args) => commands::list::run(&args),
        Command::Lint(args) => commands::lint::run(&args),
        Command::Ci(args) => commands::ci::run(&args),
        Command::CiMatrix(args) => commands::ci_matrix::run(&args),
        Command::Bench(args) => commands::bench::run(&args),
        Command::Completions(args) => Ok(commands::completions::run(&args)),
        Command::Man => Ok(commands::man::run()),
        Command::Complete(args) => Ok(commands::completions::complete(&args)),
        Command::Rename(args) => commands::rename::run(&args),
        Command::NewCheck(args) => commands::new_check::run(&args),
        Command::SandboxCage(args) => sandbox::cage::run(&args),
        Command::SandboxHost(args) => sandbox::host::run(&args),
        Command::SandboxInit(args) => sandbox::init::run(&args),
        Command::Build(args) => commands::build::run(&args),
        Command::Guard(args) => guard::run(&args),
        Command::CheckKvm(args) => commands::check_kvm::run(&args),
        Command::KvmProbe(args) => commands::check_kvm::probe(&args),
        Command::ConfigureNix(args) => commands::configure_nix::run(&args),
        Command::Doctor(args) => commands::doctor::run(&args),
        Command::UsernsProbe(args) => commands::doctor::probe(&args),
    }
}
