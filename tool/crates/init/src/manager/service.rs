//! The life of a service, state by state, as systemd's manager leads it.

use super::super::clock::Time;
use super::super::unit::service::{Exec, KillMode, Type};
use super::super::unit::values::INFINITY;
use super::super::unit::{Kind, Service};
use super::Manager;
use super::states::should_restart;
use super::types::{Action, Active, Phase, Pid, Ran, ServiceResult, State, Who};

/// Syslog priorities.
pub(super) const NOTICE: u8 = 5;
pub(super) const WARNING: u8 = 4;
pub(super) const ERROR: u8 = 3;
pub(super) const INFO: u8 = 6;

impl Service {
    /// The commands of a phase.
    pub fn commands(&self, phase: Phase) -> &[Exec] {
        match phase {
            Phase::Condition => &self.exec_condition,
            Phase::StartPre => &self.exec_start_pre,
            Phase::Start => &self.exec_start,
            Phase::StartPost => &self.exec_start_post,
            Phase::Reload => &self.exec_reload,
            Phase::Stop => &self.exec_stop,
            Phase::StopPost => &self.exec_stop_post,
        }
    }
}

impl Manager {
    pub(super) fn service(&self, name: &str) -> Service {
        self.units.get(name).and_then(|rt| rt.unit.service().cloned()).unwrap_or_default()
    }

    /// Begins a start that the conditions allow.
    pub(super) fn service_start(&mut self, name: &str, invocation: String) {
        self.with(name, |rt| {
            rt.invocation = invocation;
            rt.result = ServiceResult::Success;
            rt.reload_result = ServiceResult::Success;
            rt.main = None;
            rt.control = None;
            rt.main_index = 0;
            rt.status_text.clear();
            rt.status_errno = 0;
            rt.forbid_restart = false;
            rt.watchdog_us = rt.unit.service().map_or(0, |service| service.watchdog_us);
            rt.exec_main = super::types::ExecMain::default();
            rt.ran.clear();
            if std::mem::take(&mut rt.flush_restarts) {
                rt.n_restarts = 0;
            }
        });
        self.run_list(name, Phase::Condition, 0);
    }

    /// Stops a service from whatever state it is in.
    pub(super) fn service_stop(&mut self, name: &str) {
        let Some(rt) = self.units.get_mut(name) else { return };
        rt.forbid_restart = true;
        match rt.state {
            State::Condition | State::StartPre | State::Start | State::StartPost | State::Reload => {
                self.enter_signal(name, State::StopSigterm, ServiceResult::Success);
            }
            State::AutoRestart => self.set_state(name, State::Dead),
            State::Running | State::Exited => self.enter_stop(name, ServiceResult::Success),
            _ => {}
        }
    }

    /// Runs `ExecReload=`.
    pub(super) fn service_reload(&mut self, name: &str) {
        self.with(name, |rt| rt.reload_result = ServiceResult::Success);
        self.run_list(name, Phase::Reload, 0);
    }

    /// Runs command `index` of a phase, or goes on behind the phase.
    pub(super) fn run_list(&mut self, name: &str, phase: Phase, index: usize) {
        let service = self.service(name);
        let Some(exec) = service.commands(phase).get(index).cloned() else {
            match phase {
                Phase::Condition => self.run_list(name, Phase::StartPre, 0),
                Phase::StartPre => self.enter_start(name),
                Phase::Start | Phase::StartPost | Phase::Reload => self.enter_running(name, ServiceResult::Success),
                Phase::Stop => self.enter_signal(name, State::StopSigterm, ServiceResult::Success),
                Phase::StopPost => self.enter_signal(name, State::FinalSigterm, ServiceResult::Success),
            }
            return;
        };
        let (state, timeout) = match phase {
            Phase::Condition => (State::Condition, service.timeout_start()),
            Phase::StartPre => (State::StartPre, service.timeout_start()),
            Phase::Start => (State::Start, service.timeout_start()),
            Phase::StartPost => (State::StartPost, service.timeout_start()),
            Phase::Reload => (State::Reload, service.timeout_start()),
            Phase::Stop => (State::Stop, service.timeout_stop_us),
            Phase::StopPost => (State::StopPost, service.timeout_stop_us),
        };
        self.with(name, |rt| rt.command = (phase, index));
        if phase == Phase::Start {
            self.with(name, |rt| rt.main_index = index);
        }
        self.set_state(name, state);
        self.arm(name, timeout);
        if phase == Phase::StartPost {
            self.feed_watchdog(name);
        }
        self.out.push_back(Action::Spawn { unit: name.to_owned(), phase, exec });
    }

