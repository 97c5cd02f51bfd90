//! Runs checks by a [`Backend`] and says what happens by [`Event`]s. It prints nothing.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::project::{Check, Project};
use crate::sandbox::run::{Output, Run, tee};
use crate::sandbox::spec::Spec;

/// Runs that are kept on disk.
const KEPT_RUNS: usize = 20;
/// Seconds that the driver gets beyond the script's own limit before it is killed.
const GRACE: u64 = 30;

/// What happens while checks run.
#[derive(Debug)]
pub enum Event<'a> {
    /// A check begins.
    Started(&'a Check),
    /// The driver says something.
    Driver(&'a Check, DriverEvent),
    /// A check has ended.
    Ended(&'a Outcome),
    /// All checks have ended.
    Finished(&'a Summary),
}

/// What the driver says, one JSON object per line (`docs/ARCHITECTURE.md`, "Events").
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum DriverEvent {
    /// A block of the log is entered.
    Enter {
        /// `subtest` or `nested`.
        kind: String,
        /// What the block is about.
        name: String,
        /// Blocks around it.
        depth: u32,
    },
    /// A block of the log is left.
    Leave {
        /// `subtest` or `nested`.
        kind: String,
        /// What the block is about.
        name: String,
        /// Blocks around it.
        depth: u32,
        /// How long it took.
        seconds: f64,
        /// Whether it was left without an exception.
        ok: bool,
    },
    /// The script has failed.
    Failure(Failure),
    /// Anything else.
    #[serde(other)]
    Other,
}

/// Why a script failed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Failure {
    /// Class of the Python exception.
    pub class: String,
    /// Its message.
    pub message: String,
    /// Line of the script, counted from 1.
    pub line: Option<u32>,
    /// Text of that line.
    pub source: Option<String>,
    /// Innermost subtest around it.
    pub subtest: Option<String>,
    /// Unit that is to blame.
    pub unit: Option<String>,
}

/// How a check ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The script ran to its end.
    Passed,
    /// The script failed, or the driver ended with this status.
    Failed(u8),
    /// The script ran into its time limit, in seconds.
    TimedOut(u64),
    /// Ctrl-C.
    Interrupted,
}

/// A check that has ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The check.
    pub check: Check,
    /// How it ended.
    pub verdict: Verdict,
    /// Whether it passed earlier and was not run again.
    pub cached: bool,
    /// Why it failed, as far as the driver could tell.
    pub failure: Option<Failure>,
    /// How long it took.
    pub seconds: f64,
    /// Folder of its log, journals and copied files.
    pub dir: PathBuf,
}

/// All checks of a run.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Those that ran, in order.
    pub outcomes: Vec<Outcome>,
    /// How many were left out after a failure or Ctrl-C.
    pub not_run: usize,
    /// How long all of it took.
    pub seconds: f64,
}

impl Summary {
    /// Whether Ctrl-C ended the run.
    pub fn interrupted(&self) -> bool {
        self.outcomes.iter().any(|o| o.verdict == Verdict::Interrupted)
    }

    /// Whether every check passed.
    pub fn passed(&self) -> bool {
        self.not_run == 0 && self.outcomes.iter().all(|o| o.verdict == Verdict::Passed)
    }
}

/// What a backend needs to run checks, beside the checks.
pub struct Job<'a> {
    /// Folder of this run: each check gets a folder in it.
    pub run_dir: PathBuf,
    /// Go on after a failure.
    pub keep_going: bool,
    /// Pass the drivers' log on to the terminal.
    pub show_output: bool,
    /// Says when Ctrl-C was pressed.
    pub interrupts: Receiver<()>,
    /// Where events go.
    pub report: &'a mut dyn FnMut(&Event),
}

/// A way to run checks.
pub trait Backend {
    /// Runs checks in their order, reports each one's start, progress and end, and returns how those that ran have ended.
    ///
    /// # Errors
    /// The host's trouble, which is no check's failure.
    fn run(&self, checks: &[Check], job: &mut Job) -> Result<Vec<Outcome>>;
}

