//! Unit tests of the code in `ioc/`: programs that `make` builds and runs, and whose TAP becomes the results of a run.

mod tap;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::mpsc::Receiver;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use walkdir::{DirEntry, WalkDir};

use crate::iocs::build::{self, Base};
use crate::nix::Nix;
use crate::options::NixOptions;
use tap::Tap;
use tool_base::fail::{Failure, Status};
use tool_base::hang::Watch;
use tool_base::process::quote;
use tool_base::{fail, glob, ui};
use tool_project::settings::Settings;
use tool_project::{Check, Project};
use tool_runner::{Backend, DriverEvent, Job, Outcome, ScriptFailure, Skipped, Verdict};

/// Where EPICS' rules name the test programs that ended with an error.
const FAILED: &str = ".taps-failed.log";
/// Bytes that a program may say.
const ROOM: u64 = 4 << 20;
/// Ending of what gtest's rules write before a program runs; `.NAME.run` is there once it has passed.
const GTEST: &str = "make";

/// Seconds that a program may run: as many as a check.
const LIMIT: u64 = 900;

/// Test programs that have run.
#[derive(Debug)]
pub struct Unit {
    programs: Vec<Program>,
}

/// A test program that has run.
#[derive(Debug)]
struct Program {
    name: String,
    said: String,
    /// Whether it ended with an error.
    broken: bool,
    ran: Option<Span>,
}

/// When something began and ended, in seconds since 1970.
type Span = (f64, f64);

impl Program {
    fn has_failed(&self) -> bool {
        !Tap::read(&self.said).problems(self.broken).is_empty()
    }

    fn seconds(&self) -> f64 {
        self.ran.map_or(0.0, |(begin, end)| end - begin)
    }
}

impl Unit {
    /// Builds the IOC and its test programs by `make`, and runs them, each for `timeout` seconds at most.
    ///
    /// # Errors
    /// `make` fails, or has no test programs. A test that fails is no error.
    pub fn by_make(project: &Project, base: &Base, show: bool, timeout: Option<u64>) -> Result<Self> {
        // A program whose sources did not change would not run again.
        for (file, _) in files(&project.ioc_dir()) {
            fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        }
        // `tapfiles` installs nothing, and a test may need another folder's library.
        let mut watch = Watch::new(Duration::from_secs(timeout.unwrap_or(LIMIT)));
        build::make(project, base, &[], show, Some(&mut watch))?;
        // The rules of gtest stop at a test that fails, others do not.
        let failure = build::make(project, base, &["-k", "tapfiles"], show, Some(&mut watch)).err();
        Self::read(&project.ioc_dir(), failure, &watch)
    }

    /// Builds and runs the test programs by Nix, in `timeout` seconds for each of its builds.
    ///
    /// # Errors
    /// As Nix's, and where there are no test programs. A test that fails is no error.
    pub fn by_nix(project: &Project, options: &NixOptions, timeout: Option<u64>) -> Result<Self> {
        let link = project.target.join("unit-tests");
        let taps = build::attribute_by_nix(project, options, Nix::unit, &link, timeout)?.join("tap");
        let failure = taps.join("make-failed").exists().then(|| failed_by_nix(&link).into());
        Self::read(&taps, failure, &Watch::new(Duration::MAX))
    }

