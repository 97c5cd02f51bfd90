//! PID 1 of a run: starts the Python driver and, when it asks, machines. When it ends, the kernel ends all of them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io::{IoSlice, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::{Context, Result, anyhow, bail};
use unix::sys::signal::{Signal, kill};
use unix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, recv, sendmsg, socketpair,
};
use unix::sys::wait::waitpid;
use unix::unistd::Pid;

use super::machine::{self, Booted, Lines};
use super::network::Switches;
use super::rootfs::Altered;
use super::spec::Spec;
use tool_base::fail::Status;
use tool_base::process::Cmd;
use tool_base::protocol::driver;
use tool_base::protocol::keeper::{Answer, Message, News, Request, Wish};
use tool_base::{fail, process, stage, sys};

enum Event {
    /// The driver asks for something.
    Request(Vec<u8>),
    /// A process has ended: its PID and exit status, 128 + N for signal N.
    Ended(i32, i32),
    /// xtask passes on Ctrl-C.
    Interrupt,
}

/// An answer and the descriptors to go with it.
type Reply = (Answer, Vec<OwnedFd>);

struct Keeper {
    spec: Spec,
    driver: OwnedFd,
    switches: Switches,
    booted: BTreeMap<String, Booted>,
    /// Processes whose end answers a request: interactive shells.
    waiting: BTreeMap<i32, u64>,
}

/// A machine that does not come up, or whose PID 1 has failed: the host's trouble, and the end of the run.
#[derive(Debug)]
struct Down(String);

impl std::fmt::Display for Down {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "machine `{}` does not run", self.0)
    }
}

impl std::error::Error for Down {}

/// Runs until the driver has ended; its exit status is ours. Whatever else ends it is told to xtask.
pub fn run(words: &[OsString]) -> Result<Status> {
    let sync = UnixStream::from(stage::descriptor(stage::required(words, "--sync-fd")?)?);
    fail::caught(|| keep(words, sync.try_clone()?)).or_else(|error| Ok(super::cage::trouble(&sync, &error)))
}

fn keep(words: &[OsString], sync: UnixStream) -> Result<Status> {
    let cage = stage::descriptor(stage::required(words, "--cage-fd")?)?;
    sys::die_with_parent(&cage).context("the stage before this one has ended")?;
    sys::block_interrupts()?;
    let file = Path::new(stage::required(words, "--spec")?);
    let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let spec: Spec = serde_json::from_slice(&text)?;
    let events = stage::optional(words, "--events-fd").map(stage::descriptor).transpose()?;
    sys::tmpfs(&spec.state_dir, "mode=755")?;
    let mut private = DirBuilder::new();
    private.mode(0o700).create(spec.shared_dir())?;
    for machine in &spec.machines {
        private.create(spec.vm_state_dir(&machine.name))?;
    }

    if let Some(command) = &spec.console {
        return super::console::run(&spec, command);
    }
    let (driver, driver_inside) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    let driver_pid = start_driver(&spec, driver_inside, events)?;
    let (sender, receiver) = channel();
    watch_children(sender.clone());
    watch_xtask(sync, sender.clone());
    watch_driver(driver.try_clone()?, sender);
    Keeper { spec, driver, switches: Switches::new()?, booted: BTreeMap::new(), waiting: BTreeMap::new() }
        .serve(&receiver, driver_pid)
}

fn start_driver(spec: &Spec, channel: OwnedFd, events: Option<OwnedFd>) -> Result<i32> {
    let machines = spec
        .machines
        .iter()
        .map(|m| driver::DriverMachine {
            name: &m.name,
            shared_dir: spec.shared_dir(),
            state_dir: spec.vm_state_dir(&m.name),
        })
        .collect();
    let config = spec.state_dir.join("driver.json");
    let content = driver::Config {
        check: &spec.check,
        machines,
        vlans: spec.machines.iter().flat_map(|m| m.vlans.iter().copied()).collect(),
        global_timeout: spec.global_timeout,
        script: &spec.script,
        lib: spec.lib.as_deref(),
        out_dir: &spec.out_dir,
        junit: spec.junit.as_deref(),
        interactive: spec.interactive,
        debug: spec.debug,
        keeper_fd: channel.as_raw_fd(),
        events_fd: events.as_ref().map(AsRawFd::as_raw_fd),
    };
    std::fs::write(&config, serde_json::to_vec(&content)?)?;
    let python = Cmd::new(&spec.python)
        // Compiled once, not at every start, and not beside the sources. Empty is as good as not set.
        .arg("-X")
        .arg(format!("pycache_prefix={}", spec.pycache.display()))
        .env("PYTHONDONTWRITEBYTECODE", "")
        .arg(&spec.driver)
        .arg(&config);
    let mut command = python.to_std();
    if !spec.interactive && !spec.debug {
        command.stdin(Stdio::null());
    }
    let passed = std::iter::once(channel).chain(events).collect();
    let child = sys::inherit(&mut command, passed).spawn().map_err(|e| python.not_started(&e))?;
    Ok(i32::try_from(child.id())?)
}

/// Reaps every child, also orphans that the script left behind.
fn watch_children(sender: Sender<Event>) {
    std::thread::spawn(move || {
        loop {
            let status = match waitpid(None, None) {
                Err(unix::Error::EINTR) => continue,
                // No child is left: the driver has ended, and so will this process.
                Err(_) => return,
                Ok(status) => status,
            };
            let Some((pid, code)) = process::ended(status) else { continue };
            if sender.send(Event::Ended(pid.as_raw(), code.into())).is_err() {
                return;
            }
        }
    });
}

