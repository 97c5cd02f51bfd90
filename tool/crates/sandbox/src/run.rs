//! Starts a sandbox run and waits for it, from outside.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use super::spec::Spec;
use super::userns;
use tool_base::process::Cmd;
use tool_base::{process, sys};

/// The sandbox does not come up, or not to a verdict: this host forbids or lacks what it needs. Why, in the words of the stage
/// that has failed, and its hint. Whoever knows hosts has the fix.
#[derive(Debug)]
pub struct Trouble(pub String, pub Option<String>);

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the sandbox does not work on this host: {}", self.0)
    }
}

impl std::error::Error for Trouble {}

impl Trouble {
    /// From what [`fail::render`] has made.
    fn told(text: &str) -> Self {
        let text = text.trim().trim_start_matches("error: ");
        match text.split_once("\n\nhint: ") {
            Some((why, hint)) => Self(why.to_owned(), Some(hint.to_owned())),
            None => Self(text.to_owned(), None),
        }
    }
}

/// A run that has been started. Dropping it kills everything in it.
#[derive(Debug)]
pub struct Run {
    child: Child,
    /// To the stages inside, and what they say.
    sync: BufReader<UnixStream>,
    ended: bool,
}

/// Where the driver's output and events go.
pub enum Output {
    /// The caller's terminal.
    Terminal,
    /// Readers: log (stdout and stderr in one stream) and events, one JSON object per line.
    Piped,
}

/// What to read from a run whose output is piped.
#[derive(Debug)]
pub struct Streams {
    /// The driver's stdout and stderr.
    pub log: std::io::PipeReader,
    /// The driver's events.
    pub events: std::io::PipeReader,
    /// The driver's stdin, where it is to wait for the terminal ([`Spec::debug`]).
    pub input: Option<std::io::PipeWriter>,
}

/// Ends a run from another thread.
#[derive(Debug)]
pub struct Interrupter(UnixStream);

impl Interrupter {
    /// Passes Ctrl-C on to the driver, which cleans up and ends.
    pub fn interrupt(&mut self) -> std::io::Result<()> {
        self.0.write_all(b"i")
    }
}

impl Run {
    /// Starts a run. `dir` is the folder of its results; it exists, and it is the run's own.
    pub fn start(spec: &Spec, dir: &Path, output: &Output) -> Result<(Self, Option<Streams>)> {
        for folder in [&spec.out_dir, &spec.journal_dir, &spec.state_dir] {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        // Machines write in there: their roots may make a journal a program with the rights of its owner.
        fs::set_permissions(&spec.journal_dir, fs::Permissions::from_mode(0o700))
            .with_context(|| format!("cannot change the rights of {}", spec.journal_dir.display()))?;
        let file = dir.join("sandbox.json");
        fs::write(&file, serde_json::to_vec_pretty(spec)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
        let (sync, sync_inside) = UnixStream::pair()?;
        let mut cage = Cmd::new(&spec.xtask)
            .arg("sandbox-cage")
            .arg("--spec")
            .arg(&file)
            .args(["--sync-fd", &sync_inside.as_raw_fd().to_string()]);
        let mut passed = vec![sync_inside.into()];
        let mut streams = None;
        let mut stdio = None;
        if matches!(output, Output::Piped) {
            let (events, events_inside) = std::io::pipe()?;
            let (log, log_inside) = std::io::pipe()?;
            cage = cage.args(["--events-fd", &events_inside.as_raw_fd().to_string()]);
            passed.push(events_inside.into());
            let (input, input_inside) = if spec.debug {
                let (inside, input) = std::io::pipe()?;
                (Some(input), Stdio::from(inside))
            } else {
                (None, Stdio::null())
            };
            streams = Some(Streams { log, events, input });
            stdio = Some((log_inside, input_inside));
        }
        let mut command = cage.to_std();
        if let Some((log, input)) = stdio {
            command.stdin(input).stdout(log.try_clone()?).stderr(log);
        }
        if !spec.interactive {
            // Out of the terminal's foreground: Ctrl-C reaches the driver once, through us.
            command.process_group(0);
        }
        let child = sys::inherit(&mut command, passed).spawn().map_err(|e| cage.not_started(&e))?;
        // Our copies of the descriptors go away with the command: the streams end when the run does.
        drop(command);
        let mut run = Self { child, sync: BufReader::new(sync), ended: false };
        run.handshake().inspect_err(|_| run.kill())?;
        Ok((run, streams))
    }

    /// Maps users into the new user namespace and waits until the stage may mount there.
    fn handshake(&mut self) -> Result<()> {
        self.sync.get_ref().set_read_timeout(Some(Duration::from_secs(20)))?;
        self.expect("unshared")?;
        userns::map(self.child.id()).map_err(|e| Trouble(format!("{e:#}"), None))?;
        self.sync.get_ref().write_all(b"mapped\n")?;
        self.expect("ready")?;
        self.sync.get_ref().set_read_timeout(None)?;
        Ok(())
    }

    fn expect(&mut self, word: &str) -> Result<()> {
        let mut line = String::new();
        match self.sync.read_line(&mut line) {
            Ok(0) => Err(Trouble("it ended before it had begun".to_owned(), None).into()),
            Ok(_) if line.trim_end() == word => Ok(()),
            Ok(_) => {
                let _ = self.sync.read_to_string(&mut line);
                Err(Trouble::told(&line).into())
            }
            Err(e) => Err(Trouble(format!("it does not answer: {e}"), None).into()),
        }
    }

    /// A handle that passes on Ctrl-C.
    pub fn interrupter(&self) -> Result<Interrupter> {
        Ok(Interrupter(self.sync.get_ref().try_clone()?))
    }

    /// Waits for the end of the run; the driver's exit status, 128 + N for signal N.
    ///
    /// # Errors
    /// [`Trouble`], where that is no verdict.
    pub fn wait(mut self) -> Result<u8> {
        let status = self.child.wait().context("cannot wait for the sandbox")?;
        self.ended = true;
        let mut said = String::new();
        // All that is said has been said.
        self.sync.get_ref().set_nonblocking(true)?;
        let _ = self.sync.read_to_string(&mut said);
        if said.is_empty() { Ok(process::code(status)) } else { Err(Trouble::told(&said).into()) }
    }

    /// Kills everything in the run at once.
    pub fn kill(&mut self) {
        if !self.ended {
            // The stage takes PID 1 with it, and the kernel the rest.
            let _ = self.child.kill();
            let _ = self.child.wait();
            self.ended = true;
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.kill();
    }
}
