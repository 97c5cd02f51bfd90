//! Runs checks by a [`Backend`]: which ([`select`]), how many at once ([`slots`]), what next ([`Schedule`]), and what is
//! kept of it on disk. It says what happens by [`Event`]s and prints nothing.
//!
//! It must not know what backends there are, nor how a run is told.

pub mod coverage;
mod dirs;
mod event;
pub mod record;
mod revision;
mod schedule;
pub mod select;
mod side_by_side;
pub mod slots;
pub mod times;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde::Serialize;

pub use self::dirs::{RunDir, new_run_dir};
pub use tool_base::protocol::driver::{DriverEvent, ScriptFailure};

pub use self::event::{
    Begun, Event, EventLine, Exec, Outcome, ResultFile, RunFile, Skipped, Subtest, Summary, Verdict,
};
pub use self::revision::Revision;
pub use self::schedule::{Limits, Planned, Repeat, Schedule};
pub use self::side_by_side::{Watch, side_by_side};
use tool_base::{fail, files};

/// Version of `result.json` and `run.json`. New keys do not change it.
pub const VERSION: u32 = 1;
/// The backend of unit tests, whose checks are test programs.
pub const UNIT: &str = "unit";
/// Time that checks get to clean up after the run's own limit, before they are killed.
const GRACE: Duration = Duration::from_secs(10);

/// A way to run checks.
pub trait Backend {
    /// Its name, as `--backend` spells it.
    fn name(&self) -> &'static str;

    /// Runs what the schedule gives, and tells the job each execution's start, progress and end.
    ///
    /// `interrupts` says when Ctrl-C was pressed: once lets checks clean up, twice kills them.
    ///
    /// # Errors
    /// The host's trouble, which is no check's failure.
    fn run(&self, job: &mut Job, interrupts: &Receiver<()>) -> Result<()>;

    /// Seconds that what it tells has taken before.
    fn before(&self) -> f64 {
        0.0
    }
}

/// A run as its backend sees it: what is to be done, and whom to tell.
pub struct Job<'a> {
    /// Folder of the run.
    pub dir: PathBuf,
    /// What is to be done.
    pub schedule: Schedule,
    report: &'a mut dyn FnMut(&Event),
    notes: BTreeMap<usize, Notes>,
    outcomes: Vec<Outcome>,
    expired: Arc<AtomicBool>,
    limit: Option<u64>,
    revision: Option<JoinHandle<Option<Revision>>>,
}

/// What is known of an execution while it runs.
struct Notes {
    exec: Exec,
    begin: Instant,
    started: f64,
    subtests: Vec<Subtest>,
    events: Option<File>,
}

impl<'a> Job<'a> {
    /// A run whose results go to `dir`.
    pub fn new(dir: PathBuf, schedule: Schedule, report: &'a mut dyn FnMut(&Event)) -> Self {
        let (notes, outcomes, expired) = (BTreeMap::new(), Vec::new(), Arc::default());
        Self { dir, schedule, report, notes, outcomes, expired, limit: None, revision: None }
    }

    /// Names the commit of the project at `root`, which is read beside the run.
    #[must_use]
    pub fn of(mut self, root: &Path) -> Self {
        let root = root.to_owned();
        self.revision = Some(thread::spawn(move || revision::read(&root)));
        self
    }

    /// Ends the whole run after so many seconds: as by Ctrl-C, but what it ends has run out of time.
    #[must_use]
    pub fn limited(mut self, limit: Option<u64>, interrupt: Sender<()>) -> Self {
        self.limit = limit;
        if let Some(seconds) = limit {
            let expired = Arc::clone(&self.expired);
            thread::spawn(move || {
                thread::sleep(Duration::from_secs(seconds));
                expired.store(true, Ordering::Relaxed);
                let _ = interrupt.send(());
                thread::sleep(GRACE);
                let _ = interrupt.send(());
            });
        }
        self
    }

