//! What is known of a run while it runs: who runs, since when, in which subtest, and when it was last heard.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use tool_runner::{Begun, DriverEvent, Exec, Outcome, Verdict};

/// Last lines of a log that are kept for a notice.
const TAIL: usize = 3;

/// A run under way.
pub struct State {
    pub begin: Instant,
    /// Executions that are to come at least, `None` before the begin or where there is no end.
    pub total: Option<usize>,
    /// Widest name of a check.
    pub widest: usize,
    /// Who makes checks wait before the first begins.
    pub waits_for: &'static str,
    pub running: BTreeMap<usize, Running>,
    pub started: usize,
    pub passed: usize,
    pub failed: usize,
    pub flaky: usize,
    pub retried: usize,
    /// How often Ctrl-C was pressed.
    pub interrupted: u32,
}

/// An execution under way.
pub struct Running {
    pub label: String,
    pub begin: Instant,
    /// Its subtests, in the order of their begin.
    pub subtests: Vec<Row>,
    /// Places of those that are under way, outermost first.
    open: Vec<usize>,
    /// Its steps under way, outermost first, and how often the innermost was tried.
    steps: Vec<String>,
    tries: u32,
    /// When it last said something.
    pub heard: Instant,
    pub tail: VecDeque<String>,
    /// When it is called slow next, after its begin.
    pub slow: Duration,
    /// When it is called silent next, after it was last heard.
    pub quiet: Duration,
}

/// A subtest.
pub struct Row {
    pub name: String,
    /// Subtests around it.
    pub level: usize,
    /// How long it took; `None` while it is under way, or where it was never left.
    pub seconds: Option<f64>,
    pub ok: bool,
}

/// After this time an execution is slow, or silent; then after twice the time, and so on.
pub const SLOW: Duration = Duration::from_mins(1);

impl State {
    pub fn new(now: Instant) -> Self {
        Self {
            begin: now,
            total: None,
            widest: 0,
            waits_for: "",
            running: BTreeMap::new(),
            started: 0,
            passed: 0,
            failed: 0,
            flaky: 0,
            retried: 0,
            interrupted: 0,
        }
    }

    pub fn begun(&mut self, begun: &Begun) {
        self.total = begun.repeat.map(|times| times as usize * begun.checks.len());
        self.widest = begun.checks.iter().map(|name| tool_base::ui::columns(name)).max().unwrap_or(0);
        self.waits_for = if begun.backend == "sandbox" { "" } else { " for Nix" };
    }

    pub fn started(&mut self, exec: &Exec, now: Instant) {
        self.started += 1;
        let running = Running {
            label: exec.label(),
            begin: now,
            subtests: Vec::new(),
            open: Vec::new(),
            steps: Vec::new(),
            tries: 1,
            heard: now,
            tail: VecDeque::new(),
            slow: SLOW,
            quiet: SLOW,
        };
        self.running.insert(exec.id, running);
    }

    /// Takes note of an end; what was known of the execution.
    pub fn ended(&mut self, outcome: &Outcome) -> Option<Running> {
        match outcome.verdict {
            _ if outcome.retried => self.retried += 1,
            Verdict::Passed => self.passed += 1,
            Verdict::Failed(_) | Verdict::TimedOut(_) => self.failed += 1,
            Verdict::Interrupted | Verdict::HostFailed => {}
        }
        self.flaky += usize::from(outcome.is_flaky());
        self.running.remove(&outcome.exec.id)
    }

    /// Executions that are still to come, as far as is known.
    pub fn waiting(&self) -> Option<usize> {
        self.total.map(|total| (total + self.retried).saturating_sub(self.started)).filter(|_| self.interrupted == 0)
    }
}

impl Running {
    pub fn line(&mut self, line: &str, now: Instant) {
        self.is_heard(now);
        if !line.trim().is_empty() {
            self.tail.push_back(line.to_owned());
            self.tail.drain(..self.tail.len().saturating_sub(TAIL));
        }
    }

    pub fn driver(&mut self, event: &DriverEvent, now: Instant) {
        if let DriverEvent::Try { count } = event {
            // It waits, and says nothing by that.
            self.tries = *count;
            return;
        }
        self.is_heard(now);
        match event {
            DriverEvent::Enter { kind, name, .. } if kind == "nested" => {
                self.steps.push(name.clone());
                self.tries = 1;
            }
            DriverEvent::Leave { kind, name, .. } if kind == "nested" => {
                self.steps.truncate(self.steps.iter().rposition(|step| step == name).unwrap_or(self.steps.len()));
                self.tries = 1;
            }
            DriverEvent::Enter { kind, name, .. } if kind == "subtest" => {
                let (name, level) = (name.clone(), self.open.len());
                self.open.push(self.subtests.len());
                self.subtests.push(Row { name, level, seconds: None, ok: false });
            }
            DriverEvent::Leave { kind, name, seconds, ok, .. } if kind == "subtest" => {
                let subtests = &mut self.subtests;
                if let Some(at) = self.open.iter().rposition(|row| subtests[*row].name == *name) {
                    let row = &mut subtests[self.open[at]];
                    (row.seconds, row.ok) = (Some(*seconds), *ok);
                    self.open.truncate(at);
                }
            }
            _ => {}
        }
    }

    /// It has said something.
    pub fn is_heard(&mut self, now: Instant) {
        (self.heard, self.quiet) = (now, SLOW);
    }

    /// The innermost step under way, and how often it was tried; the whole script is none.
    pub fn step(&self) -> Option<String> {
        let step = self.steps.get(1..)?.last()?;
        let tries = if self.tries > 1 { format!(" · {} try", ordinal(self.tries)) } else { String::new() };
        Some(step.clone() + &tries)
    }

    /// The innermost subtest under way.
    pub fn current(&self) -> Option<&str> {
        self.open.last().map(|row| self.subtests[*row].name.as_str())
    }

    /// The outermost subtest that has ended last, with those within it, once no other is under way.
    pub fn ended_subtest(&self) -> &[Row] {
        let from = self.subtests.iter().rposition(|row| row.level == 0).filter(|_| self.open.is_empty());
        from.map_or(&[], |from| &self.subtests[from..])
    }

    /// Subtests of the outermost one that was never left.
    pub fn unfinished(&self) -> &[Row] {
        self.open.first().map_or(&[], |row| &self.subtests[*row..])
    }
}

/// `1st`, `2nd`, `63rd`.
fn ordinal(number: u32) -> String {
    let end = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{end}")
}
