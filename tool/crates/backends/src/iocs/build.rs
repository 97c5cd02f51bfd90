//! Builds the IOC by `make` or by Nix.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use anyhow::Result;

use super::release::Release;
use super::state::{self, State};
use super::{IocBuild, Programs};
use crate::nix;
use crate::nix::Nix;
use crate::nix::run::{Session, Step};
use crate::options::NixOptions;
use tool_base::fail::{Failure, Status};
use tool_base::hang::Watch;
use tool_base::process::Cmd;
use tool_base::{fail, interrupt, sys, ui};
use tool_project::Project;

/// Where `make` gets EPICS base from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Who says where it is, for people.
    pub said_by: String,
    /// What the last `make` was given and this one would miss: the template's ioc/Makefile takes it from the environment only.
    given: Vec<(String, String)>,
}

/// Lines of `make` that are kept, and bytes of one.
const LINES: usize = 5000;
const LINE: u64 = 64 << 10;
/// How long what `make` said may take to come, once it has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// What the template's ioc/Makefile keeps of the environment of the last `make`.
const GIVEN: &str = "RELEASE.environment.local";

impl Base {
    /// EPICS base, where the environment or a RELEASE file names one. The environment is believed; a path in a file may be that
    /// of another computer.
    pub fn find(project: &Project) -> Option<Self> {
        let release = Release::read(&project.ioc_dir());
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let said_by = if set("EPICS_BASE") {
            "EPICS_BASE is set".to_owned()
        } else {
            let (base, file) = release.get("EPICS_BASE").filter(|(base, _)| Path::new(base).is_dir())?;
            // What an earlier `make` was given counts as long as something is there that it made.
            if file.file_name() == Some(GIVEN.as_ref()) && matches!(state::made(project), State::Missing(_)) {
                return None;
            }
            format!("{} has EPICS_BASE = {base}", file.strip_prefix(&project.root).unwrap_or(file).display())
        };
        let given = release.all().filter(|(name, _, file)| file.file_name() == Some(GIVEN.as_ref()) && !set(name));
        let given = given.map(|(name, value, _)| (name.to_owned(), value.to_owned())).collect();
        Some(Self { said_by, given })
    }
}

/// Builds by `make`, and gives the executables.
///
/// # Errors
/// `make` fails, or leaves no IOC that can run here.
pub fn by_make(project: &Project, base: &Base, show: bool) -> Result<Programs> {
    make(project, base, &[], show, None)?;
    match state::made(project) {
        State::Current(IocBuild::Make(programs)) => Ok(programs),
        State::Missing(why) | State::Stale(why) => {
            let hint = "`app` in ioc.toml is the name of the executable, PROD_IOC in a Makefile of ioc/";
            let failure = fail::config(format!("make has ended well, but {why}"));
            // Not where a boot folder lacks a file.
            let program = why.starts_with("there is no `");
            Err(if program { failure.hint(hint) } else { failure }.into())
        }
        State::Current(_) => Err(fail::host("make has built no IOC").into()),
    }
}

