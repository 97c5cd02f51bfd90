//! Requests that are answered later: when their jobs have ended, or their units.

use std::sync::mpsc::Sender;

use serde_json::{Value, json};

use super::super::manager::types::{Active, Exit, JobKind, JobResult};
use super::super::unit::{Load, is_valid_name};
use super::super::{Machine, props};

/// A request that waits for jobs.
pub(in super::super) struct Waiter {
    pub(in super::super) jobs: Vec<(u32, usize)>,
    pub(in super::super) results: Vec<Value>,
    /// Units that must come down too (`--wait`).
    pub(in super::super) until_down: Vec<String>,
    pub(in super::super) reply: Sender<Value>,
}

impl Machine {
    pub(in super::super) fn job_request(&mut self, request: &Value, reply: Sender<Value>) {
        let verb = request["verb"].as_str().unwrap_or_default();
        let mut waiter = Waiter { jobs: Vec::new(), results: Vec::new(), until_down: Vec::new(), reply };
        for name in self.expand(request) {
            let rt = self.manager.view(&name);
            let up = !matches!(rt.active(), Active::Inactive | Active::Failed | Active::Deactivating);
            let has_reload = rt.unit.service().is_some_and(|s| !s.exec_reload.is_empty());
            let kind = match verb {
                "start" => Some(JobKind::Start),
                "stop" => Some(JobKind::Stop),
                "reload" => Some(JobKind::Reload),
                "try-restart" => up.then_some(JobKind::Restart),
                "reload-or-restart" if has_reload && up => Some(JobKind::Reload),
                "restart" | "reload-or-restart" => Some(JobKind::Restart),
                _ if has_reload => up.then_some(JobKind::Reload),
                _ => up.then_some(JobKind::Restart),
            };
            let Some(kind) = kind.or_else(|| (rt.unit.load == Load::NotFound).then_some(JobKind::Restart)) else {
                waiter.results.push(json!({ "unit": name, "job": "done" }));
                continue;
            };
            match self.manager.request(self.clock.now(), kind, &name) {
                Ok(job) => {
                    waiter.jobs.push((job, waiter.results.len()));
                    let changed = self.has_changed(&rt);
                    waiter.results.push(json!({ "unit": name, "job": "done", "changed": changed }));
                    if request["wait"] == true && kind != JobKind::Stop {
                        self.manager.keep(&rt.unit.name, true);
                        waiter.until_down.push(rt.unit.name.clone());
                    }
                }
                Err(refusal) => {
                    waiter.results.push(json!({
                        "unit": name,
                        "error": refusal.to_string(),
                        "status": refusal.status(),
                        "see_log": refusal.is_in_log(),
                    }));
                }
            }
        }
        if request["no_block"] == true {
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
                waiter.results[index]["job"] = result.as_str().into();
                waiter.results[index]["result"] = rt.result.as_str().into();
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
            let _ = waiter.reply.send(json!({ "results": waiter.results }));
        }
        if self.manager.booted.is_some() {
            for reply in std::mem::take(&mut self.waiting_for_boot) {
                let _ = reply.send(json!({ "state": props::system_state(&self.manager) }));
            }
        }
    }

    /// Adds to the results how a unit that was waited for has ended.
    fn note_end(&mut self, unit: &str, results: &mut [Value]) {
        let rt = self.manager.view(unit);
        let exit = rt.exec_main.exit;
        let times = rt.times;
        let end = json!({
            "active": rt.active().as_str(),
            "result": rt.result.as_str(),
            "code": exit.map_or(0, Exit::code),
            "status": exit.map_or(0, Exit::status),
            "runtime": times.inactive_enter.mono.saturating_sub(times.inactive_exit.mono),
        });
        for result in results.iter_mut().filter(|r| self.manager.canonical(r["unit"].as_str().unwrap_or("")) == unit) {
            result["end"] = end.clone();
        }
        self.manager.keep(unit, false);
    }

    /// Makes a unit of `systemd-run` and starts it.
    pub(in super::super) fn transient(&mut self, request: &Value, reply: Sender<Value>) {
        let name = request["unit"].as_str().unwrap_or_default();
        let refuse = |error: String| json!({ "error": error });
        let path = self.paths.transient_units().join(name);
        if !is_valid_name(name) || !name.ends_with(".service") {
            let _ = reply.send(refuse(format!("Unit name {name} is not valid.")));
            return;
        }
        if self.manager.is_loaded(name) || self.loader.load(name).load != Load::NotFound {
            let _ = reply.send(refuse(format!("Unit {name} was already loaded or has a fragment file.")));
            return;
        }
        let written = std::fs::create_dir_all(self.paths.transient_units())
            .and_then(|()| std::fs::write(&path, request["text"].as_str().unwrap_or_default()));
        let reason = match (written, self.loader.load(name).load) {
            (Err(error), _) => Some(format!("{}: {error}", path.display())),
            (_, Load::BadSetting(reason)) => Some(reason),
            _ => None,
        };
        if let Some(reason) = reason {
            let _ = std::fs::remove_file(&path);
            let _ = reply.send(refuse(reason));
            return;
        }
        self.transients.push(name.to_owned());
        if request["keep"] == true {
            self.manager.keep(name, true);
        }
        let job = json!({ "verb": "start", "units": [name], "no_block": request["no_block"] });
        self.job_request(&job, reply);
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
