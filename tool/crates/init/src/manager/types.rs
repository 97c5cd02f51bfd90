//! What the manager is told, what it asks for, and what it remembers.

use std::rc::Rc;

use super::super::unit::service::Exec;
use super::super::unit::{Kind, Unit};

use super::super::clock::Time;
pub use super::states::{Active, Exit, Phase, ServiceResult, State};
pub use tool_base::protocol::control::Who;

/// A process id.
pub type Pid = i32;

/// What happens to the manager.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are named as what they are")]
pub enum Event {
    /// Time has passed.
    Tick,
    /// Answer to [`Action::Prepare`]: a name for this run of the unit, or why it does not start.
    Prepared { unit: String, invocation: String, unmet: Option<Unmet> },
    /// Answer to [`Action::Spawn`]: the process, and whether its program could be executed.
    Spawned { unit: String, phase: Phase, pid: Option<Pid>, executed: bool },
    /// Answer to [`Action::FindMain`].
    MainFound { unit: String, pid: Option<Pid> },
    /// A process has ended.
    Exited { pid: Pid, exit: Exit },
    /// No process of the unit is left: answer to [`Action::CheckEmpty`], now or later.
    Empty { unit: String },
    /// A message of `sd_notify(3)` from a process of the unit.
    Notify { unit: String, pid: Pid, fields: Vec<(String, String)> },
}

/// Why a unit does not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmet {
    /// This condition does not hold; `None` where none of several holds.
    Condition(Option<String>),
    /// An assertion does not hold.
    Assert,
}

/// What the manager asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are named as what they are")]
pub enum Action {
    /// Look at the conditions of a unit that is to start.
    Prepare { unit: String },
    /// Start a process.
    Spawn { unit: String, phase: Phase, exec: Exec },
    /// Send a signal.
    Signal { unit: String, who: Who, signal: i32 },
    /// Say whether any process of the unit is left.
    CheckEmpty { unit: String },
    /// Find the main process of a forking service.
    FindMain { unit: String },
    /// Write to the journal, on behalf of a unit.
    Log { unit: String, priority: u8, text: String },
    /// The unit is down: remove what it had at run time.
    Cleanup { unit: String },
    /// A job has ended.
    JobDone { job: u32, unit: String, result: JobResult },
}

impl Action {
    /// The unit about which it waits for an answer.
    pub fn asks_about(&self) -> Option<&str> {
        match self {
            Self::Prepare { unit } | Self::Spawn { unit, .. } | Self::CheckEmpty { unit } | Self::FindMain { unit } => {
                Some(unit)
            }
            _ => None,
        }
    }
}

/// What a job does to its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as systemd does")]
pub enum JobKind {
    Start,
    Stop,
    Restart,
    Reload,
}

impl JobKind {
    /// As `systemctl list-jobs` prints it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Reload => "reload",
        }
    }
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as systemd does")]
pub enum JobResult {
    Done,
    Canceled,
    Timeout,
    Failed,
    Dependency,
    Skipped,
    Invalid,
    Assert,
}

impl JobResult {
    /// As systemd names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Canceled => "canceled",
            Self::Timeout => "timeout",
            Self::Failed => "failed",
            Self::Dependency => "dependency",
            Self::Skipped => "skipped",
            Self::Invalid => "invalid",
            Self::Assert => "assert",
        }
    }
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Number.
    pub id: u32,
    /// Unit.
    pub unit: String,
    /// What it does.
    pub kind: JobKind,
    /// Whether it has begun.
    pub running: bool,
    /// Whether `Starting …` and the like was said, or need not be.
    pub announced: bool,
    /// When it is given up, µs.
    pub deadline: u64,
}

/// The last process of `ExecStart=`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as the properties of systemd")]
pub struct ExecMain {
    pub pid: Pid,
    pub exit: Option<Exit>,
    pub start: Time,
    pub end: Time,
}

/// A command of the unit's present or last run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Ran {
    pub phase: Phase,
    pub index: usize,
    pub pid: Pid,
    pub exit: Option<Exit>,
    pub start: Time,
    pub end: Time,
}

