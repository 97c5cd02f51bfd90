//! Backend `driver`: builds a check's test driver and runs it as the user, outside Nix's build sandbox.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::driver_log::Reader;
use crate::nix::run::{Session, Step};
use crate::nix::{Build, Nix, log};
use crate::told::Log;
use tool_base::fail::{Failure, Status};
use tool_base::guard::Followed;
use tool_base::process::Cmd;
use tool_project::Check;
use tool_runner::{Backend, Exec, Job, Outcome, ScriptFailure, Verdict, Watch};

/// Longest path of a folder for the driver's sockets: the kernel takes 107 bytes with their names.
const LONGEST: usize = 60;

/// Runs test drivers.
#[derive(Debug)]
pub struct Driver {
    nix: Nix,
    timeout: Option<u64>,
    show_output: bool,
}

impl Driver {
    /// `timeout` limits each check, in seconds; `show_output` passes logs of builds on to the terminal.
    pub fn new(nix: Nix, timeout: Option<u64>, show_output: bool) -> Self {
        Self { nix, timeout, show_output }
    }

    /// The command that runs a check's script. `runtime` is for its sockets and disks.
    fn command(&self, driver: &str, dir: &Path, runtime: &Path) -> Cmd {
        let cmd = Cmd::new(Path::new(driver).join("bin/nixos-test-driver"))
            .arg("--no-interactive")
            .arg("-o")
            .arg(dir.join("out"))
            .args(["--junit-xml", "../junit.xml"])
            .env("XDG_RUNTIME_DIR", runtime);
        self.nix.accelerated(cmd)
    }

    fn follow(&self, driver: &str, exec: &Exec, watch: &Watch) -> Result<Outcome> {
        let start = Instant::now();
        let Exec { check, dir, .. } = exec;
        let out = dir.join("out");
        fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
        let mut log = Log::create(&dir.join("log"), watch.lines())?;
        let runtime = runtime_dir(dir)?;
        let cmd = self.command(driver, dir, &runtime);
        let limit = self.timeout.map(Duration::from_secs);
        let mut reader = Reader::default();
        let program = Followed { cmd: &cmd, merged: true, limit, remove: Some(&runtime) };
        let (end, _) = program.run(&watch.interrupts, |line| {
            let line = log::strip(line);
            let _ = log.write(format!("{line}\n").as_bytes());
            if let Some(event) = reader.line(&line, start.elapsed().as_secs_f64()) {
                watch.driver(event);
            }
        })?;
        let took = start.elapsed().as_secs_f64();
        log.end();
        reader.warn_of_emulation(&check.name);
        let verdict = match end.code {
            _ if end.interrupted => Verdict::Interrupted,
            _ if end.hung => Verdict::TimedOut(self.timeout.unwrap_or(0)),
            0 => Verdict::Passed,
            _ if reader.timed_out => Verdict::TimedOut(reader.limit().unwrap_or(0)),
            code => Verdict::Failed(code),
        };
        let script = check.script.as_ref().and_then(|path| fs::read_to_string(path).ok());
        let failure = if verdict == Verdict::Passed { None } else { reader.failure(script.as_deref()) };
        Ok(Outcome::new(exec, verdict, failure, took))
    }
}

impl Backend for Driver {
    fn name(&self) -> &'static str {
        "driver"
    }

    fn run(&self, job: &mut Job, interrupts: &Receiver<()>) -> Result<()> {
        let checks: Vec<Check> = job.schedule.checks().cloned().collect();
        let file = job.dir.join("nix.log");
        let mut session = Session::new(&self.nix, interrupts, &file, self.show_output)?;
        let Built { outs, reasons } = build(&mut session, &self.nix, &checks, None)?;
        drop(session);
        let drivers: BTreeMap<&str, &str> =
            checks.iter().map(|check| check.name.as_str()).zip(outs.iter().map(String::as_str)).collect();
        tool_runner::side_by_side(job, interrupts, |exec, watch| {
            let driver = drivers.get(exec.check.name.as_str()).context("there is a driver for each check")?;
            let Some(reason) = reasons.get(*driver) else {
                return self.follow(driver, exec, watch);
            };
            fs::copy(&file, exec.dir.join("log")).ok();
            let message = format!("its test driver could not be built\n{reason}");
            let failure =
                ScriptFailure { class: "Nix".to_owned(), message, line: None, source: None, subtest: None, unit: None };
            Ok(Outcome::new(exec, Verdict::Failed(1), Some(failure), 0.0))
        })
    }
}

