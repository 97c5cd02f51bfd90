//! `cargo xtask test`: runs checks and reports their verdicts.

use std::sync::mpsc::{Receiver, channel};

use anyhow::Result;

use crate::backend;
use crate::cli::Test;
use crate::fail::Status;
use crate::project::{self, Project};
use crate::report::terminal::Terminal;
use crate::runner::{self, Job};
use crate::sandbox::sys;

/// Runs the command.
pub fn run(args: &Test) -> Result<Status> {
    let project = Project::load()?;
    let checks = project::select(&project.checks()?, &args.names)?;
    let backend = backend::prepare(&project, args, &checks)?;
    let interrupts = interrupts()?;
    let mut sink = anstream::stderr();
    let mut terminal = Terminal::new(&mut sink, &project.root);
    let run_dir = runner::new_run_dir(&project)?;
    let mut job = Job {
        run_dir: run_dir.path.clone(),
        keep_going: args.no_fail_fast,
        show_output: args.show_output,
        interrupts,
        report: &mut |event| terminal.report(event),
    };
    let summary = runner::run(backend.as_ref(), &checks, &mut job)?;
    Ok(match () {
        () if summary.interrupted() => Status::Interrupted,
        () if summary.passed() => Status::Done,
        () => Status::CheckFailed,
    })
}

/// Says when Ctrl-C was pressed, instead of ending the program. To be called before any thread is started.
pub fn interrupts() -> Result<Receiver<()>> {
    sys::block_interrupts()?;
    let (sender, receiver) = channel();
    std::thread::spawn(move || while sys::wait_for_interrupt().is_ok() && sender.send(()).is_ok() {});
    Ok(receiver)
}
