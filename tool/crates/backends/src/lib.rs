//! The ways to run checks, each with a file of its own, and what they need: command lines of Nix, the embedded programs,
//! the IOC's build, lint.
//!
//! It must not know the command line, nor how a run is told.

mod aftermath;
pub mod auto;
pub mod by_hand;
mod cache;
pub mod driver;
pub mod driver_log;
pub mod embedded;
mod faults;
mod fit;
pub mod follow;
pub mod iocs;
pub mod lint;
pub mod nix;
pub mod nixos;
pub mod options;
mod packages;
mod path;
mod place;
pub mod python;
pub mod sandbox;
mod told;
pub mod unit;
pub mod units;

use anyhow::Result;

use crate::nix::Nix;
use crate::options::{IocChoice, MachineOptions, NixOptions, RunOptions};
use tool_base::fail::{Failure, Status};
use tool_project::{Check, Choice, Project};
use tool_runner::Backend;

/// Where to run, why, and Nix where it is needed.
pub enum Decision {
    /// One of the NixOS machines.
    Nix(Choice, Box<Nix>, String),
    /// The sandbox.
    Sandbox(String),
}

/// Decides for good where to run, and refuses options that cannot be honoured there.
pub fn decide(project: &Project, options: &MachineOptions) -> Result<Decision> {
    let asked = || "asked for".to_owned();
    let decision = match options.backend {
        Some(Choice::Sandbox) => Decision::Sandbox(asked()),
        Some(choice) => Decision::Nix(choice, Box::new(Nix::find(project, &options.nix)?), asked()),
        None => {
            let nix = auto::nix(project, &options.nix);
            let facts = auto::read(project, nix.as_ref());
            match (auto::best(&facts), nix) {
                ((Choice::Sandbox, why), _) | ((_, why), None) => Decision::Sandbox(why),
                ((choice, why), Some(nix)) => Decision::Nix(choice, Box::new(nix), why),
            }
        }
    };
    let wrong = |flag: &str, what: String| Failure::new(Status::Usage, format!("`{flag}` cannot be honoured: {what}"));
    match &decision {
        Decision::Sandbox(why) => match only_for_nix(&options.nix) {
            Some(flag) => Err(wrong(flag, format!("this run is in the sandbox ({why}), which has no use for it"))
                .hint("--backend nixos, or --backend driver")
                .into()),
            None => Ok(decision),
        },
        Decision::Nix(..) if options.ioc != IocChoice::Auto => {
            Err(wrong("--ioc", "this run is on a NixOS machine, which has the IOC that Nix builds".to_owned())
                .hint("--backend sandbox")
                .into())
        }
        Decision::Nix(..) => Ok(decision),
    }
}

/// An option that was given and that only Nix can honour.
fn only_for_nix(options: &NixOptions) -> Option<&'static str> {
    let NixOptions { track: _, offline: _, accel, system, builders, store, args } = options;
    [
        (accel.is_some(), "--accel"),
        (system.is_some(), "--system"),
        (builders.is_some(), "--builders"),
        (store.is_some(), "--store"),
        (!args.is_empty(), "--"),
    ]
    .iter()
    .find(|(given, _)| *given)
    .map(|(_, flag)| *flag)
}

impl Decision {
    /// Its name, as `--backend` spells it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Nix(choice, ..) => choice.name(),
            Self::Sandbox(_) => Choice::Sandbox.name(),
        }
    }
}

