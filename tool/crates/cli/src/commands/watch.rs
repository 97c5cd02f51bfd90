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
use tool_base::ui::{self, BAD, DIM, GOOD, clean, cut, paint};
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
    /// Something was saved since its checks were read.
    saved: bool,
    pressed: bool,
}

impl Running {
    /// What ends a run that begins, and hears of that: at once, where that was wanted while it was prepared.
    fn begin(&mut self) -> Result<(Sender<()>, Receiver<()>)> {
        let (sender, receiver) = channel();
        if self.pressed || self.saved {
            sender.send(())?;
        }
        self.stop = Some(sender.clone());
        Ok((sender, receiver))
    }

    /// The first word of both asks it to end; more would kill it.
    fn save(&mut self) {
        if !std::mem::replace(&mut self.saved, true) && !self.pressed {
            self.end();
        }
    }

    /// A second Ctrl-C kills.
    fn press(&mut self) {
        if std::mem::replace(&mut self.pressed, true) || !self.saved {
            self.end();
        }
    }

    fn end(&self) {
        if let Some(stop) = &self.stop {
            let _ = stop.send(());
        }
    }
}

type Shared = Arc<Mutex<Running>>;

/// Whether each check passed last.
type Verdicts = BTreeMap<String, bool>;

/// Runs the command: until Ctrl-C.
pub fn run(args: &Test) -> Result<Status> {
    let project = Project::load()?;
    let selection: Selection = (&args.selection).into();
    let mut due = names(&select::select(&project, &selection)?.or_nothing()?);
    let (sender, wakes) = channel();
    let shared = Shared::default();
    let (woken, running) = (sender.clone(), Arc::clone(&shared));
    interrupt::each(move || {
        hold(&running).press();
        woken.send(Woken::Stop).is_ok()
    })?;
    let (mut saved, running) = (Saved::watch(&project.root, &project.target)?, Arc::clone(&shared));
    std::thread::spawn(move || {
        let mut unread = Vec::new();
        loop {
            let wake = next(&mut saved, &mut unread, |paths| {
                Project::load().and_then(|project| select::concerned(&project, &selection, paths))
            });
            let mut running = hold(&running);
            if matches!(wake, Woken::Saved(..)) {
                running.save();
            }
            let over = matches!(wake, Woken::Trouble(_));
            if sender.send(wake).is_err() || over {
                break;
            }
        }
    });
    let mut verdicts = Verdicts::new();
    loop {
        match once(args, &mut due, &mut verdicts, &shared) {
            Ok(summary) => take(&summary, &mut verdicts, &mut due),
            Err(error) => ui::error(&fail::render(&error)),
        }
        let idle = || ui::say(&format!("\n{}", row(&verdicts, "waits for a save, or Ctrl-C")));
        let Some(paths) = wait(&wakes, &shared, &mut due, idle)? else { return Ok(Status::Interrupted) };
        let more = if paths.len() > 1 { format!(" and {} more", paths.len() - 1) } else { String::new() };
        ui::hold(ui::screen()).clear();
        ui::say(&row(&verdicts, &format!("saved: {}{more}", clean(&paths[0], 500))));
        if paths.iter().any(|path| path.starts_with("xtask/") || path.starts_with("tool/crates/")) {
            ui::warn("this is the xtask of before: Ctrl-C, and start it again to have what was saved of it");
        }
    }
}