    fn enter_start(&mut self, name: &str) {
        if self.service(name).exec_start.is_empty() {
            self.set_state(name, State::Start);
            self.run_list(name, Phase::StartPost, 0);
        } else {
            self.run_list(name, Phase::Start, 0);
        }
    }

    /// A process was started, or could not be.
    pub(super) fn spawned(&mut self, name: &str, phase: Phase, pid: Option<Pid>, executed: bool) {
        let service = self.service(name);
        let now = self.now;
        let Some(pid) = pid else {
            match phase {
                Phase::Condition | Phase::StartPre | Phase::Start | Phase::StartPost => {
                    self.enter_signal(name, State::StopSigterm, ServiceResult::Resources);
                }
                Phase::Reload => {
                    self.with(name, |rt| rt.reload_result = ServiceResult::Resources);
                    self.enter_running(name, ServiceResult::Success);
                }
                Phase::Stop => self.enter_signal(name, State::StopSigterm, ServiceResult::Resources),
                Phase::StopPost => self.enter_signal(name, State::FinalSigterm, ServiceResult::Resources),
            }
            return;
        };
        self.with(name, |rt| {
            let index = rt.command.1;
            rt.ran.retain(|r| (r.phase, r.index) != (phase, index));
            rt.ran.push(Ran { phase, index, pid, exit: None, start: now, end: Time::default() });
        });
        if phase != Phase::Start || service.kind() == Type::Forking {
            self.with(name, |rt| rt.control = Some(pid));
            return;
        }
        self.with(name, |rt| {
            rt.main = Some(pid);
            rt.exec_main = super::types::ExecMain { pid, exit: None, start: now, end: Time::default() };
        });
        let started = match service.kind() {
            Type::Simple | Type::Idle => true,
            Type::Exec => executed,
            Type::Oneshot | Type::Notify | Type::Forking => false,
        };
        if started {
            self.run_list(name, Phase::StartPost, 0);
        }
    }

    pub(super) fn enter_running(&mut self, name: &str, f: ServiceResult) {
        self.add_result(name, f);
        let service = self.service(name);
        let Some(rt) = self.units.get(name) else { return };
        let unknown_main = service.kind() == Type::Forking && rt.exec_main.pid == 0;
        if rt.result != ServiceResult::Success {
            self.enter_signal(name, State::StopSigterm, f);
        } else if rt.main.is_some() || unknown_main {
            let was = rt.state;
            self.set_state(name, State::Running);
            self.arm(name, service.runtime_max_us);
            if was != State::Running {
                self.feed_watchdog(name);
            }
            if unknown_main {
                self.out.push_back(Action::CheckEmpty { unit: name.to_owned() });
            }
        } else if service.remain_after_exit {
            self.set_state(name, State::Exited);
        } else {
            self.enter_stop(name, ServiceResult::Success);
        }
    }

    pub(super) fn enter_stop(&mut self, name: &str, f: ServiceResult) {
        self.add_result(name, f);
        self.run_list(name, Phase::Stop, 0);
    }

    pub(super) fn enter_stop_post(&mut self, name: &str, f: ServiceResult) {
        self.add_result(name, f);
        self.run_list(name, Phase::StopPost, 0);
    }

