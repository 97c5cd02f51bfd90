//! What the soft IOC leaves in files while it runs, one JSON object a line: the lines of a recording, and what was used of it.
//!
//! xtask reads them by these types, too: `tool/crates/base/src/protocol/mod.rs` includes this file.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A line of a recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Recorded {
    /// A process variable has a new value or alarm.
    Update {
        /// When that was heard, seconds since 1970.
        time: f64,
        /// When the record says that it was processed.
        stamp: f64,
        /// The process variable.
        pv: String,
        /// A number, a text, or a list of the first elements.
        value: Value,
        /// Severity of its alarm.
        severity: u16,
        /// Kind of its alarm.
        status: u16,
    },
    /// The IOC has come or gone.
    Ioc {
        /// When.
        time: f64,
        /// Which of both.
        ioc: Presence,
    },
    /// A process variable that is recorded.
    Pv {
        /// Its name.
        pv: String,
        /// Its record's type.
        #[serde(rename = "type")]
        kind: String,
        /// The fields that tell what a value means.
        #[serde(flatten)]
        fields: BTreeMap<String, String>,
    },
    /// A function of a protocol file, which is there whether a record calls it or not.
    Function {
        /// The protocol file.
        protocol: String,
        /// The function.
        function: String,
        /// Its handlers, `@init` and the like.
        handlers: BTreeSet<String>,
        /// Records that call it.
        records: BTreeSet<String>,
    },
    /// What is recorded: the first line.
    Heading {
        /// Version of the form.
        version: u32,
        /// When the recorder began.
        time: f64,
        /// Port of Channel Access.
        port: u16,
        /// How many process variables are recorded.
        recorded: usize,
        /// Names of the others.
        left_out: Vec<String>,
    },
}

/// Whether an IOC serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// It does.
    Up,
    /// It does no more.
    Down,
}

/// What was seen of a record, told when it is first seen: `{"read":"VOLT"}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Seen {
    /// A client has opened it.
    Opened,
    /// A client that never wrote to it has gone.
    Read,
    /// A client wrote to it.
    Written,
    /// It was processed.
    Processed,
    /// It was in alarm.
    Alarmed,
    /// Its protocol ran.
    Ran,
    /// A handler of its protocol ran.
    #[serde(rename = "@init")]
    Init,
    /// As above.
    #[serde(rename = "@mismatch")]
    Mismatch,
    /// As above.
    #[serde(rename = "@writetimeout")]
    WriteTimeout,
    /// As above.
    #[serde(rename = "@replytimeout")]
    ReplyTimeout,
    /// As above.
    #[serde(rename = "@readtimeout")]
    ReadTimeout,
}
