//! Starts a sandbox run and waits for it, from outside.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use super::spec::Spec;
use super::userns;
use tool_base::process::Cmd;
use tool_base::{fail, process, sys};

/// This host does not allow the namespaces that a run needs; why, in the kernel's words. Whoever knows hosts has the fix.
#[derive(Debug)]
pub struct Forbidden(pub String);

impl std::fmt::Display for Forbidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "this host does not allow the sandbox's namespaces: {}", self.0)
    }
}

impl std::error::Error for Forbidden {}

/// A run that has been started. Dropping it kills everything in it.
#[derive(Debug)]
pub struct Run {
    child: Child,
    sync: UnixStream,
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
        let mut run = Self { child, sync, ended: false };
        run.handshake().inspect_err(|_| run.kill())?;
        Ok((run, streams))
    }

    /// Maps users into the new user namespace and waits until the stage may mount there.
    fn handshake(&mut self) -> Result<()> {
        self.sync.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut lines = BufReader::new(self.sync.try_clone()?).lines();
        let mut expect = |word: &str| -> Result<()> {
            match lines.next() {
                Some(Ok(line)) if line == word => Ok(()),
                Some(Ok(line)) => Err(Forbidden(line.trim_start_matches("error: ").to_owned()).into()),
                Some(Err(e)) => Err(fail::host(format!("the sandbox does not answer: {e}")).into()),
                None => Err(fail::host("the sandbox ended before it had begun").into()),
            }
        };
        expect("unshared")?;
        userns::map(self.child.id()).map_err(|e| Forbidden(format!("{e:#}")))?;
        self.sync.write_all(b"mapped\n")?;
        expect("ready")?;
        self.sync.set_read_timeout(None)?;
        Ok(())
    }

    /// A handle that passes on Ctrl-C.
    pub fn interrupter(&self) -> Result<Interrupter> {
        Ok(Interrupter(self.sync.try_clone()?))
    }

    /// Waits for the end of the run; the driver's exit status, 128 + N for signal N.
    pub fn wait(mut self) -> Result<u8> {
        let status = self.child.wait().context("cannot wait for the sandbox")?;
        self.ended = true;
        Ok(process::code(status))
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
