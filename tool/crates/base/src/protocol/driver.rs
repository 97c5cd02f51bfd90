//! What xtask tells the test driver before it starts, and what the driver says about the script.

use std::collections::BTreeSet;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The driver's settings, a file whose path is its only argument.
#[derive(Debug, Clone, Serialize)]
pub struct Config<'a> {
    /// Name of the check.
    pub check: &'a str,
    /// The machines, in the order of their names.
    pub machines: Vec<DriverMachine<'a>>,
    /// Numbers of the VLANs.
    pub vlans: BTreeSet<u8>,
    /// Limit of the script, seconds.
    pub global_timeout: u64,
    /// The script.
    pub script: &'a Path,
    /// Folder of the modules that it may import.
    pub lib: Option<&'a Path>,
    /// Where the script's files go.
    pub out_dir: &'a Path,
    /// File of a JUnit report, relative to `out_dir`.
    pub junit: Option<&'a str>,
    /// Whether it gives a prompt instead of running the script.
    pub interactive: bool,
    /// Whether it gives one after a failure.
    pub debug: bool,
    /// Descriptor of the channel to sandbox-keeper.
    pub keeper_fd: RawFd,
    /// Descriptor that events are written to.
    pub events_fd: Option<RawFd>,
}

/// A machine as the driver knows it.
#[derive(Debug, Clone, Serialize)]
pub struct DriverMachine<'a> {
    /// Its name.
    pub name: &'a str,
    /// Folder shared with all machines.
    pub shared_dir: PathBuf,
    /// A folder of its own.
    pub state_dir: PathBuf,
}

/// What the driver says, one JSON object per line (`tool/docs/ARCHITECTURE.md`, "Events").
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum DriverEvent {
    /// A block of the log is entered.
    Enter {
        /// `subtest` or `nested`.
        kind: String,
        /// What the block is about.
        name: String,
        /// Blocks around it.
        depth: u32,
    },
    /// A block of the log is left.
    Leave {
        /// `subtest` or `nested`.
        kind: String,
        /// What the block is about.
        name: String,
        /// Blocks around it.
        depth: u32,
        /// How long it took.
        seconds: f64,
        /// Whether it was left without an exception.
        ok: bool,
    },
    /// What the innermost block waits for is tried once more.
    Try {
        /// How often it has been.
        count: u32,
    },
    /// The script has failed.
    Failure(ScriptFailure),
    /// What went wrong although the script may pass.
    Remark {
        /// A sentence.
        text: String,
    },
    /// The driver wants the terminal for a prompt, or gives it back.
    Debug {
        /// Whether it wants it.
        open: bool,
    },
    /// Anything else.
    #[serde(other)]
    Other,
}

/// Why a script failed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ScriptFailure {
    /// Class of the Python exception.
    pub class: String,
    /// Its message.
    pub message: String,
    /// Line of the script, counted from 1.
    pub line: Option<u32>,
    /// Text of that line.
    pub source: Option<String>,
    /// Innermost subtest around it.
    pub subtest: Option<String>,
    /// Unit that is to blame.
    pub unit: Option<String>,
}
