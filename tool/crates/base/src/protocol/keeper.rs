//! The driver's channel to sandbox-keeper, which starts and ends machines.

use serde::{Deserialize, Serialize};

/// A request of the driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Its number, also in its reply.
    pub id: u64,
    /// The machine that it is about.
    pub machine: String,
    /// What it wants.
    #[serde(flatten)]
    pub wish: Wish,
}

/// What the driver wants of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Wish {
    /// To start it; shell channel and console come with the reply.
    Start,
    /// To end it at once.
    Kill,
    /// To plug its network cable in, or to pull it.
    Link {
        /// Whether it is to be in.
        up: bool,
    },
    /// A shell of it on the terminal; the reply comes when that has ended.
    Interact,
}

/// What sandbox-keeper says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Message {
    /// To a request.
    Reply {
        /// Its number; nothing where it could not be read.
        id: Option<u64>,
        /// The answer.
        #[serde(flatten)]
        answer: Answer,
    },
    /// Of its own accord.
    News(News),
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// The machine runs.
    Started {
        /// Its PID 1.
        pid: i32,
    },
    /// It is done.
    Done {},
    /// The shell on the terminal has ended.
    Ended {
        /// Exit status.
        status: i32,
    },
    /// It is not done.
    Failed {
        /// Why.
        error: String,
    },
}

/// What happens to machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum News {
    /// PID 1 of a machine has ended.
    Exit {
        /// The machine.
        machine: String,
        /// Exit status, 128 + N for signal N; 3 asks for a reboot.
        status: i32,
    },
}
