//! What came of using KVM, as plain data. `probe` tries.

use serde::{Deserialize, Serialize};

/// How far using KVM came, and how fast it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Use {
    /// The step that was last tried.
    pub step: Step,
    /// Error number of that step.
    pub errno: Option<i32>,
    /// Version of the interface.
    pub api: Option<i32>,
    /// Why the guest stopped, where it was not HLT.
    pub exit: Option<String>,
    /// Rounds of the counting loop in a second.
    pub rounds_per_second: Option<f64>,
    /// Time of the whole probe in milliseconds.
    pub millis: f64,
}

/// The steps of using KVM, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The probe could not be started.
    Start,
    /// Opening the device.
    Open,
    /// Asking for the version of the interface.
    ApiVersion,
    /// Making a VM.
    CreateVm,
    /// Giving it memory.
    Memory,
    /// Making a virtual CPU.
    CreateVcpu,
    /// Running a few instructions.
    Run,
    /// The probe did not end in time and was killed.
    Hung,
    /// All of it worked.
    Done,
}
