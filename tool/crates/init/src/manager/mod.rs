//! The manager of units and jobs: a pure state machine. Events go in, actions come out, no input or output of its own.
//!
//! States, their order and the messages are those of systemd 252.

mod events;
mod jobs;
mod request;
mod service;
mod states;
#[cfg(test)]
mod tests;
pub mod types;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use super::clock::Time;
use super::unit::{Dep, Kind, Load, Unit};
use types::{Action, Active, Event, Job, JobKind, JobResult, Rt, ServiceResult, State, Unmet};

pub use request::Refusal;

/// Reads a unit; its name may differ from the one asked for where that is an alias.
pub type Load1 = Box<dyn Fn(&str) -> Unit>;

/// The manager.
pub struct Manager {
    /// Units in memory, by name.
    pub units: BTreeMap<String, Rt>,
    /// Jobs, by number.
    pub jobs: BTreeMap<u32, Job>,
    /// When the machine had finished starting.
    pub booted: Option<Time>,
    /// A shutdown is under way.
    pub stopping: bool,
    aliases: BTreeMap<String, String>,
    /// Units that stay in memory because somebody waits for their end.
    kept: BTreeSet<String>,
    last_job: u32,
    now: Time,
    out: VecDeque<Action>,
    load: Load1,
}

impl Manager {
    /// A manager without any unit.
    pub fn new(load: Load1) -> Self {
        Self {
            units: BTreeMap::new(),
            jobs: BTreeMap::new(),
            booted: None,
            stopping: false,
            aliases: BTreeMap::new(),
            kept: BTreeSet::new(),
            last_job: 0,
            now: Time::default(),
            out: VecDeque::new(),
            load,
        }
    }

    /// Takes an event.
    pub fn handle(&mut self, now: Time, event: Event) {
        self.now = now;
        match event {
            Event::Tick => self.tick(),
            Event::Prepared { unit, invocation, unmet } => self.prepared(&unit, invocation, unmet),
            Event::Spawned { unit, phase, pid, executed } => self.spawned(&unit, phase, pid, executed),
            Event::MainFound { unit, pid } => self.main_found(&unit, pid),
            Event::Exited { pid, exit } => self.exited(pid, exit),
            Event::Empty { unit } => self.emptied(&unit),
            Event::Notify { unit, pid, fields } => self.notified(&unit, pid, &fields),
        }
        self.settle();
    }

    /// The next thing to do. Units that nothing refers to are forgotten when all is done.
    pub fn next_action(&mut self) -> Option<Action> {
        let action = self.out.pop_front();
        if action.is_none() {
            self.forget_unused();
        }
        action
    }

    /// When [`Event::Tick`] is due next, µs.
    pub fn next_deadline(&self) -> Option<u64> {
        let units = self.units.values().flat_map(|rt| [rt.deadline, rt.watchdog]).flatten();
        units.chain(self.jobs.values().map(|j| j.deadline)).filter(|d| *d != u64::MAX).min()
    }

    fn tick(&mut self) {
        let now = self.now.mono;
        let due: Vec<String> =
            self.units.iter().filter(|(_, rt)| rt.deadline.is_some_and(|d| d <= now)).map(|(n, _)| n.clone()).collect();
        for name in due {
            self.with(&name, |rt| rt.deadline = None);
            self.timed_out(&name);
        }
        let due: Vec<String> =
            self.units.iter().filter(|(_, rt)| rt.watchdog.is_some_and(|d| d <= now)).map(|(n, _)| n.clone()).collect();
        for name in due {
            self.with(&name, |rt| rt.watchdog = None);
            self.watchdog_bites(&name);
        }
        let due: Vec<u32> = self.jobs.values().filter(|j| j.deadline <= now).map(|j| j.id).collect();
        for id in due {
            if let Some(job) = self.jobs.get(&id).cloned() {
                let text = format!("{0}: Job {0}/{1} timed out.", job.unit, job.kind.as_str());
                self.log(&job.unit, service::WARNING, text);
            }
            self.finish_job(id, JobResult::Timeout, true);
        }
    }

    /// Runs what can run now.
    fn settle(&mut self) {
        self.run_jobs();
        self.stop_unneeded();
        self.announce();
        if self.booted.is_none() && self.jobs.is_empty() && !self.units.is_empty() {
            self.booted = Some(self.now);
            let us = self.now.mono;
            self.log("", service::INFO, format!("Startup finished in {}.{:03}s.", us / 1_000_000, us / 1000 % 1000));
        }
    }

    /// Starts what the machine comes up with.
    pub fn boot(&mut self, now: Time) {
        self.now = now;
        if let Err(refusal) = self.enqueue(JobKind::Start, "default.target") {
            self.log("", service::WARNING, refusal.to_string());
        }
        self.settle();
    }

