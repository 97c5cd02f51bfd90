//! What is asked of the manager from outside, and why it may refuse.

use std::fmt;

use super::super::clock::Time;
use super::super::unit::is_valid_name;
use super::Manager;
use super::types::{JobKind, JobResult};

/// Why a request is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the texts say it")]
pub enum Refusal {
    NotFound(String),
    NotLoaded(String),
    BadSetting(String),
    Masked(String),
    Manual(String),
    NotApplicable(JobKind, String),
    NoInstance(String),
    NoName(String),
    ShuttingDown,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(unit) => write!(f, "Unit {unit} not found."),
            Self::NotLoaded(unit) => write!(f, "Unit {unit} not loaded."),
            Self::BadSetting(unit) => write!(f, "Unit {unit} has a bad unit file setting."),
            Self::Masked(unit) => write!(f, "Unit {unit} is masked."),
            Self::Manual(unit) => write!(
                f,
                "Operation refused, unit {unit} may be requested by dependency only (it is configured to refuse manual start/stop)."
            ),
            Self::NotApplicable(kind, unit) => {
                write!(f, "Job type {} is not applicable for unit {unit}.", kind.as_str())
            }
            Self::NoInstance(unit) => write!(f, "Unit name {unit} is missing the instance name."),
            Self::NoName(unit) => write!(f, "Unit name {unit} is not valid."),
            Self::ShuttingDown => f.write_str("Transaction is destructive: the machine is shutting down."),
        }
    }
}

impl Refusal {
    /// The exit status of `systemctl`.
    pub fn status(&self) -> u8 {
        match self {
            Self::NotFound(_) | Self::NotLoaded(_) => 5,
            Self::Manual(_) => 4,
            Self::NotApplicable(..) => 3,
            _ => 1,
        }
    }

    /// Whether `systemctl` points to the log.
    pub fn is_in_log(&self) -> bool {
        !matches!(self, Self::NotFound(_) | Self::NotLoaded(_) | Self::Masked(_) | Self::NotApplicable(..))
    }
}

impl Manager {
    /// Takes a request and returns the number of its job.
    pub fn request(&mut self, now: Time, kind: JobKind, name: &str) -> Result<u32, Refusal> {
        self.now = now;
        if self.stopping {
            return Err(Refusal::ShuttingDown);
        }
        if !is_valid_name(name) {
            return Err(Refusal::NoName(name.to_owned()));
        }
        if name.contains("@.") {
            return Err(Refusal::NoInstance(name.to_owned()));
        }
        let rt = self.view(name);
        let unit = rt.unit.name.clone();
        let manual = match kind {
            JobKind::Start => rt.unit.refuse_manual_start,
            JobKind::Stop => rt.unit.refuse_manual_stop,
            JobKind::Restart => rt.unit.refuse_manual_start || rt.unit.refuse_manual_stop,
            JobKind::Reload => false,
        };
        if manual {
            return Err(Refusal::Manual(unit));
        }
        let job = self.enqueue(kind, &unit)?;
        self.settle();
        Ok(job)
    }

    /// Gives a job up before it has done what it should.
    pub fn cancel(&mut self, now: Time, id: u32) {
        self.now = now;
        self.finish_job(id, JobResult::Canceled, true);
        self.settle();
    }
}
