//! `cargo xtask interactive`: a Python prompt on a check's machine.

use anyhow::Result;

use crate::backend::sandbox::Sandbox;
use crate::cli::Interactive;
use crate::fail::Status;
use crate::project::{self, Project};
use crate::runner;
use crate::sandbox::run::{Output, Run};
use crate::sandbox::sys;

/// Runs the command.
pub fn run(args: &Interactive) -> Result<Status> {
    let project = Project::load()?;
    let checks = project::select(&project.checks()?, std::slice::from_ref(&args.name))?;
    let sandbox = Sandbox::prepare(&project, &args.machine, None)?;
    let dir = runner::new_run_dir(&project)?.join(&checks[0].name);
    std::fs::create_dir_all(&dir)?;
    let mut spec = sandbox.spec(&checks[0], &dir)?;
    spec.interactive = true;
    spec.junit = None;
    // Ctrl-C belongs to the prompt.
    sys::block_interrupts()?;
    let (run, _) = Run::start(&spec, &dir, &Output::Terminal)?;
    let code = run.wait()?;
    let _ = std::fs::remove_dir(&spec.state_dir);
    Ok(Status::Other(code))
}
