//! Backend `nixos`: checks as builds of Nix, all in one run of it.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};

use super::driver_log::Reader;
use crate::fail::{Failure as Error, Status};
use crate::nix::classify::{self, Trouble};
use crate::nix::run::{Built, Derivation, Session, Step};
use crate::nix::{Build, Nix, store_name};
use crate::project::Check;
use crate::runner::{Backend, DriverEvent, Event, Failure, Job, Outcome, Verdict};
use crate::ui;

/// Runs checks as builds.
#[derive(Debug)]
pub struct Nixos {
    nix: Nix,
    rebuild: bool,
    timeout: Option<u64>,
}

impl Nixos {
    /// `rebuild` runs checks again that passed; `timeout` limits each build, in seconds.
    pub fn new(nix: Nix, rebuild: bool, timeout: Option<u64>) -> Self {
        Self { nix, rebuild, timeout }
    }
}

impl Backend for Nixos {
    fn run(&self, checks: &[Check], job: &mut Job) -> Result<Vec<Outcome>> {
        let attributes: Vec<String> = checks.iter().map(|check| self.nix.check(check)).collect();
        let mut session = Session::new(&self.nix, &job.interrupts, &job.run_dir.join("nix.log"), job.show_output)?;
        session.write(&format!("# {}", self.nix.by_hand(&attributes)));
        let derivations = session.evaluate(&attributes)?;
        let outs: Vec<&str> = derivations.iter().map(|d| d.out.as_str()).collect();
        let missing = session.missing(&outs)?;

        let mut runs = Vec::new();
        for (check, derivation) in checks.iter().zip(&derivations) {
            let dir = job.run_dir.join(&check.name);
            fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
            runs.push(CheckRun::new(check, derivation, dir));
        }
        let mut turns = Turns { report: job.report, live: None, waiting: VecDeque::new() };
        let (new, known): (Vec<usize>, Vec<usize>) = (0..runs.len()).partition(|i| missing.contains(outs[*i]));
        if !self.rebuild {
            for i in &known {
                turns.started(*i, &runs);
                runs[*i].end(Verdict::Passed, None, true);
                turns.ended(*i, &runs);
            }
        }
        let show = job.show_output.then_some(checks.len() > 1);
        // What is not there cannot be built again, and what is there would not be built otherwise.
        let mut turns_of_nix = vec![(new, false)];
        if self.rebuild {
            // One by one: old Nix names only the first of several failures, and the old result is no sign of a pass.
            turns_of_nix.extend(known.iter().map(|i| (vec![*i], true)));
        }
        for (list, rebuild) in turns_of_nix.iter().filter(|(list, _)| !list.is_empty()) {
            let how = Build { rebuild: *rebuild, timeout: self.timeout, out_link: None };
            if build(&mut session, list, how, &mut runs, &mut turns, show)? {
                break;
            }
        }
        Ok(runs.into_iter().filter_map(|run| run.outcome).collect())
    }
}

