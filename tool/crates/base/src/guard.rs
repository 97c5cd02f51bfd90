//! Runs a program so that nothing of it outlives us, not even after `kill -9`.
//!
//! A stage of our own stands between: it adopts whatever the program leaves behind, and kills it when the program has
//! ended or when our end of a socket closes. It needs no namespaces, so it works where the sandbox does not.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use unix::errno::Errno;
use unix::sys::signal::{Signal, kill};
use unix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use unix::unistd::Pid;

use crate::fail::Status;
use crate::interrupt::Presses;
use crate::process::{self, Cmd, code};
use crate::{stage, sys};

/// Time between SIGTERM and SIGKILL for a program whose xtask is gone.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a Ctrl-C may go unseen.
const STEP: Duration = Duration::from_millis(50);

/// The word that makes xtask this stage.
pub const STAGE: &str = "guard";

/// A program under guard. Dropping it kills the program and all that it has started.
#[derive(Debug)]
pub struct Guarded {
    child: Child,
    sync: UnixStream,
    ended: bool,
}

impl Guarded {
    /// Starts a program on our terminal; `remove` is a folder that goes away with it, `prepare` sets its environment.
    pub fn on_terminal(
        cmd: &Cmd,
        remove: Option<&Path>,
        prepare: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Result<Self> {
        Self::start(cmd, remove, |command| {
            prepare(command);
        })
    }

    /// Starts a program apart from the terminal, stdin closed; what it says goes to a file.
    pub fn in_background(cmd: &Cmd, log: &fs::File) -> Result<Self> {
        let (out, errors) = (log.try_clone()?, log.try_clone()?);
        Self::start(cmd, None, |command| {
            command.stdin(Stdio::null()).stdout(out).stderr(errors).process_group(0);
        })
    }

    /// Whether the program has ended.
    pub fn has_ended(&mut self) -> Result<bool> {
        self.ended = self.ended || self.child.try_wait().context("cannot wait for a program")?.is_some();
        Ok(self.ended)
    }

    /// Waits, in any thread, for the end of the program without taking note of it; gives its exit status as [`Self::wait`]
    /// does. `None` once [`Self::wait`] or [`Self::kill`] have taken note.
    pub fn end(&self) -> impl FnOnce() -> Option<u8> + Send + 'static {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        move || {
            let status = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).ok()?;
            process::ended(status).map(|(_, code)| code)
        }
    }

    fn start(cmd: &Cmd, remove: Option<&Path>, prepare: impl FnOnce(&mut Command)) -> Result<Self> {
        let (sync, inside) = UnixStream::pair()?;
        let command = Cmd::new(crate::process::own_program()?)
            .args([STAGE, &inside.as_raw_fd().to_string()])
            .arg(remove.unwrap_or(Path::new("")))
            .then(cmd);
        let mut started = command.to_std();
        prepare(&mut started);
        let child = sys::inherit(&mut started, vec![inside.into()]).spawn().map_err(|e| command.not_started(&e))?;
        Ok(Self { child, sync, ended: false })
    }

    /// Passes Ctrl-C on to the program.
    pub fn interrupt(&mut self) {
        // It may have ended by itself.
        let _ = self.sync.write_all(b"i");
    }

    /// Kills the program and all that it has started, at once.
    pub fn kill(&mut self) {
        if !self.ended {
            let _ = self.sync.write_all(b"k");
            let _ = self.child.wait();
            self.ended = true;
        }
    }

    /// Waits for the end; the program's exit status, 128 + N for signal N.
    pub fn wait(&mut self) -> Result<u8> {
        let status = self.child.wait().context("cannot wait for a program")?;
        self.ended = true;
        Ok(code(status))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How a program that was followed has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Its exit status, 128 + N for signal N.
    pub code: u8,
    /// Ctrl-C was pressed.
    pub interrupted: bool,
    /// It ran into the limit and was killed.
    pub hung: bool,
}

/// A program that is run apart from the terminal, stdin closed, and followed line by line.
#[derive(Debug, Clone, Copy)]
pub struct Followed<'a> {
    /// Its command line.
    pub cmd: &'a Cmd,
    /// Its stdout is talk like its stderr, not data.
    pub merged: bool,
    /// When it is killed.
    pub limit: Option<Duration>,
    /// A folder that goes away with it.
    pub remove: Option<&'a Path>,
}

