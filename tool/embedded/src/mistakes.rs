//! What `soft-ioc --lint` answers. xtask reads it by these types, too: `tool/crates/base/src/protocol/mod.rs` includes this file.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// How much a mistake matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It cannot work.
    Error,
    /// It loads, and is most likely not what was meant.
    Warning,
}

/// A mistake and its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mistake {
    /// The file, as seen from the root of the project.
    pub file: String,
    /// From 1 on.
    pub line: u32,
    /// In characters, from 1 on.
    pub column: u32,
    /// How much it matters.
    pub severity: Severity,
    /// Stable name, in lower case with dashes: tool/docs/lint.md lists them.
    pub code: String,
    /// What is wrong: a sentence without a final period.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// What `soft-ioc --lint` answers.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OfIoc {
    /// Mistakes in its files.
    pub findings: Vec<Mistake>,
    /// Names of its records and aliases.
    pub records: BTreeSet<String>,
    /// Whether `records` has all records that the IOC will have.
    pub complete: bool,
    /// What it is made of.
    pub parts: Parts,
}

/// What an IOC is made of, as its script and databases say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Parts {
    /// Applications that the Makefiles of its top make.
    pub applications: BTreeSet<String>,
    /// The command that registers the record support of its own one.
    pub registers: Option<String>,
    /// Ports that the script opens.
    pub ports: Vec<Port>,
    /// Databases of support modules that are nowhere here, as `$(CALC)/db/transform.db`.
    pub of_modules: BTreeSet<String>,
    /// What its StreamDevice records say to devices, each thing once.
    pub exchanges: Vec<Exchange>,
    /// The StreamDevice records that read by answers which they can take, and the port of each.
    pub inputs: BTreeSet<(String, String)>,
}

/// An asyn port that a script opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// The command that opens it, `drvAsynIPPortConfigure` and the like.
    pub command: String,
    /// Where its device is, variables replaced.
    pub address: String,
    /// Where the script says the address: the file as that of a [`Mistake`].
    pub file: String,
    /// From 1 on.
    pub line: u32,
    /// In characters, from 1 on.
    pub column: u32,
}

/// What a device hears and what it may answer. Texts have a character for each byte.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Exchange {
    /// The port.
    pub port: String,
    /// What it hears; `None` is a value of the record.
    pub out: Vec<Option<String>>,
    /// An answer of the form that the protocol wants, empty where it wants none. `None`: the form cannot be told.
    pub answer: Option<String>,
    /// The function of the protocol: `example.proto getVoltage`.
    pub function: String,
    /// Functions that ask the same and cannot take this answer, and their records.
    pub others: BTreeSet<(String, String)>,
}
