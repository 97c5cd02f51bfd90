//! The sandbox: a machine made of Linux namespaces, for hosts without Nix and KVM.
//!
//! ```text
//! xtask                 `run`: starts a run, waits for it
//!  └ sandbox-cage       `cage`: new user, mount and PID namespaces
//!     └ sandbox-host    `host`: PID 1 of the run
//!        ├ python3      the test driver, xtask/driver
//!        └ sandbox-init `init`: PID 1 of one machine, in the root file system of `rootfs`
//! ```

pub mod accounts;
pub mod applets;
pub mod cage;
pub mod cgroups;
mod console;
pub mod enter;
pub mod host;
pub mod init;
mod machine;
pub mod netlink;
mod network;
pub mod recorder;
pub mod rootfs;
pub mod run;
pub mod spec;
pub mod start;
pub mod sys;
pub mod units;
mod userns;

use std::process::Command;

use crate::process::Cmd;

/// What programs on a machine are told of the terminal they run on.
const PASSED: [&str; 4] = ["TERM", "COLORTERM", "LANG", "NO_COLOR"];

/// A command on the caller's terminal, as root of a machine would run it.
fn as_root(cmd: &Cmd) -> Command {
    let passed = PASSED.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let mut command = cmd.to_std();
    command.env_clear().envs(passed).envs([("HOME", "/root"), ("USER", "root"), ("PATH", rootfs::PATH)]);
    command.current_dir("/root");
    sys::interruptible(&mut command);
    command
}

/// An interactive root shell, as a machine's console gives it.
fn shell_command() -> Command {
    let mut command = as_root(&Cmd::new("/bin/bash").args(["--norc", "-i"]));
    command.env("PS1", r"[root@\h:\w]# ");
    command
}
