//! Backend `nixos`: checks as builds of Nix, all in one run of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use anyhow::{Context, Result};

use super::driver_log::Reader;
use crate::nix::classify::Trouble;
use crate::nix::run::{Built, Derivation, Session, Step};
use crate::nix::{Build, Nix, classify, store_name};
use crate::options::RunOptions;
use tool_base::fail::{Failure, Status};
use tool_base::ui;
use tool_project::Check;
use tool_runner::{Backend, Exec, Job, Outcome, ScriptFailure, Verdict};

/// Runs checks as builds.
#[derive(Debug)]
pub struct Nixos {
    nix: Nix,
    how: RunOptions,
}

impl Nixos {
    /// A backend that builds by `nix`.
    pub fn new(nix: Nix, how: RunOptions) -> Self {
        Self { nix, how }
    }
}

impl Backend for Nixos {
    fn name(&self) -> &'static str {
        "nixos"
    }

    fn run(&self, job: &mut Job, interrupts: &Receiver<()>) -> Result<()> {
        let checks: Vec<Check> = job.schedule.checks().cloned().collect();
        let attributes: Vec<String> = checks.iter().map(|check| self.nix.check(check)).collect();
        let mut session = Session::new(&self.nix, interrupts, &job.dir.join("nix.log"), self.how.show_output)?;
        session.write(&format!("# {}", self.nix.by_hand(&attributes)));
        let evaluated = session.evaluate(&attributes)?;
        let derivations: BTreeMap<&str, &Derivation> =
            checks.iter().map(|check| check.name.as_str()).zip(&evaluated).collect();
        loop {
            let batch = job.schedule.start_batch();
            if batch.is_empty() || self.run_batch(&mut session, batch, &derivations, job)? {
                return Ok(());
            }
        }
    }
}

