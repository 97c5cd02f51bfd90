//! `cargo xtask test`: runs checks and reports their verdicts.

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use anyhow::Result;

use crate::backend::Sandbox;
use crate::cli::Test;
use crate::fail::{self, Status};
use crate::project::{self, Check, Project};
use crate::report::terminal::Terminal;
use crate::runner::{self, Plan};
use crate::sandbox::sys;

/// Runs the command.
pub fn run(args: &Test) -> Result<Status> {
    let project = Project::load()?;
    let checks = project::select(&project.checks()?, &args.names)?;
    let sandbox = Sandbox::prepare(&project, &args.machine, args.timeout)?;
    let interrupts = interrupts()?;
    let run_dir = runner::new_run_dir(&project)?;
    let plan = Plan {
        checks,
        spec: &|check, dir| Ok(sandbox.spec(check, script(check)?, dir)),
        keep_going: args.no_fail_fast,
        show_output: args.show_output,
    };
    let mut sink = anstream::stderr();
    let mut terminal = Terminal::new(&mut sink, &project.root);
    let summary = runner::run(&plan, &run_dir, &interrupts, &mut |event| terminal.report(event))?;
    Ok(match () {
        () if summary.interrupted() => Status::Interrupted,
        () if summary.passed() => Status::Done,
        () => Status::CheckFailed,
    })
}

/// The test script of a check.
pub fn script(check: &Check) -> Result<&Path> {
    check.script.as_deref().ok_or_else(|| {
        let name = &check.name;
        fail::config(format!("check `{name}` has checks/{name}.nix but no test script checks/{name}.py"))
            .hint(format!("write checks/{name}.py, and read it in checks/{name}.nix"))
            .into()
    })
}

/// Says when Ctrl-C was pressed, instead of ending the program. To be called before any thread is started.
fn interrupts() -> Result<Receiver<()>> {
    sys::block_interrupts()?;
    let (sender, receiver) = channel();
    std::thread::spawn(move || while sys::wait_for_interrupt().is_ok() && sender.send(()).is_ok() {});
    Ok(receiver)
}
