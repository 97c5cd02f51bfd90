//! `cargo xtask build`: builds the IOC, says by what, and where the result lies.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::backend;
use crate::cli::{BackendChoice, Build, IocChoice};
use crate::commands::test::interrupts;
use crate::fail::{self, Failure, Status};
use crate::nix::inputs::{self, Inputs};
use crate::nix::run::Session;
use crate::nix::{self, Nix, classify};
use crate::process::{self, Cmd};
use crate::project::Project;
use crate::{embedded, iocs, ui};

/// Runs the command; stdout is the path of what was built.
pub fn run(args: &Build) -> Result<Status> {
    let project = Project::load()?;
    let choice = backend::choose(&project, args.backend)?;
    let base = std::env::var_os("EPICS_BASE").filter(|base| !base.is_empty());
    let why_not_nix = match choice {
        BackendChoice::Sandbox => Some("the sandbox was asked for".to_owned()),
        BackendChoice::Nixos | BackendChoice::Driver => None,
        BackendChoice::Auto if process::which("nix").is_none() => Some("Nix is not here".to_owned()),
        BackendChoice::Auto => match inputs::look(&project) {
            Inputs::InStore | Inputs::Reachable => None,
            Inputs::Missing(input, host) => Some(format!("{host} does not answer, and Nix needs {input} from there")),
            Inputs::Unknown(why) => Some(format!("Nix cannot be used: {why}")),
        },
    };
    let result = match why_not_nix {
        None => by_nix(&project, args)?,
        Some(why) if base.is_some() => by_make(&project, &why)?,
        Some(why) => {
            ui::say(&format!("{} the soft IOC of embedded/ ({why}, and EPICS_BASE is not set)", verb()));
            let programs = embedded::programs(&project)?;
            programs.into_iter().find(|p| p.name == "soft-ioc").context("embedded/ has no soft-ioc")?.path
        }
    };
    ui::data(&result.display().to_string());
    Ok(Status::Done)
}

fn verb() -> String {
    ui::paint(ui::STRONG, "Building")
}

fn by_nix(project: &Project, args: &Build) -> Result<PathBuf> {
    let nix = Nix::find(project, &args.nix)?;
    nix::git::see_to(&project.root, &[], args.nix.track)?;
    let attribute = nix.package();
    ui::say(&format!("{} .#{attribute} with {}", verb(), nix.version()));
    let link = project.root.join("result");
    std::fs::create_dir_all(&project.target)?;
    let (_, interrupts) = interrupts()?;
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
        return Err(classify::explain(&built.errors).1.into());
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
