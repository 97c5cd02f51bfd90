//! What is said about a run: by the driver, and by the runner to its reporters.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::revision::Revision;
use tool_base::protocol::driver::{DriverEvent, ScriptFailure};
use tool_project::Check;

/// What happens while checks run. Several may run at once: [`Exec::id`] tells them apart.
#[derive(Debug)]
pub enum Event<'a> {
    /// The run begins.
    Begun(&'a Begun),
    /// An execution of a check begins.
    Started(&'a Exec),
    /// Its driver says something.
    Driver(&'a Exec, &'a DriverEvent),
    /// A line of its log, as it came but for the end of line.
    Line(&'a Exec, &'a str),
    /// It has ended. Where [`Outcome::retried`] is set, another attempt follows.
    Ended(&'a Outcome),
    /// Ctrl-C, for the first, second … time: once lets the checks clean up, twice kills them.
    Interrupted(u32),
    /// All checks have ended.
    Finished(&'a Summary),
}

/// What a run sets out to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Begun {
    /// Names of the checks, in the order of their start.
    pub checks: Vec<String>,
    /// Chosen checks that are left out.
    pub skipped: Vec<Skipped>,
    /// How many run at once, at most; `None` where Nix decides.
    pub jobs: Option<usize>,
    /// How often each runs; `None`: until one fails.
    pub repeat: Option<u32>,
    /// `sandbox`, `nixos` or `driver`.
    pub backend: String,
    /// Folder of the run.
    pub dir: PathBuf,
    /// Version and revision of this tool.
    #[serde(default)]
    pub tool: String,
}

/// A check that was chosen and is left out all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Its name.
    pub check: String,
    /// Why: `not meant for the sandbox`.
    pub reason: String,
}

/// One execution of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// Number within the run, from 0.
    pub id: usize,
    /// The check.
    #[serde(serialize_with = "name_of", deserialize_with = "named")]
    pub check: Check,
    /// Which repetition (`--repeat`), from 1.
    pub repetition: u32,
    /// Which attempt (`--retries`), from 1.
    pub attempt: u32,
    /// Folder of its log, journals and copied files.
    pub dir: PathBuf,
}

fn name_of<S: serde::Serializer>(check: &Check, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&check.name)
}

/// A check of which only the name is known.
fn named<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Check, D::Error> {
    Ok(Check { name: String::deserialize(deserializer)?, ..Check::default() })
}

impl Exec {
    /// The script that ran: the check's own, or that of its .nix file, which was written beside the log.
    pub fn script(&self) -> Option<PathBuf> {
        let written = || Some(self.dir.join("script.py")).filter(|file| file.is_file());
        self.check.script.clone().or_else(written)
    }

    /// `simple`, `simple/2` for the second repetition, `simple/2.retry1` for its second attempt: its folder in that of the
    /// run, too. Another check may be called `simple.2`; none has a slash.
    pub fn label(&self) -> String {
        let repetition = (self.repetition > 1).then(|| self.repetition.to_string());
        let attempt = (self.attempt > 1).then(|| format!("retry{}", self.attempt - 1));
        let again: Vec<String> = repetition.into_iter().chain(attempt).collect();
        if again.is_empty() { self.check.name.clone() } else { format!("{}/{}", self.check.name, again.join(".")) }
    }

    /// Whether a folder in that of a check has the name that [`Exec::label`] gives to one of its further executions.
    pub fn is_again(folder: &str) -> bool {
        let mut parts = folder.split('.');
        let number = |text: &str| text.parse::<u32>().is_ok_and(|number| number.to_string() == text);
        let (first, second) = (parts.next().unwrap_or_default(), parts.next());
        let retry = |part: &str| part.strip_prefix("retry").is_some_and(number);
        parts.next().is_none() && (second.is_none() && retry(first) || number(first) && second.is_none_or(retry))
    }
}