/// Builds some of the checks and settles how each has ended. Returns whether Ctrl-C was pressed.
fn build(
    session: &mut Session,
    list: &[usize],
    how: Build,
    runs: &mut [CheckRun],
    turns: &mut Turns,
    show: Option<bool>,
) -> Result<bool> {
    let derivations: Vec<Derivation> = list.iter().map(|i| runs[*i].derivation.clone()).collect();
    let built = session.build(&derivations.iter().collect::<Vec<_>>(), how, |session, step| match step {
        Step::Started(at) => {
            runs[list[at]].begin();
            turns.started(list[at], runs);
        }
        Step::Line(at, line) => {
            let run = &mut runs[list[at]];
            if let Some(several) = show {
                let prefix = if several { format!("{}> ", run.check.name) } else { String::new() };
                ui::say(&format!("{prefix}{line}"));
            }
            if let Some(event) = run.line(line) {
                turns.driver(list[at], event, runs);
            }
        }
        Step::Stopped(at) => {
            let i = list[at];
            runs[i].seconds = runs[i].start.elapsed().as_secs_f64();
            let failure = runs[i].failure();
            // A rebuild leaves the old result in place: that tells nothing.
            let passed = !how.rebuild && session.missing(&[&runs[i].derivation.out]).is_ok_and(|m| m.is_empty());
            let verdict = match failure {
                _ if passed => Verdict::Passed,
                Some(_) if !runs[i].reader.timed_out => Verdict::Failed(1),
                // Nix says at its end whether it was a limit.
                _ => return,
            };
            runs[i].end(verdict, failure, false);
            turns.ended(i, runs);
        }
    })?;
    if built.end.interrupted && list.iter().all(|i| !runs[*i].begun) {
        return Err(Error::new(Status::Interrupted, "interrupted before any check had begun").into());
    }
    if let Some(failure) = built.unknown() {
        return Err(failure.into());
    }
    let outs: Vec<&str> = derivations.iter().map(|d| d.out.as_str()).collect();
    let missing = session.missing(&outs)?;
    let mut told = BTreeSet::new();
    for i in list {
        let run = &mut runs[*i];
        if run.outcome.is_some() {
            continue;
        }
        let Some((verdict, failure)) = settle(run, &built, how, &missing, &mut told) else { continue };
        if !run.begun {
            turns.started(*i, runs);
            fs::copy(runs[*i].dir.with_file_name("nix.log"), runs[*i].dir.join("log")).ok();
        }
        runs[*i].end(verdict, failure, false);
        turns.ended(*i, runs);
    }
    if !built.end.interrupted && built.troubles.iter().any(Trouble::is_host) {
        return Err(classify::explain(&built.errors).1.into());
    }
    Ok(built.end.interrupted)
}

/// How a check has ended that had not said so itself; `None` where it did not run.
fn settle(
    run: &mut CheckRun,
    built: &Built,
    how: Build,
    missing: &BTreeSet<String>,
    told: &mut BTreeSet<String>,
) -> Option<(Verdict, Option<Failure>)> {
    let failure = run.failure();
    if built.end.code == 0 || (!how.rebuild && !missing.contains(&run.derivation.out)) {
        return Some((Verdict::Passed, None));
    }
    let own = |drv: &str| drv == run.derivation.drv;
    for trouble in &built.troubles {
        match trouble {
            Trouble::BuildFailed { drv, code } if own(drv) => {
                let verdict = if run.reader.timed_out {
                    Verdict::TimedOut(run.reader.limit().unwrap_or(0))
                } else {
                    Verdict::Failed(code.unwrap_or(1))
                };
                return Some((verdict, failure));
            }
            Trouble::TimedOut { drv, seconds } if own(drv) => return Some((Verdict::TimedOut(*seconds), failure)),
            Trouble::NotDeterministic { drv } if own(drv) => return Some((Verdict::Passed, None)),
            _ => {}
        }
    }
    if built.end.interrupted {
        return run.begun.then_some((Verdict::Interrupted, None));
    }
    if failure.is_none() && built.troubles.iter().any(Trouble::is_host) {
        // Nix gave up on it, too.
        return None;
    }
    if !run.begun {
        return Some((Verdict::Failed(1), Some(needs_failed(run, built, told))));
    }
    // Old Nix names only the first of several failures.
    Some(match how.timeout {
        Some(limit) if failure.is_none() && run.start.elapsed().as_secs() >= limit => (Verdict::TimedOut(limit), None),
        _ => (Verdict::Failed(1), failure),
    })
}

/// What a check needs and Nix could not build: told whole once, by name after that.
fn needs_failed(run: &CheckRun, built: &Built, told: &mut BTreeSet<String>) -> Failure {
    let failed: Vec<(&str, &String)> = built
        .troubles
        .iter()
        .zip(&built.errors)
        .filter_map(|(trouble, text)| match trouble {
            Trouble::BuildFailed { drv, .. } | Trouble::TimedOut { drv, .. } => Some((store_name(drv), text)),
            _ => None,
        })
        .filter(|(name, _)| !name.starts_with("vm-test-run-"))
        .collect();
    // The driver of a check has its name; all else may be shared.
    let suffix = format!("-{}", run.check.name);
    let own: Vec<_> = failed.iter().filter(|(name, _)| name.ends_with(&suffix)).copied().collect();
    let failed = if own.is_empty() { failed } else { own };
    let names = failed.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let names = if names.is_empty() { "what it needs; its log says more" } else { &names };
    let mut message = format!("it did not run: Nix could not build {names}");
    for (name, text) in failed {
        if told.insert(name.to_owned()) {
            message.push('\n');
            message.push_str(text);
        }
    }
    Failure { class: "Nix".to_owned(), message, line: None, source: None, subtest: None, unit: None }
}

