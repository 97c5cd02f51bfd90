//! The first stage of a run: enters new user, mount and PID namespaces, then starts `sandbox-keeper` as PID 1 in them.
//!
//! If xtask dies, this stage dies (`PR_SET_PDEATHSIG`); with it dies PID 1, and with that everything in the sandbox.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result};
use unix::mount::{MsFlags, mount};
use unix::sched::{CloneFlags, unshare};

use tool_base::fail::Status;
use tool_base::process::Cmd;
use tool_base::{fail, process, stage, sys};

/// Runs the stage. Trouble goes to xtask over the sync channel, not to the terminal.
pub fn run(words: &[OsString]) -> Result<Status> {
    // What xtask was started with is none of a machine's business; what goes on to the next stage is named below.
    sys::keep_to_ourselves();
    let mut sync = UnixStream::from(stage::descriptor(stage::required(words, "--sync-fd")?)?);
    let told = sync.try_clone()?;
    enter(&mut sync).and_then(|()| keep(words, sync)).or_else(|error| Ok(trouble(&told, &error)))
}

/// Tells xtask why there is no verdict.
pub fn trouble(mut sync: &UnixStream, error: &anyhow::Error) -> Status {
    let _ = writeln!(sync, "{}", fail::render(error));
    Status::HostNotReady
}

/// Starts `sandbox-keeper` and waits for its end.
fn keep(words: &[OsString], sync: UnixStream) -> Result<Status> {
    let mut passed: Vec<OwnedFd> = vec![sync.into()];
    if let Some(events) = stage::optional(words, "--events-fd") {
        passed.push(stage::descriptor(events)?);
    }
    // Its other end tells PID 1 that this stage lives.
    let (cage, _alive) = std::io::pipe()?;
    passed.insert(1, cage.into());
    let mut host = Cmd::new(tool_base::process::own_program()?).args(["sandbox-keeper", "--spec"]);
    host = host.arg(stage::required(words, "--spec")?);
    for (flag, fd) in ["--sync-fd", "--cage-fd", "--events-fd"].into_iter().zip(&passed) {
        host = host.arg(flag).arg(fd.as_raw_fd().to_string());
    }
    let mut command = host.to_std();
    let mut child = sys::inherit(&mut command, passed).spawn().map_err(|e| host.not_started(&e))?;
    drop(command);
    let status = child.wait().context("cannot wait for the sandbox")?;
    Ok(Status::Other(process::code(status)))
}

fn enter(sync: &mut UnixStream) -> Result<()> {
    sys::die_with_parent(&*sync).context("xtask has ended")?;
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
