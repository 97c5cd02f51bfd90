//! The first stage of a run: enters new user, mount and PID namespaces, then starts `sandbox-host` as PID 1 in them.
//!
//! If xtask dies, this stage dies (`PR_SET_PDEATHSIG`); with it dies PID 1, and with that everything in the sandbox. Where
//! the run has control groups, it first sees the end of all processes and removes the groups.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};

use anyhow::{Context, Result};
use unix::mount::{MsFlags, mount};
use unix::sched::{CloneFlags, unshare};
use unix::sys::signal::{SigSet, Signal};

use super::spec::Spec;
use super::{cgroups, sys};
use crate::cli::SandboxStage;
use crate::fail::{self, Status};
use crate::process::Cmd;

/// Runs the stage. Trouble goes to xtask over the sync channel, not to the terminal.
pub fn run(args: &SandboxStage) -> Result<Status> {
    let mut sync = UnixStream::from(sys::inherited(args.sync_fd)?);
    if let Err(error) = enter(&mut sync) {
        let text = fail::render(&error).replace('\n', " ");
        let _ = writeln!(sync, "{text}");
        return Ok(Status::HostNotReady);
    }
    let events = args.events_fd.map(sys::inherited).transpose()?;
    let mut host = Cmd::new(std::env::current_exe()?).arg("sandbox-host").arg("--spec").arg(&args.spec);
    let mut passed: Vec<OwnedFd> = vec![sync.into()];
    host = host.arg("--sync-fd").arg(passed[0].as_raw_fd().to_string());
    if let Some(events) = events {
        host = host.arg("--events-fd").arg(events.as_raw_fd().to_string());
        passed.push(events);
    }
    let mut command = host.to_std();
    let mut child = sys::inherit(&mut command, passed).spawn().map_err(|e| host.not_started(&e))?;
    drop(command);
    let spec: Spec = serde_json::from_slice(&fs::read(&args.spec)?)?;
    let xtask = unix::unistd::getppid();
    let status = match spec.groups.dir {
        Some(_) => outlive_xtask(&mut child),
        None => child.wait(),
    };
    let status = status.context("cannot wait for the sandbox")?;
    if let Some(group) = spec.groups.dir {
        cgroups::remove(&group);
        if unix::unistd::getppid() != xtask {
            group.parent().into_iter().for_each(cgroups::leave);
        }
    }
    let code = status.code().or_else(|| status.signal().map(|s| 128 + s)).unwrap_or(1);
    Ok(Status::Other(u8::try_from(code).unwrap_or(1)))
}

/// Waits for PID 1 of the run, and ends it when xtask ends. No thread can do so: they are not allowed beside another PID
/// namespace for children.
fn outlive_xtask(host: &mut Child) -> io::Result<ExitStatus> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCHLD);
    signals.add(Signal::SIGTERM);
    signals.thread_block()?;
    // Until here, the end of xtask has been our end.
    unix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?;
    loop {
        if let Some(status) = host.try_wait()? {
            return Ok(status);
        }
        if signals.wait()? == Signal::SIGTERM {
            host.kill()?;
        }
    }
}

fn enter(sync: &mut UnixStream) -> Result<()> {
    sys::die_with_parent()?;
    // Ctrl-C is the driver's business: it cleans up, and this stage ends with it.
    sys::block_interrupts()?;
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID)
        .context("unshare: a user namespace cannot be made")?;
    writeln!(sync, "unshared")?;
    let mut answer = String::new();
    BufReader::new(sync.try_clone()?).read_line(&mut answer)?;
    anyhow::ensure!(answer == "mapped\n", "xtask did not answer");
    // What is mounted here must not be seen outside.
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .context("mount: no right to mount in the new user namespace")?;
    writeln!(sync, "ready")?;
    Ok(())
}