/// Passes on Ctrl-C. At the end of xtask, this process is killed by the end of its parent.
fn watch_xtask(mut sync: UnixStream, sender: Sender<Event>) {
    std::thread::spawn(move || {
        let mut byte = [0];
        while sync.read_exact(&mut byte).is_ok() {
            if sender.send(Event::Interrupt).is_err() {
                return;
            }
        }
    });
}

fn watch_driver(driver: OwnedFd, sender: Sender<Event>) {
    std::thread::spawn(move || {
        let mut packet = vec![0; 64 * 1024];
        while let Ok(size @ 1..) = recv(driver.as_raw_fd(), &mut packet, MsgFlags::empty()) {
            if sender.send(Event::Request(packet[..size].to_vec())).is_err() {
                return;
            }
        }
    });
}

impl Keeper {
    fn serve(mut self, events: &Receiver<Event>, driver_pid: i32) -> Result<Status> {
        for event in events {
            match event {
                Event::Ended(pid, code) if pid == driver_pid => {
                    return Ok(Status::Other(u8::try_from(code).unwrap_or(1)));
                }
                Event::Ended(pid, code) => self.ended(pid, code)?,
                // A driver that has just ended is reported by the next event.
                Event::Interrupt => drop(kill(Pid::from_raw(driver_pid), Signal::SIGINT)),
                Event::Request(packet) => self.request(&packet)?,
            }
        }
        bail!("the sandbox lost track of its driver")
    }

    fn ended(&mut self, pid: i32, code: i32) -> Result<()> {
        if let Some(id) = self.waiting.remove(&pid) {
            return self.reply(Some(id), Answer::Ended { status: code }, &[]);
        }
        let name = self.booted.iter().find(|(_, booted)| booted.pid == pid).map(|(name, _)| name.clone());
        if let Some(name) = name {
            // Off, or to be started again; or killed, which may be the script's doing.
            if !matches!(code, 0 | 3 | 128..) {
                return Err(anyhow!("its PID 1 has ended with status {code}").context(Down(name)));
            }
            if let Some(booted) = self.booted.remove(&name) {
                booted.end();
            }
            self.send(&Message::News(News::Exit { machine: name, status: code }), &[])?;
        }
        Ok(())
    }

    fn request(&mut self, packet: &[u8]) -> Result<()> {
        let request: Request = match serde_json::from_slice(packet) {
            Ok(request) => request,
            Err(e) => return self.reply(None, Answer::Failed { error: format!("bad request: {e}") }, &[]),
        };
        match self.answer(&request) {
            Ok(Some((answer, fds))) => self.reply(Some(request.id), answer, &fds),
            Ok(None) => Ok(()),
            Err(e) if e.is::<Down>() => Err(e),
            Err(e) => self.reply(Some(request.id), Answer::Failed { error: format!("{e:#}") }, &[]),
        }
    }

    /// `None` where the answer comes later.
    fn answer(&mut self, request: &Request) -> Result<Option<Reply>> {
        let name = &request.machine;
        let booted = || self.booted.get(name).ok_or_else(|| anyhow!("machine `{name}` is not running"));
        match request.wish {
            Wish::Start => return self.start(name).map(Some),
            Wish::Kill => kill(Pid::from_raw(booted()?.pid), Signal::SIGKILL)?,
            Wish::Link { up } => self.switches.set_cable(&booted()?.cables, up)?,
            Wish::Interact => {
                let mut shell = super::as_root(&super::shell());
                shell.envs([super::PROMPT]);
                let pid = booted()?.spawn_inside(shell)?;
                self.waiting.insert(pid, request.id);
                return Ok(None);
            }
        }
        Ok(Some((Answer::Done {}, Vec::new())))
    }

    fn start(&mut self, name: &str) -> Result<Reply> {
        if self.booted.contains_key(name) {
            bail!("machine `{name}` is running");
        }
        let machine = self.spec.machines.iter().find(|m| m.name == name);
        let machine = machine.ok_or_else(|| anyhow!("there is no machine `{name}`"))?;
        let (mut booted, Lines { shell, console }) = machine::boot(&self.spec, machine, &mut self.switches)
            .map_err(|e| if e.is::<Altered>() { e } else { e.context(Down(name.to_owned())) })?;
        let pid = booted.pid;
        for recorder in &machine.recorders {
            if let Err(e) = booted.record(recorder) {
                // No check fails for it: the report will have no curves.
                let _ = std::fs::write(recorder.file.with_extension("log"), format!("{e:#}\n"));
            }
        }
        self.booted.insert(name.to_owned(), booted);
        Ok((Answer::Started { pid }, vec![shell, console]))
    }

    fn reply(&self, id: Option<u64>, answer: Answer, fds: &[OwnedFd]) -> Result<()> {
        self.send(&Message::Reply { id, answer }, fds)
    }

    /// One packet to the driver. A driver that is gone is noticed by its end.
    fn send(&self, message: &Message, fds: &[OwnedFd]) -> Result<()> {
        let text = serde_json::to_vec(message)?;
        let raw: Vec<RawFd> = fds.iter().map(|fd| fd.as_fd().as_raw_fd()).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control: &[ControlMessage] = if raw.is_empty() { &[] } else { &rights };
        match sendmsg::<UnixAddr>(
            self.driver.as_raw_fd(),
            &[IoSlice::new(&text)],
            control,
            MsgFlags::MSG_NOSIGNAL,
            None,
        ) {
            Ok(_) | Err(unix::Error::EPIPE | unix::Error::ECONNRESET) => Ok(()),
            Err(e) => Err(e).context("cannot answer the driver"),
        }
    }
}
