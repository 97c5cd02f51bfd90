//! Requests of `systemctl` and its like.

mod waiting;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};

use anyhow::Result;
use unix::sys::socket::getsockopt;
use unix::sys::socket::sockopt::PeerCredentials;

use super::manager::types::{Job, Rt};
use super::unit::Load;
use super::{Machine, Message, enable, procs, props, streams};
use tool_base::glob;
use tool_base::protocol::control::{FileRow, Install, JobRow, Reply, Request, Shown, UnitResult, UnitRow, Verb, Who};

pub(super) use waiting::Waiter;

/// Serves the socket of the applets.
pub(super) fn serve(path: &Path, manager: Sender<Message>) -> Result<()> {
    let listener = streams::listener(path)?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let manager = manager.clone();
            std::thread::spawn(move || connection(&stream, &manager));
        }
    });
    Ok(())
}

fn connection(stream: &UnixStream, manager: &Sender<Message>) {
    let mut writer = stream;
    // In one packet: the reader takes it as a line.
    let mut say = |answer: &Reply| -> Result<()> {
        let mut line = serde_json::to_vec(answer)?;
        line.push(b'\n');
        Ok(writer.write_all(&line)?)
    };
    let root = getsockopt(stream, PeerCredentials).is_ok_and(|from| from.uid() == 0);
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let answer = match serde_json::from_str::<Request>(&line) {
            Ok(request) if root || request.is_for_all() => {
                let (reply, answer) = channel();
                if manager.send(Message::Control { request, reply }).is_err() {
                    return;
                }
                let Ok(answer) = answer.recv() else { return };
                answer
            }
            Ok(_) => Reply::Refused,
            Err(error) => Reply::Error(format!("bad request: {error}")),
        };
        if say(&answer).is_err() {
            return;
        }
    }
}

impl Machine {
    /// Answers a request, now or when its jobs have ended.
    pub(super) fn control(&mut self, request: Request, reply: &Sender<Reply>) {
        let answer = match request {
            Request::Job { verb, units, no_block, wait } => {
                return self.job_request(verb, &units, (no_block, wait), reply.clone());
            }
            Request::Show { units, processes } => self.show(&units, processes),
            Request::Manager => Reply::Props(props::manager(&self.manager, self.boot_time)),
            Request::List => self.list(),
            Request::Jobs => {
                let row = |job: &Job| JobRow {
                    id: job.id,
                    unit: job.unit.clone(),
                    kind: job.kind.as_str().to_owned(),
                    state: if job.running { "running" } else { "waiting" }.to_owned(),
                };
                Reply::Jobs(self.manager.jobs.values().map(row).collect())
            }
            Request::Files => {
                let row = |name: String| {
                    let state = enable::state_of(&self.loader, &name, &self.loader.load(&name)).to_owned();
                    FileRow { name, state }
                };
                Reply::Files(self.loader.names().into_iter().map(row).collect())
            }
            Request::UnitOf { pid } => {
                Reply::Unit(self.manager.units.keys().find(|unit| self.members(unit).contains(&pid)).cloned())
            }
            Request::Kill { units, signal, who } => self.kill_request(&units, signal, who),
            Request::ResetFailed { units } => self.reset_failed(&units),
            Request::Reload => {
                self.manager.reload_files(self.clock.now());
                Reply::Done
            }
            Request::Transient { unit, text, no_block, keep } => match self.make_transient(&unit, &text, keep) {
                Ok(()) => return self.job_request(Verb::Start, &[unit], (no_block, false), reply.clone()),
                Err(error) => Reply::Error(error),
            },
            Request::End { unit } => {
                let results = vec![UnitResult::done(&unit)];
                self.waiters.push(Waiter { jobs: Vec::new(), results, until_down: vec![unit], reply: reply.clone() });
                return self.answer_waiters();
            }
            Request::FileState { unit: name } => {
                let unit = self.loader.load(&name);
                let state = enable::state_of(&self.loader, &name, &unit).to_owned();
                Reply::FileState { state, links: enable::links_to(&self.loader, &unit) }
            }
            Request::Default => Reply::Target(self.loader.default_target()),
            Request::SetDefault { target } => {
                let said = enable::set_default(&self.loader, &target);
                self.manager.reload_files(self.clock.now());
                said.map_or_else(Reply::Error, |lines| Reply::Said { lines, error: None, no_install: false })
            }
            Request::Environment => {
                Reply::Pairs(self.environment.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
            }
            Request::SetEnvironment { pairs } => {
                for (key, value) in pairs {
                    match value {
                        Some(value) => self.environment.insert(key, value),
                        None => self.environment.remove(&key),
                    };
                }
                Reply::Done
            }
            Request::Cancel { jobs } => self.cancel(jobs),
            Request::Clean { units, what } => self.clean(&units, &what),
            Request::Install { verb, units, runtime } => self.install(verb, &units, runtime),
            Request::Power { how, force } => {
                self.power_off(how, force);
                Reply::Done
            }
            Request::State { wait: true } if self.manager.booted.is_none() => {
                return self.waiting_for_boot.push(reply.clone());
            }
            Request::State { .. } => Reply::State(props::system_state(&self.manager).to_owned()),
        };
        let _ = reply.send(answer);
    }

    /// Names from the command line: patterns stand for the units in memory that match.
    fn expand(&self, names: &[String]) -> Vec<String> {
        let mut all = Vec::new();
        for name in names {
            if glob::is_pattern(name) {
                all.extend(self.manager.units.keys().filter(|unit| glob::matches(name, unit)).cloned());
            } else {
                all.push(name.clone());
            }
        }
        all
    }

    fn show(&self, units: &[String], processes: bool) -> Reply {
        let all = if processes { procs::all() } else { Vec::new() };
        let one = |name: &String| {
            let rt = self.manager.view(name);
            let props = props::unit(&self.manager, &rt, self.file_state(&rt.unit), self.has_changed(&rt));
            Shown { props, processes: procs::members(&all, &rt.invocation, &roots(&rt)).into_iter().collect() }
        };
        Reply::Shown(self.expand(units).iter().map(one).collect())
    }

    fn cancel(&mut self, ids: Vec<u32>) -> Reply {
        let all = ids.is_empty();
        let (known, missing): (Vec<u32>, Vec<u32>) = ids.into_iter().partition(|id| self.manager.jobs.contains_key(id));
        let waiting = |(_, job): &(&u32, &Job)| all && !job.running;
        let known = known.into_iter().chain(self.manager.jobs.iter().filter(waiting).map(|(id, _)| *id));
        for id in known.collect::<Vec<_>>() {
            self.manager.cancel(self.clock.now(), id);
        }
        self.settle();
        Reply::Missing(missing)
    }

    fn clean(&self, units: &[String], what: &[String]) -> Reply {
        let what: Vec<&str> = what.iter().map(String::as_str).collect();
        let one = |name: &String| {
            let rt = self.manager.view(name);
            let Some(service) = rt.unit.service().filter(|_| rt.unit.load == Load::Loaded) else {
                return not_loaded(name);
            };
            if !rt.active().is_down() || rt.job.is_some() {
                return UnitResult::refused(name, "Unit is not inactive or has pending job.");
            }
            if super::exec::clean(service, &what, &self.paths) {
                UnitResult::done(name)
            } else {
                UnitResult::refused(name, "No matching resources found.")
            }
        };
        Reply::Results(self.expand(units).iter().map(one).collect())
    }

    fn file_state(&self, unit: &super::unit::Unit) -> &'static str {
        enable::state(&self.loader, unit)
    }

