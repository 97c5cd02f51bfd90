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
pub mod host;
pub mod init;
mod machine;
pub mod netlink;
mod network;
pub mod rootfs;
pub mod run;
pub mod spec;
pub mod start;
pub mod sys;
pub mod units;
mod userns;

use std::process::Command;

use crate::process::Cmd;

/// An interactive root shell, as a machine's console gives it.
fn shell_command() -> Command {
    let mut command = Cmd::new("/bin/bash")
        .args(["--norc", "-i"])
        .env("HOME", "/root")
        .env("USER", "root")
        .env("PATH", rootfs::PATH)
        .env("PS1", r"[root@\h:\w]# ")
        .cwd("/root")
        .to_std();
    command.env_remove("PWD");
    sys::interruptible(&mut command);
    command
}
