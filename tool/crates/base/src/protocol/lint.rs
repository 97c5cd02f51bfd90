//! Mistakes in files: of `soft-ioc --lint`, of `python3 tool/driver --preflight`, and of `cargo xtask lint --json`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use super::mistakes::{Exchange, Mistake, OfIoc, Parts, Port, Severity};

/// A script that the driver is to look at.
#[derive(Debug, Serialize)]
pub struct Script {
    /// Its file; `NAME.nix` beside it may switch checks of it off.
    pub script: PathBuf,
    /// Its text, where the file has another or is not there.
    pub text: Option<String>,
    /// Folder of the modules that it may import; what lies in there is one of them.
    pub lib: Option<PathBuf>,
    /// Names of the machines.
    pub machines: Vec<String>,
    /// Numbers of the VLANs.
    pub vlans: BTreeSet<u8>,
    /// Whether it is to run in the sandbox.
    pub sandbox: bool,
    /// Whether there is time for mypy, where ty is not installed.
    pub thorough: bool,
}

/// What the driver answers about one script.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OfScript {
    /// What is wrong with it.
    pub problems: Vec<Problem>,
    /// The process variables that it names.
    pub pvs: Vec<Pv>,
}

/// What is wrong with a script.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// From 1 on.
    pub line: u32,
    /// In characters, from 1 on.
    pub column: u32,
    /// Class of the error it would be, or name of a rule.
    pub kind: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// How much it matters.
    pub severity: Severity,
}

/// A process variable that a script names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pv {
    /// Its name.
    pub name: String,
    /// From 1 on.
    pub line: u32,
    /// In characters, from 1 on.
    pub column: u32,
    /// Without it, the script fails.
    pub sure: bool,
}
