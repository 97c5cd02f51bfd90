//! Which execution comes next: order, slots, retries, repetitions, the end after a failure. It reads no clock and runs nothing.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use super::event::{Exec, Outcome, Verdict};
use tool_project::Check;

/// A check that is to be run.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The check.
    pub check: Check,
    /// How often it is run again after a failure.
    pub retries: u32,
    /// What it needs while it runs, in MiB.
    pub memory: u64,
}

/// How often each check is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// So many times.
    Times(u32),
    /// Until one fails.
    UntilFailure,
}

/// What a schedule keeps to.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Executions at once, at least 1.
    pub jobs: usize,
    /// Memory for all that run at once, in MiB. One execution may always run.
    pub memory: u64,
    /// Go on after a failure.
    pub keep_going: bool,
    /// How often each check is run.
    pub repeat: Repeat,
}

/// Executions that are to come and that run.
#[derive(Debug)]
pub struct Schedule {
    plan: Vec<Planned>,
    limits: Limits,
    dir: PathBuf,
    /// Repetition and place in the plan of the next first attempt.
    next: (u32, usize),
    again: VecDeque<(usize, u32, u32)>,
    running: BTreeMap<usize, usize>,
    started: usize,
    stopped: bool,
}

impl Schedule {
    /// A schedule for checks whose results go below `dir`.
    pub fn new(plan: Vec<Planned>, limits: Limits, dir: PathBuf) -> Self {
        let (again, running) = (VecDeque::new(), BTreeMap::new());
        Self { plan, limits, dir, next: (1, 0), again, running, started: 0, stopped: false }
    }

    /// The checks of the plan.
    pub fn checks(&self) -> impl Iterator<Item = &Check> {
        self.plan.iter().map(|planned| &planned.check)
    }

    /// The next execution, if one may start now. It counts as running from here on.
    pub fn start(&mut self) -> Option<Exec> {
        if self.stopped || self.running.len() >= self.limits.jobs.max(1) {
            return None;
        }
        let (at, repetition, attempt) = self.peek()?;
        let used: u64 = self.running.values().map(|at| self.plan[*at].memory).sum();
        if !self.running.is_empty() && used + self.plan[at].memory > self.limits.memory {
            return None;
        }
        if self.again.pop_front().is_none() {
            self.next = if at + 1 == self.plan.len() { (repetition + 1, 0) } else { (repetition, at + 1) };
        }
        let id = self.started;
        self.started += 1;
        self.running.insert(id, at);
        let mut exec = Exec { id, check: self.plan[at].check.clone(), repetition, attempt, dir: PathBuf::new() };
        exec.dir = self.dir.join(exec.label());
        Some(exec)
    }

    /// All that may start at once if slots do not matter, each check at most once: for Nix, which has its own slots.
    pub fn start_batch(&mut self) -> Vec<Exec> {
        let limits = self.limits;
        self.limits = Limits { jobs: usize::MAX, memory: u64::MAX, ..limits };
        let mut batch: Vec<Exec> = Vec::new();
        while let Some((at, ..)) = self.peek()
            && batch.iter().all(|exec| exec.check.name != self.plan[at].check.name)
            && let Some(exec) = self.start()
        {
            batch.push(exec);
        }
        self.limits = limits;
        batch
    }

    /// Place in the plan, repetition and attempt of what comes next.
    fn peek(&self) -> Option<(usize, u32, u32)> {
        let (repetition, at) = self.next;
        let more = match self.limits.repeat {
            Repeat::Times(times) => repetition <= times,
            Repeat::UntilFailure => true,
        };
        let first = (more && at < self.plan.len()).then_some((at, repetition, 1));
        self.again.front().copied().or(first)
    }

    /// Takes note that an execution has ended, and settles whether it is run again.
    pub fn ended(&mut self, outcome: &mut Outcome) {
        let Some(at) = self.running.remove(&outcome.exec.id) else { return };
        let Exec { repetition, attempt, .. } = outcome.exec;
        match outcome.verdict {
            Verdict::Passed => {}
            Verdict::Interrupted | Verdict::HostFailed => self.stop(),
            _ if !self.stopped && attempt <= self.plan[at].retries => {
                outcome.retried = true;
                self.again.push_back((at, repetition, attempt + 1));
            }
            _ if self.limits.keep_going && self.limits.repeat != Repeat::UntilFailure => {}
            _ => self.stop(),
        }
    }