    /// Reads what the programs left in folders `O.ARCH`. That `make` failed is told by a program that has failed, else by itself.
    /// What hung has failed.
    fn read(dir: &Path, make_failed: Option<anyhow::Error>, watch: &Watch) -> Result<Self> {
        let files = files(dir);
        let named = |log: &PathBuf| {
            let text = fs::read_to_string(log).unwrap_or_default();
            text.lines().map(|name| log.with_file_name(name)).collect::<Vec<_>>()
        };
        let logs = files.iter().map(|(file, _)| file).filter(|file| file.ends_with(FAILED));
        let failed: Vec<PathBuf> = logs.flat_map(named).collect();
        let ending =
            |end: &'static str| files.iter().filter(move |(file, _)| file.extension().is_some_and(|e| e == end));
        let mut programs = Vec::new();
        for (file, ran) in ending("tap") {
            let said = read(file).with_context(|| format!("cannot read {}", file.display()))?;
            programs.push((file, Program { name: stem(file), said, broken: failed.contains(file), ran: *ran }));
        }
        // A program of gtest that crashes writes no TAP, nor is there any of a suite that has a `/` in its name.
        let tests: Vec<_> = ending(GTEST).map(|(file, _)| (file, stem(file))).collect();
        for (file, name) in &tests {
            let suite_of = |suite: &str, test: &str| suite.strip_prefix(test).is_some_and(|rest| rest.starts_with('-'));
            // Of `a-b-Suite`, `a-b` has told, and not `a`.
            let others = |suite: &str| {
                let mut here = tests.iter().filter(|(other, _)| other.parent() == file.parent());
                here.any(|(_, other)| other.len() > name.len() && suite_of(suite, other))
            };
            let told = |(tap, program): &(&PathBuf, Program)| {
                let own = tap.parent() == file.parent() && suite_of(&program.name, name) && !others(&program.name);
                own && program.has_failed()
            };
            if !file.with_file_name(format!(".{name}.run")).exists() && !programs.iter().any(told) {
                programs.push((file, Program { name: name.clone(), said: String::new(), broken: true, ran: None }));
            }
        }
        for (_, program) in &mut programs {
            if watch.ended.iter().any(|ended| ended.is(&program.name)) {
                program.said += &format!("\nBail out! it was still running after {} s\n", watch.limit.as_secs());
            }
        }
        tell_apart(dir, &mut programs);
        let programs: Vec<Program> = programs.into_iter().map(|(_, program)| program).collect();
        match make_failed {
            Some(error) if programs.iter().any(Program::has_failed) => {
                ui::warn(&fail::render(&error));
            }
            Some(error) => return Err(error),
            None => {}
        }
        if programs.is_empty() {
            return Err(Failure::new(Status::NothingSelected, "`make tapfiles` ran no unit test in ioc/")
                .hint("TESTPROD_HOST and TESTSCRIPTS_HOST in a Makefile name test programs: tool/docs/unit-tests.md")
                .into());
        }
        Ok(Self { programs })
    }

    /// Leaves the programs that have one of these names; all where there is none.
    ///
    /// # Errors
    /// No program has such a name.
    pub fn only(mut self, names: &[String]) -> Result<Self> {
        let all: Vec<String> = self.programs.iter().map(|program| program.name.clone()).collect();
        if let Some(name) = names.iter().find(|name| !all.iter().any(|own| glob::matches(name, own))) {
            return Err(Failure::new(Status::NothingSelected, format!("no unit test is called `{name}`"))
                .hint(format!("they are: {}", all.join(", ")))
                .into());
        }
        self.programs.retain(|program| names.is_empty() || names.iter().any(|name| glob::matches(name, &program.name)));
        Ok(self)
    }

    /// The programs as checks of a run, and those that say themselves that they test nothing here.
    pub fn checks(&self) -> (Vec<Check>, Vec<Skipped>) {
        let (mut checks, mut skipped) = (Vec::new(), Vec::new());
        for program in &self.programs {
            match Tap::read(&program.said).skipped(program.broken) {
                Some(reason) => skipped.push(Skipped { check: program.name.clone(), reason }),
                None => checks.push(Check {
                    name: program.name.clone(),
                    // There is no checks/NAME.toml of it; a check of the same name may have one.
                    settings: OnceLock::from(Settings::default()).into(),
                    ..Check::default()
                }),
            }
        }
        (checks, skipped)
    }
}

