//! `cargo xtask build`: builds the IOC, says by what, and where the result lies.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;

use crate::cli::Build;
use tool_backends::nix::Nix;
use tool_backends::nix::run::Session;
use tool_backends::options::{BackendChoice, IocChoice, NixOptions};
use tool_backends::{embedded, iocs, nix};
use tool_base::fail::{Failure, Status};
use tool_base::interrupt;
use tool_base::process::Cmd;
use tool_base::{fail, process, ui};
use tool_host::nix::inputs;
use tool_host::nix::inputs::Inputs;
use tool_project::Project;

/// Runs the command; stdout is the path of what was built.
pub(crate) fn run(args: &Build) -> Result<Status> {
    let result = by(&Project::load()?, args.backend.map(Into::into), &(&args.nix).into())?;
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
    by(project, args.backend.map(Into::into), &(&args.nix).into())
}

/// The command's own options, none of them given.
#[derive(clap::Parser)]
struct BuildAlone {
    #[command(flatten)]
    args: Build,
}

fn by(project: &Project, asked: Option<BackendChoice>, options: &NixOptions) -> Result<PathBuf> {
    let choice = tool_backends::wanted(project, asked)?;
    let base = std::env::var_os("EPICS_BASE").filter(|base| !base.is_empty());
    let why_not_nix = match choice {
        BackendChoice::Sandbox => Some("the sandbox was asked for".to_owned()),
        BackendChoice::Nixos | BackendChoice::Driver => None,
        BackendChoice::Auto if process::which("nix").is_none() => Some("Nix is not here".to_owned()),
        BackendChoice::Auto => match inputs::look(project) {
            Inputs::InStore | Inputs::Reachable => None,
            Inputs::Missing(input, host) => Some(format!("{host} does not answer, and Nix needs {input} from there")),
            Inputs::Unknown(why) => Some(format!("Nix cannot be used: {why}")),
        },
    };
    match why_not_nix {
        None => by_nix(project, options),
        Some(why) if base.is_some() => by_make(project, &why),
        Some(why) => {
            ui::say(&format!("{} the soft IOC of tool/embedded/ ({why}, and EPICS_BASE is not set)", verb()));
            let programs = embedded::programs(project)?;
            Ok(programs.into_iter().find(|p| p.name == "soft-ioc").context("tool/embedded/ has no soft-ioc")?.path)
        }
    }
}

fn verb() -> String {
    ui::paint(ui::STRONG, "Building")
}

fn by_nix(project: &Project, options: &NixOptions) -> Result<PathBuf> {
    let nix = Nix::find(project, options)?;
    nix::git::see_to(&project.root, &[], options.track)?;
    let attribute = nix.package();
    ui::say(&format!("{} .#{attribute} with {}", verb(), nix.version()));
    let link = project.root.join("result");
    std::fs::create_dir_all(&project.target)?;
    let (_, interrupts) = interrupt::messages()?;
    let mut session = Session::new(&nix, &interrupts, &project.target.join("nix-build.log"), true)?;
    let derivations = session.evaluate(std::slice::from_ref(&attribute))?;
    let how = nix::Build { out_link: Some(&link), ..nix::Build::default() };
    let built = session.build(&derivations.iter().collect::<Vec<_>>(), how, |session, step| {
        if let nix::run::Step::Line(_, line) = step {
            session.write(line);
            ui::say(line);
        }
    })?;
    if built.end.interrupted {
        return Err(Failure::new(Status::Interrupted, "interrupted while Nix built the IOC").into());
    }
    if built.end.code != 0 {
        return Err(built.failure().into());
    }
    Ok(link)
}

fn by_make(project: &Project, why: &str) -> Result<PathBuf> {
    let cmd = Cmd::new("make").arg("-C").arg(project.ioc_dir());
    ui::say(&format!("{} by `{cmd}` ({why}, and EPICS_BASE is set)", verb()));
    let status = cmd.status()?;
    if !status.success() {
        return Err(Failure::new(Status::CheckFailed, format!("`{cmd}` ended with {status}"))
            .hint("see its messages above")
            .into());
    }
    match iocs::choose(IocChoice::Make, iocs::find(project))? {
        iocs::IocBuild::Make(exe) => Ok(exe),
        _ => Err(fail::host("make built no IOC").into()),
    }
}
