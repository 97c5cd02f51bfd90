//! Reports for programs: real runs, read as CI services read them.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests run programs")]

mod common;

use std::path::Path;
use std::process::Command;

use common::{Run, Scratch};

/// Checks that start no machine, so that they take no time.
fn scratch() -> Scratch {
    let scratch = Scratch::new();
    std::fs::remove_file(scratch.root.join("checks/simple.py")).unwrap();
    scratch
        .check("good", "with subtest('one'):\n    pass\nwith subtest('two & \"three\" \\x1b[31m\\x07'):\n    pass\n");
    scratch.check("bad", "with subtest('outer'):\n    with subtest('inner'):\n        assert 1 == 2, 'not <equal>'\n");
    let counter = scratch.root.join("counter");
    scratch.check(
        "flaky",
        &format!(
            "import os\nif not os.path.exists({counter:?}):\n    open({counter:?}, 'w').close()\n    raise Exception('first')\n"
        ),
    );
    scratch.check("vm", "");
    scratch.write("checks/vm.toml", "backends = [\"nixos\", \"driver\"]\n");
    scratch
}

const SANDBOX: [&str; 3] = ["test", "--backend", "sandbox"];

/// `suite / case / children` of each case of a report that keeps to the rules.
fn cases(path: &Path) -> String {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts/junit_rules.py");
    Run::of(&Command::new("python3").arg(rules).arg(path).output().unwrap()).expect(0, &[]).stdout
}

#[test]
fn junit_tells_what_the_run_told() {
    let scratch = scratch();
    let run = scratch
        .xtask(&[&SANDBOX[..], &["--junit", "new/junit.xml", "--no-fail-fast", "--retries", "1", "-j1"]].concat());
    run.expect(1, &["1 flaky"]);
    let path = scratch.root.join("new/junit.xml");
    assert_eq!(
        cases(&path),
        "bad / outer / failure\n\
         bad / inner / failure\n\
         bad / bad.py / failure rerunFailure system-out\n\
         flaky / flaky.py / flakyFailure system-out\n\
         good / one / \n\
         good / two & \"three\" \u{fffd}[31m\u{fffd} / \n\
         good / good.py / system-out\n\
         vm / vm / skipped\n"
    );
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains("type=\"AssertionError\" message=\"not &lt;equal&gt;\""), "{text}");
    assert!(text.contains("at checks/bad.py:3: assert 1 == 2"), "{text}");
    assert_eq!(std::fs::read_dir(scratch.root.join("new")).unwrap().count(), 1, "nothing beside it");
}

#[test]
fn what_did_not_run_is_skipped_in_junit() {
    let scratch = scratch();
    let path = scratch.root.join("junit.xml");
    scratch.xtask(&[&SANDBOX[..], &["-j1", "bad", "good", "--junit", path.to_str().unwrap()]].concat()).expect(1, &[]);
    assert!(cases(&path).ends_with("good / good / skipped\n"), "{}", cases(&path));
}

#[test]
fn a_report_that_cannot_be_written_stops_the_run_before_it_begins() {
    let scratch = scratch();
    scratch.write("file", "");
    let run = scratch.xtask(&[&SANDBOX[..], &["good", "--junit", "file/junit.xml"]].concat());
    run.expect(5, &["error: cannot write the JUnit report file/junit.xml: ", "hint: "]);
    assert!(!scratch.root.join("target/checks").exists());
}
