//! `cargo xtask exec`: a command, or a shell, on a sandbox machine that runs.

use anyhow::Result;

use crate::cli::Exec;
use tool_base::fail::Status;
use tool_base::{fail, sys};
use tool_project::{Project, nearest};
use tool_sandbox::enter;

/// Runs the command; its exit status is ours.
pub fn run(args: &Exec) -> Result<Status> {
    let project = Project::load()?;
    let machines = enter::machines(&project.target.join("checks"));
    let newest = machines.last().ok_or_else(|| {
        fail::host("no machine of this project runs").hint("start one in another terminal: cargo xtask run")
    })?;
    let of_run: Vec<_> = machines.iter().filter(|machine| machine.spec == newest.spec).collect();
    let names: Vec<&str> = of_run.iter().map(|machine| machine.name.as_str()).collect();
    let machine = match (&args.machine, of_run.as_slice()) {
        (None, [one]) => one,
        (None, _) => {
            return Err(fail::Failure::new(Status::Usage, format!("several machines run: {}", names.join(", ")))
                .hint(format!("choose one: cargo xtask exec --machine {}", names[0]))
                .into());
        }
        (Some(name), all) => all.iter().find(|machine| machine.name == *name).ok_or_else(|| {
            let near = nearest(name, &names).unwrap_or(names[0]);
            fail::Failure::new(Status::NothingSelected, format!("no machine `{name}` runs"))
                .hint(format!("cargo xtask exec --machine {near}"))
        })?,
    };
    // Ctrl-C belongs to the command.
    sys::block_interrupts()?;
    machine.enter()?;
    Ok(Status::Other(enter::run(&args.command)?))
}
