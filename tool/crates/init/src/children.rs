//! The processes of units: who belongs to one, what they are sent, how their end is noticed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use unix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use unix::unistd::Pid;

use super::manager::types::{Event, Exit, State, Who};
use super::unit::values::signal_name;
use super::{Machine, Message, control, procs};
use crate::start;

impl Machine {
    /// The processes of a unit.
    pub(super) fn members(&self, unit: &str) -> Vec<i32> {
        let Some(rt) = self.manager.units.get(unit) else { return Vec::new() };
        procs::members(&procs::all(), &rt.invocation, &control::roots(rt))
    }

    pub(super) fn is_empty(&self, unit: &str) -> bool {
        self.manager.units.get(unit).is_some_and(|rt| rt.main.is_none() && rt.control.is_none())
            && self.members(unit).is_empty()
    }

    pub(super) fn signal(&self, unit: &str, who: Who, signal: i32) {
        let Some(rt) = self.manager.units.get(unit) else { return };
        let roots = control::roots(rt);
        let targets = match who {
            Who::Main => rt.main.into_iter().collect(),
            Who::Control => rt.control.into_iter().collect(),
            Who::All => {
                [roots.clone(), self.members(unit).into_iter().filter(|p| !roots.contains(p)).collect()].concat()
            }
        };
        let by_force = matches!(rt.state, State::StopSigkill | State::FinalSigkill);
        for pid in targets.into_iter().filter(|p| *p > 1) {
            if by_force {
                let text = format!(
                    "{unit}: Killing process {pid} ({}) with signal SIG{}.",
                    procs::name(pid),
                    signal_name(signal)
                );
                self.journal.manager(unit, &rt.invocation, 5, &text);
            }
            start::signal(pid, signal);
            // A stopped process cannot act on a request to end.
            if matches!(signal, libc::SIGTERM | libc::SIGHUP) {
                start::signal(pid, libc::SIGCONT);
            }
        }
    }

    /// Sends a signal that `systemctl kill` asks for.
    pub(super) fn signal_on_request(&self, unit: &str, who: Who, signal: i32) {
        let Some(rt) = self.manager.units.get(unit) else { return };
        let roots = control::roots(rt);
        let pids = if who == Who::All { self.members(unit) } else { roots.clone() };
        let name = signal_name(signal);
        for pid in pids {
            let what = match pid {
                _ if rt.main == Some(pid) && who != Who::Control => format!("main process {pid}"),
                _ if rt.control == Some(pid) && who != Who::Main => format!("control process {pid}"),
                _ if who == Who::All => format!("process {pid}"),
                _ => continue,
            };
            let text = format!("{unit}: Sent signal SIG{name} to {what} ({}) on client request.", procs::name(pid));
            self.journal.manager(unit, &rt.invocation, 6, &text);
        }
        self.signal(unit, who, signal);
    }

    /// The main process of a forking service: from its PID file, else the only process that it has left.
    pub(super) fn find_main(&self, unit: &str) -> Option<i32> {
        let rt = self.manager.units.get(unit)?;
        let service = rt.unit.service()?;
        if let Some(path) = &service.pid_file {
            return pid_in(path);
        }
        let members = self.members(unit);
        (service.guess_main_pid && members.len() == 1).then(|| members[0])
    }

    /// Tells when the PID file of a forking service names a process, as long as its start may take.
    pub(super) fn await_pid_file(&self, unit: &str) {
        let Some(service) = self.manager.units.get(unit).and_then(|rt| rt.unit.service()) else { return };
        let Some(path) = service.pid_file.clone() else { return };
        let limit = Duration::from_micros(service.timeout_start().min(90_000_000));
        let (sender, unit, start) = (self.sender.clone(), unit.to_owned(), std::time::Instant::now());
        std::thread::spawn(move || {
            while start.elapsed() < limit {
                if pid_in(&path).is_some() {
                    let _ = sender.send(Message::PidFile { unit });
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
    }

    /// Takes in all children that have ended.
    pub(super) fn reap(&mut self) {
        let mut any = false;
        loop {
            let (pid, exit) = match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid.as_raw(), Exit::Code(code)),
                Ok(WaitStatus::Signaled(pid, signal, false)) => (pid.as_raw(), Exit::Signal(signal as i32)),
                Ok(WaitStatus::Signaled(pid, signal, true)) => (pid.as_raw(), Exit::Core(signal as i32)),
                Err(unix::errno::Errno::EINTR | unix::errno::Errno::EINVAL) => continue,
                Ok(WaitStatus::StillAlive) | Err(_) => break,
                Ok(_) => continue,
            };
            any = true;
            if let Some(at) = self.commands.iter().position(|c| c.pid == pid) {
                let command = self.commands.swap_remove(at);
                let status = match exit {
                    _ if command.timed_out => 124,
                    Exit::Code(code) => code,
                    Exit::Signal(signal) | Exit::Core(signal) => 128 + signal,
                };
                let _ = command.status.send(status);
            } else {
                if let Some((unit, _)) = self.manager.units.iter().find(|(_, rt)| control::roots(rt).contains(&pid)) {
                    self.journal.drain(unit);
                }
                self.handle(Event::Exited { pid, exit });
            }
        }
        if any {
            self.notice_lost();
        }
        let waiting = self.manager.units.iter().filter(|(_, rt)| any && rt.waits_for_empty());
        for unit in waiting.map(|(n, _)| n.clone()).collect::<Vec<_>>() {
            if self.is_empty(&unit) {
                self.handle(Event::Empty { unit });
            }
        }
    }

    /// Main processes that are no children of PID 1, as a PID file may name, end unheard: how, nobody knows.
    pub(super) fn notice_lost(&mut self) {
        let gone = |pid: &i32| !Path::new(&format!("/proc/{pid}")).exists();
        let lost: Vec<i32> = self.manager.units.values().filter_map(|rt| rt.main.filter(gone)).collect();
        for pid in lost {
            self.handle(Event::Exited { pid, exit: Exit::Code(0) });
        }
    }
}

/// The live process that a PID file names.
fn pid_in(path: &Path) -> Option<i32> {
    let pid = fs::read_to_string(path).ok()?.trim().parse().ok()?;
    Path::new(&format!("/proc/{pid}")).exists().then_some(pid)
}
