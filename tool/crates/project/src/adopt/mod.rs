//! Brings an EPICS top that exists into the project: `adopt`.
//!
//! The files of the top (`top`) and what the soft IOC's lint tells of its IOC come to a `plan`, with the configuration that
//! it needs (`release`), a simulator for each port (`device`) and a list of what is left to do (`todo`): pure functions.

pub mod device;
pub mod plan;
pub mod release;
pub mod todo;
pub mod top;
