//! Requests that are answered later: when their jobs have ended, or their units.

use std::sync::mpsc::Sender;

use super::super::manager::types::{Active, Exit, JobKind, JobResult};
use super::super::unit::{Load, is_valid_name};
use super::super::{Machine, props};
use tool_base::protocol::control::{Refused, Reply, UnitEnd, UnitResult, Verb};

/// A request that waits for jobs.
pub(in super::super) struct Waiter {
    pub(in super::super) jobs: Vec<(u32, usize)>,
    pub(in super::super) results: Vec<UnitResult>,
    /// Units that must come down too (`--wait`).
    pub(in super::super) until_down: Vec<String>,
    pub(in super::super) reply: Sender<Reply>,
}

impl Machine {
    /// Asks for a job for each unit. `how`: not to wait for the jobs, and to wait for the end of the units too.
    pub(in super::super) fn job_request(
        &mut self,
        verb: Verb,
        units: &[String],
        how: (bool, bool),
        reply: Sender<Reply>,
    ) {
        let (no_block, wait) = how;
        let mut waiter = Waiter { jobs: Vec::new(), results: Vec::new(), until_down: Vec::new(), reply };
        for name in self.expand(units) {
            let rt = self.manager.view(&name);
            let up = !matches!(rt.active(), Active::Inactive | Active::Failed | Active::Deactivating);
            let has_reload = rt.unit.service().is_some_and(|s| !s.exec_reload.is_empty());
            let kind = match verb {
                Verb::Start => Some(JobKind::Start),
                Verb::Stop => Some(JobKind::Stop),
                Verb::Reload => Some(JobKind::Reload),
                Verb::ReloadOrRestart if has_reload && up => Some(JobKind::Reload),
                Verb::Restart | Verb::ReloadOrRestart => Some(JobKind::Restart),
                Verb::TryReloadOrRestart if has_reload => up.then_some(JobKind::Reload),
                Verb::TryRestart | Verb::TryReloadOrRestart => up.then_some(JobKind::Restart),
            };
            let Some(kind) = kind.or_else(|| (rt.unit.load == Load::NotFound).then_some(JobKind::Restart)) else {
                waiter.results.push(UnitResult::done(&name));
                continue;
            };
            match self.manager.request(self.clock.now(), kind, &name) {
                Ok(job) => {
                    waiter.jobs.push((job, waiter.results.len()));
                    waiter.results.push(UnitResult { changed: self.has_changed(&rt), ..UnitResult::done(&name) });
                    if wait && kind != JobKind::Stop {
                        self.manager.keep(&rt.unit.name, true);
                        waiter.until_down.push(rt.unit.name.clone());
                    }
                }
                Err(refusal) => {
                    let (text, status, see_log) = (refusal.to_string(), refusal.status(), refusal.is_in_log());
                    let refusal = Some(Refused { text, status, see_log });
                    waiter.results.push(UnitResult { refusal, ..UnitResult::done(&name) });
                }
            }
        }
        if no_block {
            waiter.jobs.clear();
            waiter.until_down.clear();
        }
        self.waiters.push(waiter);
        self.settle();
    }

    /// A job has ended: tells those who wait for it.
    pub(in super::super) fn job_done(&mut self, job: u32, unit: &str, result: JobResult) {
        let rt = self.manager.view(unit);
        for waiter in &mut self.waiters {
            if let Some(at) = waiter.jobs.iter().position(|(id, _)| *id == job) {
                let (_, index) = waiter.jobs.swap_remove(at);
                result.as_str().clone_into(&mut waiter.results[index].job);
                rt.result.as_str().clone_into(&mut waiter.results[index].result);
            }
        }
    }

    /// Answers requests whose jobs have all ended.
    pub(in super::super) fn answer_waiters(&mut self) {
        for mut waiter in std::mem::take(&mut self.waiters) {
            if waiter.jobs.is_empty() {
                let (down, up) = waiter.until_down.into_iter().partition(|u| self.manager.active(u).is_down());
                waiter.until_down = up;
                for unit in down {
                    self.note_end(&unit, &mut waiter.results);
                }
            }
            self.waiters.push(waiter);
        }
        self.forget_transient();
        let (done, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiters).into_iter().partition(|w| w.jobs.is_empty() && w.until_down.is_empty());
        self.waiters = waiting;
        for waiter in done {
            let _ = waiter.reply.send(Reply::Results(waiter.results));
        }
        if self.manager.booted.is_some() {
            for reply in std::mem::take(&mut self.waiting_for_boot) {
                let _ = reply.send(Reply::State(props::system_state(&self.manager).to_owned()));
            }
        }
    }

    /// Adds to the results how a unit that was waited for has ended.
    fn note_end(&mut self, unit: &str, results: &mut [UnitResult]) {
        let rt = self.manager.view(unit);
        let exit = rt.exec_main.exit;
        let times = rt.times;
        let end = UnitEnd {
            active: rt.active().as_str().to_owned(),
            result: rt.result.as_str().to_owned(),
            code: exit.map_or(0, Exit::code),
            status: exit.map_or(0, Exit::status),
            runtime: times.inactive_enter.mono.saturating_sub(times.inactive_exit.mono),
        };
        for result in results.iter_mut().filter(|r| self.manager.canonical(&r.unit) == unit) {
            result.end = Some(end.clone());
        }
        self.manager.keep(unit, false);
    }

    /// Makes a unit of `systemd-run`, or says why not.
    pub(in super::super) fn make_transient(&mut self, name: &str, text: &str, keep: bool) -> Result<(), String> {
        let path = self.paths.transient_units().join(name);
        if !is_valid_name(name) || !name.ends_with(".service") {
            return Err(format!("Unit name {name} is not valid."));
        }
        if self.manager.is_loaded(name) || self.loader.load(name).load != Load::NotFound {
            return Err(format!("Unit {name} was already loaded or has a fragment file."));
        }
        let written = std::fs::create_dir_all(self.paths.transient_units()).and_then(|()| std::fs::write(&path, text));
        let reason = match (written, self.loader.load(name).load) {
            (Err(error), _) => Some(format!("{}: {error}", path.display())),
            (_, Load::BadSetting(reason)) => Some(reason),
            _ => None,
        };
        if let Some(reason) = reason {
            let _ = std::fs::remove_file(&path);
            return Err(reason);
        }
        self.transients.push(name.to_owned());
        if keep {
            self.manager.keep(name, true);
        }
        Ok(())
    }

    /// Removes the files of transient units that are no longer in memory.
    fn forget_transient(&mut self) {
        if self.transients.is_empty() {
            return;
        }
        let manager = &mut self.manager;
        manager.forget_unused();
        let paths = &self.paths;
        self.transients.retain(|name| {
            let loaded = manager.is_loaded(name);
            if !loaded {
                let _ = std::fs::remove_file(paths.transient_units().join(name));
            }
            loaded
        });
    }
}
