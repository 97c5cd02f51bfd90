//! What happens to a service by itself: its processes end, its time runs out, it speaks to its manager.

use super::super::unit::Service;
use super::super::unit::service::Type;
use super::super::unit::values::{show_timespan, signal_name, status_name};
use super::Manager;
use super::service::{ERROR, NOTICE, WARNING};
use super::types::{Action, ExecMain, Exit, Phase, Pid, ServiceResult, State, Who};

impl Manager {
    /// A process has ended.
    pub(super) fn exited(&mut self, pid: Pid, exit: Exit) {
        let now = self.now;
        for ran in self.units.values_mut().flat_map(|rt| rt.ran.iter_mut()).filter(|r| r.pid == pid) {
            (ran.exit, ran.end) = (Some(exit), now);
        }
        let find = |main: bool| {
            self.units
                .iter()
                .find(|(_, rt)| if main { rt.main } else { rt.control } == Some(pid))
                .map(|(n, _)| n.clone())
        };
        if let Some(name) = find(true) {
            self.main_exited(&name, exit);
        } else if let Some(name) = find(false) {
            self.control_exited(&name, exit);
        }
    }

    fn main_exited(&mut self, name: &str, exit: Exit) {
        let now = self.now;
        let service = self.service(name);
        let Some(rt) = self.units.get_mut(name) else { return };
        rt.main = None;
        rt.exec_main.exit = Some(exit);
        rt.exec_main.end = now;
        let (state, has_control, index) = (rt.state, rt.control.is_some(), rt.main_index);
        let mut f = outcome(&service, exit, service.kind() != Type::Oneshot);
        if service.exec_start.get(index).is_some_and(|e| e.ignore_failure) {
            f = ServiceResult::Success;
        }
        self.log_exit(name, "Main process", exit, f);
        self.add_result(name, f);
        if service.kind() == Type::Oneshot && state == State::Start && f == ServiceResult::Success {
            if index + 1 < service.exec_start.len() {
                self.run_list(name, Phase::Start, index + 1);
            } else {
                self.run_list(name, Phase::StartPost, 0);
            }
            return;
        }
        match state {
            State::Start => match f {
                ServiceResult::Success if service.kind() == Type::Notify => {
                    self.enter_signal(name, State::StopSigterm, ServiceResult::Protocol);
                }
                _ => self.enter_signal(name, State::StopSigterm, f),
            },
            State::StartPost | State::Reload if has_control => {}
            State::StartPost | State::Reload | State::Running => self.enter_running(name, f),
            State::StopWatchdog | State::StopSigterm | State::StopSigkill if !has_control => {
                self.enter_stop_post(name, f);
            }
            State::FinalSigterm | State::FinalSigkill => {
                self.out.push_back(Action::CheckEmpty { unit: name.to_owned() });
            }
            _ => {}
        }
    }

    fn control_exited(&mut self, name: &str, exit: Exit) {
        let service = self.service(name);
        let Some(rt) = self.units.get_mut(name) else { return };
        rt.control = None;
        let (state, has_main, (phase, index)) = (rt.state, rt.main.is_some(), rt.command);
        let mut f = outcome(&service, exit, false);
        if service.commands(phase).get(index).is_some_and(|e| e.ignore_failure) {
            f = ServiceResult::Success;
        }
        if phase == Phase::Condition && matches!(exit, Exit::Code(1..=254)) {
            f = ServiceResult::ExecCondition;
        } else {
            let who = if phase == Phase::Condition { "Condition check process" } else { "Control process" };
            self.log_exit(name, who, exit, f);
        }
        if state != State::Reload {
            self.add_result(name, f);
        }
        let in_list = matches!(
            state,
            State::Condition | State::StartPre | State::StartPost | State::Reload | State::Stop | State::StopPost
        );
        if in_list && f == ServiceResult::Success {
            return self.run_list(name, phase, index + 1);
        }
        match state {
            State::Start if f == ServiceResult::Success => {
                self.out.push_back(Action::FindMain { unit: name.to_owned() });
            }
            State::Condition | State::StartPre | State::Start | State::StartPost | State::Stop => {
                self.enter_signal(name, State::StopSigterm, f);
            }
            State::Reload => {
                self.with(name, |rt| rt.reload_result = f);
                self.enter_running(name, ServiceResult::Success);
            }
            State::StopPost => self.enter_signal(name, State::FinalSigterm, f),
            State::StopWatchdog | State::StopSigterm | State::StopSigkill if !has_main => {
                self.enter_stop_post(name, f);
            }
            State::FinalSigterm | State::FinalSigkill => {
                self.out.push_back(Action::CheckEmpty { unit: name.to_owned() });
            }
            _ => {}
        }
    }

