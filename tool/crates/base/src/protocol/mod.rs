//! What our own processes say to each other, one type for both ends.
//!
//! | channel | between | form |
//! |---|---|---|
//! | [`control`] | applets of a machine, its PID 1 | one JSON object a line, each way |
//! | [`shell`] | test driver, PID 1 of a machine | length, JSON header, body, each way |
//! | [`keeper`] | test driver, sandbox-keeper | one JSON object a packet, each way; descriptors go with it |
//! | [`driver`] | test driver, xtask | a file of settings in; one JSON object a line out |
//! | [`journal`] | PID 1 of a machine, xtask | a file, one JSON object a line |
//! | [`lint`] | soft IOC or test driver, xtask | one JSON document |
//! | [`recording`] | soft IOC, sandbox-keeper, xtask | files, one JSON object a line |
//!
//! The driver is Python: it is held against `tool/driver/tests/protocol.json`, which the tests here write.

pub mod control;
pub mod driver;
pub mod journal;
pub mod keeper;
pub mod lint;
// Cargo builds the soft IOC apart from xtask; the files are the same.
#[path = "../../../../embedded/src/mistakes.rs"]
mod mistakes;
#[path = "../../../../embedded/src/recording.rs"]
pub mod recording;
pub mod shell;

#[cfg(test)]
mod tests;
