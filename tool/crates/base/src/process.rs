//! The only door to child processes.
//!
//! A command is a value first: it can be compared, printed so that it can be pasted, and it stands in every error.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use unix::sys::wait::WaitStatus;
use unix::unistd::Pid;

use crate::fail;

/// The exit status of a program as a shell has it: 128 + N for signal N.
pub fn code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().or_else(|| status.signal().map(|s| 128 + s)).unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}

/// The process that has ended, and its exit status as a shell has it; `None` where it has only stopped or gone on.
pub fn ended(status: WaitStatus) -> Option<(Pid, u8)> {
    match status {
        WaitStatus::Exited(pid, code) => Some((pid, u8::try_from(code).unwrap_or(1))),
        WaitStatus::Signaled(pid, signal, _) => Some((pid, u8::try_from(128 + signal as i32).unwrap_or(1))),
        _ => None,
    }
}

/// A command line, not yet run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cmd {
    program: OsString,
    args: Vec<OsString>,
    envs: Vec<(OsString, OsString)>,
    cwd: Option<PathBuf>,
}

impl Cmd {
    /// A command line that starts `program`, looked up on PATH unless it has a slash.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self { program: program.as_ref().to_owned(), args: Vec::new(), envs: Vec::new(), cwd: None }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Sets a variable in the child's environment.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.envs.push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn cwd(mut self, dir: impl AsRef<Path>) -> Self {
        self.cwd = Some(dir.as_ref().to_owned());
        self
    }

    /// Has this program start another one: its command line comes last, with its environment and working directory.
    #[must_use]
    pub fn then(mut self, other: &Self) -> Self {
        self.args.push(other.program.clone());
        self.args.extend(other.args.iter().cloned());
        self.envs.extend(other.envs.iter().cloned());
        self.cwd = other.cwd.clone().or(self.cwd);
        self
    }

    /// The standard library's form, for callers that need pipes or descriptors of their own.
    #[expect(clippy::disallowed_methods, reason = "the door itself")]
    pub fn to_std(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).envs(self.envs.iter().map(|(k, v)| (k, v)));
        if let Some(dir) = &self.cwd {
            command.current_dir(dir);
        }
        command
    }

    /// Runs with the terminal of the caller. Whatever it says is talk: our stdout has our data only.
    pub fn status(&self) -> Result<ExitStatus> {
        self.to_std().stdout(io::stderr()).status().map_err(|e| self.not_started(&e))
    }

    /// Runs, stdin closed, and returns status, stdout and stderr.
    pub fn output(&self) -> Result<std::process::Output> {
        self.to_std().stdin(Stdio::null()).output().map_err(|e| self.not_started(&e))
    }

    /// Runs with `input` on stdin, and returns status, stdout and stderr.
    pub fn output_of(&self, input: &[u8]) -> Result<std::process::Output> {
        let mut command = self.to_std();
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| self.not_started(&e))?;
        let stdin = child.stdin.take();
        std::thread::scope(|scope| {
            // Who answers before it has read all would wait for us, and we for it. One that ends early wants no more.
            scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input)));
            Ok(child.wait_with_output()?)
        })
    }

    /// Runs, stdin closed, and returns stdout without the final newline; a bad status is an error that shows stderr.
    pub fn read(&self) -> Result<String> {
        let output = self.output()?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            return Err(fail::host(format!("`{self}` ended with {}", output.status))).context(stderr.trim().to_owned());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned())
    }

    /// The error for a program that could not be started.
    pub fn not_started(&self, error: &std::io::Error) -> anyhow::Error {
        let program = self.program.to_string_lossy();
        match error.kind() {
            std::io::ErrorKind::NotFound => fail::host(format!("`{program}` was not found"))
                .hint(format!("install `{program}`, or add its folder to PATH"))
                .into(),
            _ => fail::host(format!("`{self}` could not be started: {error}")).into(),
        }
    }
}