    /// An execution begins: makes its folder.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn started(&mut self, exec: &Exec) -> Result<()> {
        let cannot = || format!("cannot write to {}", exec.dir.display());
        let (exec_of, begin) = (exec.clone(), Instant::now());
        let notes = Notes { exec: exec_of, begin, started: now(), subtests: Vec::new(), events: None };
        // First of all: what has begun is told, whatever happens.
        let notes = self.notes.entry(exec.id).or_insert(notes);
        (self.report)(&Event::Started(exec));
        fs::create_dir_all(&exec.dir).with_context(cannot)?;
        notes.events = Some(File::create(exec.dir.join("events.jsonl")).with_context(cannot)?);
        Ok(())
    }

    /// Its driver says something.
    pub fn driver(&mut self, exec: &Exec, event: &DriverEvent) {
        if let Some(notes) = self.notes.get_mut(&exec.id) {
            notes.take(event);
        }
        (self.report)(&Event::Driver(exec, event));
    }

    /// A line of its log.
    pub fn line(&mut self, exec: &Exec, line: &str) {
        (self.report)(&Event::Line(exec, line));
    }

    /// An execution has ended.
    pub fn ended(&mut self, mut outcome: Outcome) {
        if let Some(notes) = self.notes.remove(&outcome.exec.id) {
            outcome.started = notes.started;
            outcome.subtests = notes.subtests;
        }
        if let (Verdict::Interrupted, true, Some(limit)) =
            (&outcome.verdict, self.expired.load(Ordering::Relaxed), self.limit)
        {
            outcome.verdict = Verdict::TimedOut(limit);
            self.schedule.stop();
        }
        self.schedule.ended(&mut outcome);
        (self.report)(&Event::Ended(&outcome));
        self.outcomes.push(outcome);
    }

    /// The run cannot go on: nothing is known of what still ran.
    fn host_failed(&mut self) {
        self.schedule.stop();
        let left: Vec<Exec> = self.notes.values().map(|notes| notes.exec.clone()).collect();
        for exec in left {
            let seconds = self.notes[&exec.id].begin.elapsed().as_secs_f64();
            self.ended(Outcome::new(&exec, Verdict::HostFailed, None, seconds));
        }
    }

    /// Ctrl-C, for the nth time.
    pub fn interrupted(&mut self, times: u32) {
        self.schedule.stop();
        if !self.expired.load(Ordering::Relaxed) {
            (self.report)(&Event::Interrupted(times));
        }
    }
}

impl Notes {
    fn take(&mut self, event: &DriverEvent) {
        match event {
            DriverEvent::Enter { kind, name, depth } if kind == "subtest" => {
                let start = self.begin.elapsed().as_secs_f64();
                let (name, depth) = (name.clone(), *depth);
                self.subtests.push(Subtest { name, depth, start, seconds: None, ok: false });
            }
            DriverEvent::Leave { kind, name, seconds, ok, .. } if kind == "subtest" => {
                let open = self.subtests.iter_mut().rev().find(|s| s.seconds.is_none() && s.name == *name);
                if let Some(subtest) = open {
                    (subtest.seconds, subtest.ok) = (Some(*seconds), *ok);
                }
            }
            _ => {}
        }
        if let (Some(file), Ok(line)) = (&mut self.events, serde_json::to_string(&EventLine { event, time: now() })) {
            let _ = file.write_all(format!("{line}\n").as_bytes());
        }
    }
}

/// Seconds since 1970.
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// Runs checks, keeps what came of them, and sums up.
///
/// # Errors
/// The host's trouble, which is no check's failure. What is known by then is kept and reported all the same.
pub fn run(backend: &dyn Backend, begun: &Begun, mut job: Job, interrupts: &Receiver<()>) -> Result<Summary> {
    let (start, started) = (Instant::now(), now());
    (job.report)(&Event::Begun(begun));
    let mut done = backend.run(&mut job, interrupts);
    if done.is_err() {
        job.host_failed();
    }
    let not_run = job.schedule.not_run();
    let mut outcomes = std::mem::take(&mut job.outcomes);
    confirm_retries(&mut outcomes);
    for outcome in &outcomes {
        let kept = keep(&outcome.exec.dir.join("result.json"), &ResultFile { version: VERSION, result: outcome });
        done = done.and(kept);
    }
    let summary = Summary {
        outcomes,
        skipped: begun.skipped.clone(),
        not_run,
        started,
        seconds: backend.before() + start.elapsed().as_secs_f64(),
        trouble: done.as_ref().err().map(fail::render),
        revision: job.revision.take().and_then(|reader| reader.join().ok().flatten()),
    };
    let kept = keep(&job.dir.join("run.json"), &RunFile { version: VERSION, run: begun, summary: &summary });
    // An aid for later: no run is worse without it.
    let _ = job.dir.ancestors().nth(2).map(|target| times::keep(target, &begun.backend, &summary.outcomes));
    (job.report)(&Event::Finished(&summary));
    done.and(kept).map(|()| summary)
}

/// A retry that was promised may not have come: then the failure counts.
fn confirm_retries(outcomes: &mut [Outcome]) {
    let key = |exec: &Exec, attempt| (exec.check.name.clone(), exec.repetition, attempt);
    let ran: Vec<_> = outcomes.iter().map(|o| key(&o.exec, o.exec.attempt)).collect();
    for outcome in outcomes {
        outcome.retried = outcome.retried && ran.contains(&key(&outcome.exec, outcome.exec.attempt + 1));
    }
}

fn keep(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)? + "\n";
    files::replace(path, &text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tool_project::Check;

    #[test]
    fn a_retry_that_never_came_leaves_the_failure() {
        let exec = |attempt| Exec {
            id: 0,
            check: Check { name: "a".into(), ..Check::default() },
            repetition: 1,
            attempt,
            dir: PathBuf::new(),
        };
        let failed = |attempt| Outcome { retried: true, ..Outcome::new(&exec(attempt), Verdict::Failed(1), None, 0.0) };
        let mut outcomes = [failed(1), failed(2)];
        confirm_retries(&mut outcomes);
        assert_eq!(outcomes.map(|o| o.retried), [true, false]);
    }
}