    /// Whether the unit's files are others than those in memory. As systemd, a drop-in in a new folder is not noticed.
    fn has_changed(&self, rt: &Rt) -> bool {
        let fresh = self.loader.load(&rt.unit.name);
        let known = |file: &Path| file.parent().is_some_and(|dir| rt.unit.drop_in_folders.iter().any(|d| d == dir));
        let mut written = fresh.written;
        written.retain(|file, _| fresh.fragment.as_ref() == Some(file) || known(file));
        self.manager.is_loaded(&rt.unit.name)
            && rt.unit.load != Load::NotFound
            && rt.unit.fragment.is_some()
            && written != rt.unit.written
    }

    fn list(&self) -> Reply {
        let row = |rt: &Rt| UnitRow {
            name: rt.unit.name.clone(),
            load: rt.unit.load.as_str().to_owned(),
            active: rt.active().as_str().to_owned(),
            sub: rt.sub().to_owned(),
            description: rt.unit.description.clone(),
            job: rt.job.and_then(|id| self.manager.jobs.get(&id)).map(|job| job.kind.as_str().to_owned()),
        };
        Reply::Units(self.manager.units.values().map(row).collect())
    }

    fn kill_request(&mut self, units: &[String], signal: i32, who: Who) -> Reply {
        let mut results = Vec::new();
        for name in self.expand(units) {
            let unit = self.manager.canonical(&name);
            let Some(rt) = self.manager.units.get(&unit) else {
                results.push(not_loaded(&name));
                continue;
            };
            match who {
                Who::Main if rt.main.is_none() => results.push(UnitResult::refused(&name, "No main process to kill")),
                Who::Control if rt.control.is_none() => {
                    results.push(UnitResult::refused(&name, "No control process to kill"));
                }
                _ => {
                    self.signal_on_request(&unit, who, signal);
                    results.push(UnitResult::done(&name));
                }
            }
        }
        Reply::Results(results)
    }

    fn reset_failed(&mut self, units: &[String]) -> Reply {
        let now = self.clock.now();
        let mut results = Vec::new();
        if units.is_empty() {
            self.manager.reset_failed(now, None);
        }
        for name in self.expand(units) {
            if self.manager.is_loaded(&name) {
                self.manager.reset_failed(now, Some(&name));
                results.push(UnitResult::done(&name));
            } else {
                results.push(not_loaded(&name));
            }
        }
        self.settle();
        Reply::Results(results)
    }

    fn install(&mut self, verb: Install, units: &[String], runtime: bool) -> Reply {
        let (mut said, mut no_install) = (Vec::new(), false);
        let dir = if runtime { enable::Dir::Run } else { enable::Dir::Etc };
        for name in units {
            if matches!(verb, Install::Enable | Install::Disable) {
                let unit = self.loader.load(name);
                let install = &unit.install;
                no_install |= unit.fragment.is_some() && install.is_empty() && install.default_instance.is_none();
            }
            let result = match verb {
                Install::Enable => enable::enable(&self.loader, name, dir),
                Install::Disable => enable::disable(&self.loader, name, dir),
                Install::Mask | Install::Unmask => enable::mask(&self.loader, name, verb == Install::Mask, dir),
            };
            match result {
                Ok(lines) => said.extend(lines),
                Err(error) => return Reply::Said { lines: said, error: Some(error), no_install: false },
            }
        }
        self.manager.reload_files(self.clock.now());
        Reply::Said { lines: said, error: None, no_install }
    }
}

fn not_loaded(name: &str) -> UnitResult {
    UnitResult::refused(name, format!("Unit {name} not loaded."))
}

/// The processes that the manager itself started for a unit.
pub(super) fn roots(rt: &Rt) -> Vec<i32> {
    [rt.main, rt.control].into_iter().flatten().collect()
}
