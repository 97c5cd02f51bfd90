//! What happens before a machine's manager starts its first unit: namespaces, file systems, sockets.

use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::{Context, Result};
use unix::mount::{MsFlags, mount};
use unix::sched::{CloneFlags, unshare};
use unix::sys::signal::{SigSet, Signal};
use unix::sys::signalfd::{SfdFlags, SignalFd};

use crate::clock::Clock;
use crate::console::Console;
use crate::journal::Journal;
use crate::manager::Manager;
use crate::paths::Paths;
use crate::unit::load::Loader;
use crate::unit::words::Specifiers;
use crate::{HIDDEN, Machine, Message, PROCS, control, enable, exec, procs, random_id, shell, streams};
use tool_base::confine::confine;
use tool_base::{netlink, stage};

pub(super) fn start(words: &[OsString], host: Option<&mut UnixStream>) -> Result<(Machine, Receiver<Message>)> {
    let clock = Clock::start();
    // As `ps -p 1 -o comm=` is to show.
    unix::sys::prctl::set_name(c"systemd").context("cannot take the name of systemd")?;
    // Before any thread starts, so that none takes the signal.
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    mask.thread_block().context("cannot block SIGCHLD")?;
    mount_proc()?;
    // Before any thread starts, too: the kernel gives a process of several threads no new user namespace.
    if let Some(host) = host {
        procs::limit();
        apart(host)?;
    }
    let console = Console::new(stage::descriptor(stage::required(words, "--console-fd")?)?);
    let driver = UnixStream::from(stage::descriptor(stage::required(words, "--shell-fd")?)?);
    let paths = Paths::default();
    let name = stage::required(words, "--name")?.to_string_lossy().into_owned();
    set_up(&name, &paths)?;
    let boot_id = boot_id(&paths);
    let machine_id = fs::read_to_string(paths.machine_id()).unwrap_or_default().trim().to_owned();
    let spec = Specifiers {
        unit: String::new(),
        host: name.clone(),
        boot_id: boot_id.clone(),
        machine_id: machine_id.clone(),
        ..Default::default()
    };
    let journal = Journal::open(&paths.journal(), console.clone(), clock, &name, &boot_id, &machine_id)?;
    let console_device = console.device(&paths.console())?;
    let loader = Loader { paths: paths.clone(), spec };
    enable::preset_all(&loader);

    let (sender, receiver) = channel();
    watch_children(&mask, sender.clone())?;
    streams::serve_syslog(&paths.dev_log(), journal.clone())?;
    streams::serve_native(&paths.journal_socket(), journal.clone())?;
    streams::serve_stdout(&paths.journal_stdout(), journal.clone())?;
    serve_notify(&paths.notify(), sender.clone())?;
    control::serve(&paths.control(), sender.clone())?;
    shell::serve(driver, sender.clone())?;

    let units = loader.clone();
    let machine = Machine {
        manager: Manager::new(Box::new(move |name| units.load(name))),
        loader,
        paths,
        clock,
        boot_time: clock.now(),
        journal,
        console,
        console_device,
        commands: Vec::new(),
        waiters: Vec::new(),
        waiting_for_boot: Vec::new(),
        power: None,
        transients: Vec::new(),
        environment: exec::default_environment(),
        variables: words
            .windows(2)
            .filter(|pair| pair[0] == stage::VARIABLE)
            .map(|pair| pair[1].to_string_lossy().into_owned())
            .collect(),
        sender,
    };
    Ok((machine, receiver))
}

/// Mounts the processes. Later, in a user namespace that the PID namespace is not of, the kernel would refuse it.
fn mount_proc() -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let proc = |at: &Path, options: Option<&str>| mount(Some("proc"), at, Some("proc"), flags, options);
    proc(Path::new("/proc"), None).context("cannot mount /proc")?;
    for hide in HIDDEN {
        let at = Path::new(PROCS).join(hide);
        // Linux before 5.8 does not know these names: it has the same options in all places.
        if fs::create_dir_all(&at).is_ok() {
            let _ = proc(&at, Some(&format!("hidepid={hide}")));
        }
    }
    Ok(())
}

/// Enters namespaces of the machine's own, hand in hand with the host's side: that maps the users and makes read-only in
/// the old mount namespace what the new one, of another user namespace, must not make writable. All on it is confined then.
fn apart(host: &mut UnixStream) -> Result<()> {
    let own =
        CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC;
    unshare(own).context("the machine's namespaces cannot be made")?;
    host.write_all(&[0])?;
    host.read_exact(&mut [0]).context("the host's side has ended")?;
    unshare(CloneFlags::CLONE_NEWNS).context("the machine's mount namespace cannot be made")?;
    confine().context("the kernel takes no filter of system calls (seccomp)")
}

/// What the kernel and `/etc` of a machine need before anything runs.
fn set_up(name: &str, paths: &Paths) -> Result<()> {
    unix::unistd::sethostname(name).context("cannot set the host name")?;
    netlink::set_link("lo", true).context("cannot bring lo up")?;
    for dir in ["systemd/journal", "systemd/units", "systemd/system", "lock"] {
        let dir = paths.run().join(dir);
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    // What a service may not touch is hidden behind these.
    let nobodys = paths.run().join("systemd/inaccessible");
    let make = || -> std::io::Result<()> {
        fs::create_dir_all(nobodys.join("dir"))?;
        fs::write(nobodys.join("reg"), "")?;
        ["dir", "reg"]
            .iter()
            .try_for_each(|name| fs::set_permissions(nobodys.join(name), fs::Permissions::from_mode(0o000)))
    };
    make().with_context(|| format!("cannot make {}", nobodys.display()))?;
    Ok(())
}

/// A name for this boot; programs that ask the kernel get it too.
fn boot_id(paths: &Paths) -> String {
    let id = random_id();
    let file = paths.run().join("boot-id");
    let dashed = format!("{}-{}-{}-{}-{}\n", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]);
    // Not every kernel lets us put a file there: then boots have the host's name.
    let _ = fs::write(&file, dashed)
        .map(|()| mount(Some(&file), "/proc/sys/kernel/random/boot_id", None::<&str>, MsFlags::MS_BIND, None::<&str>));
    id
}

fn watch_children(mask: &SigSet, sender: Sender<Message>) -> Result<()> {
    let signals = SignalFd::with_flags(mask, SfdFlags::SFD_CLOEXEC).context("cannot wait for children")?;
    std::thread::spawn(move || {
        while signals.read_signal().is_ok() {
            if sender.send(Message::Children).is_err() {
                return;
            }
        }
    });
    Ok(())
}

fn serve_notify(path: &Path, sender: Sender<Message>) -> Result<()> {
    let socket: OwnedFd = streams::datagram(path)?;
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65536];
        while let Some(streams::Received { count, from, fds }) = streams::receive(&socket, &mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
            let pid = from.map_or(0, |f| procs::speaker(f.pid(), f.uid()));
            if sender.send(Message::Notify { pid, text, _fds: fds }).is_err() {
                return;
            }
        }
    });
    Ok(())
}
