//! Jobs: what a request pulls in, in which order it runs, how it ends.

use super::super::unit::values::INFINITY;
use super::super::unit::{Dep, Kind, Load};
use super::request::Refusal;
use super::types::{Action, Active, Job, JobKind, JobResult, ServiceResult, State};
use super::{Manager, service};

enum Ran {
    Begun,
    Later,
    Ended(JobResult, bool),
}

impl Manager {
    /// Adds a job with all that it pulls in.
    pub(super) fn enqueue(&mut self, kind: JobKind, name: &str) -> Result<u32, Refusal> {
        let name = self.ensure(name);
        let mut plan = Vec::new();
        self.plan(kind, &name, &mut plan)?;
        let mut anchor = 0;
        for (kind, unit) in plan {
            let job = self.add_job(kind, &unit);
            if unit == name {
                anchor = job;
            }
        }
        Ok(anchor)
    }

    fn check_loaded(&self, kind: JobKind, name: &str) -> Result<(), Refusal> {
        let load = self.units.get(name).map_or(Load::NotFound, |rt| rt.unit.load.clone());
        let unit = name.to_owned();
        match (kind, load) {
            (_, Load::Loaded) => Ok(()),
            (JobKind::Stop, load) if load == Load::Masked || !self.active(name).is_down() => Ok(()),
            (JobKind::Stop, _) => Err(Refusal::NotLoaded(unit)),
            (_, Load::NotFound) => Err(Refusal::NotFound(unit)),
            (_, Load::BadSetting(_)) => Err(Refusal::BadSetting(unit)),
            (_, Load::Masked) => Err(Refusal::Masked(unit)),
        }
    }

    fn plan(&mut self, kind: JobKind, name: &str, plan: &mut Vec<(JobKind, String)>) -> Result<(), Refusal> {
        if plan.iter().any(|(k, n)| *k == kind && n == name) {
            return Ok(());
        }
        self.check_loaded(kind, name)?;
        if kind == JobKind::Reload && !self.can_reload(name) {
            return Err(Refusal::NotApplicable(kind, name.to_owned()));
        }
        plan.push((kind, name.to_owned()));
        let Some(unit) = self.units.get(name).map(|rt| rt.unit.clone()) else { return Ok(()) };
        if matches!(kind, JobKind::Start | JobKind::Restart) {
            for (dep, required) in [
                (Dep::Requires, true),
                (Dep::BindsTo, true),
                (Dep::Requisite, true),
                (Dep::Wants, false),
                (Dep::Upholds, false),
            ] {
                for other in unit.dep(dep) {
                    let other = self.ensure(other);
                    let needed = self.active(&other) != Active::Active
                        || self.units.get(&other).is_some_and(|rt| rt.job.is_some());
                    if !needed || dep == Dep::Requisite {
                        continue;
                    }
                    let before = plan.len();
                    if let Err(refusal) = self.plan(JobKind::Start, &other, plan) {
                        plan.truncate(before);
                        if required {
                            return Err(refusal);
                        }
                    }
                }
            }
            let mut conflicts: Vec<String> = unit.dep(Dep::Conflicts).iter().map(|c| self.canonical(c)).collect();
            conflicts.extend(self.dependents(name, &[Dep::Conflicts]));
            for other in conflicts.into_iter().filter(|c| c != name) {
                if !self.active(&other).is_down() || self.has_start_job(&other) {
                    self.plan(JobKind::Stop, &other, plan)?;
                }
            }
        }
        let (followers, follow) = match kind {
            JobKind::Stop => {
                let mut names = self.dependents(name, &[Dep::Requires, Dep::Requisite, Dep::BindsTo, Dep::PartOf]);
                names.extend(unit.dep(Dep::PropagatesStopTo).iter().map(|n| self.canonical(n)));
                (names, JobKind::Stop)
            }
            JobKind::Restart => {
                (self.dependents(name, &[Dep::Requires, Dep::Requisite, Dep::BindsTo, Dep::PartOf]), JobKind::Restart)
            }
            JobKind::Reload => {
                (unit.dep(Dep::PropagatesReloadTo).iter().map(|n| self.canonical(n)).collect(), JobKind::Reload)
            }
            JobKind::Start => (Vec::new(), JobKind::Start),
        };
        for other in followers {
            let up = !self.active(&other).is_down() || self.has_start_job(&other);
            if up && !plan.iter().any(|(_, n)| *n == other) {
                let _ = self.plan(follow, &other, plan);
            }
        }
        Ok(())
    }

