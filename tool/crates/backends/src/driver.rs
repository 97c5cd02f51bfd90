//! Backend `driver`: builds a check's test driver and runs it as the user, outside Nix's build sandbox.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::driver_log::Reader;
use crate::nix::run::{Session, Step};
use crate::nix::{Build, Nix, log};
use tool_base::guard::Followed;
use tool_base::process::Cmd;
use tool_base::ui;
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
        let file = dir.join("log");
        let mut log_file = File::create(&file).with_context(|| format!("cannot create {}", file.display()))?;
        let runtime = runtime_dir(dir)?;
        let cmd = self.command(driver, dir, &runtime);
        let limit = self.timeout.map(Duration::from_secs);
        let mut reader = Reader::default();
        let program = Followed { cmd: &cmd, merged: true, limit, remove: Some(&runtime) };
        let (end, _) = program.run(&watch.interrupts, |line| {
            let line = log::strip(line);
            let _ = writeln!(log_file, "{line}");
            if let Some(event) = reader.line(&line, start.elapsed().as_secs_f64()) {
                watch.driver(event);
            }
            watch.line(line);
        })?;
        if reader.emulated && self.nix.options().accel.is_none() {
            ui::warn(&format!("{} ran on an emulated processor: cargo xtask check-kvm says why", check.name));
        }
        let verdict = match end.code {
            _ if end.interrupted => Verdict::Interrupted,
            _ if end.hung => Verdict::TimedOut(self.timeout.unwrap_or(0)),
            0 => Verdict::Passed,
            _ if reader.timed_out => Verdict::TimedOut(reader.limit().unwrap_or(0)),
            code => Verdict::Failed(code),
        };
        let script = check.script.as_ref().and_then(|path| fs::read_to_string(path).ok());
        let failure = if verdict == Verdict::Passed { None } else { reader.failure(script.as_deref()) };
        Ok(Outcome::new(exec, verdict, failure, start.elapsed().as_secs_f64()))
    }
}

impl Backend for Driver {
    fn name(&self) -> &'static str {
        "driver"
    }

    fn run(&self, job: &mut Job, interrupts: &Receiver<()>) -> Result<()> {
        let checks: Vec<Check> = job.schedule.checks().cloned().collect();
        let attributes: Vec<String> = checks.iter().map(|check| format!("{}.driver", self.nix.check(check))).collect();
        let file = job.dir.join("nix.log");
        let mut session = Session::new(&self.nix, interrupts, &file, self.show_output)?;
        session.write(&format!("# {}", self.nix.by_hand(&attributes)));
        let drivers = session.evaluate(&attributes)?;
        let outs: Vec<&str> = drivers.iter().map(|d| d.out.as_str()).collect();
        let mut missing = session.missing(&outs)?;
        // Why drivers could not be built: their builds look at the scripts, and a wrong name or type fails there.
        let mut reasons: BTreeMap<String, String> = BTreeMap::new();
        if !missing.is_empty() {
            let list: Vec<_> = drivers.iter().filter(|d| missing.contains(&d.out)).collect();
            let built = session.build(&list, Build::default(), |session, step| match step {
                Step::Line(at, line) => session.write(&format!("{}> {line}", list[at].drv)),
                Step::Started(_) | Step::Stopped(_) | Step::Failures(_) => {}
            })?;
            missing = session.missing(&outs)?;
            for driver in list.iter().filter(|d| missing.contains(&d.out)) {
                let failed = session.failed_needs(&driver.drv, &built);
                if failed.is_empty() {
                    return Err(built.failure().into());
                }
                let texts: Vec<&str> = failed.iter().map(|e| e.text.as_str()).collect();
                reasons.insert(driver.out.clone(), texts.join("\n"));
            }
        }
        drop(session);
        let drivers: BTreeMap<&str, &str> =
            checks.iter().map(|check| check.name.as_str()).zip(drivers.iter().map(|d| d.out.as_str())).collect();
        tool_runner::side_by_side(job, interrupts, |exec, watch| {
            let driver = drivers.get(exec.check.name.as_str()).context("there is a driver for each check")?;
            if !missing.contains(*driver) {
                return self.follow(driver, exec, watch);
            }
            fs::copy(&file, exec.dir.join("log")).ok();
            let reason = reasons.get(*driver).map_or("", String::as_str);
            let message = format!("its test driver could not be built\n{reason}");
            let failure =
                ScriptFailure { class: "Nix".to_owned(), message, line: None, source: None, subtest: None, unit: None };
            Ok(Outcome::new(exec, Verdict::Failed(1), Some(failure), 0.0))
        })
    }
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