/// Runs `make`. What it says is shown, or kept for the case that it fails. Ends what it starts and hangs, where there is a limit.
pub(crate) fn make(
    project: &Project,
    base: &Base,
    targets: &[&str],
    show: bool,
    watch: Option<&mut Watch>,
) -> Result<()> {
    state::forget_moved(project);
    let cmd = Cmd::new("make").arg("-C").arg(project.ioc_dir()).args(targets);
    let cmd = base.given.iter().fold(cmd, |cmd, (name, value)| cmd.env(name, value));
    let (reader, writer) = std::io::pipe()?;
    let mut command = cmd.to_std();
    // Its standard output is talk, too.
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = sys::interruptible(&mut command).spawn().map_err(|error| cmd.not_started(&error))?;
    drop(command);
    // What a test has started may hold the pipe for longer than `make` lives, and say what it likes.
    let said = Arc::new(Mutex::new(VecDeque::new()));
    let (heard, all) = mpsc::channel::<()>();
    let to = Arc::clone(&said);
    std::thread::spawn(move || {
        let (mut reader, _heard) = (BufReader::new(reader), heard);
        let mut line = Vec::new();
        while reader.by_ref().take(LINE).read_until(b'\n', &mut line).is_ok_and(|size| size > 0) {
            let text = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
            line.clear();
            let Ok(mut said) = to.lock() else { break };
            if said.len() == LINES {
                said.pop_front();
            }
            said.push_back(text.clone());
            // The run that wants to see it may be over.
            if Arc::strong_count(&to) == 1 {
                break;
            }
            if show {
                ui::say(&text);
            }
        }
    });
    let hung = match watch {
        None => None,
        Some(watch) => {
            let (root, before) = (i32::try_from(child.id())?, watch.ended.len());
            let (end, over) = mpsc::channel();
            std::thread::scope(|scope| {
                let watch = &mut *watch;
                scope.spawn(move || watch.over(root, &over));
                // This one is the event that is awaited; its status is asked for once more below.
                let _ = child.wait();
                drop(end);
            });
            let commands: Vec<_> = watch.ended[before..].iter().map(|own| format!("`{}`", own.command)).collect();
            (!commands.is_empty()).then(|| (commands.join(", "), watch.limit.as_secs()))
        }
    };
    let status = child.wait()?;
    let _ = all.recv_timeout(LAST_WORDS);
    if let Some((commands, limit)) = hung {
        let what = format!("`{cmd}` had {commands} still running after {limit} s, which was ended");
        let hint = format!("one that needs longer: cargo xtask test --unit --timeout {}", limit.saturating_mul(2));
        return Err(Failure::new(Status::CheckFailed, what).hint(hint).into());
    }
    if !status.success() {
        let said: Vec<String> = said.lock().map(|mut said| said.drain(..).collect()).unwrap_or_default();
        if !show {
            ui::say(&said.join("\n"));
        }
        let failure = Failure::new(Status::CheckFailed, format!("`{cmd}` ended with {status}"));
        let missing = missing(&said, &Release::read(&project.ioc_dir()));
        return Err(failure.hint(missing.unwrap_or_else(|| "see its messages above".to_owned())).into());
    }
    // Other targets install nothing.
    if targets.is_empty() { state::keep(project, &project.ioc_dir()) } else { Ok(()) }
}

/// Builds the IOC by Nix, and gives the link to what was built.
///
/// # Errors
/// As Nix's.
pub fn by_nix(project: &Project, options: &NixOptions) -> Result<PathBuf> {
    let link = attribute_by_nix(project, options, Nix::package, &project.root.join("result"), None)?;
    if let Ok(top) = link.canonicalize() {
        state::keep(project, &top)?;
    }
    Ok(link)
}

/// Builds an attribute by Nix, and gives the link to what was built.
pub(crate) fn attribute_by_nix(
    project: &Project,
    options: &NixOptions,
    attribute: impl Fn(&Nix) -> String,
    link: &Path,
    timeout: Option<u64>,
) -> Result<PathBuf> {
    let nix = Nix::find(project, options)?;
    nix::git::see_to(&project.root, &[], options.track)?;
    let attribute = attribute(&nix);
    ui::say(&format!("{} .#{attribute} with {}", ui::paint(ui::STRONG, "Building"), nix.version()));
    std::fs::create_dir_all(&project.target)?;
    let (_, interrupts) = interrupt::messages()?;
    let mut session = Session::new(&nix, &interrupts, &project.target.join("nix-build.log"), true)?;
    let derivations = session.evaluate(std::slice::from_ref(&attribute))?;
    let how = nix::Build { out_link: Some(link), timeout, ..nix::Build::default() };
    let built = session.build(&derivations.iter().collect::<Vec<_>>(), how, |session, step| {
        if let Step::Line(_, line) = step {
            session.write(line);
            ui::say(line);
        }
    })?;
    if built.end.interrupted {
        return Err(Failure::new(Status::Interrupted, format!("interrupted while Nix built {attribute}")).into());
    }
    if built.end.code != 0 {
        return Err(built.failure().into());
    }
    Ok(link.to_owned())
}