    /// Starts nothing any more.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// How many first attempts were never started. Endless repetitions owe nothing beyond the first round.
    pub fn not_run(&self) -> usize {
        let times = match self.limits.repeat {
            Repeat::Times(times) => times,
            Repeat::UntilFailure => 1,
        };
        let (repetition, at) = self.next;
        let done = (repetition as usize - 1) * self.plan.len() + at;
        (times as usize * self.plan.len()).saturating_sub(done)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plan(retries: &[u32], memory: &[u64]) -> Vec<Planned> {
        let check = |n: usize| Check { name: format!("c{n}"), ..Check::default() };
        retries
            .iter()
            .zip(memory)
            .enumerate()
            .map(|(n, (&retries, &memory))| Planned { check: check(n), retries, memory })
            .collect()
    }

    fn limits(jobs: usize) -> Limits {
        Limits { jobs, memory: 1000, keep_going: true, repeat: Repeat::Times(1) }
    }

    fn end(schedule: &mut Schedule, exec: &Exec, verdict: Verdict) -> bool {
        let mut outcome = Outcome::new(exec, verdict, None, 0.0);
        schedule.ended(&mut outcome);
        outcome.retried
    }

    #[test]
    fn a_failure_is_retried_at_once_and_in_a_folder_of_its_own() {
        let mut s = Schedule::new(plan(&[1, 0], &[1, 1]), limits(1), "/run".into());
        let first = s.start().unwrap();
        assert!(s.start().is_none());
        assert!(end(&mut s, &first, Verdict::Failed(1)));
        let retry = s.start().unwrap();
        assert_eq!((retry.label().as_str(), retry.dir.to_str().unwrap()), ("c0/retry1", "/run/c0/retry1"));
        assert!(!end(&mut s, &retry, Verdict::Passed));
        assert_eq!(s.start().unwrap().label(), "c1");
    }

    #[test]
    fn until_failure_goes_round_and_stops() {
        let mut s =
            Schedule::new(plan(&[0, 0], &[1, 1]), Limits { repeat: Repeat::UntilFailure, ..limits(1) }, "/".into());
        for label in ["c0", "c1", "c0/2", "c1/2", "c0/3"] {
            let exec = s.start().unwrap();
            assert_eq!(exec.label(), label);
            end(&mut s, &exec, if label == "c0/3" { Verdict::TimedOut(1) } else { Verdict::Passed });
        }
        assert!(s.start().is_none() && s.running.is_empty());
        assert_eq!(s.not_run(), 0);
    }

    #[test]
    fn a_batch_has_each_check_once() {
        let mut s =
            Schedule::new(plan(&[0, 1], &[9000, 1]), Limits { repeat: Repeat::Times(2), ..limits(1) }, "/".into());
        let labels = |batch: &[Exec]| batch.iter().map(Exec::label).collect::<Vec<_>>();
        let batch = s.start_batch();
        assert_eq!(labels(&batch), ["c0", "c1"]);
        end(&mut s, &batch[0], Verdict::Passed);
        end(&mut s, &batch[1], Verdict::Failed(1));
        assert_eq!(labels(&s.start_batch()), ["c1/retry1", "c0/2"]);
    }

    proptest! {
        /// Whatever ends in whichever order: slots and memory are kept, each check runs as often as it should, and what
        /// did not run is counted.
        #[test]
        fn a_schedule_keeps_its_limits(
            checks in prop::collection::vec((0_u32..3, 1_u64..600), 1..8),
            jobs in 1_usize..5,
            times in 1_u32..4,
            keep_going: bool,
            verdicts in prop::collection::vec((0_usize..5, 0_u8..8), 200),
        ) {
            let (retries, memory): (Vec<_>, Vec<_>) = checks.into_iter().unzip();
            let limits = Limits { jobs, memory: 1000, keep_going, repeat: Repeat::Times(times) };
            let mut s = Schedule::new(plan(&retries, &memory), limits, "/".into());
            let mut running: Vec<Exec> = Vec::new();
            let (mut finals, mut failed, mut labels) = (0, 0, std::collections::BTreeSet::new());
            let mut verdicts = verdicts.into_iter();
            loop {
                while let Some(exec) = s.start() {
                    prop_assert!(labels.insert(exec.label()), "{} runs twice", exec.label());
                    running.push(exec);
                }
                let used: u64 = running.iter().map(|e| memory[e.check.name[1..].parse::<usize>().unwrap()]).sum();
                prop_assert!(running.len() <= jobs && (used <= 1000 || running.len() == 1));
                let Some((which, verdict)) = verdicts.next() else { break };
                if running.is_empty() {
                    break;
                }
                let exec = running.remove(which % running.len());
                let verdict = if verdict == 0 { Verdict::Failed(1) } else { Verdict::Passed };
                failed += usize::from(verdict != Verdict::Passed);
                finals += usize::from(!end(&mut s, &exec, verdict));
            }
            prop_assert!(s.running.is_empty() && running.is_empty());
            let all = times as usize * retries.len();
            if keep_going || failed == 0 {
                prop_assert_eq!((finals, s.not_run()), (all, 0));
            } else {
                prop_assert_eq!(finals + s.not_run() + s.again.len(), all);
            }
        }
    }
}
