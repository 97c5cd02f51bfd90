//! The page of a run as a person uses it: in a real browser, without a network. `.ci/run` installs Chromium, and what drives and
//! judges it below target/ci-tools; without them the test says so and does nothing.
#![expect(clippy::disallowed_methods, reason = "tests")]

mod common;

use std::path::Path;
use std::process::Command;

use common::{Run, Scratch};

/// A record that the script names, one that follows it into alarm, and one that changes all the time.
const RECORDS: &str = r#"
record(ao, "LEVEL") { field(EGU, "V") }
record(calc, "TWICE") { field(INPA, "LEVEL CP") field(CALC, "A*2") field(HIGH, "50") field(HSV, "MINOR") }
record(calc, "NOISE") { field(SCAN, ".1 second") field(CALC, "VAL+1") }
"#;

/// Each value is one that the recorder has seen, so two runs of it differ where they should.
const SCRIPT: &str = r#"
import time

def recorded(pv, value):
    while f'"pv":"{pv}","value":{value},' not in open(RECORDING).read():
        time.sleep(0.02)

machine.start()
with subtest("the IOC serves"):
    machine.wait_for_unit("ioc.service")
    recorded("LEVEL", 0)

with subtest("the level rises"):
    for level in LEVELS:
        machine.succeed(f"caput -w 60 -c LEVEL {level}")
        recorded("LEVEL", level)
        recorded("TWICE", 2 * level)
"#;

const FAILS: &str = r#"
with subtest("files are left"):
    machine.succeed("mkdir /tmp/left && echo 'a voltage' > /tmp/left/small && head -c 300000 /dev/zero > /tmp/left/large")
    machine.copy_from_machine("/tmp/left")

with subtest("the simulator answers"):
    machine.systemctl("stop simulator.service")
    machine.wait_for_unit("simulator.service")
"#;

#[test]
fn a_failure_is_understood_in_a_browser() {
    let tools = Path::new(env!("CARGO_BIN_EXE_foreign")).ancestors().nth(2).unwrap().join("ci-tools/node_modules");
    let chromium = Command::new("sh").args(["-c", "command -v chromium"]).output().unwrap();
    let chromium = String::from_utf8(chromium.stdout).unwrap();
    if chromium.is_empty() || ["playwright-core", "axe-core"].iter().any(|name| !tools.join(name).exists()) {
        return common::skipped(
            "the page in a browser: no chromium, or no playwright-core and axe-core in target/ci-tools",
        );
    }
    let scratch = Scratch::new();
    scratch.edit("ioc/exampleApp/Db/example.db", "# Voltage\n", RECORDS);
    let script = |levels: &str, rest: &str| {
        let recording = scratch.root.join("target/checks/latest/ramp/record/machine.jsonl");
        scratch.check("ramp", &format!("RECORDING = {recording:?}\nLEVELS = {levels}\n{SCRIPT}{rest}"));
    };
    script("[7, 12]", "");
    scratch.xtask(&["test", "ramp", "--backend", "sandbox"]).expect(0, &[]);
    script("[7, 12, 42]", FAILS);
    scratch
        .xtask(&["test", "ramp", "simple", "--no-fail-fast", "--backend", "sandbox"])
        .expect(1, &["1 passed, 1 failed"]);
    let page = scratch.xtask(&["report"]).expect(0, &[]).stdout;
    let look = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts/page.cjs");
    let mut node = Command::new("node");
    node.arg(look).args([chromium.trim(), page.trim()]).env("NODE_PATH", tools);
    Run::of(&node.output().unwrap()).expect(0, &[]);
}