/// Runs checks and sums up.
pub fn run(backend: &dyn Backend, checks: &[Check], job: &mut Job) -> Result<Summary> {
    let start = Instant::now();
    let outcomes = backend.run(checks, job)?;
    let not_run = checks.len() - outcomes.len();
    let summary = Summary { outcomes, not_run, seconds: start.elapsed().as_secs_f64() };
    (job.report)(&Event::Finished(&summary));
    Ok(summary)
}

/// Runs checks one after the other, until one fails unless the job says to go on.
pub fn one_by_one(
    checks: &[Check],
    job: &mut Job,
    mut run_one: impl FnMut(&Check, &Path, &mut Job) -> Result<Outcome>,
) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for check in checks {
        (job.report)(&Event::Started(check));
        let dir = job.run_dir.join(&check.name);
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let outcome = run_one(check, &dir, job)?;
        (job.report)(&Event::Ended(&outcome));
        let stop = outcome.verdict == Verdict::Interrupted || (outcome.verdict != Verdict::Passed && !job.keep_going);
        outcomes.push(outcome);
        if stop {
            break;
        }
    }
    Ok(outcomes)
}

enum Message {
    Driver(DriverEvent),
    Interrupt,
    Ended,
}

/// Follows one sandbox run to its end.
pub fn follow(spec: &Spec, check: &Check, dir: &Path, job: &mut Job) -> Result<Outcome> {
    let start = Instant::now();
    let (mut run, streams) = Run::start(spec, dir, &Output::Piped)?;
    let streams = streams.context("the sandbox has no output")?;
    let mut interrupter = run.interrupter()?;

    let log_file = dir.join("log");
    let show = job.show_output;
    let log = std::thread::spawn(move || tee(streams.log, &log_file, show));
    let (sender, messages) = channel();
    let reader = std::thread::spawn(move || read_events(streams.events, &sender));

    let limit = Duration::from_secs(spec.global_timeout.saturating_add(GRACE));
    let mut failure = None;
    let mut interruptions = 0;
    let mut hung = false;
    loop {
        let left = limit.saturating_sub(start.elapsed());
        match next(&messages, &job.interrupts, left) {
            Some(Message::Driver(event)) => {
                if let DriverEvent::Failure(f) = &event {
                    failure = Some(f.clone());
                }
                (job.report)(&Event::Driver(check, event));
            }
            Some(Message::Interrupt) => {
                interruptions += 1;
                // Once: clean up. Twice: now.
                if interruptions == 1 { interrupter.interrupt()? } else { run.kill() }
            }
            Some(Message::Ended) => break,
            None => {
                hung = true;
                run.kill();
                break;
            }
        }
    }
    let code = if hung || interruptions > 1 { 137 } else { run.wait()? };
    reader.join().ok();
    if let Ok(result) = log.join() {
        result?;
    }
    // The folder was only there to mount the run's memory on.
    let _ = fs::remove_dir(&spec.state_dir);
    let verdict = match code {
        _ if interruptions > 0 => Verdict::Interrupted,
        _ if hung => Verdict::TimedOut(spec.global_timeout),
        0 => Verdict::Passed,
        143 if start.elapsed().as_secs() >= spec.global_timeout => Verdict::TimedOut(spec.global_timeout),
        code => Verdict::Failed(code),
    };
    Ok(Outcome {
        check: check.clone(),
        verdict,
        cached: false,
        failure,
        seconds: start.elapsed().as_secs_f64(),
        dir: dir.to_owned(),
    })
}