/// One check while Nix runs.
struct CheckRun {
    check: Check,
    derivation: Derivation,
    dir: PathBuf,
    begun: bool,
    start: Instant,
    seconds: f64,
    reader: Reader,
    log: Option<File>,
    outcome: Option<Outcome>,
}

impl CheckRun {
    fn new(check: &Check, derivation: &Derivation, dir: PathBuf) -> Self {
        Self {
            check: check.clone(),
            derivation: derivation.clone(),
            dir,
            begun: false,
            start: Instant::now(),
            seconds: 0.0,
            reader: Reader::default(),
            log: None,
            outcome: None,
        }
    }

    fn begin(&mut self) {
        self.begun = true;
        self.start = Instant::now();
        self.log = File::create(self.dir.join("log")).ok();
    }

    fn line(&mut self, line: &str) -> Option<DriverEvent> {
        if let Some(log) = &mut self.log {
            let _ = writeln!(log, "{line}");
        }
        self.reader.line(line, self.start.elapsed().as_secs_f64())
    }

    fn failure(&mut self) -> Option<Failure> {
        let script = self.check.script.as_ref().and_then(|path| fs::read_to_string(path).ok());
        self.reader.failure(script.as_deref())
    }

    fn end(&mut self, verdict: Verdict, failure: Option<Failure>, cached: bool) {
        if verdict == Verdict::Passed {
            // What the script copied out lies there.
            let _ = symlink(&self.derivation.out, self.dir.join("out"));
        }
        if self.reader.emulated {
            ui::warn(&format!("{} ran on an emulated processor: cargo xtask check-kvm says why", self.check.name));
        }
        if self.begun && self.seconds == 0.0 {
            self.seconds = self.start.elapsed().as_secs_f64();
        }
        self.outcome = Some(Outcome {
            check: self.check.clone(),
            verdict,
            cached,
            failure,
            seconds: self.seconds,
            dir: self.dir.clone(),
        });
    }
}

/// Reports checks one after the other, though Nix may run several at once: one is told as it happens, the others wait.
struct Turns<'a> {
    report: &'a mut dyn FnMut(&Event),
    live: Option<usize>,
    waiting: VecDeque<(usize, Vec<DriverEvent>)>,
}

impl Turns<'_> {
    fn started(&mut self, i: usize, runs: &[CheckRun]) {
        if self.live.is_none() {
            self.live = Some(i);
            (self.report)(&Event::Started(&runs[i].check));
        } else {
            self.waiting.push_back((i, Vec::new()));
        }
    }

    fn driver(&mut self, i: usize, event: DriverEvent, runs: &[CheckRun]) {
        if self.live == Some(i) {
            (self.report)(&Event::Driver(&runs[i].check, event));
        } else if let Some((_, events)) = self.waiting.iter_mut().find(|(waiting, _)| *waiting == i) {
            events.push(event);
        }
    }

    fn ended(&mut self, i: usize, runs: &[CheckRun]) {
        if self.live != Some(i) {
            // Its outcome is told when its turn comes.
            return;
        }
        self.finish(i, runs);
        while self.live.is_none()
            && let Some((next, events)) = self.waiting.pop_front()
        {
            self.live = Some(next);
            (self.report)(&Event::Started(&runs[next].check));
            for event in events {
                (self.report)(&Event::Driver(&runs[next].check, event));
            }
            if runs[next].outcome.is_some() {
                self.finish(next, runs);
            }
        }
    }

    fn finish(&mut self, i: usize, runs: &[CheckRun]) {
        if let Some(outcome) = &runs[i].outcome {
            (self.report)(&Event::Ended(outcome));
        }
        self.live = None;
    }
}
