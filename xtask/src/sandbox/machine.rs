//! One boot of a machine: namespaces, root file system, PID 1.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::Command;

use anyhow::{Context, Result, anyhow};
use unix::fcntl::{OFlag, openat};
use unix::sched::{CloneFlags, setns, unshare};
use unix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use unix::sys::stat::Mode;
use unix::unistd::pipe;

use super::network::{self, Cables, Switches};
use super::rootfs;
use super::spec::{Machine, Spec};
use super::sys;
use crate::process::Cmd;

/// Kinds of namespaces, in the order in which they are entered.
const NAMESPACES: [&str; 5] = ["pid_for_children", "net", "uts", "ipc", "mnt"];

/// A machine that has been started.
#[derive(Debug)]
pub struct Booted {
    /// Its PID 1, as the caller's PID namespace counts.
    pub pid: i32,
    /// Its cables at the switches.
    pub cables: Cables,
    /// Its namespaces, in the order of `NAMESPACES`.
    namespaces: Vec<OwnedFd>,
}

/// The driver's ends of a machine's shell channel and console.
#[derive(Debug)]
pub struct Lines {
    /// Shell channel.
    pub shell: OwnedFd,
    /// Console, to be read.
    pub console: OwnedFd,
}

/// Starts a machine. It takes some milliseconds and does not wait for its services.
pub fn boot(spec: &Spec, machine: &Machine, switches: &mut Switches) -> Result<(Booted, Lines)> {
    // A thread can be in namespaces of its own; it is gone when PID 1 runs.
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| boot_here(spec, machine, switches));
        thread.join().map_err(|_| anyhow!("the thread that starts machines has panicked"))?
    })
}

fn boot_here(spec: &Spec, machine: &Machine, switches: &mut Switches) -> Result<(Booted, Lines)> {
    let shared =
        CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC;
    unshare(shared).context("the machine's namespaces cannot be made")?;
    // The host's /proc is out of sight after the next step, but not out of reach.
    let own = File::open("/proc/thread-self/ns").context("cannot open the thread's namespaces")?;
    let network = openat(&own, "net", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    let cables = switches.plug(machine, network.as_fd())?;
    network::configure(machine)?;
    // Last: from here on this thread can start processes, but no threads.
    unshare(CloneFlags::CLONE_NEWPID).context("the machine's PID namespace cannot be made")?;
    rootfs::enter(spec, machine)?;

    let (shell, shell_inside) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)?;
    let (console, console_inside) = pipe()?;
    let init = Cmd::new("/machine/xtask")
        .args(["sandbox-init", "--name", &machine.name])
        .args(["--shell-fd", &shell_inside.as_raw_fd().to_string()])
        .args(["--console-fd", &console_inside.as_raw_fd().to_string()]);
    let mut command = init.to_std();
    command.env_clear().stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    let child =
        sys::inherit(&mut command, vec![shell_inside, console_inside]).spawn().map_err(|e| init.not_started(&e))?;
    let pid = i32::try_from(child.id())?;
    let open = |name| openat(&own, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
    let namespaces = NAMESPACES.map(open).into_iter().collect::<Result<Vec<_>, _>>();
    let namespaces = namespaces.context("cannot open the machine's namespaces")?;
    Ok((Booted { pid, cables, namespaces }, Lines { shell, console }))
}

impl Booted {
    /// Starts a command inside the machine, with the descriptors of the caller.
    pub fn spawn_inside(&self, mut command: Command) -> Result<i32> {
        let namespaces = self.namespaces.iter().map(OwnedFd::try_clone).collect::<io::Result<Vec<_>>>()?;
        let thread = std::thread::spawn(move || -> Result<i32> {
            unshare(CloneFlags::CLONE_FS)?;
            for namespace in namespaces {
                setns(namespace, CloneFlags::empty()).context("cannot enter the machine")?;
            }
            Ok(i32::try_from(command.spawn().context("cannot start a shell in the machine")?.id())?)
        });
        thread.join().map_err(|_| anyhow!("the thread that enters machines has panicked"))?
    }
}