impl Followed<'_> {
    /// Runs it, and hands on each line of its stderr until it ends. Returns its stdout, too.
    ///
    /// [`Presses`] of Ctrl-C are passed on.
    pub fn run(&self, interrupts: &Receiver<()>, mut on_line: impl FnMut(&str)) -> Result<(End, String)> {
        let (errors, errors_inside) = std::io::pipe()?;
        let (output, output_inside) = std::io::pipe()?;
        let start = Instant::now();
        let out = if self.merged { errors_inside.try_clone()? } else { output_inside.try_clone()? };
        drop(output_inside);
        let mut run = Guarded::start(self.cmd, self.remove, |command| {
            // Out of the terminal's foreground: Ctrl-C reaches the program once, through us.
            command.stdin(Stdio::null()).stdout(out).stderr(errors_inside).process_group(0);
        })?;
        let (sender, lines) = channel();
        let talk = std::thread::spawn(move || send_lines(errors, &sender));
        let data = std::thread::spawn(move || std::io::read_to_string(output));
        let mut presses = Presses::default();
        let mut hung = false;
        loop {
            if interrupts.try_recv().is_ok() {
                if presses.again() { run.kill() } else { run.interrupt() }
            }
            if !hung && self.limit.is_some_and(|limit| start.elapsed() >= limit) {
                hung = true;
                run.kill();
            }
            match lines.recv_timeout(STEP) {
                Ok(line) => on_line(&line),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let code = if hung || presses.kill() { 137 } else { run.wait()? };
        talk.join().ok();
        let data = data.join().ok().and_then(Result::ok).unwrap_or_default();
        Ok((End { code, interrupted: presses.any(), hung }, data))
    }
}

fn send_lines(from: impl Read, sender: &Sender<String>) {
    let mut lines = BufReader::new(from);
    let mut line = Vec::new();
    while matches!(lines.read_until(b'\n', &mut line), Ok(1..)) {
        let text = String::from_utf8_lossy(&line);
        if sender.send(text.trim_end_matches(['\n', '\r']).to_owned()).is_err() {
            return;
        }
        line.clear();
    }
}

/// The stage itself: a descriptor to xtask, a folder to remove or nothing, the program, its arguments.
pub fn run(words: &[OsString]) -> Result<Status> {
    let [sync, remove, program, words @ ..] = words else { anyhow::bail!("no program to guard") };
    let mut sync = UnixStream::from(stage::descriptor(sync)?);
    // Ctrl-C is the program's business; this stage ends with it.
    sys::block_interrupts()?;
    // A closed terminal ends the program and xtask, and this stage cleans up.
    sys::outlive_terminal()?;
    unix::sys::prctl::set_child_subreaper(true).context("cannot adopt orphans")?;
    let cmd = Cmd::new(program).args(words);
    let mut child = sys::interruptible(&mut cmd.to_std()).spawn().map_err(|e| cmd.not_started(&e))?;
    let pid = Pid::from_raw(child.id().cast_signed());
    std::thread::spawn(move || obey(&mut sync, pid));
    let status = child.wait().context("cannot wait for the program")?;
    sweep();
    if !remove.is_empty() {
        let _ = fs::remove_dir_all(remove);
    }
    Ok(Status::Other(code(status)))
}

/// Does what the other end says, and ends the program when there is no other end any more.
fn obey(sync: &mut UnixStream, program: Pid) {
    let mut byte = [0];
    loop {
        match sync.read(&mut byte) {
            Ok(1) if byte == *b"i" => {
                let _ = kill(program, Signal::SIGINT);
            }
            Ok(1) => {
                let _ = kill(program, Signal::SIGKILL);
                return;
            }
            _ => break,
        }
    }
    // Nix stops its builders on SIGTERM.
    let _ = kill(program, Signal::SIGTERM);
    std::thread::sleep(PATIENCE);
    let _ = kill(program, Signal::SIGKILL);
}

/// Kills all that the program has left behind: it is ours now.
fn sweep() {
    loop {
        let orphans = children();
        for orphan in &orphans {
            let _ = kill(*orphan, Signal::SIGKILL);
        }
        // Their own children come to us with each that ends.
        if orphans.is_empty() || waitpid(None, None) == Err(Errno::ECHILD) {
            return;
        }
    }
}

/// Our children, whichever thread has them.
fn children() -> Vec<Pid> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .map(Pid::from_raw)
        .collect()
}