/// The next thing that happens; `None` when the time is up.
fn next(messages: &Receiver<Message>, interrupts: &Receiver<()>, left: Duration) -> Option<Message> {
    const STEP: Duration = Duration::from_millis(50);
    let deadline = Instant::now() + left;
    loop {
        if interrupts.try_recv().is_ok() {
            return Some(Message::Interrupt);
        }
        match messages.recv_timeout(STEP.min(deadline.saturating_duration_since(Instant::now()))) {
            Ok(message) => return Some(message),
            Err(RecvTimeoutError::Disconnected) => return Some(Message::Ended),
            Err(RecvTimeoutError::Timeout) if Instant::now() >= deadline => return None,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

fn read_events(events: impl std::io::Read, sender: &Sender<Message>) {
    let mut lines = BufReader::new(events);
    let mut line = Vec::new();
    while matches!(lines.read_until(b'\n', &mut line), Ok(1..)) {
        if let Ok(event) = serde_json::from_slice(&line)
            && event != DriverEvent::Other
            && sender.send(Message::Driver(event)).is_err()
        {
            return;
        }
        line.clear();
    }
    let _ = sender.send(Message::Ended);
}

/// The folder of a run. Other runs do not prune it as long as this value lives.
#[derive(Debug)]
pub struct RunDir {
    /// Where it is.
    pub path: PathBuf,
    _lock: File,
}

/// Makes the folder of a new run, points `latest` to it, and drops the oldest ones.
pub fn new_run_dir(project: &Project) -> Result<RunDir> {
    let checks = project.target.join("checks");
    let path = checks.join(format!("{}-{}", timestamp(SystemTime::now()), std::process::id()));
    fs::create_dir_all(&path)
        .with_context(|| format!("cannot create {}; in a read-only checkout set CARGO_TARGET_DIR", path.display()))?;
    let lock = File::open(&path)?;
    lock.lock_shared().with_context(|| format!("cannot lock {}", path.display()))?;
    let link = checks.join("latest");
    let new_link = checks.join(format!(".latest-{}", std::process::id()));
    if let Some(name) = path.file_name() {
        // Renamed over the old one: there is always a `latest`.
        let _ = fs::remove_file(&new_link);
        symlink(name, &new_link)?;
        fs::rename(&new_link, &link)?;
    }
    prune(&checks)?;
    Ok(RunDir { path, _lock: lock })
}

fn prune(checks: &Path) -> Result<()> {
    let mut runs: Vec<PathBuf> = fs::read_dir(checks)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| !path.is_symlink() && path.is_dir())
        .collect();
    runs.sort();
    let superfluous = runs.len().saturating_sub(KEPT_RUNS);
    for run in &runs[..superfluous] {
        // A run that is under way holds the lock.
        if File::open(run).is_ok_and(|dir| dir.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(run);
        }
    }
    Ok(())
}

/// `20261123T213305Z`: sorts by time.
fn timestamp(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (days, rest) = (seconds / 86400, seconds % 86400);
    // Days to civil date, counted from 0000-03-01 in eras of 400 years.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1460 + day / 36524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year:04}{month:02}{day_of_month:02}T{:02}{:02}{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_dates() {
        let at = |seconds| timestamp(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "19700101T000000Z");
        assert_eq!(at(951_782_400), "20000229T000000Z");
        assert_eq!(at(1_795_469_585), "20261123T213305Z");
        assert_eq!(at(4_107_542_400), "21000301T000000Z");
    }

    #[test]
    fn events_of_the_driver_are_read() {
        let event = |text| serde_json::from_str::<DriverEvent>(text).unwrap();
        assert_eq!(
            event(r#"{"event":"leave","t":1.0,"kind":"subtest","name":"a","depth":1,"seconds":0.5,"ok":true}"#),
            DriverEvent::Leave { kind: "subtest".into(), name: "a".into(), depth: 1, seconds: 0.5, ok: true }
        );
        assert_eq!(event(r#"{"event":"something new","t":1.0}"#), DriverEvent::Other);
    }

    #[test]
    fn old_runs_are_pruned_oldest_first() {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..KEPT_RUNS + 3 {
            fs::create_dir(dir.path().join(format!("2026{i:04}"))).unwrap();
        }
        symlink("20260000", dir.path().join("latest")).unwrap();
        let under_way = File::open(dir.path().join("20260001")).unwrap();
        under_way.lock_shared().unwrap();
        prune(dir.path()).unwrap();
        let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left.len(), KEPT_RUNS + 2);
        assert_eq!(left[..2], ["20260001", "20260003"]);
    }
}
