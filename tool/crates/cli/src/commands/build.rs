//! `cargo xtask build`: builds the IOC, says by what, and where the result lies.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;

use crate::cli::{BackendChoice, Build};
use crate::convert;
use tool_backends::embedded;
use tool_backends::iocs::build::{self, Base};
use tool_base::fail::Status;
use tool_base::{process, ui};
use tool_host::nix::inputs;
use tool_host::nix::inputs::Inputs;
use tool_project::{Choice, Project};

/// Runs the command; stdout is the path of what was built.
pub(crate) fn run(args: &Build) -> Result<Status> {
    let result = by(&Project::load()?, args)?;
    ui::data(&result.display().to_string());
    Ok(Status::Done)
}

/// Builds the IOC as `cargo xtask build` does; the path of what was built.
///
/// # Errors
/// As that command's.
pub fn build(project: &Project) -> Result<PathBuf> {
    // As if it were typed: XTASK_BACKEND counts.
    let args = BuildAlone::try_parse_from(["cargo xtask build"]).unwrap_or_else(|error| error.exit()).args;
    by(project, &args)
}

/// The command's own options, none of them given.
#[derive(clap::Parser)]
struct BuildAlone {
    #[command(flatten)]
    args: Build,
}

fn by(project: &Project, args: &Build) -> Result<PathBuf> {
    let Some(why) = why_not_nix(project, args.backend) else { return build::by_nix(project, &(&args.nix).into()) };
    match Base::find(project) {
        Some(base) => {
            ui::say(&format!("{} the IOC by make ({why}, and {})", verb(), base.said_by));
            let programs = build::by_make(project, &base, true)?;
            programs.into_values().next().context("ioc.toml has no IOC")
        }
        None => {
            ui::say(&format!("{} the soft IOC of tool/embedded/ ({why}, and {NO_BASE})", verb()));
            let programs = embedded::programs(project)?;
            Ok(programs.into_iter().find(|p| p.name == "soft-ioc").context("tool/embedded/ has no soft-ioc")?.path)
        }
    }
}

/// Why `make` builds nothing.
pub(super) const NO_BASE: &str = "neither EPICS_BASE nor ioc/configure/RELEASE.local names an EPICS base that is here";

/// Why Nix builds nothing; `None` where it does.
pub(super) fn why_not_nix(project: &Project, backend: Option<BackendChoice>) -> Option<String> {
    match convert::backend(project, backend) {
        Some(Choice::Sandbox) => Some("the sandbox was asked for".to_owned()),
        Some(Choice::Nixos | Choice::Driver) => None,
        None if process::which("nix").is_none() => Some("Nix is not here".to_owned()),
        None => match inputs::look(project) {
            Inputs::InStore | Inputs::Reachable => None,
            Inputs::Missing(input, host) => Some(format!("{host} does not answer, and Nix needs {input} from there")),
            Inputs::Unknown(why) => Some(format!("Nix cannot be used: {why}")),
        },
    }
}

fn verb() -> String {
    ui::paint(ui::STRONG, "Building")
}