    pub(super) fn has_start_job(&self, name: &str) -> bool {
        let job = self.units.get(name).and_then(|rt| rt.job).and_then(|j| self.jobs.get(&j));
        job.is_some_and(|j| matches!(j.kind, JobKind::Start | JobKind::Restart))
    }

    /// Gives the unit this job: merged with one that it has, or in its place.
    pub(super) fn add_job(&mut self, kind: JobKind, name: &str) -> u32 {
        let old = self.units.get(name).and_then(|rt| rt.job).and_then(|id| self.jobs.get(&id).cloned());
        if let Some(old) = old {
            let merged = match (old.kind, kind) {
                (a, b) if a == b => Some(a),
                (JobKind::Start, JobKind::Restart) | (JobKind::Restart, JobKind::Start | JobKind::Reload) => {
                    Some(JobKind::Restart)
                }
                (JobKind::Start, JobKind::Reload) => Some(JobKind::Start),
                (JobKind::Reload, JobKind::Restart) => Some(JobKind::Restart),
                _ => None,
            };
            if let Some(merged) = merged {
                if let Some(job) = self.jobs.get_mut(&old.id) {
                    job.running &= job.kind == merged;
                    job.kind = merged;
                }
                return old.id;
            }
            self.finish_job(old.id, JobResult::Canceled, true);
        }
        self.last_job += 1;
        let id = self.last_job;
        let limit = self.units.get(name).map_or(INFINITY, |rt| rt.unit.job_timeout);
        let deadline = self.now.mono.saturating_add(limit);
        self.jobs.insert(id, Job { id, unit: name.to_owned(), kind, running: false, announced: false, deadline });
        self.with(name, |rt| rt.job = Some(id));
        id
    }

    /// Starts the unit again after its process ended.
    pub(super) fn restart_by_itself(&mut self, name: &str) {
        if self.enqueue(JobKind::Start, name).is_err() {
            self.enter_dead(name, ServiceResult::Resources, false);
        }
    }

    /// Runs jobs until none can run.
    pub(super) fn run_jobs(&mut self) {
        let mut later: Vec<u32> = Vec::new();
        loop {
            let next =
                self.jobs.values().find(|j| !j.running && !later.contains(&j.id) && !self.is_blocked(j)).cloned();
            let Some(job) = next else {
                let stuck = later.is_empty() && !self.jobs.is_empty() && self.jobs.values().all(|j| !j.running);
                let Some(victim) = self.jobs.values().next_back().filter(|_| stuck).cloned() else { return };
                let text = format!("{}: Job deleted to break an ordering cycle of After= and Before=.", victim.unit);
                self.log(&victim.unit, 3, text);
                self.finish_job(victim.id, JobResult::Canceled, true);
                continue;
            };
            match self.run_job(&job) {
                Ran::Begun => {}
                Ran::Later => later.push(job.id),
                Ran::Ended(result, quiet) => self.finish_job(job.id, result, !quiet),
            }
        }
    }

    /// Whether another job must end first, by `After=` and `Before=`.
    fn is_blocked(&self, job: &Job) -> bool {
        let ordered = |first: &str, second: &str| {
            let says = |a: &str, dep: Dep, b: &str| {
                self.units.get(a).is_some_and(|rt| rt.unit.dep(dep).iter().any(|d| d == b || self.canonical(d) == b))
            };
            says(second, Dep::After, first) || says(first, Dep::Before, second)
        };
        let stops = |kind: JobKind| matches!(kind, JobKind::Stop | JobKind::Restart);
        self.jobs.values().filter(|other| other.id != job.id).any(|other| {
            (!stops(job.kind) && ordered(&other.unit, &job.unit))
                || (stops(other.kind) && ordered(&job.unit, &other.unit))
        })
    }