impl Backend for Unit {
    fn name(&self) -> &'static str {
        tool_runner::UNIT
    }

    fn before(&self) -> f64 {
        // Several may have run at once.
        let spans = self.programs.iter().filter_map(|program| program.ran);
        let whole = spans.reduce(|(begin, end), (other, last)| (begin.min(other), end.max(last)));
        whole.map_or(0.0, |(begin, end)| end - begin)
    }

    /// Tells what came of the programs, which have run already.
    fn run(&self, job: &mut Job, _: &Receiver<()>) -> Result<()> {
        while let Some(exec) = job.schedule.start() {
            let program = self.programs.iter().find(|program| program.name == exec.check.name);
            let program = program.context("each check is a program")?;
            job.started(&exec)?;
            let log = exec.dir.join("log");
            fs::write(&log, &program.said).with_context(|| format!("cannot write {}", log.display()))?;
            program.said.lines().for_each(|line| job.line(&exec, line));
            let tap = Tap::read(&program.said);
            for point in &tap.points {
                let (kind, name, depth) = ("subtest".to_owned(), point.label(), 0);
                job.driver(&exec, &DriverEvent::Enter { kind: kind.clone(), name: name.clone(), depth });
                job.driver(&exec, &DriverEvent::Leave { kind, name, depth, seconds: 0.0, ok: point.ok });
            }
            let problems = tap.problems(program.broken);
            let failure = (!problems.is_empty()).then(|| ScriptFailure {
                class: "TAP".to_owned(),
                message: problems.join("\n"),
                ..ScriptFailure::default()
            });
            let verdict = if failure.is_some() { Verdict::Failed(1) } else { Verdict::Passed };
            if let Some(failure) = &failure {
                job.driver(&exec, &DriverEvent::Failure(failure.clone()));
            }
            job.ended(Outcome::new(&exec, verdict, failure, program.seconds()));
        }
        Ok(())
    }
}

/// That `make` failed in a build of Nix, whose log is kept.
fn failed_by_nix(link: &Path) -> Failure {
    let log = format!("nix --extra-experimental-features nix-command log {}", quote(link.as_os_str()));
    Failure::new(Status::CheckFailed, "`make -k tapfiles` failed").hint(format!("what it said: {log}"))
}

/// What a program said. One that says too much has failed.
fn read(file: &Path) -> io::Result<String> {
    let (mut said, mut file) = (Vec::new(), File::open(file)?);
    file.by_ref().take(ROOM).read_to_end(&mut said)?;
    let mut said = String::from_utf8_lossy(&said).into_owned();
    if file.read(&mut [0])? > 0 {
        said += &format!("\nBail out! it said more than {} MiB\n", ROOM >> 20);
    }
    Ok(said)
}

/// Gives programs of one name others: with their folder, then with their architecture.
fn tell_apart(dir: &Path, programs: &mut [(&PathBuf, Program)]) {
    for level in 0..3 {
        let mut known: BTreeMap<String, usize> = BTreeMap::new();
        for (_, program) in &*programs {
            *known.entry(program.name.clone()).or_default() += 1;
        }
        let twice = programs.iter_mut().enumerate().filter(|(_, (_, program))| known[&program.name] > 1);
        for (at, (file, program)) in twice {
            let arch = file.parent().unwrap_or(dir);
            let part = match level {
                0 => {
                    arch.parent().and_then(|folder| folder.strip_prefix(dir).ok()).unwrap_or(dir).display().to_string()
                }
                1 => arch.extension().unwrap_or_default().to_string_lossy().into_owned(),
                _ => at.to_string(),
            };
            if !part.is_empty() {
                program.name = format!("{}-{}", part.replace('/', "-"), program.name);
            }
        }
    }
}

/// The name of a file without its last ending.
fn stem(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether the rules of gtest wrote this Makefile: it is no site's own.
fn of_gtest(file: &Path) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.contains(&format!(".{}.run", stem(file))))
}