/// Makes the backend of a `test` command ready, and says what will run.
pub fn prepare(
    project: &Project,
    machine: &MachineOptions,
    args: RunOptions,
    decision: Decision,
    checks: &[Check],
) -> Result<Box<dyn Backend>> {
    Ok(match decision {
        Decision::Sandbox(why) => {
            let prepare = || sandbox::Sandbox::prepare(project, machine, checks, args.timeout, &why);
            let sandbox = if args.lint { lint::beside(project, checks, prepare)? } else { prepare()? };
            Box::new(sandbox.debug(args.debug).recording(args.record, args.coverage).strict(args.strict))
        }
        Decision::Nix(_, _, why) if args.debug => {
            let what = format!(
                "`--debug` cannot be honoured: this run is on a NixOS machine ({why}), which ends with the script"
            );
            return Err(Failure::new(Status::Usage, what).hint("--backend sandbox, or cargo xtask interactive").into());
        }
        Decision::Nix(choice, nix, why) => {
            ready_for_nix(project, &nix, checks, choice, &why)?;
            match choice {
                Choice::Driver => Box::new(driver::Driver::new(*nix, args.timeout, args.show_output)),
                _ => Box::new(nixos::Nixos::new(*nix, args)),
            }
        }
    })
}

/// Builds what checks need, and runs none.
///
/// # Errors
/// Where something cannot be built; what Nix said stands in `target/nix/log`.
pub fn build_only(
    project: &Project,
    machine: &MachineOptions,
    args: &RunOptions,
    decision: Decision,
    checks: &[Check],
) -> Result<Status> {
    match decision {
        Decision::Sandbox(why) => {
            sandbox::Sandbox::prepare(project, machine, checks, args.timeout, &why)?;
        }
        Decision::Nix(choice, nix, why) => {
            ready_for_nix(project, &nix, checks, choice, &why)?;
            driver::build_only(&nix, checks, &project.target.join("nix"), args.show_output)?;
        }
    }
    Ok(Status::Done)
}

/// Prints what Nix would build and fetch for checks, and whether its builders can; builds nothing.
///
/// # Errors
/// Where they run in the sandbox, cannot be evaluated, or cannot be built here.
pub fn dry_run(project: &Project, decision: Decision, checks: &[Check]) -> Result<Status> {
    let (choice, nix, why) = match decision {
        Decision::Nix(choice, nix, why) => (choice, nix, why),
        Decision::Sandbox(why) => {
            let what =
                format!("`--dry-run` cannot be honoured: this run is in the sandbox ({why}), where Nix builds nothing");
            return Err(Failure::new(Status::Usage, what).hint("--backend nixos, or --list").into());
        }
    };
    ready_for_nix(project, &nix, checks, choice, &why)?;
    let suffix = if choice == Choice::Driver { ".driver" } else { "" };
    let attributes: Vec<String> = checks.iter().map(|check| nix.check(check) + suffix).collect();
    nix::plan::dry_run(&nix, &attributes, &project.target.join("nix"))?;
    Ok(Status::Done)
}

/// Looks at the files that Nix needs, and says on one line what will run.
pub fn ready_for_nix(project: &Project, nix: &Nix, checks: &[Check], choice: Choice, why: &str) -> Result<()> {
    nix::require_nix_files(checks)?;
    nix::git::see_to(&project.root, checks, nix.options().track)?;
    tool_base::ui::remark(&announcement(choice, nix, why));
    Ok(())
}

fn announcement(choice: Choice, nix: &Nix, why: &str) -> String {
    let untested = match choice {
        Choice::Driver => "the build sandbox, as this run has a network",
        _ => "nothing but the real device",
    };
    announce(&format!("{}, a NixOS machine by {}", choice.name(), nix.version()), why, untested)
}

/// What runs, why, and what that leaves untested, on lines that fit a usual terminal.
fn announce(what: &str, why: &str, untested: &str) -> String {
    let line = format!("{what} ({why})");
    let line = if line.chars().count() > 80 { format!("{what}\nas {why}") } else { line };
    format!("{line}\nuntested: {untested}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_nix_can_honour_is_named() {
        let none = NixOptions { track: true, offline: true, ..NixOptions::default() };
        assert_eq!(only_for_nix(&none), None);
        assert_eq!(only_for_nix(&NixOptions { store: Some("x".into()), ..none.clone() }), Some("--store"));
        assert_eq!(only_for_nix(&NixOptions { args: vec!["--impure".into()], ..none }), Some("--"));
    }
}
