//! States of units, results, and how processes end: systemd's words for them.

use super::super::unit::service::{Restart, Service};
use super::super::unit::values::{StatusSet, signal_name};

/// `SubState` of services, and the few of other units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as systemd does")]
pub enum State {
    Dead,
    Condition,
    StartPre,
    Start,
    StartPost,
    Running,
    Exited,
    Reload,
    Stop,
    StopWatchdog,
    StopSigterm,
    StopSigkill,
    StopPost,
    FinalSigterm,
    FinalSigkill,
    Failed,
    AutoRestart,
    /// A target that is reached, a unit that is always there.
    Active,
}

/// `ActiveState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as systemd does")]
pub enum Active {
    Active,
    Reloading,
    Inactive,
    Failed,
    Activating,
    Deactivating,
}

impl State {
    /// `SubState` as text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Condition => "condition",
            Self::StartPre => "start-pre",
            Self::Start => "start",
            Self::StartPost => "start-post",
            Self::Running => "running",
            Self::Exited => "exited",
            Self::Reload => "reload",
            Self::Stop => "stop",
            Self::StopWatchdog => "stop-watchdog",
            Self::StopSigterm => "stop-sigterm",
            Self::StopSigkill => "stop-sigkill",
            Self::StopPost => "stop-post",
            Self::FinalSigterm => "final-sigterm",
            Self::FinalSigkill => "final-sigkill",
            Self::Failed => "failed",
            Self::AutoRestart => "auto-restart",
            Self::Active => "active",
        }
    }

    /// The `ActiveState` that it belongs to.
    pub fn active(self) -> Active {
        match self {
            Self::Dead => Active::Inactive,
            Self::Condition | Self::StartPre | Self::Start | Self::StartPost | Self::AutoRestart => Active::Activating,
            Self::Running | Self::Exited | Self::Active => Active::Active,
            Self::Reload => Active::Reloading,
            Self::Failed => Active::Failed,
            _ => Active::Deactivating,
        }
    }
}

impl Active {
    /// `ActiveState` as text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Reloading => "reloading",
            Self::Inactive => "inactive",
            Self::Failed => "failed",
            Self::Activating => "activating",
            Self::Deactivating => "deactivating",
        }
    }

    /// Active or reloading.
    pub fn is_up(self) -> bool {
        matches!(self, Self::Active | Self::Reloading)
    }

    /// Inactive or failed.
    pub fn is_down(self) -> bool {
        matches!(self, Self::Inactive | Self::Failed)
    }
}

/// `Result` of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "named as systemd does")]
pub enum ServiceResult {
    #[default]
    Success,
    Resources,
    Protocol,
    Timeout,
    ExitCode,
    Signal,
    CoreDump,
    StartLimitHit,
    ExecCondition,
    Watchdog,
}

impl ServiceResult {
    /// The value of `Result`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Resources => "resources",
            Self::Protocol => "protocol",
            Self::Timeout => "timeout",
            Self::ExitCode => "exit-code",
            Self::Signal => "signal",
            Self::CoreDump => "core-dump",
            Self::StartLimitHit => "start-limit-hit",
            Self::ExecCondition => "exec-condition",
            Self::Watchdog => "watchdog",
        }
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this status.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// A signal ended it, with a core dump.
    Core(i32),
}

impl Exit {
    /// `ExecMainCode`: the number of `CLD_EXITED` and the like.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(_) => 1,
            Self::Signal(_) => 2,
            Self::Core(_) => 3,
        }
    }

    /// What a service is told of it in `$EXIT_CODE` and `$EXIT_STATUS`.
    pub fn texts(self) -> (&'static str, String) {
        match self {
            Self::Code(n) => ("exited", n.to_string()),
            Self::Signal(n) => ("killed", signal_name(n)),
            Self::Core(n) => ("dumped", signal_name(n)),
        }
    }

    /// `ExecMainStatus`: exit status or signal.
    pub fn status(self) -> i32 {
        match self {
            Self::Code(n) | Self::Signal(n) | Self::Core(n) => n,
        }
    }
}

/// Which list of commands of a service is being run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as the directives")]
pub enum Phase {
    Condition,
    StartPre,
    Start,
    StartPost,
    Reload,
    Stop,
    StopPost,
}

impl Phase {
    /// All of them, in their order.
    pub const ALL: [Self; 7] =
        [Self::Condition, Self::StartPre, Self::Start, Self::StartPost, Self::Reload, Self::Stop, Self::StopPost];

    /// The directive.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Condition => "ExecCondition",
            Self::StartPre => "ExecStartPre",
            Self::Start => "ExecStart",
            Self::StartPost => "ExecStartPost",
            Self::Reload => "ExecReload",
            Self::Stop => "ExecStop",
            Self::StopPost => "ExecStopPost",
        }
    }
}

impl Phase {
    /// What systemd calls it where it cannot be begun.
    pub fn task(self) -> &'static str {
        match self {
            Self::Condition => "exec-condition",
            Self::StartPre => "start-pre",
            Self::Start => "start",
            Self::StartPost => "start-post",
            Self::Reload => "reload",
            Self::Stop => "stop",
            Self::StopPost => "stop-post",
        }
    }
}

/// Whether a service that has ended is started again.
pub(super) fn should_restart(service: Option<&Service>, result: ServiceResult, exit: Option<Exit>) -> bool {
    let Some(service) = service else { return false };
    let listed = |set: &StatusSet| match exit {
        Some(Exit::Code(n)) => set.codes.contains(&n),
        Some(Exit::Signal(n) | Exit::Core(n)) => set.signals.contains(&n),
        None => false,
    };
    if listed(&service.restart_prevent) {
        return false;
    }
    if listed(&service.restart_force) {
        return true;
    }
    match service.restart {
        Restart::No => false,
        Restart::OnWatchdog => result == ServiceResult::Watchdog,
        Restart::Always => result != ServiceResult::ExecCondition,
        Restart::OnSuccess => result == ServiceResult::Success,
        Restart::OnFailure => !matches!(result, ServiceResult::Success | ServiceResult::ExecCondition),
        Restart::OnAbnormal => {
            !matches!(result, ServiceResult::Success | ServiceResult::ExitCode | ServiceResult::ExecCondition)
        }
        Restart::OnAbort => matches!(result, ServiceResult::Signal | ServiceResult::CoreDump),
    }
}
