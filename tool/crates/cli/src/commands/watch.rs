//! `cargo xtask test --watch`: runs again what a saved file concerns.
//!
//! A save that concerns a check ends the run that is under way: its verdict would be one of yesterday's text. What had no
//! verdict by then runs again with what was saved.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

use super::test;
use crate::cli::Test;
use tool_base::fail::Status;
use tool_base::ui::{self, BAD, DIM, GOOD, cut, paint};
use tool_base::{fail, interrupt};
use tool_project::saved::Saved;
use tool_project::{Check, Project};
use tool_runner::select::{self, Selection};
use tool_runner::{Summary, Verdict};

/// What is waited for.
enum Woken {
    /// Files were saved that concern these checks.
    Saved(Vec<String>, Vec<Check>),
    /// Ctrl-C.
    Stop,
    /// The project cannot be read as it was saved, or no longer be watched.
    Trouble(anyhow::Error),
}

/// The run that is under way, for those who end it.
#[derive(Default)]
struct Running {
    stop: Option<Sender<()>>,
    /// A second word would kill it.
    saved: bool,
    pressed: bool,
}

impl Running {
    fn end(&self) {
        if let Some(stop) = &self.stop {
            let _ = stop.send(());
        }
    }
}

type Shared = Arc<Mutex<Running>>;

/// Runs the command: until Ctrl-C.
pub fn run(args: &Test) -> Result<Status> {
    let project = Project::load()?;
    let selection: Selection = (&args.selection).into();
    let mut due = names(&select::select(&project, &selection)?.or_nothing()?);
    let (sender, wakes) = channel();
    let shared = Shared::default();
    let (woken, running) = (sender.clone(), Arc::clone(&shared));
    interrupt::each(move || {
        let mut running = hold(&running);
        running.pressed = true;
        running.end();
        woken.send(Woken::Stop).is_ok()
    })?;
    let (mut saved, running) = (Saved::watch(&project.root, &project.target)?, Arc::clone(&shared));
    std::thread::spawn(move || {
        loop {
            let wake = next(&mut saved, &selection);
            let mut running = hold(&running);
            if matches!(wake, Woken::Saved(..)) && !std::mem::replace(&mut running.saved, true) {
                running.end();
            }
            let over = matches!(wake, Woken::Trouble(_));
            if sender.send(wake).is_err() || over {
                break;
            }
        }
    });
    let mut verdicts = BTreeMap::new();
    loop {
        match once(args, &due, &shared) {
            Ok(summary) => take(&summary, &mut verdicts, &mut due),
            Err(error) => {
                due.clear();
                ui::error(&fail::render(&error));
            }
        }
        let idle = || ui::say(&format!("\n{}", row(&verdicts, "waits for a save, or Ctrl-C")));
        let Some(paths) = wait(&wakes, &mut due, idle)? else { return Ok(Status::Interrupted) };
        let more = if paths.len() > 1 { format!(" and {} more", paths.len() - 1) } else { String::new() };
        ui::hold(ui::screen()).clear();
        ui::say(&row(&verdicts, &format!("saved: {}{more}", paths[0])));
        if paths.iter().any(|path| path.starts_with("xtask/") || path.starts_with("tool/crates/")) {
            ui::warn("this is the xtask of before: Ctrl-C, and start it again to have what was saved of it");
        }
    }
}

/// Waits until something was saved that concerns a check, `idle` where nothing was saved meanwhile; `None` is Ctrl-C.
fn wait(wakes: &Receiver<Woken>, due: &mut BTreeSet<String>, idle: impl FnOnce()) -> Result<Option<Vec<String>>> {
    let mut paths = Vec::new();
    let mut idle = Some(idle);
    loop {
        let first = match wakes.try_recv() {
            Ok(wake) => wake,
            Err(_) => {
                idle.take().into_iter().for_each(|idle| idle());
                wakes.recv()?
            }
        };
        for wake in std::iter::once(first).chain(wakes.try_iter()) {
            match wake {
                Woken::Stop => return Ok(None),
                Woken::Trouble(error) => return Err(error),
                Woken::Saved(saved, checks) => {
                    paths.extend(saved);
                    due.extend(names(&checks));
                }
            }
        }
        if !paths.is_empty() {
            return Ok(Some(paths));
        }
    }
}

fn next(saved: &mut Saved, selection: &Selection) -> Woken {
    loop {
        let paths = match saved.wait() {
            Ok(paths) => paths,
            Err(error) => return Woken::Trouble(error),
        };
        match Project::load().and_then(|project| select::concerned(&project, selection, &paths)) {
            Ok(checks) if checks.is_empty() => {}
            Ok(checks) => return Woken::Saved(paths, checks),
            // As it was saved, nothing can be run; the run says why.
            Err(_) => return Woken::Saved(paths, Vec::new()),
        }
    }
}

/// Runs those checks that are due, as they are now.
fn once(args: &Test, due: &BTreeSet<String>, shared: &Shared) -> Result<Summary> {
    let project = Project::load()?;
    let mut checks = project.checks()?;
    if due.is_empty() {
        select::select(&project, &(&args.selection).into())?;
    }
    checks.retain(|check| due.contains(&check.name));
    if checks.is_empty() {
        return Ok(Summary::default());
    }
    let result = test::once(args, &project, checks, || {
        let (sender, receiver) = channel();
        let mut running = hold(shared);
        if running.pressed {
            sender.send(())?;
        }
        (running.stop, running.saved) = (Some(sender.clone()), false);
        Ok((sender, receiver))
    });
    hold(shared).stop = None;
    result
}

/// Takes note of a run's verdicts. What it did not come to, as it was ended, is due still.
fn take(summary: &Summary, verdicts: &mut BTreeMap<String, bool>, due: &mut BTreeSet<String>) {
    let known = |verdict: &Verdict| *verdict == Verdict::Passed || verdict.is_failure();
    for outcome in summary.results().filter(|outcome| known(&outcome.verdict)) {
        due.remove(&outcome.exec.check.name);
        verdicts.insert(outcome.exec.check.name.clone(), true);
    }
    let failed = |outcome: &&tool_runner::Outcome| outcome.verdict.is_failure();
    let mut failures = summary.results().filter(failed).peekable();
    if !summary.interrupted() && failures.peek().is_some() {
        due.clear();
    }
    for outcome in failures {
        verdicts.insert(outcome.exec.check.name.clone(), false);
    }
    for skipped in &summary.skipped {
        due.remove(&skipped.check);
    }
}

/// A line: the last verdict of each check, and something else.
fn row(verdicts: &BTreeMap<String, bool>, rest: &str) -> String {
    let failed: Vec<&str> = verdicts.iter().filter(|(_, passed)| !**passed).map(|(name, _)| name.as_str()).collect();
    let passed = verdicts.len() - failed.len();
    let (style, standing) = match (passed, failed.len()) {
        (0, 0) => (DIM, "no verdict yet".to_owned()),
        (_, 0) => (GOOD, format!("{passed} passed")),
        (_, count) => (BAD, format!("{passed} passed, {count} failed ({})", failed.join(", "))),
    };
    let text = format!("{standing} · {rest}");
    let columns = ui::hold(ui::screen()).columns();
    paint(style, &columns.map_or_else(|| text.clone(), |width| cut(&text, width)))
}

fn names(checks: &[Check]) -> BTreeSet<String> {
    checks.iter().map(|check| check.name.clone()).collect()
}

fn hold(shared: &Shared) -> std::sync::MutexGuard<'_, Running> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
