//! `systemd-run`: a service out of a command line, for as long as it runs.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use unix::poll::{PollFd, PollFlags, PollTimeout, poll};
use unix::sys::stat::Mode;

use super::{Options, lists, own_arguments, say, systemctl};
use crate::unit::mangle;
use crate::unit::values::{show_timespan_to, signal_name};
use tool_base::process::Cmd;
use tool_base::protocol::control::{Reply, Request, UnitEnd, UnitResult};

const FLAGS: &str = "\
    --wait -P --pipe -q --quiet -r --remain-after-exit -G --collect --no-block -d --same-dir --scope --system \
    --no-ask-password --send-sighup --slice-inherit";
const VALUED: &str = "\
    -u --unit --description -p --property -E --setenv --uid --gid --nice --working-directory --service-type --slice";
const REFUSED: &str = "-t --pty -S --shell --user -M --machine -H --host";

/// Properties of any unit, not of a service.
const OF_UNIT: &str = "\
    After Before Wants Requires BindsTo PartOf Conflicts OnFailure OnSuccess Description StartLimitBurst \
    StartLimitIntervalSec CollectMode JobTimeoutSec";

/// Runs `systemd-run`.
pub(super) fn run(program: &str, args: &[String]) -> Result<u8, String> {
    let (own, command) = args.split_at(own_arguments(args, VALUED));
    for arg in own {
        let name = arg.split('=').next().unwrap_or(arg);
        if lists(REFUSED, name) || name.starts_with("--on-") || name.ends_with("-property") {
            return Err(format!("systemd-run: option '{name}' is not offered by the sandbox; backend nixos has it"));
        }
    }
    let given = super::options(program, own, FLAGS, VALUED, "")?;
    let Some(name) = command.first() else { return Err("Command line to execute required.".to_owned()) };
    let path = find(name).ok_or_else(|| format!("Failed to find executable {name}: No such file or directory"))?;
    let unit = given.last(&["-u", "--unit"]).map_or_else(random_name, str::to_owned);
    if given.has(&["--scope"]) {
        // A scope is the caller's own process under another name.
        if !given.has(&["-q", "--quiet"]) {
            say(&format!("Running scope as unit: {}.scope", unit.trim_end_matches(".scope")));
        }
        let error = Cmd::new(&path).args(&command[1..]).to_std().exec();
        return Err(format!("Failed to execute: {error}"));
    }
    let unit = mangle(&unit).ok_or("Failed to mangle unit name: Invalid argument")?;
    start(&unit, &path, &command[1..], &given)
}

fn start(unit: &str, path: &Path, arguments: &[String], given: &Options) -> Result<u8, String> {
    let quiet = given.has(&["-q", "--quiet"]);
    let pipes = if given.has(&["-P", "--pipe"]) { Some(Pipes::new(unit)?) } else { None };
    let wait = pipes.is_some() || given.has(&["--wait"]);
    let text = text(path, arguments, given, pipes.as_ref())?;
    let no_block = given.has(&["--no-block"]);
    let request = Request::Transient { unit: unit.to_owned(), text, no_block, keep: wait };
    let copies = pipes.as_ref().map(Pipes::copy).transpose()?;
    let failed = |error| format!("Failed to start transient service unit: {error}");
    let started = result(systemctl::ask(&request)?).map_err(failed)?;
    if !wait && !matches!(started.job.as_str(), "done" | "skipped") {
        if !quiet {
            systemctl::explain(unit, &started.job, &started.result);
        }
        return Ok(1);
    }
    if !quiet {
        say(&format!("Running as unit: {unit}"));
    }
    if !wait {
        return Ok(0);
    }
    if let Some(pipes) = &pipes {
        pipes.feed();
    }
    let ended = result(systemctl::ask(&Request::End { unit: unit.to_owned() })?)?;
    if let Some(pipes) = &pipes {
        pipes.hang_up();
    }
    copies.into_iter().flatten().for_each(|copy| drop(copy.join()));
    let Some(UnitEnd { result: outcome, code, status, runtime, .. }) = ended.end else { return Ok(0) };
    if !quiet {
        say(&format!("Finished with result: {outcome}"));
        match code {
            0 => {}
            1 => say(&format!("Main processes terminated with: code=exited/status={status}")),
            2 => say(&format!("Main processes terminated with: code=killed/status={}", signal_name(status))),
            _ => say(&format!("Main processes terminated with: code=dumped/status={}", signal_name(status))),
        }
        say(&format!("Service runtime: {}", show_timespan_to(runtime.max(1), 1000)));
    }
    Ok(match (outcome.as_str(), code) {
        ("success", _) => 0,
        (_, 1) => u8::try_from(status).unwrap_or(1).max(1),
        _ => 1,
    })
}

/// The result for the one unit of a request.
fn result(answer: Reply) -> Result<UnitResult, String> {
    match answer {
        Reply::Results(results) => results.into_iter().next().ok_or_else(|| "no result".to_owned()),
        other => Err(systemctl::odd(&other)),
    }
}

/// The program as a path.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let found = if name.contains('/') {
        PathBuf::from(name)
    } else {
        path.split(':').map(|d| Path::new(d).join(name)).find(|p| p.is_file())?
    };
    found.exists().then_some(found)
}

fn random_name() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap_or_default();
    format!("run-r{}.service", text.trim().replace('-', ""))
}

