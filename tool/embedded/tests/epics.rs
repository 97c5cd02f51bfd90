//! What C EPICS answers, and the soft IOC: the cases of tests/epics, each with what C did, and a list of accepted differences.
//! Runs for minutes, so only with `XTASK_SLOW_TESTS=1`.

#![expect(clippy::print_stderr, reason = "a test stops where it fails")]

mod common;

use std::process::Command;

#[test]
fn answers_are_those_of_c_but_for_the_accepted_differences() {
    if std::env::var_os("XTASK_SLOW_TESTS").is_none() {
        eprintln!("skipped: XTASK_SLOW_TESTS is not set");
        return;
    }
    let programs = common::program("");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/epics/run.py");
    let output = Command::new("python3").args(["-B", script]).arg(programs).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    eprintln!("{said}");
}