/// What the rules of EPICS and gtest leave of test programs, in folders `O.ARCH`, and when each was written.
fn files(dir: &Path) -> Vec<(PathBuf, Option<Span>)> {
    let made = |entry: &DirEntry| {
        entry.path().parent().and_then(Path::file_name).is_some_and(|name| name.to_string_lossy().starts_with("O."))
    };
    let ours = |entry: &DirEntry| {
        let end = entry.path().extension().unwrap_or_default();
        let run = end == "run" && entry.file_name().to_string_lossy().starts_with('.');
        end == "tap" || end == GTEST && of_gtest(entry.path()) || run || entry.file_name() == FAILED
    };
    let span = |entry: &DirEntry| {
        // In Nix's store all files are of one time: these were noted before.
        let (begin, end) = if let Ok(noted) = fs::read_to_string(entry.path().with_extension("tap.times")) {
            let (begin, end) = noted.split_once(' ')?;
            (begin.parse::<f64>().ok()?, end.trim().parse::<f64>().ok()?)
        } else {
            let metadata = entry.metadata().ok()?;
            let seconds = |time: SystemTime| Some(time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs_f64());
            (seconds(metadata.created().ok()?)?, seconds(metadata.modified().ok()?)?)
        };
        (0.0 < begin && begin <= end).then_some((begin, end))
    };
    let entries = WalkDir::new(dir).sort_by_file_name().into_iter().flatten();
    entries
        .filter(|entry| entry.file_type().is_file() && made(entry) && ours(entry))
        .map(|entry| (entry.path().to_owned(), span(&entry)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder in which programs have left these files.
    fn left(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    fn never() -> Watch {
        Watch::new(Duration::MAX)
    }

    #[test]
    fn programs_of_one_name_are_told_apart() {
        let all = ["O.host/v.tap", "a/O.host/v.tap", "a/O.other/v.tap", "a-b/O.host/v.tap", "a/b/O.host/v.tap"];
        let dir = left(&all.map(|path| (path, "1..1\nok 1\n")));
        let unit = Unit::read(dir.path(), None, &never()).unwrap();
        let names: Vec<&str> = unit.programs.iter().map(|program| program.name.as_str()).collect();
        assert_eq!(names, ["v", "host-a-v", "other-a-v", "3-host-a-b-v", "4-host-a-b-v"]);
    }

    #[test]
    fn a_program_of_gtest_that_wrote_nothing_has_failed() {
        let passed = ("O.host/good-Suite.tap", "1..1\nok 1 a\n");
        let dir = left(&[
            passed,
            ("O.host/good.make", ".good.run: good\n"),
            ("O.host/.good.run", ""),
            ("O.host/bad-Suite.tap", "1..1\nnot ok 1 a\n"),
            ("O.host/bad.make", ".bad.run: bad\n"),
            ("O.host/crash.make", ".crash.run: crash\n"),
            // A suite of `crash-not`, which told of its own.
            ("O.host/crash-not-Suite.tap", "1..1\nnot ok 1 a\n"),
            ("O.host/crash-not.make", ".crash-not.run: crash-not\n"),
            ("O.host/version.make", "VERSION = 1\n"),
        ]);
        let unit = Unit::read(dir.path(), Some(anyhow::anyhow!("make ended with 2")), &never()).unwrap();
        let failed: Vec<_> =
            unit.programs.iter().map(|program| (program.name.as_str(), program.has_failed())).collect();
        let named = ["bad-Suite", "crash-not-Suite", "good-Suite", "crash"];
        assert_eq!(failed, named.map(|name| (name, name != "good-Suite")));
        assert!(!files(dir.path()).iter().any(|(file, _)| file.ends_with("version.make")), "a site's own stays");
        let dir = left(&[passed]);
        let error = Unit::read(dir.path(), Some(anyhow::anyhow!("make ended with 2")), &never()).unwrap_err();
        assert_eq!(error.to_string(), "make ended with 2", "no program says why");
    }

    /// Two at once, and what else Nix built between them.
    #[test]
    fn the_tests_took_from_the_first_start_to_the_last_end() {
        let dir = left(&[
            ("a/O.host/a.tap", "1..1\nok 1\n"),
            ("a/O.host/a.tap.times", "100.0 160.0"),
            ("b/O.host/b.tap", "1..1\nok 1\n"),
            ("b/O.host/b.tap.times", "130.0 170.0"),
            ("b/O.host/unknown.tap", "1..1\nok 1\n"),
            ("b/O.host/unknown.tap.times", "0 170.0"),
        ]);
        let unit = Unit::read(dir.path(), None, &never()).unwrap();
        let before = |unit: &Unit| format!("{:.1}", unit.before());
        assert_eq!(before(&unit), "70.0");
        assert_eq!(before(&unit.only(&["b".to_owned()]).unwrap()), "40.0");
    }

    #[test]
    fn where_nix_keeps_what_make_said_can_be_pasted() {
        let told = fail::render(&failed_by_nix(Path::new("/p q/unit-tests")).into());
        let log = "nix --extra-experimental-features nix-command log '/p q/unit-tests'";
        assert_eq!(told, format!("error: `make -k tapfiles` failed\n\nhint: what it said: {log}"));
    }
}