/// The text of the unit's file.
fn text(path: &Path, arguments: &[String], given: &Options, pipes: Option<&Pipes>) -> Result<String, String> {
    let words: Vec<String> = std::iter::once(path.display().to_string()).chain(arguments.iter().cloned()).collect();
    let description = given.last(&["--description"]).map_or_else(|| words.join(" "), str::to_owned);
    let mut unit = vec![format!("Description={}", line(&description))];
    let mut service = Vec::new();
    let mut set = |key: &str, value: &str| service.push(format!("{key}={value}"));
    if given.has(&["-r", "--remain-after-exit"]) {
        set("RemainAfterExit", "yes");
    }
    if given.has(&["-G", "--collect"]) {
        unit.push("CollectMode=inactive-or-failed".to_owned());
    }
    for (option, key) in [("--service-type", "Type"), ("--uid", "User"), ("--gid", "Group"), ("--nice", "Nice")] {
        if let Some(value) = given.last(&[option]) {
            set(key, &line(value));
        }
    }
    let here = std::env::current_dir().map(|dir| dir.display().to_string()).unwrap_or_default();
    let dir = given.last(&["--working-directory"]).or(given.has(&["-d", "--same-dir"]).then_some(here.as_str()));
    if let Some(dir) = dir {
        set("WorkingDirectory", &line(dir));
    }
    for pair in given.all(&["-E", "--setenv"]) {
        let value = match pair.split_once('=') {
            Some(_) => pair.to_owned(),
            None => format!("{pair}={}", std::env::var(pair).unwrap_or_default()),
        };
        set("Environment", &quote(&value));
    }
    if let Some(pipes) = pipes {
        for (key, file) in [("StandardInput", "in"), ("StandardOutput", "out"), ("StandardError", "err")] {
            set(key, &format!("file:{}", line(&pipes.dir.join(file).display().to_string())));
        }
    }
    for property in given.all(&["-p", "--property"]) {
        let (key, value) = property.split_once('=').ok_or_else(|| format!("Not an assignment: {property}"))?;
        let is_of_unit = ["Condition", "Assert"].iter().any(|p| key.starts_with(p)) || lists(OF_UNIT, key);
        if is_of_unit {
            unit.push(format!("{key}={}", line(value)));
        } else {
            set(key, &line(value));
        }
    }
    let words: Vec<String> = words.iter().map(|word| quote(word)).collect();
    set("ExecStart", &words.join(" "));
    let head = "# This is a transient unit file, created programmatically via the systemd API. Do not edit.";
    Ok(format!("{head}\n[Unit]\n{}\n\n[Service]\n{}\n", unit.join("\n"), service.join("\n")))
}

/// A value on one line, without specifiers.
fn line(text: &str) -> String {
    text.replace('%', "%%").replace('\n', " ")
}

/// A word in quotes, without specifiers.
fn quote(word: &str) -> String {
    let word = word.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n").replace('%', "%%");
    format!("\"{word}\"")
}

/// Named pipes between the service and this program's own streams.
struct Pipes {
    dir: PathBuf,
    /// Both ends of the input, so that neither side waits for the other when it opens it.
    input: RefCell<Option<File>>,
}

impl Pipes {
    fn new(unit: &str) -> Result<Self, String> {
        let dir = PathBuf::from(format!("/run/systemd/pipes/{unit}.{}", std::process::id()));
        let failed = |e: &dyn std::fmt::Display| format!("Failed to make pipes in {}: {e}", dir.display());
        fs::create_dir_all(&dir).map_err(|e| failed(&e))?;
        for name in ["in", "out", "err"] {
            unix::unistd::mkfifo(&dir.join(name), Mode::S_IRUSR | Mode::S_IWUSR).map_err(|e| failed(&e))?;
        }
        let input = File::options().read(true).write(true).open(dir.join("in")).map_err(|e| failed(&e))?;
        Ok(Self { input: RefCell::new(Some(input)), dir })
    }

    /// Copies what the service writes, until it has closed its ends.
    fn copy(&self) -> Result<[JoinHandle<()>; 2], String> {
        let one = |name: &str, to: fn() -> Box<dyn Write>| {
            let path = self.dir.join(name);
            let from = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(&path);
            let mut from = from.map_err(|e| format!("Failed to open {}: {e}", path.display()))?;
            Ok::<_, String>(std::thread::spawn(move || {
                let (mut to, mut buffer) = (to(), vec![0; 65536]);
                loop {
                    // Only a pipe that had a writer once hangs up.
                    let mut ready = [PollFd::new(from.as_fd(), PollFlags::POLLIN)];
                    if poll(&mut ready, PollTimeout::NONE).is_err() {
                        return;
                    }
                    match from.read(&mut buffer) {
                        Ok(0) | Err(_) => return,
                        Ok(count) => drop(to.write_all(&buffer[..count]).and_then(|()| to.flush())),
                    }
                }
            }))
        };
        Ok([one("out", || Box::new(std::io::stdout()))?, one("err", || Box::new(std::io::stderr()))?])
    }

    /// Hands this program's input to the service, which has opened its end.
    fn feed(&self) {
        if let Some(mut input) = self.input.take() {
            std::thread::spawn(move || drop(std::io::copy(&mut std::io::stdin(), &mut input)));
        }
    }

    /// Ends the copies of pipes that no process of the service has opened: it may have ended before.
    fn hang_up(&self) {
        for name in ["out", "err"] {
            drop(File::options().write(true).custom_flags(libc::O_NONBLOCK).open(self.dir.join(name)));
        }
    }
}

impl Drop for Pipes {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}