    /// The main process of a forking service was looked for.
    pub(super) fn main_found(&mut self, name: &str, pid: Option<Pid>) {
        let now = self.now;
        let service = self.service(name);
        if self.units.get(name).is_none_or(|rt| rt.state != State::Start) {
            return;
        }
        if let Some(pid) = pid {
            self.with(name, |rt| {
                rt.main = Some(pid);
                rt.exec_main = ExecMain { pid, start: now, ..Default::default() };
            });
        } else if let Some(path) = &service.pid_file {
            // It may come yet: until `TimeoutStartSec=`.
            let text =
                format!("{name}: Can't open PID file {} (yet?) after start: No such file or directory", path.display());
            return self.log(name, NOTICE, text);
        }
        self.run_list(name, Phase::StartPost, 0);
    }

    /// The time limit of the present state has passed.
    pub(super) fn timed_out(&mut self, name: &str) {
        let service = self.service(name);
        let Some(rt) = self.units.get(name) else { return };
        let state = rt.state;
        let next = match state {
            State::Condition | State::StartPre | State::Start | State::StartPost => {
                let what = if state == State::Start { "start" } else { state.as_str() };
                self.log(name, WARNING, format!("{name}: {what} operation timed out. Terminating."));
                State::StopSigterm
            }
            State::Running => {
                self.log(name, WARNING, format!("{name}: Service reached runtime time limit. Stopping."));
                return self.enter_stop(name, ServiceResult::Timeout);
            }
            State::Reload => {
                self.log(name, WARNING, format!("{name}: Reload operation timed out. Killing reload process."));
                self.out.push_back(Action::Signal { unit: name.to_owned(), who: Who::Control, signal: 9 });
                self.with(name, |rt| {
                    rt.control = None;
                    rt.reload_result = ServiceResult::Timeout;
                });
                return self.enter_running(name, ServiceResult::Success);
            }
            State::Stop => {
                self.log(name, WARNING, format!("{name}: Stopping timed out. Terminating."));
                State::StopSigterm
            }
            State::StopPost => {
                self.log(name, WARNING, format!("{name}: State 'stop-post' timed out. Terminating."));
                State::FinalSigterm
            }
            State::StopWatchdog if service.send_sigkill => {
                self.log(name, WARNING, format!("{name}: State 'stop-watchdog' timed out. Killing."));
                State::StopSigkill
            }
            State::StopSigterm | State::FinalSigterm if service.send_sigkill => {
                self.log(name, WARNING, format!("{name}: State '{}' timed out. Killing.", state.as_str()));
                if state == State::StopSigterm { State::StopSigkill } else { State::FinalSigkill }
            }
            State::StopWatchdog | State::StopSigterm | State::StopSigkill => {
                let what = match state {
                    State::StopWatchdog => "State 'stop-watchdog' timed out. Skipping SIGKILL.",
                    State::StopSigterm => "State 'stop-sigterm' timed out. Skipping SIGKILL.",
                    _ => "Processes still around after SIGKILL. Ignoring.",
                };
                self.log(name, WARNING, format!("{name}: {what}"));
                return self.enter_stop_post(name, ServiceResult::Timeout);
            }
            State::FinalSigterm | State::FinalSigkill => {
                let what = if state == State::FinalSigterm {
                    "State 'final-sigterm' timed out. Skipping SIGKILL. Entering failed mode."
                } else {
                    "Processes still around after final SIGKILL. Entering failed mode."
                };
                self.log(name, WARNING, format!("{name}: {what}"));
                return self.enter_dead(name, ServiceResult::Timeout, false);
            }
            State::AutoRestart => return self.auto_restart(name),
            State::Dead | State::Exited | State::Failed | State::Active => return,
        };
        self.enter_signal(name, next, ServiceResult::Timeout);
    }

