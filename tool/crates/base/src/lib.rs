//! The ground that everything stands on: errors with hints and exit statuses, the terminal, child processes, files that
//! are written whole or not at all, and the system calls that have no safe wrapper.
//!
//! It knows nothing of IOCs, checks, machines or Nix, and has no other crate of ours below it.

#[cfg(target_os = "linux")]
pub mod confine;
pub mod date;
pub mod disarm;
pub mod fail;
pub mod files;
pub mod git;
pub mod glob;
pub mod guard;
pub mod hang;
pub mod host;
pub mod interrupt;
pub mod left;
pub mod limits;
pub mod netlink;
pub mod process;
pub mod protocol;
pub mod stage;
pub mod sys;
pub mod ui;
#[cfg(target_os = "linux")]
pub mod xattr;
