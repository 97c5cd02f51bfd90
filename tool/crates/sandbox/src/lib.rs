//! A run in machines made of Linux namespaces: the root file system, the network and the users of each, and the stages
//! between xtask and PID 1 of a machine. It takes a [`spec::Spec`] and knows neither IOCs, nor checks, nor why a host
//! forbids namespaces.
//!
//! ```text
//! xtask                 `run`: starts a run, waits for it
//!  └ sandbox-cage       `cage`: new user, mount and PID namespaces
//!     └ sandbox-keeper  `keeper`: PID 1 of the run
//!        ├ python3      the test driver, tool/driver
//!        └ sandbox-init  crate init: PID 1 of one machine, in the root file system of `rootfs`
//! ```

pub mod accounts;
pub mod cage;
mod console;
pub mod enter;
pub mod keeper;
mod kernel;
mod machine;
mod mounts;
mod network;
pub mod recorder;
pub mod rootfs;
pub mod run;
pub mod spec;
mod userns;

use std::process::Command;

use tool_base::process::Cmd;
use tool_base::sys;

/// What programs on a machine are told of the terminal they run on.
const PASSED: [&str; 4] = ["TERM", "COLORTERM", "LANG", "NO_COLOR"];

/// What a prompt of a machine's shell looks like.
const PROMPT: (&str, &str) = ("PS1", r"[root@\h:\w]# ");

/// A command on the caller's terminal, as root of a machine would run it.
fn as_root(cmd: &Cmd) -> Command {
    let mut command = cmd.to_std();
    sys::interruptible(dress(&mut command));
    command
}

/// Environment and folder of a command of root's.
fn dress(command: &mut Command) -> &mut Command {
    let passed = PASSED.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    command.env_clear().envs(passed).envs([("HOME", "/root"), ("USER", "root"), ("PATH", rootfs::PATH)]);
    command.current_dir("/root")
}

/// An interactive root shell, as a machine's console gives it.
fn shell() -> Cmd {
    Cmd::new("/bin/bash").args(["--rcfile", "/etc/profile", "-i"])
}