    /// The service has not said in time that it is alive.
    pub(super) fn watchdog_bites(&mut self, name: &str) {
        let limit = show_timespan(self.service(name).watchdog_us);
        self.log(name, ERROR, format!("{name}: Watchdog timeout (limit {limit})!"));
        self.enter_signal(name, State::StopWatchdog, ServiceResult::Watchdog);
    }

    /// A message of `sd_notify(3)`.
    pub(super) fn notified(&mut self, name: &str, pid: Pid, fields: &[(String, String)]) {
        let service = self.service(name);
        let Some(rt) = self.units.get(name) else { return };
        let access = service.notify_access();
        let allowed = match access {
            "all" => true,
            "main" => rt.main == Some(pid),
            "exec" => rt.main == Some(pid) || rt.control == Some(pid),
            _ => false,
        };
        if !allowed {
            let text = match rt.main {
                _ if access == "none" => "reception is disabled".to_owned(),
                Some(main) => format!("reception only permitted for main PID {main}"),
                None => "reception only permitted for main PID which is currently not known".to_owned(),
            };
            return self.log(name, WARNING, format!("{name}: Got notification message from PID {pid}, but {text}"));
        }
        for (key, value) in fields {
            match (key.as_str(), value.as_str()) {
                ("STATUS", text) => self.with(name, |rt| text.clone_into(&mut rt.status_text)),
                ("ERRNO", text) => {
                    let errno = text.parse().unwrap_or(0);
                    self.with(name, |rt| rt.status_errno = errno);
                }
                ("MAINPID", text) => {
                    if let Ok(pid) = text.parse() {
                        self.with(name, |rt| {
                            rt.main = Some(pid);
                            rt.exec_main.pid = pid;
                        });
                    }
                }
                ("WATCHDOG", "1") => self.feed_watchdog(name),
                ("WATCHDOG", "trigger") => return self.watchdog_bites(name),
                ("WATCHDOG_USEC", text) => {
                    if let (Ok(us), Some(rt)) = (text.parse(), self.units.get_mut(name)) {
                        rt.watchdog_us = us;
                        self.feed_watchdog(name);
                    }
                }
                ("EXTEND_TIMEOUT_USEC", text) => {
                    if let (Ok(us), true) =
                        (text.parse::<u64>(), self.units.get(name).is_some_and(|rt| rt.deadline.is_some()))
                    {
                        self.arm(name, us);
                    }
                }
                _ => {}
            }
        }
        let says = |what: &str| fields.iter().any(|(k, v)| k == what && v == "1");
        let state = self.units.get(name).map(|rt| rt.state);
        if says("READY") && state == Some(State::Start) && service.kind() == Type::Notify {
            self.run_list(name, Phase::StartPost, 0);
        } else if says("READY") && state == Some(State::Reload) {
            self.enter_running(name, ServiceResult::Success);
        } else if says("RELOADING") && state == Some(State::Running) {
            self.set_state(name, State::Reload);
        } else if says("STOPPING") && state == Some(State::Running) {
            self.set_state(name, State::StopSigterm);
            self.arm(name, service.timeout_stop_us);
        }
    }

    fn log_exit(&mut self, name: &str, who: &str, exit: Exit, f: ServiceResult) {
        if f == ServiceResult::Success {
            return;
        }
        let how = match exit {
            Exit::Code(n) => format!("code=exited, status={n}/{}", status_name(n)),
            Exit::Signal(n) => format!("code=killed, status={n}/{}", signal_name(n)),
            Exit::Core(n) => format!("code=dumped, status={n}/{}", signal_name(n)),
        };
        self.log(name, NOTICE, format!("{name}: {who} exited, {how}"));
    }
}

/// What the end of a process means for its service.
fn outcome(service: &Service, exit: Exit, daemon: bool) -> ServiceResult {
    match exit {
        Exit::Code(0) => ServiceResult::Success,
        Exit::Code(n) if service.success.codes.contains(&n) => ServiceResult::Success,
        Exit::Code(_) => ServiceResult::ExitCode,
        // Signals that end a daemon in an orderly way: HUP, INT, PIPE, TERM.
        Exit::Signal(1 | 2 | 13 | 15) if daemon => ServiceResult::Success,
        Exit::Signal(n) if service.success.signals.contains(&n) => ServiceResult::Success,
        Exit::Signal(_) => ServiceResult::Signal,
        Exit::Core(_) => ServiceResult::CoreDump,
    }
}