/// `result.json` in the folder of an execution.
#[derive(Debug, Serialize, Deserialize)]
pub struct ResultFile<O = Outcome> {
    /// [`crate::VERSION`].
    pub version: u32,
    /// How it ended.
    pub result: O,
}

/// `run.json` in the folder of a run.
#[derive(Debug, Serialize, Deserialize)]
pub struct RunFile<B = Begun, S = Summary> {
    /// [`crate::VERSION`].
    pub version: u32,
    /// What it set out to do.
    pub run: B,
    /// What came of it.
    pub summary: S,
}

/// A line of `events.jsonl` in the folder of an execution.
#[derive(Debug, Serialize, Deserialize)]
pub struct EventLine<E = DriverEvent> {
    /// What the driver said.
    #[serde(flatten)]
    pub event: E,
    /// When, seconds since 1970.
    pub time: f64,
}

/// How an execution ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The script ran to its end.
    Passed,
    /// The script failed, or the driver ended with this status.
    Failed(u8),
    /// The script ran into its time limit, or the run into its own, in seconds.
    TimedOut(u64),
    /// Ctrl-C.
    Interrupted,
    /// The host failed while it ran ([`Summary::trouble`]): that tells nothing of the check.
    HostFailed,
}

impl Verdict {
    /// Whether it tells against the check.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::TimedOut(_))
    }
}

/// A subtest of a script (`with subtest("…")`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subtest {
    /// Its name.
    pub name: String,
    /// Subtests and other blocks around it.
    pub depth: u32,
    /// When it began, in seconds from the start of the execution.
    pub start: f64,
    /// How long it took; `None` where it was never left.
    pub seconds: Option<f64>,
    /// Whether it was left without an exception.
    pub ok: bool,
}

/// An execution that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The execution.
    #[serde(flatten)]
    pub exec: Exec,
    /// How it ended.
    pub verdict: Verdict,
    /// Whether it passed earlier and was not run again.
    pub cached: bool,
    /// Whether it failed and is run again.
    pub retried: bool,
    /// Why it failed, as far as the driver could tell.
    pub failure: Option<ScriptFailure>,
    /// When it began, in seconds since 1970.
    pub started: f64,
    /// How long it took.
    pub seconds: f64,
    /// Its subtests, in the order of their begin.
    pub subtests: Vec<Subtest>,
    /// What went wrong on its machines although the script passed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

impl Outcome {
    /// The end of an execution; the rest is set where it is known.
    pub fn new(exec: &Exec, verdict: Verdict, failure: Option<ScriptFailure>, seconds: f64) -> Self {
        Self {
            exec: exec.clone(),
            verdict,
            cached: false,
            retried: false,
            failure,
            started: 0.0,
            seconds,
            subtests: Vec::new(),
            remarks: Vec::new(),
        }
    }

    /// Whether it passed only after a failure.
    pub fn is_flaky(&self) -> bool {
        self.verdict == Verdict::Passed && self.exec.attempt > 1
    }
}

/// All executions of a run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Those that ran, in the order of their end.
    pub outcomes: Vec<Outcome>,
    /// Chosen checks that were left out.
    pub skipped: Vec<Skipped>,
    /// How many were left out after a failure or Ctrl-C.
    pub not_run: usize,
    /// When the run began, in seconds since 1970.
    pub started: f64,
    /// How long all of it took.
    pub seconds: f64,
    /// The host's trouble that ended the run, as people read it.
    pub trouble: Option<String>,
    /// The commit that was checked.
    pub revision: Option<Revision>,
}

impl Summary {
    /// The last attempts: what counts.
    pub fn results(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(|o| !o.retried)
    }

    /// Whether Ctrl-C ended the run.
    pub fn interrupted(&self) -> bool {
        self.outcomes.iter().any(|o| o.verdict == Verdict::Interrupted)
    }

    /// Whether every check passed, be it after a retry.
    pub fn passed(&self) -> bool {
        self.not_run == 0 && self.results().all(|o| o.verdict == Verdict::Passed)
    }
}
