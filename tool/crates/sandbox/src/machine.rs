//! One boot of a machine: namespaces, root file system, PID 1.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};
use unix::sched::{CloneFlags, setns, unshare};
use unix::sys::signal::{Signal, kill};
use unix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use unix::sys::stat::{Mode, umask};
use unix::unistd::{Pid, pipe};

use super::network::{self, Cables, Switches};
use super::spec::{MachineSpec, Recorder, Spec};
use super::{kernel, rootfs, userns};
use tool_base::process::Cmd;
use tool_base::protocol::recording::{Presence, Recorded};
use tool_base::stage::VARIABLE;
use tool_base::sys;

/// Kinds of namespaces, in the order in which they are entered; the user namespace comes after them.
pub(super) const NAMESPACES: [&str; 5] = ["pid", "net", "uts", "ipc", "mnt"];
/// Port of the recorder's Channel Access repeater, which nobody else looks for.
const REPEATER: &str = "65065";

/// A machine that has been started.
#[derive(Debug)]
pub struct Booted {
    /// Its PID 1, as the caller's PID namespace counts.
    pub pid: i32,
    /// Its cables at the switches.
    pub cables: Cables,
    /// Its namespaces, in the order of `NAMESPACES`.
    namespaces: Vec<File>,
    /// Its user namespace: what it may do it may do there only.
    users: File,
    /// What records its process variables, and where to.
    recorders: Vec<(i32, PathBuf)>,
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
pub fn boot(spec: &Spec, machine: &MachineSpec, switches: &mut Switches) -> Result<(Booted, Lines)> {
    // A thread can be in namespaces of its own; it is gone when PID 1 runs.
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| boot_here(spec, machine, switches));
        thread.join().map_err(|_| anyhow!("the thread that starts machines has panicked"))?
    })
}

/// The thread puts the root file system together in a mount namespace of the run's. PID 1 then enters namespaces of its own,
/// a user namespace among them, so that the kernel lets nobody on the machine undo what is read-only (mount_namespaces(7)).
fn boot_here(spec: &Spec, machine: &MachineSpec, switches: &mut Switches) -> Result<(Booted, Lines)> {
    let maps = userns::own_maps()?;
    unshare(CloneFlags::CLONE_NEWNS).context("the machine's mount namespace cannot be made")?;
    // The caller's may shut other users out of the machine's folders. This thread has one of its own since then.
    own_umask();
    rootfs::enter(spec, machine)?;
    let (shell, shell_inside) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)?;
    let (console, console_inside) = pipe()?;
    let (mut sync, sync_inside) = UnixStream::pair()?;
    let init = Cmd::new("/machine/xtask")
        .args(["sandbox-init", "--name", &machine.name])
        .args(["--keeper-fd", &sync_inside.as_raw_fd().to_string()])
        .args(["--shell-fd", &shell_inside.as_raw_fd().to_string()])
        .args(["--console-fd", &console_inside.as_raw_fd().to_string()])
        .args(machine.variables.iter().flat_map(|(name, value)| [VARIABLE.to_owned(), format!("{name}={value}")]));
    let passed = vec![sync_inside.into(), shell_inside, console_inside];
    // A thread that has left its PID namespace starts no further threads.
    let pid = std::thread::scope(|scope| {
        let thread = scope.spawn(|| -> Result<i32> {
            unshare(CloneFlags::CLONE_NEWPID).context("the machine's PID namespace cannot be made")?;
            let mut command = init.to_std();
            command.env_clear().stdin(Stdio::null()).stdout(Stdio::null());
            let child = sys::inherit(&mut command, passed).spawn().map_err(|e| init.not_started(&e))?;
            Ok(i32::try_from(child.id())?)
        });
        thread.join().map_err(|_| anyhow!("the thread that starts PID 1 has panicked"))?
    })?;
    next_step(&mut sync)?;
    // It has mounted /proc, so there it is number 1.
    let open =
        |kind: &str| File::open(Path::new("/proc/1/ns").join(kind)).with_context(|| format!("/proc/1/ns/{kind}"));
    for (file, map) in maps {
        fs::write(Path::new("/proc/1").join(file), map).with_context(|| format!("cannot write {file}"))?;
    }
    let cables = switches.plug(machine, open("net")?.as_fd())?;
    for kind in ["net", "uts", "ipc"] {
        setns(open(kind)?, CloneFlags::empty()).with_context(|| format!("cannot enter the machine's {kind}"))?;
    }
    network::configure(machine)?;
    kernel::lock_kernel()?;
    sync.write_all(&[0])?;
    next_step(&mut sync)?;
    let namespaces = NAMESPACES.map(open).into_iter().collect::<Result<_>>()?;
    Ok((Booted { pid, cables, namespaces, users: open("user")?, recorders: Vec::new() }, Lines { shell, console }))
}