/// Beginnings of names that support modules give their files, and the names that RELEASE files give the modules.
const MODULES: [(&str, &str); 12] = [
    ("asyn", "ASYN"),
    ("drvAsyn", "ASYN"),
    ("stream", "STREAM"),
    ("calc", "CALC"),
    ("sscan", "SSCAN"),
    ("seq", "SNCSEQ"),
    ("autosave", "AUTOSAVE"),
    ("busy", "BUSY"),
    ("motor", "MOTOR"),
    ("modbus", "MODBUS"),
    ("devIocStats", "DEVIOCSTATS"),
    ("pvxs", "PVXS"),
];

/// What `make` missed of support modules, as a hint; none where it failed for another reason.
fn missing(said: &[String], release: &Release) -> Option<String> {
    let quoted = |rest: &str| rest.split(['\'', '`', '"']).next().map(ToOwned::to_owned);
    let file = |line: &String| {
        let (_, dbd) =
            line.split_once("Can't find file '").or_else(|| line.split_once("No rule to make target '")).unzip();
        let header = line.split_once(".h: No such file").and_then(|(before, _)| before.rsplit([' ', '/']).next());
        let library = line.split_once("cannot find -l").and_then(|(_, rest)| rest.split([':', ' ']).next());
        let dbd = dbd.and_then(quoted).filter(|name| Path::new(name).extension().is_some_and(|end| end == "dbd"));
        dbd.or_else(|| header.map(|name| format!("{name}.h"))).or_else(|| library.map(ToOwned::to_owned))
    };
    let mut modules: BTreeMap<Option<&str>, BTreeSet<String>> = BTreeMap::new();
    for file in said.iter().filter_map(file) {
        let module = MODULES.iter().find(|(start, _)| file.starts_with(start)).map(|(_, module)| *module);
        modules.entry(module).or_default().insert(file);
    }
    let hint = |(module, files): (Option<&str>, BTreeSet<String>)| {
        let files = files.into_iter().collect::<Vec<_>>().join(", ");
        match (module, module.and_then(|module| release.get(module))) {
            (Some(module), None) => {
                format!("{files}: add the line {module} = /path/to/it to ioc/configure/RELEASE.local")
            }
            (Some(module), Some((path, _))) => format!("{files}: not in {module} = {path}; is it built?"),
            (None, _) => format!("{files}: in no module that ioc/configure/RELEASE names"),
        }
    };
    let hints: Vec<String> = modules.into_iter().map(hint).collect();
    (!hints.is_empty()).then(|| hints.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_that_make_misses_is_named() {
        let hint = |lines: &[&str]| {
            let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            missing(&lines, &Release::default()).unwrap_or_default()
        };
        let missed =
            ["Can't find file 'asyn.dbd'", "Can't find file 'drvAsynIPPort.dbd'", "Can't find file 'stream.dbd'"];
        let asyn = "add the line ASYN = /path/to/it to ioc/configure/RELEASE.local";
        let stream = "stream.dbd: add the line STREAM = /path/to/it to ioc/configure/RELEASE.local";
        assert_eq!(hint(&missed), format!("asyn.dbd, drvAsynIPPort.dbd: {asyn}\n{stream}"));
        let header = "../x.cpp:3:10: fatal error: asynDriver.h: No such file or directory";
        assert_eq!(hint(&[header, "ld: cannot find -lasyn: No such file"]), format!("asyn, asynDriver.h: {asyn}"));
        assert_eq!(hint(&["Can't find file 'site.dbd'"]), "site.dbd: in no module that ioc/configure/RELEASE names");
        assert_eq!(hint(&["x.c:1: error: expected ;"]), "");
    }
}
