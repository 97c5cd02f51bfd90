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
use unix::sys::resource::{Resource, getrlimit, setrlimit};

use tool_base::fail::Status;
use tool_base::process::Cmd;
use tool_base::{fail, process, stage, sys};

/// Limits of a user: what a check needs, what is usual, and their names.
const LIMITS: [(Resource, u64, u64, &str); 2] =
    [(Resource::RLIMIT_NOFILE, 64, 1024, "open files"), (Resource::RLIMIT_NPROC, 128, 4096, "processes")];

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

/// Lets the stages, the driver and each PID 1 have as many files and processes as there usually may be.
fn raise_limits() -> Result<()> {
    for (resource, needed, usual, what) in LIMITS {
        let (now, most) = getrlimit(resource)?;
        // Root's processes are not counted.
        if most < needed && !(resource == Resource::RLIMIT_NPROC && unix::unistd::geteuid().is_root()) {
            let flag = if resource == Resource::RLIMIT_NPROC { "u" } else { "n" };
            let failure =
                fail::host(format!("the limit of {what} is {most}, and no check runs with less than {needed}"));
            return Err(failure.hint(format!("raise it where the session begins, ulimit -{flag} {usual}")).into());
        }
        setrlimit(resource, now.max(most.min(usual)), most)
            .with_context(|| format!("cannot raise the limit of {what}"))?;
    }
    Ok(())
}

fn enter(sync: &mut UnixStream) -> Result<()> {
    sys::die_with_parent(&*sync).context("xtask has ended")?;
    raise_limits()?;
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