/// Everybody on a machine has the umask that NixOS gives, whatever the caller's.
pub(super) fn own_umask() {
    umask(Mode::from_bits_truncate(0o022));
}

/// Waits until PID 1 has come a step further.
fn next_step(init: &mut UnixStream) -> Result<()> {
    let mut said = Vec::new();
    let step = init.take(1).read_to_end(&mut said)?;
    if said == [0] {
        return Ok(());
    }
    init.read_to_end(&mut said)?;
    bail!(
        "{}",
        if step == 0 { "its PID 1 has ended before it had begun".into() } else { String::from_utf8_lossy(&said) }
    )
}

impl Booted {
    /// Starts a command inside the machine, with the descriptors of the caller.
    pub fn spawn_inside(&self, mut command: Command) -> Result<i32> {
        let namespaces = self.namespaces.iter().map(File::try_clone).collect::<io::Result<Vec<_>>>()?;
        sys::in_user_namespace(&mut command, self.users.try_clone()?);
        let thread = std::thread::spawn(move || -> Result<i32> {
            unshare(CloneFlags::CLONE_FS)?;
            own_umask();
            for namespace in namespaces {
                setns(namespace, CloneFlags::empty()).context("cannot enter the machine")?;
            }
            Ok(i32::try_from(command.spawn().context("cannot start a shell in the machine")?.id())?)
        });
        thread.join().map_err(|_| anyhow!("the thread that enters machines has panicked"))?
    }

    /// Starts to record process variables: on the machine's network, but out of sight of its processes.
    pub fn record(&mut self, recorder: &Recorder) -> Result<()> {
        if let Some(dir) = recorder.file.parent() {
            fs::create_dir_all(dir)?;
        }
        let talk = File::options().create(true).append(true).open(recorder.file.with_extension("log"))?;
        let program = Cmd::new(&recorder.program)
            .arg("--record")
            .arg(&recorder.file)
            .args(["--app", &recorder.app, &recorder.script])
            .cwd(&recorder.boot);
        let mut command = program.to_std();
        command.env_clear().envs(&recorder.environment).stdin(Stdio::null());
        // Over the loopback interface, to every IOC: what a script does to cables is of no concern here.
        command.env("EPICS_CA_AUTO_ADDR_LIST", "NO").env("EPICS_CA_ADDR_LIST", "127.255.255.255");
        // Clients of the machine shall start their own.
        command.env("EPICS_CA_REPEATER_PORT", REPEATER).stdout(talk.try_clone()?).stderr(talk);
        let network = self.namespaces[1].try_clone()?;
        let thread = std::thread::spawn(move || -> Result<i32> {
            setns(network, CloneFlags::CLONE_NEWNET).context("cannot enter the machine's network")?;
            let child = command.spawn().map_err(|e| program.not_started(&e))?;
            Ok(i32::try_from(child.id())?)
        });
        let pid = thread.join().map_err(|_| anyhow!("the thread that starts recorders has panicked"))??;
        self.recorders.push((pid, recorder.file.clone()));
        Ok(())
    }

    /// Ends what was started beside the machine.
    pub fn end(&self) {
        for (pid, file) in &self.recorders {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            // It did not live to see the IOC go.
            let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64());
            if let Ok(mut file) = File::options().append(true).open(file) {
                let down = serde_json::to_string(&Recorded::Ioc { time, ioc: Presence::Down }).unwrap_or_default();
                let _ = writeln!(file, "\n{down}");
            }
        }
    }
}
