//! PID 1 of a sandbox machine: services, journal, the driver's shell.
//!
//! [`manager`] decides and does nothing; [`Machine`] does what it asks for. One thread owns both; the others read
//! sockets and pipes and send [`Message`]s. It must not know namespaces, IOCs or checks: it runs the unit files it finds.

pub mod applets;
mod boot;
mod children;
mod clock;
mod conditions;
mod console;
mod control;
mod enable;
mod exec;
pub mod frames;
mod journal;
pub mod manager;
pub mod paths;
mod procs;
mod props;
mod shell;
pub mod start;
mod streams;
pub mod unit;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use anyhow::Result;
use unix::sys::signal::{Signal, kill};
use unix::unistd::Pid;

use self::clock::Clock;
use self::clock::Time;
use self::console::Console;
use self::journal::Journal;
use self::manager::Manager;
use self::manager::types::{Action, Event};
use self::paths::Paths;
use self::unit::load::Loader;
use self::unit::service::KillMode;
use self::unit::words::Env;
use tool_base::fail::Status;
use tool_base::protocol::control::{Power, Reply, Request};
use tool_base::{fail, stage};

/// Where the processes lie once more, hidden from each other in several ways: for services with `ProtectProc=`.
pub const PROCS: &str = "/machine/proc";
/// These ways, as the mount option `hidepid` of proc(5) has them.
pub const HIDDEN: [&str; 3] = ["noaccess", "invisible", "ptraceable"];

/// What the threads tell the manager's.
#[derive(Debug)]
enum Message {
    /// Children have ended.
    Children,
    /// The driver wants a command to be run.
    Execute(shell::Execute),
    /// The driver has closed its end.
    DriverGone,
    /// A service has sent a message to its manager. Descriptors that came along close when it has been taken in: a sender of
    /// `BARRIER=1` waits for that, sd_notify_barrier(3).
    Notify { pid: i32, text: String, _fds: Vec<OwnedFd> },
    /// A forking service has written its PID file.
    PidFile { unit: String },
    /// A request of an applet.
    Control { request: Request, reply: Sender<Reply> },
}

/// What PID 1 exits with: it tells the driver whether to start the machine again.
fn status(power: Power) -> Status {
    match power {
        Power::Off => Status::Done,
        Power::Reboot => Status::Other(3),
    }
}

/// A machine as its PID 1 sees it.
struct Machine {
    manager: Manager,
    loader: Loader,
    paths: Paths,
    clock: Clock,
    boot_time: Time,
    journal: Journal,
    console: Console,
    /// stderr of commands.
    console_device: File,
    commands: Vec<shell::Running>,
    waiters: Vec<control::Waiter>,
    waiting_for_boot: Vec<Sender<Reply>>,
    power: Option<Power>,
    /// Units of `systemd-run` that are in memory.
    transients: Vec<String>,
    /// Variables of all services.
    environment: Env,
    /// `NAME=VALUE`, for commands.
    variables: Vec<String>,
    sender: Sender<Message>,
}

/// Runs as PID 1 until the machine is powered off. What keeps it from that is told to the host's side.
pub fn run(words: &[OsString]) -> Result<Status> {
    let mut host = stage::optional(words, "--keeper-fd").map(stage::descriptor).transpose()?.map(UnixStream::from);
    match fail::caught(|| boot::start(words, host.as_mut())) {
        Ok((mut machine, receiver)) => {
            if let Some(mut host) = host {
                host.write_all(&[0])?;
            }
            machine.manager.boot(machine.clock.now());
            machine.settle();
            Ok(machine.serve(&receiver))
        }
        Err(error) => {
            if let Some(mut host) = host {
                let _ = write!(host, "{error:#}");
            }
            Err(error)
        }
    }
}

/// 32 random hex digits in the form of a UUID of version 4.
fn random_id() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap_or_default();
    let id: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    if id.len() == 32 { id } else { format!("{:032x}", u128::from(std::process::id())) }
}