/// How a command with a time limit ended.
#[derive(Debug)]
pub enum Limited {
    /// By itself.
    Ended(std::process::Output),
    /// It was killed at the limit.
    TimedOut,
}

impl Cmd {
    /// Runs, stdin closed and stderr dropped, for at most `limit`; then the child is killed. A child that even
    /// SIGKILL does not end (it hangs in the kernel) is left behind, so that we do not hang with it.
    pub fn output_within(&self, limit: Duration) -> Result<Limited> {
        let mut command = self.to_std();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|e| self.not_started(&e))?;
        let (send, receive) = mpsc::channel();
        let mut pipe = child.stdout.take();
        // The end of the output is the event that we await: the pipe closes when the child ends.
        thread::spawn(move || {
            let mut stdout = Vec::new();
            let read = pipe.as_mut().map_or(Ok(0), |p| p.read_to_end(&mut stdout));
            let _ = send.send(read.map(|_| stdout));
        });
        if let Ok(stdout) = receive.recv_timeout(limit) {
            let stdout = stdout.with_context(|| format!("output of `{self}`"))?;
            let status = child.wait().with_context(|| format!("end of `{self}`"))?;
            return Ok(Limited::Ended(std::process::Output { status, stdout, stderr: Vec::new() }));
        }
        let _ = child.kill();
        thread::spawn(move || child.wait());
        Ok(Limited::TimedOut)
    }
}

impl fmt::Display for Cmd {
    /// The command line as it can be pasted into a shell.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let envs = self.envs.iter().map(|(k, v)| format!("{}={}", k.to_string_lossy(), quote(v)));
        let words = std::iter::once(&self.program).chain(&self.args).map(|w| quote(w));
        f.write_str(&envs.chain(words).collect::<Vec<_>>().join(" "))
    }
}

/// The file that a program's name stands for on PATH.
pub fn which(program: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let executable = |path: &PathBuf| path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(program)).find(executable)
}

/// This program, for a child of ours. Cargo puts another build in its place while it runs: then the kernel still has ours.
pub fn own_program() -> io::Result<PathBuf> {
    // Where our /proc is a machine's, only the child can tell.
    let path = std::env::current_exe().ok().filter(|path| is_own_program(path));
    Ok(path.unwrap_or_else(|| PathBuf::from(OWN)))
}

/// The program that this process runs, whatever has become of its file.
pub const OWN: &str = "/proc/self/exe";

/// Whether a path leads to the program that this process runs.
pub fn is_own_program(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let file = |path: &Path| path.metadata().ok().map(|m| (m.dev(), m.ino()));
    file(path).is_some() && file(path) == file(Path::new(OWN))
}

/// A word quoted for a POSIX shell, only where it must be.
pub fn quote(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@%+,#".contains(c);
    if !text.is_empty() && !text.starts_with('#') && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_pasted() {
        let cmd = Cmd::new("nix").args(["build", ".#checks.x", "it's here", ""]).env("A", "b c");
        assert_eq!(cmd.to_string(), r"A='b c' nix build .#checks.x 'it'\''s here' ''");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = Cmd::new("no-such-program-here").read().unwrap_err();
        assert_eq!(error.to_string(), "`no-such-program-here` was not found");
    }

    #[test]
    fn a_bad_status_shows_stderr() {
        let error = Cmd::new("sh").args(["-c", "echo oops >&2; exit 3"]).read().unwrap_err();
        assert_eq!(format!("{error:#}"), "oops: `sh -c 'echo oops >&2; exit 3'` ended with exit status: 3");
    }

    #[test]
    fn a_time_limit_kills() {
        let limited = |script: &str, limit| Cmd::new("sh").args(["-c", script]).output_within(limit).unwrap();
        assert!(matches!(limited("exec sleep 60", Duration::from_millis(10)), Limited::TimedOut));
        let Limited::Ended(output) = limited("echo hi; exit 3", Duration::from_mins(1)) else { panic!("timed out") };
        assert_eq!((output.stdout, output.status.code()), (b"hi\n".to_vec(), Some(3)));
    }
}
