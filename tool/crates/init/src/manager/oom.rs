//! The kernel has killed a process of a service, because its control group had no memory left.

use super::super::unit::service::OomPolicy;
use super::Manager;
use super::service::NOTICE;
use super::types::{Outcome, State};

impl Manager {
    /// Does what `OOMPolicy=` says.
    pub(super) fn out_of_memory(&mut self, name: &str) {
        let service = self.service(name);
        let Some(state) = self.units.get(name).map(|rt| rt.state) else { return };
        self.log(name, NOTICE, format!("{name}: A process of this unit has been killed by the OOM killer."));
        let signal = match service.oom_policy {
            OomPolicy::Continue => return,
            OomPolicy::Stop => State::StopSigterm,
            OomPolicy::Kill => State::StopSigkill,
        };
        match state {
            State::Running | State::Exited if service.oom_policy == OomPolicy::Stop => {
                self.enter_stop(name, Outcome::OomKill);
            }
            State::Condition
            | State::StartPre
            | State::Start
            | State::StartPost
            | State::Running
            | State::Exited
            | State::Stop => self.enter_signal(name, signal, Outcome::OomKill),
            State::StopSigterm => self.enter_signal(name, State::StopSigkill, Outcome::OomKill),
            State::StopPost | State::FinalSigterm => self.enter_signal(name, State::FinalSigkill, Outcome::OomKill),
            State::StopSigkill | State::FinalSigkill => self.add_result(name, Outcome::OomKill),
            State::Reload | State::Dead | State::Failed | State::AutoRestart | State::Active => {}
        }
    }
}
