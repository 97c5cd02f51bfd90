//! Many machines and many runs, one after the other: nothing of them is left.
//!
//! `XTASK_CYCLES` sets how many; the default keeps CI quick, and `XTASK_SLOW_TESTS=1` has ten times as many.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests run programs")]

#[path = "common/aim.rs"]
mod aim;
mod common;

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};

use aim::{Victim, kill_at_fork};
use common::{Run, Scratch};

/// Namespaces of each kind that may be there at a time. The kernel frees those of networks some time after their end.
const NAMESPACES: u32 = 40;

fn cycles(default: u32) -> u32 {
    let many = || u64::from(default) * if common::slow() { 10 } else { 1 };
    common::dice::number("XTASK_CYCLES", many).try_into().unwrap()
}

/// Runs a shell command in a user namespace where the kernel refuses more than a few namespaces (namespaces(7)): a
/// leak of one in each cycle fails.
fn with_few_namespaces(scratch: &Scratch, command: &str) -> Run {
    let limit = format!(
        "for kind in user mnt pid net uts ipc; do echo {NAMESPACES} > /proc/sys/user/max_${{kind}}_namespaces; done"
    );
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--mount", "sh", "-ec", &format!("{limit}\n{command}")]);
    scratch.environment(&mut unshare);
    unshare.env("XTASK", env!("CARGO_BIN_EXE_foreign"));
    Run::of(&unshare.output().unwrap())
}

#[test]
fn machines_leave_nothing_in_their_run() {
    let scratch = Scratch::new();
    let cycles = cycles(300);
    scratch.write("cycles.py", &format!("CYCLES = {cycles}\n{}", include_str!("scripts/cycles.py")));
    with_few_namespaces(&scratch, "exec \"$XTASK\" driver -o . cycles.py").expect(0, &["test script finished"]);
}

#[test]
fn runs_leave_nothing_on_the_host() {
    let scratch = Scratch::new();
    let cycles = cycles(50);
    scratch.write("one.py", "machine.succeed('sleep 1000 >/dev/null 2>&1 &')\n");
    let run = format!("i=0\nwhile [ $i -lt {cycles} ]; do \"$XTASK\" driver -o . one.py; i=$((i + 1)); done");
    fs::create_dir(scratch.root.join("tmp")).unwrap();
    with_few_namespaces(&scratch, &format!("export TMPDIR=$PWD/tmp\n{run}")).expect(0, &["test script finished"]);
    assert_eq!(fs::read_dir(scratch.root.join("tmp")).unwrap().count(), 0);
    let ours = scratch.root.to_str().unwrap();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&ours.replace(' ', "\\040")), "{mounts}");
    let left: Vec<String> = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok())
        .filter(|line| line.contains(ours))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// As an ordinary user, or as whoever runs the tests.
fn command(scratch: &Scratch, ordinary: bool, words: &[&str]) -> Command {
    if !ordinary {
        return scratch.command(words);
    }
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-user=1000", "--map-group=1000", env!("CARGO_BIN_EXE_foreign")]).args(words);
    scratch.environment(&mut unshare);
    unshare
}

/// From the first child of xtask to the IOC.
fn kill_at_each_fork(mode: &[&str], last: usize) {
    let scratch = Scratch::new();
    scratch.check("short", "machine.start()\nmachine.wait_for_unit('ioc.service')\n");
    for ordinary in [false, true] {
        for victim in [Victim::Top, Victim::Parent] {
            for nth in 1..=last {
                assert!(kill_at_fork(&mut command(&scratch, ordinary, mode), nth, victim), "{mode:?}: {nth}");
            }
        }
    }
}

#[test]
fn killed_at_a_fork_of_a_check() {
    kill_at_each_fork(&["test", "short", "--no-lint"], 7);
}

#[test]
fn killed_at_a_fork_of_a_run() {
    kill_at_each_fork(&["run", "--ioc", "embedded"], 7);
}

#[test]
fn killed_at_a_fork_at_the_prompt() {
    kill_at_each_fork(&["interactive", "short"], 7);
}

#[test]
fn killed_at_the_fork_of_a_command_on_a_machine() {
    let scratch = Scratch::new();
    let mut session = scratch.command(&["run", "--ioc", "embedded"]);
    let mut session = session.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // The IOC has started, so the machine has.
    session.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
    let mut exec = scratch.command(&["exec", "sleep", "1000"]);
    assert!(kill_at_fork(&mut exec, 1, Victim::Top));
    drop(session.stdin.take());
    session.wait().unwrap();
}