    /// Sends the signals that belong to a state, and waits for the processes to end.
    pub(super) fn enter_signal(&mut self, name: &str, state: State, f: ServiceResult) {
        self.add_result(name, f);
        let service = self.service(name);
        let kill = matches!(state, State::StopSigkill | State::FinalSigkill);
        let restarting = self.units.get(name).is_some_and(|rt| {
            rt.job.and_then(|j| self.jobs.get(&j)).is_some_and(|j| j.kind == super::types::JobKind::Restart)
        });
        let term = service.restart_kill_signal.filter(|_| restarting).unwrap_or(service.kill_signal);
        let signal = match state {
            _ if kill => service.final_kill_signal,
            State::StopWatchdog => service.watchdog_signal,
            _ => term,
        };
        let group = match service.kill_mode {
            KillMode::ControlGroup => true,
            KillMode::Mixed => kill,
            KillMode::Process | KillMode::None => false,
        };
        let Some(rt) = self.units.get(name) else { return };
        let alive = (rt.main.is_some() || rt.control.is_some()) && service.kill_mode != KillMode::None;
        if !group && !alive {
            return match state {
                State::StopSigterm if service.send_sigkill && service.kill_mode == KillMode::Mixed => {
                    self.enter_signal(name, State::StopSigkill, ServiceResult::Success);
                }
                State::StopWatchdog | State::StopSigterm | State::StopSigkill => {
                    self.enter_stop_post(name, ServiceResult::Success);
                }
                State::FinalSigterm if service.send_sigkill && service.kill_mode == KillMode::Mixed => {
                    self.enter_signal(name, State::FinalSigkill, ServiceResult::Success);
                }
                _ => self.enter_dead(name, ServiceResult::Success, true),
            };
        }
        self.set_state(name, state);
        let abort = service.timeout_abort_us.filter(|_| state == State::StopWatchdog);
        self.arm(name, abort.unwrap_or(service.timeout_stop_us));
        let unit = || name.to_owned();
        if group {
            self.out.push_back(Action::Signal { unit: unit(), who: Who::All, signal });
        } else {
            self.out.push_back(Action::Signal { unit: unit(), who: Who::Main, signal });
            self.out.push_back(Action::Signal { unit: unit(), who: Who::Control, signal });
        }
        if !kill && service.send_sighup {
            self.out.push_back(Action::Signal {
                unit: unit(),
                who: if group { Who::All } else { Who::Main },
                signal: 1,
            });
        }
        if !alive {
            self.out.push_back(Action::CheckEmpty { unit: unit() });
        }
    }

    /// No process of the unit is left.
    pub(super) fn emptied(&mut self, name: &str) {
        let Some(rt) = self.units.get(name) else { return };
        if rt.main.is_some() || rt.control.is_some() {
            return;
        }
        match rt.state {
            State::Running if rt.exec_main.pid == 0 => self.enter_stop(name, ServiceResult::Success),
            State::StopWatchdog | State::StopSigterm | State::StopSigkill => {
                self.enter_stop_post(name, ServiceResult::Success);
            }
            State::FinalSigterm | State::FinalSigkill => self.enter_dead(name, ServiceResult::Success, true),
            _ => {}
        }
    }

    /// The service is down: restart it by itself, or rest.
    pub(super) fn enter_dead(&mut self, name: &str, f: ServiceResult, allow_restart: bool) {
        self.add_result(name, f);
        let Some(rt) = self.units.get_mut(name) else { return };
        rt.main = None;
        rt.control = None;
        let result = rt.result;
        let restart =
            allow_restart && !rt.forbid_restart && should_restart(rt.unit.service(), result, rt.exec_main.exit);
        rt.forbid_restart = false;
        rt.monitor.clear();
        if !restart {
            // The counter can still be read until the next start.
            rt.flush_restarts = true;
        }
        let delay = rt.unit.service().map_or(0, |s| s.restart_us);
        match result {
            ServiceResult::Success => self.log(name, INFO, format!("{name}: Deactivated successfully.")),
            ServiceResult::ExecCondition => self.log(name, INFO, format!("{name}: Skipped due to 'exec-condition'.")),
            _ => self.log(name, WARNING, format!("{name}: Failed with result '{}'.", result.as_str())),
        }
        let end = if matches!(result, ServiceResult::Success | ServiceResult::ExecCondition) {
            State::Dead
        } else {
            State::Failed
        };
        self.out.push_back(Action::Cleanup { unit: name.to_owned() });
        if restart {
            self.finish_start_job_before_restart(name, end);
            self.set_state(name, State::AutoRestart);
            self.arm(name, delay);
        } else {
            self.set_state(name, end);
        }
    }

