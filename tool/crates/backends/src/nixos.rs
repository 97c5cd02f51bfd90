//! Backend `nixos`: checks as builds of Nix, all in one run of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::driver_log::Reader;
use crate::nix::classify::{Told, Trouble};
use crate::nix::run::{Built, Derivation, Session, Step};
use crate::nix::{Build, Nix, store_name};
use crate::options::RunOptions;
use tool_base::fail;
use tool_base::fail::{Failure, Status};
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
        Step::Stopped(at) if runs[list[at]].ended => {}
        Step::Stopped(at) => {
            let run = &mut runs[list[at]];
            run.seconds = run.start.elapsed().as_secs_f64();
            let count = if run.reader.has_failed() { u64::MAX } else { 0 };
            tell(session, vec![run], how, count, job);
        }
        Step::Failures(count) => {
            let under_way = runs.iter_mut().enumerate().filter(|(i, run)| list.contains(i) && run.begun && !run.ended);
            tell(session, under_way.map(|(_, run)| run).collect(), how, count, job);
        }
    })?;
    if let Some(error) = trouble {
        return Err(error);
    }
    if built.end.interrupted && list.iter().all(|i| !runs[*i].begun) {
        return Err(Failure::new(Status::Interrupted, "interrupted before any check had begun").into());
    }
    let outs: Vec<&str> = derivations.iter().map(|d| d.out.as_str()).collect();
    let missing = session.missing(&outs)?;
    let mut told = BTreeSet::new();
    let mut unknown = Vec::new();
    for i in list {
        let run = &mut runs[*i];
        if run.ended {
            continue;
        }
        let Some((verdict, failure)) = verdict(session, run, &built, how, &missing, &mut told) else {
            unknown.push(run.exec.check.name.clone());
            continue;
        };
        if !run.begun {
            job.started(&run.exec)?;
            fs::copy(run.exec.dir.with_file_name("nix.log"), run.exec.dir.join("log")).ok();
        }
        run.end(verdict, failure, false, job);
    }
    if !built.end.interrupted && (!unknown.is_empty() || built.errors.iter().any(|e| e.trouble.is_host())) {
        let failure = built.failure();
        // Whatever Nix blames, it did not say that these checks failed.
        return Err(match failure.status() {
            Status::CheckFailed | Status::Config => {
                fail::host(format!("Nix did not say why it did not run {}\n\n{failure}", unknown.join(", ")))
            }
            _ => failure,
        }
        .into());
    }
    Ok(built.end.interrupted)
}

/// Tells of checks under way those that have ended for sure: whose output is there, and whose script has failed, where
/// Nix counts as many failures. Nix names failures only at its end.
fn tell(session: &mut Session, mut under_way: Vec<&mut CheckRun>, how: Build, failures: u64, job: &mut Job) {
    let outs: Vec<String> = under_way.iter().map(|run| run.derivation.out.clone()).collect();
    // A rebuild leaves the old result in place: that tells nothing.
    let missing =
        if how.rebuild { None } else { session.missing(&outs.iter().map(String::as_str).collect::<Vec<_>>()).ok() };
    let failed = under_way.iter().filter(|run| run.reader.has_failed()).count() as u64;
    for run in &mut under_way {
        if missing.as_ref().is_some_and(|missing| !missing.contains(&run.derivation.out)) {
            run.end(Verdict::Passed, None, false, job);
        } else if run.reader.has_failed() && failed <= failures {
            let failure = run.failure();
            run.end(Verdict::Failed(1), failure, false, job);
        }
    }
}

/// How a check has ended that had not said so itself; `None` where it did not run, or nobody knows.
fn verdict(
    session: &mut Session,
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
    let limit = || Verdict::TimedOut(run.reader.limit().unwrap_or(0));
    for error in built.errors.iter().filter(|e| e.drv.as_ref() == Some(&run.derivation.drv)) {
        match error.trouble {
            Trouble::BuildFailed(_) if run.reader.timed_out => return Some((limit(), failure)),
            Trouble::BuildFailed(code) => return Some((Verdict::Failed(code.unwrap_or(1)), failure)),
            Trouble::TimedOut(seconds) => return Some((Verdict::TimedOut(seconds), failure)),
            Trouble::NotDeterministic => return Some((Verdict::Passed, None)),
            _ => {}
        }
    }
    if built.end.interrupted {
        return run.begun.then_some((Verdict::Interrupted, None));
    }
    if !run.begun {
        let failed = session.failed_needs(&run.derivation.drv, built);
        return (!failed.is_empty()).then(|| (Verdict::Failed(1), Some(needs_failed(&failed, told))));
    }
    if run.reader.timed_out {
        return Some((limit(), failure));
    }
    if failure.is_some() {
        return Some((Verdict::Failed(1), failure));
    }
    // Nix may not name it: 2.8 names the first of several failures, 2.34 no derivation that ran into a limit.
    let named = |e: &&Told| e.drv.as_ref().is_none_or(|drv| *drv == run.derivation.drv);
    let limits = built.errors.iter().filter(named).any(|e| matches!(e.trouble, Trouble::TimedOut(_)));
    let ran = if run.seconds > 0.0 { Duration::from_secs_f64(run.seconds) } else { run.start.elapsed() };
    match how.timeout {
        Some(limit) if ran >= Duration::from_secs(limit) && (limits || built.running == 0) => {
            Some((Verdict::TimedOut(limit), None))
        }
        _ if built.errors.iter().filter(named).any(|e| e.trouble.is_host() || e.trouble == Trouble::Unknown) => None,
        // Each builder that was started has ended, this one without what it was to make.
        _ => (built.running == 0).then_some((Verdict::Failed(1), None)),
    }
}

/// What a check needs and Nix could not build: told whole once, by name after that.
fn needs_failed(failed: &[&Told], told: &mut BTreeSet<String>) -> ScriptFailure {
    let names: Vec<&str> = failed.iter().filter_map(|e| e.drv.as_deref()).map(store_name).collect();
    let names = if names.is_empty() { "what it needs".to_owned() } else { names.join(", ") };
    let mut message = format!("it did not run: Nix could not build {names}");
    for error in failed {
        if told.insert(error.text.clone()) {
            message.push('\n');
            message.push_str(&error.text);
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
        self.reader.warn_of_emulation(&self.exec.check.name);
        if self.begun && self.seconds == 0.0 {
            self.seconds = self.start.elapsed().as_secs_f64();
        }
        job.ended(Outcome { cached, ..Outcome::new(&self.exec, verdict, failure, self.seconds) });
    }
}
