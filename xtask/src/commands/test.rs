//! `cargo xtask test`: runs checks and reports their verdicts.

use std::sync::mpsc::{Receiver, channel};

use anyhow::Result;

use crate::backend;
use crate::cli::Test;
use crate::fail::{self, Status};
use crate::project::{self, Project};
use crate::report::github::Github;
use crate::report::terminal::Terminal;
use crate::runner::{self, Job};
use crate::sandbox::sys;
use crate::ui;

/// Runs the command.
pub fn run(args: &Test) -> Result<Status> {
    let project = Project::load()?;
    // First of all: what a build prints is no more ours than what a check prints.
    let mut github = Github::detect(&project.root)?;
    let result = run_checks(args, &project, github.as_mut());
    if let Some(github) = &mut github {
        match &result {
            Ok(_) => github.end(),
            Err(error) => github.trouble(&fail::render(error)),
        }
    }
    result
}

fn run_checks(args: &Test, project: &Project, mut github: Option<&mut Github>) -> Result<Status> {
    let checks = project::select(&project.checks()?, &args.names)?;
    let backend = backend::prepare(project, args, &checks)?;
    let interrupts = interrupts()?;
    let mut sink = anstream::stderr();
    let mut terminal = Terminal::new(&mut sink, &project.root);
    let run_dir = runner::new_run_dir(project)?;
    let mut job = Job {
        run_dir: run_dir.path.clone(),
        keep_going: args.no_fail_fast,
        show_output: args.show_output,
        interrupts,
        report: &mut |event| {
            if let Some(github) = &mut github {
                github.before(event);
            }
            terminal.report(event);
            if let Some(Err(trouble)) = github.as_mut().map(|github| github.after(event)) {
                ui::warn(&fail::render(&trouble));
            }
        },
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