    /// Stops everything; done when no job is left.
    pub fn shut_down(&mut self, now: Time) {
        self.now = now;
        self.stopping = true;
        let waiting: Vec<u32> = self.jobs.values().filter(|j| j.kind != JobKind::Stop).map(|j| j.id).collect();
        for id in waiting {
            self.finish_job(id, JobResult::Canceled, true);
        }
        let up: Vec<String> =
            self.units.iter().filter(|(_, rt)| !rt.active().is_down()).map(|(n, _)| n.clone()).collect();
        for name in up {
            if self.units.get(&name).is_some_and(|rt| !matches!(rt.unit.kind, Kind::Fixed { .. })) {
                self.add_job(JobKind::Stop, &name);
            }
        }
        self.settle();
    }

    /// A unit as it stands: from memory, else fresh from its file.
    pub fn view(&self, name: &str) -> Rt {
        let name = self.canonical(name);
        self.units.get(&name).cloned().unwrap_or_else(|| {
            let unit = (self.load)(&name);
            self.units.get(&unit.name).cloned().unwrap_or_else(|| Rt::new(unit))
        })
    }

    /// Whether the unit is in memory.
    pub fn is_loaded(&self, name: &str) -> bool {
        self.units.contains_key(&self.canonical(name))
    }

    /// Whether a unit stays in memory when it is down, for somebody who waits for its end.
    pub fn keep(&mut self, name: &str, keep: bool) {
        if keep {
            self.kept.insert(name.to_owned());
        } else {
            self.kept.remove(name);
        }
    }

    /// The real name behind an alias that is in memory.
    pub fn canonical(&self, name: &str) -> String {
        self.aliases.get(name).cloned().unwrap_or_else(|| name.to_owned())
    }

    /// Brings a unit into memory and returns its real name.
    fn ensure(&mut self, name: &str) -> String {
        let name = self.canonical(name);
        if self.units.contains_key(&name) {
            return name;
        }
        let unit = (self.load)(&name);
        let real = unit.name.clone();
        for alias in unit.aliases.iter().chain([&name]).filter(|n| **n != real) {
            self.aliases.insert(alias.clone(), real.clone());
        }
        if let Load::BadSetting(reason) = &unit.load {
            self.log(&real, 3, reason.clone());
        }
        if let Some(text) = &unit.limits_word {
            self.log(&real, service::WARNING, text.clone());
        }
        if unit.load != Load::NotFound {
            self.units.entry(real.clone()).or_insert_with(|| Rt::new(unit));
        }
        real
    }

    /// Reads all units anew and keeps their states.
    pub fn reload_files(&mut self, now: Time) {
        self.now = now;
        self.aliases.clear();
        for name in self.units.keys().cloned().collect::<Vec<_>>() {
            let unit = (self.load)(&name);
            for alias in &unit.aliases {
                self.aliases.insert(alias.clone(), unit.name.clone());
            }
            self.with(&name, |rt| {
                // What runs is stopped as it was started, though its file is gone.
                let gone = unit.load == Load::NotFound && !rt.active().is_down();
                rt.unit = Rc::new(if gone { Unit { load: unit.load, ..(*rt.unit).clone() } } else { unit });
            });
        }
        self.settle();
    }

    /// Forgets failures: of one unit, or of all.
    pub fn reset_failed(&mut self, now: Time, name: Option<&str>) {
        self.now = now;
        let names: Vec<String> = match name {
            Some(name) => vec![self.canonical(name)],
            None => self.units.keys().cloned().collect(),
        };
        for name in names {
            self.with(&name, |rt| {
                rt.starts.clear();
                rt.n_restarts = 0;
                rt.flush_restarts = false;
                rt.result = if rt.state == State::Failed { ServiceResult::Success } else { rt.result };
            });
            if self.active(&name) == Active::Failed {
                self.set_state(&name, State::Dead);
            }
        }
        self.settle();
    }

    /// Answer to a look at the conditions.
    fn prepared(&mut self, name: &str, invocation: String, unmet: Option<Unmet>) {
        let now = self.now;
        let Some(rt) = self.units.get_mut(name) else { return };
        rt.times.condition = now;
        rt.condition_result = !matches!(unmet, Some(Unmet::Condition(_)));
        if rt.condition_result {
            rt.times.assert = now;
            rt.assert_result = unmet.is_none();
        }
        let Some(job) = rt.job else { return };
        let title = rt.unit.title();
        match unmet {
            Some(Unmet::Condition(what)) => {
                let why = match what {
                    Some(what) => format!("of an unmet condition check ({what})"),
                    None => "no trigger condition checks were met".to_owned(),
                };
                self.log(name, service::INFO, format!("{title} was skipped because {why}."));
                if self.active(name) == Active::Activating {
                    self.set_state(name, State::Dead);
                }
                self.finish_job(job, JobResult::Skipped, true);
            }
            Some(Unmet::Assert) => {
                self.log(name, service::NOTICE, format!("{name}: Starting requested but asserts failed."));
                if self.active(name) == Active::Activating {
                    self.set_state(name, State::Dead);
                }
                self.finish_job(job, JobResult::Assert, true);
            }
            None if self.is_service(name) => self.service_start(name, invocation),
            None => {
                self.with(name, |rt| rt.invocation = invocation);
                self.set_state(name, State::Active);
            }
        }
    }