/// Test drivers of checks.
struct Built {
    /// Their store paths, in the order of the checks.
    outs: Vec<String>,
    /// Why some could not be built: their builds look at the scripts, and a wrong name or type fails there.
    reasons: BTreeMap<String, String>,
}

/// Builds the test drivers of checks, and links to them (`LINK`, `LINK-1` …) where that is wanted.
fn build(session: &mut Session, nix: &Nix, checks: &[Check], link: Option<&Path>) -> Result<Built> {
    let attributes: Vec<String> = checks.iter().map(|check| format!("{}.driver", nix.check(check))).collect();
    session.write(&format!("# {}", nix.by_hand(&attributes)));
    let drivers = session.evaluate(&attributes)?;
    let outs: Vec<String> = drivers.iter().map(|d| d.out.clone()).collect();
    let paths: Vec<&str> = outs.iter().map(String::as_str).collect();
    let missing = session.missing(&paths)?;
    let mut reasons = BTreeMap::new();
    // Only a build makes links.
    let list: Vec<_> = drivers.iter().filter(|d| link.is_some() || missing.contains(&d.out)).collect();
    if !list.is_empty() {
        let how = Build { out_link: link, ..Build::default() };
        let built = session.build(&list, how, |session, step| match step {
            Step::Line(at, line) => session.write(&format!("{}> {line}", list[at].drv)),
            Step::Started(_) | Step::Stopped(_) | Step::Failures(_) => {}
        })?;
        if built.end.interrupted {
            return Err(Failure::new(Status::Interrupted, "interrupted while Nix built").into());
        }
        let missing = session.missing(&paths)?;
        for driver in list.iter().filter(|d| missing.contains(&d.out)) {
            let failed = session.failed_needs(&driver.drv, &built);
            if failed.is_empty() {
                return Err(built.failure().into());
            }
            let texts: Vec<&str> = failed.iter().map(|e| e.text.as_str()).collect();
            reasons.insert(driver.out.clone(), texts.join("\n"));
        }
    }
    Ok(Built { outs, reasons })
}

/// Builds the test drivers of checks, with links in `dir` that keep them, and the IOC with them, from Nix's garbage collection.
///
/// # Errors
/// Where one of them cannot be built.
pub fn build_only(nix: &Nix, checks: &[Check], dir: &Path, show_output: bool) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let (_interrupt, interrupts) = tool_base::interrupt::messages()?;
    let log = dir.join("log");
    let mut session = Session::new(nix, &interrupts, &log, show_output)?;
    let built = build(&mut session, nix, checks, Some(&dir.join("driver")))?;
    let Some(reason) = built.reasons.values().next() else { return Ok(()) };
    let what = format!("a test driver could not be built\n\n{reason}");
    Err(Failure::new(Status::CheckFailed, what).hint(format!("the whole log: {}", log.display())).into())
}

/// A folder of this run's own for sockets and disks: two drivers of one user would disturb each other otherwise.
pub fn runtime_dir(dir: &Path) -> Result<PathBuf> {
    let mut runtime = dir.join("run");
    if runtime.as_os_str().len() > LONGEST {
        // Names may be alike where they are cut, and folders of further executions are.
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        runtime = std::env::temp_dir().join(format!("xtask-{}-{number}", std::process::id()));
    }
    DirBuilder::new().mode(0o700).create(&runtime).with_context(|| format!("cannot create {}", runtime.display()))?;
    Ok(runtime)
}