impl Nixos {
    /// Builds each check once. Returns whether Ctrl-C was pressed.
    fn run_batch(
        &self,
        session: &mut Session,
        batch: Vec<Exec>,
        derivations: &BTreeMap<&str, &Derivation>,
        job: &mut Job,
    ) -> Result<bool> {
        let mut runs = Vec::new();
        for exec in batch {
            let derivation = derivations.get(exec.check.name.as_str()).context("each check has a derivation")?;
            runs.push(CheckRun::new(exec, derivation));
        }
        let outs: Vec<String> = runs.iter().map(|run| run.derivation.out.clone()).collect();
        let missing = session.missing(&outs.iter().map(String::as_str).collect::<Vec<_>>())?;
        let (new, known): (Vec<usize>, Vec<usize>) = (0..runs.len()).partition(|i| missing.contains(&outs[*i]));
        // What passed may be told from before, but a repetition is meant to run.
        let (again, cached): (Vec<usize>, Vec<usize>) =
            known.into_iter().partition(|i| self.how.rebuild || runs[*i].exec.repetition > 1);
        for i in cached {
            job.started(&runs[i].exec)?;
            runs[i].end(Verdict::Passed, None, true, job);
        }
        // What is not there cannot be built again, and what is there would not be built otherwise.
        let mut turns_of_nix = vec![(new, false)];
        // One by one: old Nix names only the first of several failures, and the old result is no sign of a pass.
        turns_of_nix.extend(again.into_iter().map(|i| (vec![i], true)));
        for (list, rebuild) in turns_of_nix.iter().filter(|(list, _)| !list.is_empty()) {
            let how = Build { rebuild: *rebuild, timeout: self.how.timeout, jobs: self.how.jobs, out_link: None };
            if build(session, list, how, &mut runs, job)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Builds some of the checks and settles how each has ended. Returns whether Ctrl-C was pressed.
fn build(session: &mut Session, list: &[usize], how: Build, runs: &mut [CheckRun], job: &mut Job) -> Result<bool> {
    let derivations: Vec<Derivation> = list.iter().map(|i| runs[*i].derivation.clone()).collect();
    let mut trouble = None;
    let built = session.build(&derivations.iter().collect::<Vec<_>>(), how, |session, step| match step {
        Step::Started(at) => {
            if let Err(error) = runs[list[at]].begin(job) {
                trouble.get_or_insert(error);
            }
        }
        Step::Line(at, line) => runs[list[at]].line(line, job),
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
            runs[i].end(verdict, failure, false, job);
        }
    })?;
    if let Some(error) = trouble {
        return Err(error);
    }
    if built.end.interrupted && list.iter().all(|i| !runs[*i].begun) {
        return Err(Failure::new(Status::Interrupted, "interrupted before any check had begun").into());
    }
    if let Some(failure) = built.unknown() {
        return Err(failure.into());
    }
    let outs: Vec<&str> = derivations.iter().map(|d| d.out.as_str()).collect();
    let missing = session.missing(&outs)?;
    let mut told = BTreeSet::new();
    for i in list {
        let run = &mut runs[*i];
        if run.ended {
            continue;
        }
        let Some((verdict, failure)) = settle(run, &built, how, &missing, &mut told) else { continue };
        if !run.begun {
            job.started(&run.exec)?;
            fs::copy(run.exec.dir.with_file_name("nix.log"), run.exec.dir.join("log")).ok();
        }
        run.end(verdict, failure, false, job);
    }
    if !built.end.interrupted && built.troubles.iter().any(Trouble::is_host) {
        return Err(classify::explain(&built.errors).1.into());
    }
    Ok(built.end.interrupted)
}

/// RunOptions a check has ended that had not said so itself; `None` where it did not run.
fn settle(
    run: &mut CheckRun,
    built: &Built,
    how: Build,
    missing: &BTreeSet<String>,
    told: &mut BTreeSet<String>,
) -> Option<(Verdict, Option<ScriptFailure>)> {
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
fn needs_failed(run: &CheckRun, built: &Built, told: &mut BTreeSet<String>) -> ScriptFailure {
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
    let suffix = format!("-{}", run.exec.check.name);
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
    ScriptFailure { class: "Nix".to_owned(), message, line: None, source: None, subtest: None, unit: None }
}

/// One check while Nix runs.
struct CheckRun {
    exec: Exec,
    derivation: Derivation,
    begun: bool,
    ended: bool,
    start: Instant,
    seconds: f64,
    reader: Reader,
    log: Option<File>,
}

impl CheckRun {
    fn new(exec: Exec, derivation: &Derivation) -> Self {
        Self {
            exec,
            derivation: derivation.clone(),
            begun: false,
            ended: false,
            start: Instant::now(),
            seconds: 0.0,
            reader: Reader::default(),
            log: None,
        }
    }

    fn begin(&mut self, job: &mut Job) -> Result<()> {
        self.begun = true;
        self.start = Instant::now();
        job.started(&self.exec)?;
        let log = self.exec.dir.join("log");
        self.log = Some(File::create(&log).with_context(|| format!("cannot create {}", log.display()))?);
        Ok(())
    }

    fn line(&mut self, line: &str, job: &mut Job) {
        if let Some(log) = &mut self.log {
            let _ = writeln!(log, "{line}");
        }
        job.line(&self.exec, line);
        if let Some(event) = self.reader.line(line, self.start.elapsed().as_secs_f64()) {
            job.driver(&self.exec, &event);
        }
    }

    fn failure(&mut self) -> Option<ScriptFailure> {
        let script = self.exec.check.script.as_ref().and_then(|path| fs::read_to_string(path).ok());
        self.reader.failure(script.as_deref())
    }

    fn end(&mut self, verdict: Verdict, failure: Option<ScriptFailure>, cached: bool, job: &mut Job) {
        self.ended = true;
        if verdict == Verdict::Passed {
            // What the script copied out lies there.
            let _ = symlink(&self.derivation.out, self.exec.dir.join("out"));
        }
        if self.reader.emulated {
            ui::warn(&format!("{} ran on an emulated processor: cargo xtask check-kvm says why", self.exec.check.name));
        }
        if self.begun && self.seconds == 0.0 {
            self.seconds = self.start.elapsed().as_secs_f64();
        }
        job.ended(Outcome { cached, ..Outcome::new(&self.exec, verdict, failure, self.seconds) });
    }
}