    /// What follows from a change of state: jobs end, bound units stop, triggered units start.
    fn state_changed(&mut self, name: &str, old: Active, new: Active) {
        self.job_follows_state(name, new);
        if self.stopping {
            return;
        }
        if old.is_up() && !new.is_up() && new != Active::Activating {
            let mut bound = self.dependents(name, &[Dep::BindsTo]);
            bound.retain(|other| !self.active(other).is_down());
            for other in bound {
                let _ = self.enqueue(JobKind::Stop, &other);
            }
        }
        if old.is_down() || !new.is_down() {
            return;
        }
        let result = self.units.get(name).map(|rt| (rt.result, rt.unit.clone(), monitor(rt)));
        let Some((result, unit, monitor)) = result else { return };
        let trigger = match new {
            Active::Failed => Dep::OnFailure,
            _ if result == ServiceResult::Success => Dep::OnSuccess,
            _ => return,
        };
        for other in unit.dep(trigger) {
            self.log(name, service::INFO, format!("{name}: Triggering {trigger:?}= dependencies."));
            if self.enqueue(JobKind::Start, other).is_ok() {
                let other = self.canonical(other);
                self.with(&other, |rt| rt.monitor.clone_from(&monitor));
            }
        }
        if self.dependents(name, &[Dep::Upholds]).iter().any(|other| self.active(other).is_up()) {
            let _ = self.enqueue(JobKind::Start, name);
        }
    }

    fn stop_unneeded(&mut self) {
        let needs = [Dep::Requires, Dep::Requisite, Dep::Wants, Dep::BindsTo, Dep::Upholds];
        let unneeded: Vec<String> = self
            .units
            .iter()
            .filter(|(n, rt)| {
                rt.unit.stop_when_unneeded
                    && rt.active().is_up()
                    && rt.job.is_none()
                    && !self.dependents(n, &needs).iter().any(|d| !self.active(d).is_down())
            })
            .map(|(n, _)| n.clone())
            .collect();
        for name in &unneeded {
            let _ = self.enqueue(JobKind::Stop, name);
        }
        if !unneeded.is_empty() {
            self.run_jobs();
        }
    }

    /// Units in memory that depend on `name` in one of these ways.
    pub fn dependents(&self, name: &str, kinds: &[Dep]) -> Vec<String> {
        let depends = |rt: &Rt| kinds.iter().any(|k| rt.unit.dep(*k).iter().any(|d| self.canonical(d) == name));
        self.units.iter().filter(|(_, rt)| depends(rt)).map(|(n, _)| n.clone()).collect()
    }

    /// Drops units that are down, have no job, and that no unit that stays refers to.
    pub fn forget_unused(&mut self) {
        if !self.out.is_empty() {
            return;
        }
        let stays = |rt: &Rt| {
            let down = rt.state == State::Dead || (rt.state == State::Failed && rt.unit.collect_failed);
            !down || rt.job.is_some() || self.kept.contains(&rt.unit.name)
        };
        if self.units.values().all(stays) {
            return;
        }
        let mut kept: BTreeSet<String> = BTreeSet::new();
        let mut todo: Vec<String> = self.units.iter().filter(|(_, rt)| stays(rt)).map(|(n, _)| n.clone()).collect();
        while let Some(name) = todo.pop() {
            if let Some(rt) = self.units.get(&name).filter(|_| kept.insert(name.clone())) {
                todo.extend(rt.unit.deps.values().flatten().map(|d| self.canonical(d)));
            }
        }
        self.units.retain(|name, _| kept.contains(name));
    }

    fn with(&mut self, name: &str, change: impl FnOnce(&mut Rt)) {
        if let Some(rt) = self.units.get_mut(name) {
            change(rt);
        }
    }

    fn title(&self, name: &str) -> String {
        self.units.get(name).map_or_else(|| name.to_owned(), |rt| rt.unit.title())
    }

    fn log(&mut self, name: &str, priority: u8, text: String) {
        self.out.push_back(Action::Log { unit: name.to_owned(), priority, text });
    }
}

/// What the unit that a failure or success starts is told of the one that has ended.
fn monitor(rt: &Rt) -> Vec<(&'static str, String)> {
    let (code, status) = rt.exec_main.exit.map_or(("", String::new()), types::Exit::texts);
    vec![
        ("MONITOR_SERVICE_RESULT", rt.result.as_str().to_owned()),
        ("MONITOR_EXIT_CODE", code.to_owned()),
        ("MONITOR_EXIT_STATUS", status),
        ("MONITOR_INVOCATION_ID", rt.invocation.clone()),
        ("MONITOR_UNIT", rt.unit.name.clone()),
    ]
}