impl Machine {
    fn serve(mut self, receiver: &Receiver<Message>) -> Status {
        loop {
            if let Some(power) = self.power.filter(|_| self.manager.jobs.is_empty()) {
                self.finish();
                return status(power);
            }
            let message = match self.wait_limit() {
                Some(limit) => receiver.recv_timeout(limit),
                None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match message {
                Ok(Message::Children) => self.reap(),
                Ok(Message::Execute(request)) => self.execute(request),
                Ok(Message::Notify { pid, text, .. }) => self.notify(pid, &text),
                Ok(Message::PidFile { unit }) => {
                    let pid = self.find_main(&unit);
                    self.handle(Event::MainFound { unit, pid });
                }
                Ok(Message::Control { request, reply }) => self.control(request, &reply),
                Ok(Message::DriverGone) | Err(RecvTimeoutError::Disconnected) => return Status::Done,
                Err(RecvTimeoutError::Timeout) => self.tick(),
            }
            self.answer_waiters();
        }
    }

    /// Lets what was said last reach the journal and the console.
    fn finish(&self) {
        use std::os::fd::AsFd;
        use unix::poll::{PollFd, PollFlags, PollTimeout, poll};
        let end = self.clock.now().mono + 200_000;
        let waits = |fd: &File| {
            poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
        };
        while (self.journal.is_reading() || waits(&self.console_device)) && self.clock.now().mono < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.console.flush();
    }

    /// Time until something is due.
    fn wait_limit(&self) -> Option<Duration> {
        let commands = self.commands.iter().filter_map(|c| c.deadline);
        let due = commands.chain(self.manager.next_deadline()).min()?;
        Some(Duration::from_micros(due.saturating_sub(self.clock.now().mono)))
    }

    fn tick(&mut self) {
        let now = self.clock.now();
        for command in &mut self.commands {
            if command.deadline.is_some_and(|d| d <= now.mono) {
                command.deadline = None;
                command.timed_out = true;
                // As `timeout` does: the whole process group, and once only.
                for signal in [Signal::SIGTERM, Signal::SIGCONT] {
                    let _ = kill(Pid::from_raw(-command.pid), signal);
                }
            }
        }
        self.notice_lost();
        self.handle(Event::Tick);
    }

    fn handle(&mut self, event: Event) {
        self.manager.handle(self.clock.now(), event);
        self.settle();
    }

    /// Does what the manager asks for until it asks for nothing more.
    fn settle(&mut self) {
        let journal = self.journal.clone();
        let _held = journal.hold();
        while let Some(action) = self.manager.next_action() {
            if let Some(event) = self.perform(action) {
                self.manager.handle(self.clock.now(), event);
            }
        }
        self.answer_waiters();
    }

    fn perform(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Prepare { unit } => {
                let rt = self.manager.units.get(&unit)?;
                let unmet = conditions::check(&rt.unit, &self.loader.spec.host);
                let invocation = random_id();
                if unmet.is_none() {
                    let _ = fs::write(self.paths.run().join("systemd/units").join(&invocation), &unit);
                }
                Some(Event::Prepared { unit, invocation, unmet })
            }
            Action::Spawn { unit, phase, exec } => {
                let rt = self.manager.units.get(&unit)?;
                let common = (&self.paths, &self.environment);
                let (pid, executed) = exec::spawn(rt, phase, &exec, &self.journal, common);
                Some(Event::Spawned { unit, phase, pid, executed })
            }
            Action::Signal { unit, who, signal } => {
                self.signal(&unit, who, signal);
                None
            }
            Action::CheckEmpty { unit } => self.is_empty(&unit).then_some(Event::Empty { unit }),
            Action::FindMain { unit } => {
                let pid = self.find_main(&unit);
                if pid.is_none() {
                    self.await_pid_file(&unit);
                }
                Some(Event::MainFound { unit, pid })
            }
            Action::Log { unit, priority, text } => {
                let rt = self.manager.units.get(&unit);
                let max = rt.and_then(|rt| rt.unit.service()?.log_level_max);
                if max.is_none_or(|max| priority <= max) {
                    self.journal.manager(&unit, rt.map_or("", |rt| &rt.invocation), priority, &text);
                }
                None
            }
            Action::Cleanup { unit } => {
                let rt = self.manager.units.get(&unit)?;
                if let Some(service) = rt.unit.service() {
                    exec::cleanup(rt, service, self.manager.will_restart(&unit), &self.paths);
                    if matches!(service.kill_mode, KillMode::Process | KillMode::None) || !service.send_sigkill {
                        for pid in self.members(&unit) {
                            let text = format!(
                                "{unit}: Unit process {pid} ({}) remains running after unit stopped.",
                                procs::name(pid)
                            );
                            self.journal.manager(&unit, &rt.invocation, 5, &text);
                        }
                    }
                }
                let _ = fs::remove_file(self.paths.run().join("systemd/units").join(&rt.invocation));
                None
            }
            Action::JobDone { job, unit, result } => {
                self.job_done(job, &unit, result);
                None
            }
        }
    }

    fn execute(&mut self, request: shell::Execute) {
        let reply = request.reply.clone();
        match shell::execute(request, &self.variables, &self.console_device, self.clock.now().mono) {
            Ok(command) => self.commands.push(command),
            Err(error) => reply.error(format!("the command could not be started: {error}")),
        }
    }

    fn notify(&mut self, pid: i32, text: &str) {
        let field = |line: &str| line.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
        let fields: Vec<_> = text.lines().filter_map(field).collect();
        let direct =
            self.manager.units.iter().find(|(_, rt)| control::roots(rt).contains(&pid)).map(|(n, _)| n.clone());
        let by_name = || procs::unit_of(pid).map(|(unit, _)| unit);
        if let Some(unit) = direct.or_else(by_name) {
            self.handle(Event::Notify { unit, pid, fields });
        }
    }

    /// Begins to go down; at once where that is asked for.
    fn power_off(&mut self, power: Power, force: bool) {
        if self.power.is_none() {
            let what = if power == Power::Off { "System is powering down." } else { "System is rebooting." };
            self.journal.manager("", "", 5, what);
        }
        self.power = Some(power);
        if force {
            self.manager.jobs.clear();
        } else {
            self.manager.shut_down(self.clock.now());
        }
        self.settle();
    }
}