    fn run_job(&mut self, job: &Job) -> Ran {
        let name = job.unit.as_str();
        let active = self.active(name);
        match job.kind {
            JobKind::Start => {
                let auto = self.units.get(name).filter(|rt| rt.state == State::AutoRestart);
                if auto.is_some_and(|rt| rt.deadline.is_some()) {
                    // Who starts it by hand does not wait for `RestartSec=`.
                    self.auto_restart(name);
                    return Ran::Begun;
                }
                match active {
                    Active::Active | Active::Reloading => return Ran::Ended(JobResult::Done, true),
                    Active::Deactivating => return Ran::Later,
                    Active::Activating if auto.is_none() => self.mark_announced(job.id),
                    _ => {
                        if let Some(result) = self.hindrance(name) {
                            return Ran::Ended(result, false);
                        }
                        self.out.push_back(Action::Prepare { unit: name.to_owned() });
                    }
                }
            }
            JobKind::Stop | JobKind::Restart if active.is_down() => {
                if job.kind == JobKind::Stop {
                    return Ran::Ended(JobResult::Done, true);
                }
                if let Some(job) = self.jobs.get_mut(&job.id) {
                    job.kind = JobKind::Start;
                }
                return Ran::Begun;
            }
            JobKind::Stop | JobKind::Restart => {
                self.mark_running(job.id);
                match self.units.get(name).map(|rt| rt.unit.kind.clone()) {
                    Some(Kind::Service(_)) => {
                        let state = self.units.get(name).map(|rt| rt.state);
                        if !matches!(state, Some(State::Running | State::Exited)) {
                            self.mark_announced(job.id);
                        }
                        self.service_stop(name);
                    }
                    Some(Kind::Fixed { .. }) | None => return Ran::Ended(JobResult::Done, true),
                    Some(Kind::Target) => self.set_state(name, State::Dead),
                }
                return Ran::Begun;
            }
            JobKind::Reload => match active {
                Active::Active => {
                    self.mark_running(job.id);
                    self.service_reload(name);
                    return Ran::Begun;
                }
                Active::Reloading => {}
                Active::Activating | Active::Deactivating => return Ran::Later,
                _ => return Ran::Ended(JobResult::Invalid, false),
            },
        }
        self.mark_running(job.id);
        Ran::Begun
    }