    pub(super) fn auto_restart(&mut self, name: &str) {
        let count = self.units.get(name).map_or(0, |rt| rt.n_restarts) + 1;
        self.with(name, |rt| {
            rt.n_restarts = count;
            rt.flush_restarts = false;
            rt.deadline = None;
        });
        self.log(name, INFO, format!("{name}: Scheduled restart job, restart counter is at {count}."));
        let title = self.title(name);
        self.log(name, INFO, format!("Stopped {title}."));
        self.restart_by_itself(name);
    }

    pub(super) fn add_result(&mut self, name: &str, f: ServiceResult) {
        self.with(name, |rt| {
            if rt.result == ServiceResult::Success {
                rt.result = f;
            }
        });
    }

    pub(super) fn arm(&mut self, name: &str, us: u64) {
        let at = (us != INFINITY).then(|| self.now.mono.saturating_add(us));
        self.with(name, |rt| rt.deadline = at);
    }

    /// The service is alive: its watchdog waits anew.
    pub(super) fn feed_watchdog(&mut self, name: &str) {
        let now = self.now.mono;
        self.with(name, |rt| {
            let watched = matches!(rt.state, State::StartPost | State::Running | State::Reload);
            rt.watchdog = (watched && rt.watchdog_us > 0).then(|| now.saturating_add(rt.watchdog_us));
        });
    }

    /// Moves a unit to another state; all that follows from it follows.
    pub(super) fn set_state(&mut self, name: &str, state: State) {
        let now = self.now;
        let Some(rt) = self.units.get_mut(name) else { return };
        let (old, new) = (rt.active(), state.active());
        let was = std::mem::replace(&mut rt.state, state);
        rt.deadline = None;
        if !matches!(state, State::StartPost | State::Running | State::Reload) {
            rt.watchdog = None;
        }
        if was != state {
            rt.times.state_change = now;
        }
        if old.is_down() && !new.is_down() {
            rt.times.inactive_exit = now;
        }
        if !old.is_down() && new.is_down() {
            rt.times.inactive_enter = now;
        }
        if !old.is_up() && new.is_up() {
            rt.times.active_enter = now;
        }
        if old.is_up() && !new.is_up() {
            rt.times.active_exit = now;
        }
        if was != state {
            self.state_changed(name, old, new);
        }
    }
}

impl Manager {
    /// Whether a unit can be reloaded.
    pub fn can_reload(&self, name: &str) -> bool {
        self.units.get(name).and_then(|rt| rt.unit.service()).is_some_and(|s| !s.exec_reload.is_empty())
    }

    /// Whether a unit that has just come down comes up again at once.
    pub fn will_restart(&self, name: &str) -> bool {
        self.units.get(name).is_some_and(|rt| rt.state == State::AutoRestart) || self.has_start_job(name)
    }

    /// A target or a unit that is always there.
    pub(super) fn is_service(&self, name: &str) -> bool {
        self.units.get(name).is_some_and(|rt| matches!(rt.unit.kind, Kind::Service(_)))
    }

    /// `ActiveState` of a unit; one that is not in memory is inactive.
    pub fn active(&self, name: &str) -> Active {
        self.units.get(name).map_or(Active::Inactive, super::types::Rt::active)
    }
}
