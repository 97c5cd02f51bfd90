//! What `systemctl` and its like ask PID 1 of their machine.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
#[expect(missing_docs, reason = "named as the options of systemctl that they come from")]
pub enum Request {
    /// To start and stop units. Answered when the jobs have ended, by `Results`.
    Job { verb: Verb, units: Vec<String>, no_block: bool, wait: bool },
    /// Properties of units, and their processes where these are wanted: `Shown`.
    Show { units: Vec<String>, processes: bool },
    /// Properties of the manager: `Props`.
    Manager,
    /// Units in memory: `Units`.
    List,
    /// Jobs under way: `Jobs`.
    Jobs,
    /// Unit files: `Files`.
    Files,
    /// The unit of a process: `Unit`.
    UnitOf { pid: i32 },
    /// To send a signal: `Results`.
    Kill { units: Vec<String>, signal: i32, who: Who },
    /// All units where none is named: `Results`.
    ResetFailed { units: Vec<String> },
    /// To read unit files anew: `Done`.
    Reload,
    /// To make a unit and start it: `Results` or `Error`.
    Transient { unit: String, text: String, no_block: bool, keep: bool },
    /// How a unit ends; answered then, by `Results`.
    End { unit: String },
    /// Whether a unit is enabled: `FileState`.
    FileState { unit: String },
    /// The target of a boot: `Target`.
    Default,
    /// To set it: `Said` or `Error`.
    SetDefault { target: String },
    /// Variables of all services: `Pairs`.
    Environment,
    /// To set them, or to remove those without a value: `Done`.
    SetEnvironment { pairs: Vec<(String, Option<String>)> },
    /// To give jobs up, all that wait where none is named: `Missing`.
    Cancel { jobs: Vec<u32> },
    /// To remove files of units: `Results`.
    Clean { units: Vec<String>, what: Vec<String> },
    /// To make or remove links to unit files: `Said`.
    Install { verb: Install, units: Vec<String>, runtime: bool },
    /// To go down: `Done`.
    Power { how: Power, force: bool },
    /// The state of the machine, after its boot where that is asked for: `State`.
    State { wait: bool },
}

impl Request {
    /// Whether users other than root may ask.
    pub fn is_for_all(&self) -> bool {
        matches!(
            self,
            Self::Show { .. }
                | Self::Manager
                | Self::List
                | Self::Jobs
                | Self::Files
                | Self::State { .. }
                | Self::FileState { .. }
                | Self::Default
                | Self::Environment
                | Self::UnitOf { .. }
        )
    }
}

/// What is to be done with a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Verb {
    Start,
    Stop,
    Restart,
    TryRestart,
    Reload,
    ReloadOrRestart,
    TryReloadOrRestart,
}

/// What is to be done with a unit's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Install {
    Enable,
    Disable,
    Mask,
    Unmask,
}

/// Which processes of a unit get a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Who {
    Main,
    Control,
    All,
}

/// How a machine goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Power {
    /// It stays down.
    Off,
    /// It comes up again.
    Reboot,
}

/// Properties in the order printed.
pub type Props = Vec<(String, String)>;

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each request says which of them it gets")]
pub enum Reply {
    Done,
    /// Only root may ask that.
    Refused,
    Error(String),
    Shown(Vec<Shown>),
    Props(Props),
    Units(Vec<UnitRow>),
    Jobs(Vec<JobRow>),
    Files(Vec<FileRow>),
    Unit(Option<String>),
    Results(Vec<UnitResult>),
    FileState {
        state: String,
        links: Vec<PathBuf>,
    },
    Target(String),
    Pairs(Vec<(String, String)>),
    Missing(Vec<u32>),
    /// Lines for stderr, what went wrong after them, and whether a unit has nothing to be enabled by.
    Said {
        lines: Vec<String>,
        error: Option<String>,
        no_install: bool,
    },
    State(String),
}

/// A unit as `systemctl show` and `systemctl status` have it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// Its properties.
    pub props: Props,
    /// Its processes, where they were asked for.
    pub processes: Vec<i32>,
}

impl Shown {
    /// A property; empty where it has none.
    pub fn get(&self, name: &str) -> &str {
        self.props.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

/// A row of `systemctl list-units`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct UnitRow {
    pub name: String,
    pub load: String,
    pub active: String,
    pub sub: String,
    pub description: String,
    /// The job that it has.
    pub job: Option<String>,
}

/// A row of `systemctl list-jobs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct JobRow {
    pub id: u32,
    pub unit: String,
    pub kind: String,
    pub state: String,
}

/// A row of `systemctl list-unit-files`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct FileRow {
    pub name: String,
    pub state: String,
}

/// What became of a request for one unit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct UnitResult {
    /// The unit as the request names it.
    pub unit: String,
    /// Why nothing was done.
    pub refusal: Option<Refused>,
    /// How its job ended: `done` where there was none.
    pub job: String,
    /// `Result` of the unit then.
    pub result: String,
    /// Whether its files are newer than what is in memory.
    pub changed: bool,
    /// How it ended, where that was waited for.
    pub end: Option<UnitEnd>,
}

impl UnitResult {
    /// All is well.
    pub fn done(unit: &str) -> Self {
        Self { unit: unit.to_owned(), job: "done".to_owned(), ..Self::default() }
    }

    /// Nothing was done.
    pub fn refused(unit: &str, text: impl Into<String>) -> Self {
        let refusal = Some(Refused { text: text.into(), status: 1, see_log: false });
        Self { unit: unit.to_owned(), refusal, ..Self::default() }
    }
}

/// Why nothing was done with a unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// As systemd words it.
    pub text: String,
    /// Exit status of `systemctl`.
    pub status: u8,
    /// Whether `systemctl` points to the log.
    pub see_log: bool,
}

/// How a unit ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnitEnd {
    /// `ActiveState`.
    pub active: String,
    /// `Result`.
    pub result: String,
    /// `ExecMainCode`; 0 where no process of it has ended.
    pub code: i32,
    /// `ExecMainStatus`.
    pub status: i32,
    /// How long it was not inactive, µs.
    pub runtime: u64,
}