    fn mark_running(&mut self, id: u32) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.running = true;
        }
    }

    fn mark_announced(&mut self, id: u32) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.announced = true;
        }
    }

    /// Says what has begun. A job that ended at once is not announced: so it is said only when nothing is being waited
    /// for but processes.
    pub(super) fn announce(&mut self) {
        let waits = |unit: &str| self.out.iter().any(|action| action.asks_about() == Some(unit));
        let new = |job: &&Job| job.running && !job.announced && self.is_service(&job.unit) && !waits(&job.unit);
        for job in self.jobs.values().filter(new).cloned().collect::<Vec<_>>() {
            let what = match job.kind {
                JobKind::Start => "Starting",
                JobKind::Stop | JobKind::Restart => "Stopping",
                JobKind::Reload => "Reloading",
            };
            let text = format!("{what} {}...", self.title(&job.unit));
            self.log(&job.unit, service::INFO, text);
            self.mark_announced(job.id);
        }
    }

    /// Why a unit that is to start cannot: a missing dependency, the start limit.
    fn hindrance(&mut self, name: &str) -> Option<JobResult> {
        let unit = self.units.get(name)?.unit.clone();
        let after = |other: &String| unit.dep(Dep::After).contains(other);
        let missing = unit.dep(Dep::Requisite).iter().chain(unit.dep(Dep::BindsTo).iter().filter(|o| after(o)));
        if missing.into_iter().any(|other| !self.active(&self.canonical(other)).is_up()) {
            if !self.active(name).is_down() {
                self.set_state(name, State::Dead);
            }
            return Some(JobResult::Dependency);
        }
        let now = self.now.mono;
        let rt = self.units.get_mut(name)?;
        if rt.starts.first().is_some_and(|first| first.saturating_add(unit.start_limit_interval) < now) {
            rt.starts.clear();
        }
        let limited = unit.start_limit_interval > 0 && unit.start_limit_burst > 0 && self.is_service(name);
        let rt = self.units.get_mut(name)?;
        if limited && rt.starts.len() >= unit.start_limit_burst as usize {
            self.log(name, service::WARNING, format!("{name}: Start request repeated too quickly."));
            self.enter_dead(name, ServiceResult::StartLimitHit, false);
            return Some(JobResult::Failed);
        }
        rt.starts.push(now);
        None
    }

    /// Ends the job of a unit where its new state decides it.
    pub(super) fn job_follows_state(&mut self, name: &str, new: Active) {
        let Some(job) = self.units.get(name).and_then(|rt| rt.job).and_then(|id| self.jobs.get(&id).cloned()) else {
            return;
        };
        match job.kind {
            JobKind::Start if new.is_up() => self.finish_job(job.id, JobResult::Done, true),
            JobKind::Start if job.running && new == Active::Failed => self.finish_job(job.id, JobResult::Failed, true),
            JobKind::Start if job.running && new == Active::Inactive => {
                let skipped = self.units.get(name).is_some_and(|rt| rt.result == ServiceResult::ExecCondition);
                self.finish_job(job.id, if skipped { JobResult::Skipped } else { JobResult::Done }, true);
            }
            JobKind::Stop if new.is_down() => self.finish_job(job.id, JobResult::Done, true),
            JobKind::Restart if new.is_down() => {
                let title = self.title(name);
                self.log(name, service::INFO, format!("Stopped {title}."));
                if let Some(job) = self.jobs.get_mut(&job.id) {
                    job.kind = JobKind::Start;
                    job.running = false;
                    job.announced = false;
                }
            }
            JobKind::Reload if job.running && !matches!(new, Active::Reloading | Active::Activating) => {
                let good = new == Active::Active
                    && self.units.get(name).is_some_and(|rt| rt.reload_result == ServiceResult::Success);
                self.finish_job(job.id, if good { JobResult::Done } else { JobResult::Failed }, true);
            }
            _ => {}
        }
    }

    /// A start that fails and is followed by an automatic restart has failed all the same.
    pub(super) fn finish_start_job_before_restart(&mut self, name: &str, end: State) {
        self.job_follows_state(name, end.active());
    }

    /// Ends a job; whatever waits for a start that did not happen ends too.
    pub(super) fn finish_job(&mut self, id: u32, result: JobResult, say: bool) {
        let Some(job) = self.jobs.remove(&id) else { return };
        self.with(&job.unit, |rt| rt.job = None);
        if say {
            self.say_result(&job, result);
        }
        self.out.push_back(Action::JobDone { job: id, unit: job.unit.clone(), result });
        if job.kind == JobKind::Start && !matches!(result, JobResult::Done | JobResult::Skipped) {
            for other in self.dependents(&job.unit, &[Dep::Requires, Dep::Requisite, Dep::BindsTo]) {
                let waiting = self.units.get(&other).and_then(|rt| rt.job).and_then(|j| self.jobs.get(&j).cloned());
                if let Some(waiting) = waiting.filter(|j| j.kind == JobKind::Start) {
                    self.finish_job(waiting.id, JobResult::Dependency, true);
                }
            }
        }
    }

    fn say_result(&mut self, job: &Job, result: JobResult) {
        let title = self.title(&job.unit);
        let target = job.unit.ends_with(".target");
        let oneshot = self
            .units
            .get(&job.unit)
            .and_then(|rt| rt.unit.service())
            .is_some_and(|s| s.kind() == super::super::unit::service::Type::Oneshot);
        let (priority, text) = match (job.kind, result) {
            (JobKind::Start, JobResult::Done) if target => (service::INFO, format!("Reached target {title}.")),
            (JobKind::Start, JobResult::Done) if oneshot => (service::INFO, format!("Finished {title}.")),
            (JobKind::Start, JobResult::Done) => (service::INFO, format!("Started {title}.")),
            (JobKind::Start, JobResult::Failed) => (3, format!("Failed to start {title}.")),
            (JobKind::Start, JobResult::Skipped) if self.units.get(&job.unit).is_some_and(|rt| rt.condition_result) => {
                (service::INFO, format!("Condition check resulted in {title} being skipped."))
            }
            (JobKind::Start, JobResult::Timeout) => {
                self.log(&job.unit, 3, format!("Timed out starting {title}."));
                (service::NOTICE, format!("{0}: Job {0}/start failed with result 'timeout'.", job.unit))
            }
            (JobKind::Start, JobResult::Assert) => (3, format!("Assertion failed for {title}.")),
            (JobKind::Start, JobResult::Dependency) => {
                self.log(&job.unit, service::WARNING, format!("Dependency failed for {title}."));
                (service::NOTICE, format!("{0}: Job {0}/start failed with result 'dependency'.", job.unit))
            }
            (JobKind::Stop, JobResult::Done) if target => (service::INFO, format!("Stopped target {title}.")),
            (JobKind::Stop, JobResult::Done) => (service::INFO, format!("Stopped {title}.")),
            (JobKind::Reload, JobResult::Done) => (service::INFO, format!("Reloaded {title}.")),
            (JobKind::Reload, JobResult::Failed) => (3, format!("Reload failed for {title}.")),
            _ => return,
        };
        self.log(&job.unit, priority, text);
    }
}