/// Waits until something was saved that concerns a check, `idle` where nothing was saved meanwhile; `None` is Ctrl-C.
fn wait(
    wakes: &Receiver<Woken>,
    shared: &Shared,
    due: &mut BTreeSet<String>,
    idle: impl FnOnce(),
) -> Result<Option<Vec<String>>> {
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
        // From here on, what is saved ends the next run.
        let mut running = hold(shared);
        running.saved = false;
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

/// `unread` has what was saved while the project could not be read: whom that concerns shows once it can.
fn next(saved: &mut Saved, unread: &mut Vec<String>, concerned: impl Fn(&[String]) -> Result<Vec<Check>>) -> Woken {
    loop {
        let paths = match saved.wait() {
            Ok(paths) => paths,
            Err(error) => return Woken::Trouble(error),
        };
        unread.extend_from_slice(&paths);
        match concerned(unread) {
            Ok(checks) => {
                unread.clear();
                if !checks.is_empty() {
                    return Woken::Saved(paths, checks);
                }
            }
            // As it was saved, nothing can be run; the run says why.
            Err(_) => return Woken::Saved(paths, Vec::new()),
        }
    }
}

/// Runs those checks that are due, as they are now. Checks that are gone are neither due nor counted any more.
fn once(args: &Test, due: &mut BTreeSet<String>, verdicts: &mut Verdicts, shared: &Shared) -> Result<Summary> {
    let project = Project::load()?;
    let mut checks = project.checks()?;
    let all = names(&checks);
    due.retain(|name| all.contains(name));
    verdicts.retain(|name, _| all.contains(name));
    if due.is_empty() {
        select::select(&project, &(&args.selection).into())?;
    }
    checks.retain(|check| due.contains(&check.name));
    if checks.is_empty() {
        return Ok(Summary::default());
    }
    let result = test::once(args, &project, checks, || hold(shared).begin());
    hold(shared).stop = None;
    result
}

/// Takes note of a run's verdicts. What it did not come to, as it was ended or another check failed, is due still.
fn take(summary: &Summary, verdicts: &mut Verdicts, due: &mut BTreeSet<String>) {
    let known = |verdict: &Verdict| *verdict == Verdict::Passed || verdict.is_failure();
    for outcome in summary.results().filter(|outcome| known(&outcome.verdict)) {
        due.remove(&outcome.exec.check.name);
        verdicts.insert(outcome.exec.check.name.clone(), true);
    }
    let failed = |outcome: &&tool_runner::Outcome| outcome.verdict.is_failure();
    for outcome in summary.results().filter(failed) {
        verdicts.insert(outcome.exec.check.name.clone(), false);
    }
    for skipped in &summary.skipped {
        due.remove(&skipped.check);
    }
}

/// A line: the last verdict of each check, and something else.
fn row(verdicts: &Verdicts, rest: &str) -> String {
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

#[cfg(test)]
mod tests {
    use std::fs;

    use tool_runner::{Exec, Outcome};

    use super::*;

    fn check(name: &str) -> Check {
        Check { name: name.into(), ..Check::default() }
    }

    #[test]
    fn what_a_failure_left_out_is_due_still() {
        let outcome = |name, verdict| {
            let exec = Exec { id: 0, check: check(name), repetition: 1, attempt: 1, dir: "".into() };
            Outcome::new(&exec, verdict, None, 0.0)
        };
        let outcomes = vec![outcome("a", Verdict::Passed), outcome("b", Verdict::Failed(1))];
        let summary = Summary { outcomes, not_run: 1, ..Summary::default() };
        let (mut verdicts, mut due) = (Verdicts::new(), names(&["a", "b", "c"].map(check)));
        take(&summary, &mut verdicts, &mut due);
        assert_eq!(due, names(&[check("c")]));
        assert_eq!(verdicts, BTreeMap::from([("a".into(), true), ("b".into(), false)]));
    }

    #[test]
    fn a_save_and_ctrl_c_together_kill_no_run_and_a_second_ctrl_c_does() {
        for (before, after) in [(0, 0), (1, 0), (0, 1), (2, 2)] {
            let mut running = Running::default();
            let (_, told) = running.begin().unwrap();
            (0..before).for_each(|_| running.save());
            running.press();
            (0..after).for_each(|_| running.save());
            assert_eq!(told.try_iter().count(), 1, "{before} before, {after} after");
            running.press();
            assert_eq!(told.try_iter().count(), 1);
        }
    }

    #[test]
    fn a_save_while_a_run_is_prepared_ends_it_as_it_begins() {
        let (shared, (sender, wakes)) = (Shared::default(), channel());
        let began = || hold(&shared).begin().unwrap().1.try_recv().is_ok();
        assert!(!began());
        hold(&shared).saved = true;
        sender.send(Woken::Saved(vec!["checks/a.py".into()], vec![check("a")])).unwrap();
        assert!(began(), "it may have been prepared with the former text");
        let mut due = BTreeSet::new();
        let paths = wait(&wakes, &shared, &mut due, || panic!("nothing is waited for")).unwrap();
        assert_eq!((paths, due), (Some(vec!["checks/a.py".into()]), names(&[check("a")])));
        assert!(!began(), "it has what was saved");
    }

    #[test]
    fn what_was_saved_while_nothing_could_be_read_is_judged_with_the_next_save() {
        let dir = tempfile::tempdir().unwrap();
        let (mut saved, mut unread) = (Saved::watch(dir.path(), &dir.path().join("target")).unwrap(), Vec::new());
        fs::write(dir.path().join("a.py"), "").unwrap();
        let wake = next(&mut saved, &mut unread, |_| Err(anyhow::anyhow!("no")));
        assert!(matches!(wake, Woken::Saved(paths, checks) if paths == ["a.py"] && checks.is_empty()));
        fs::write(dir.path().join("b.py"), "").unwrap();
        let wake = next(&mut saved, &mut unread, |paths| {
            assert_eq!(paths, ["a.py", "b.py"]);
            Ok(vec![check("a")])
        });
        assert!(matches!(wake, Woken::Saved(paths, _) if paths == ["b.py"]));
        assert!(unread.is_empty());
    }
}