/// Moments of a unit's life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as the properties of systemd")]
pub struct Times {
    pub state_change: Time,
    pub inactive_exit: Time,
    pub active_enter: Time,
    pub active_exit: Time,
    pub inactive_enter: Time,
    pub condition: Time,
    pub assert: Time,
}

/// A unit in memory.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Rt {
    /// What its file says.
    pub unit: Rc<Unit>,
    /// Where it stands.
    pub state: State,
    /// How its last run ended.
    pub result: ServiceResult,
    /// How its last reload ended.
    pub reload_result: ServiceResult,
    /// Main process.
    pub main: Option<Pid>,
    /// Process of `ExecStartPre=` and the like.
    pub control: Option<Pid>,
    /// The command being run: list and index.
    pub command: (Phase, usize),
    /// Index of the main command (a oneshot may have several).
    pub main_index: usize,
    /// The last main process.
    pub exec_main: ExecMain,
    /// `$MONITOR_…`: what is known of the unit whose end has started this one.
    pub monitor: Vec<(&'static str, String)>,
    /// Commands of this run.
    pub ran: Vec<Ran>,
    /// Automatic restarts since the last manual start.
    pub n_restarts: u32,
    /// The counter starts anew with the next start.
    pub flush_restarts: bool,
    /// A stop was asked for: no automatic restart.
    pub forbid_restart: bool,
    /// When the present state times out, µs.
    pub deadline: Option<u64>,
    /// When its watchdog bites, µs.
    pub watchdog: Option<u64>,
    /// How often the service has to say that it is alive, µs; 0: not at all.
    pub watchdog_us: u64,
    /// Name of this run of the unit.
    pub invocation: String,
    /// Moments.
    pub times: Times,
    /// Whether the conditions held at the last start.
    pub condition_result: bool,
    /// Whether the assertions held at the last start.
    pub assert_result: bool,
    /// `STATUS=` of the service.
    pub status_text: String,
    /// `ERRNO=` of the service.
    pub status_errno: i32,
    /// Moments of recent starts, µs, for the start limit.
    pub starts: Vec<u64>,
    /// The unit's job.
    pub job: Option<u32>,
    /// The run has reached `active`, so that `Started` was said.
    pub main_known: bool,
}

impl Rt {
    /// A unit as it is when it was just loaded.
    pub fn new(unit: Unit) -> Self {
        let state = if matches!(unit.kind, Kind::Fixed { .. }) { State::Active } else { State::Dead };
        Self {
            unit: Rc::new(unit),
            state,
            result: ServiceResult::Success,
            reload_result: ServiceResult::Success,
            main: None,
            control: None,
            command: (Phase::Start, 0),
            main_index: 0,
            exec_main: ExecMain::default(),
            monitor: Vec::new(),
            ran: Vec::new(),
            n_restarts: 0,
            flush_restarts: false,
            forbid_restart: false,
            deadline: None,
            watchdog: None,
            watchdog_us: 0,
            invocation: String::new(),
            times: Times::default(),
            condition_result: false,
            assert_result: false,
            status_text: String::new(),
            status_errno: 0,
            starts: Vec::new(),
            job: None,
            main_known: false,
        }
    }

    /// `ActiveState`.
    pub fn active(&self) -> Active {
        self.state.active()
    }

    /// `SubState`.
    pub fn sub(&self) -> &'static str {
        match self.unit.kind {
            Kind::Fixed { sub } => sub,
            _ => self.state.as_str(),
        }
    }

    /// Whether it waits for its last process to end.
    pub fn waits_for_empty(&self) -> bool {
        // A forking service that left several processes runs until the last has ended.
        let runs_without_main = self.state == State::Running && self.exec_main.pid == 0;
        let stops = matches!(
            self.state,
            State::StopWatchdog | State::StopSigterm | State::StopSigkill | State::FinalSigterm | State::FinalSigkill
        );
        (stops || runs_without_main) && self.main.is_none() && self.control.is_none()
    }
}
