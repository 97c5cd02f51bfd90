//! Many machines and many runs, one after the other: nothing of them is left.
//!
//! `XTASK_CYCLES` sets how many; the default keeps CI quick.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests run programs")]

mod common;

use std::fs;
use std::process::Command;

use common::{Run, Scratch};

/// Namespaces of each kind that may be there at a time. The kernel frees those of networks some time after their end.
const NAMESPACES: u32 = 40;

fn cycles(default: u32) -> u32 {
    std::env::var("XTASK_CYCLES").map_or(default, |text| text.parse().unwrap())
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
