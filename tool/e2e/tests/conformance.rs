//! The cases in `conformance/`: small scripts, and what nixpkgs' test driver did with them on a virtual machine. Its README.md
//! tells of them; its programs `run` and `compare` do the work.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use tool_base::process::{Cmd, quote};

/// Cases that differ from the recorded driver on purpose, each with the reason. tool/docs/checks.md lists them.
const DELIBERATE: [(&str, &str); 1] = [(
    "fatal-caught",
    "a failure of wait_until_succeeds and the like is RequestedAssertionFailed, as in NixOS 26.05; the recorded driver is of early 2025",
)];

/// Drivers at a time. Most of them wait; the longest case waits for a minute.
const JOBS: &str = "12";

#[test]
fn all_cases_agree_but_deliberate_differences() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let scratch = tempfile::tempdir().unwrap();
    let [work, target, results] = ["work", "target", "results.json"].map(|name| scratch.path().join(name));
    let word = |path: &Path| quote(path.as_os_str());
    let driver = format!(
        "{} driver --units {} --path {} --timeout {{timeout}} -o {{out}} {{script}}",
        word(Path::new(env!("CARGO_BIN_EXE_foreign"))),
        word(&cases.join("guest/units")),
        word(&cases.join("guest/bin"))
    );
    let run = Cmd::new(cases.join("run")).args(["--driver-command", &driver, "--jobs", JOBS]);
    // Each driver leaves a folder of results in target/. Python leaves nothing beside its sources.
    let run = run.arg("--work").arg(&work).arg("-o").arg(&results).env("CARGO_TARGET_DIR", &target);
    run.env("PYTHONDONTWRITEBYTECODE", "1").read().unwrap();
    let verdicts = Cmd::new(cases.join("compare")).arg(&results).read().unwrap();
    let verdicts: Value = serde_json::from_str(&verdicts).unwrap();
    assert_eq!(verdicts["compared"], std::fs::read_dir(cases.join("cases")).unwrap().count());
    let wrong = verdicts["differs"].as_object().unwrap();
    let differ: BTreeSet<&str> = wrong.keys().map(String::as_str).collect();
    assert_eq!(differ, DELIBERATE.iter().map(|(name, _)| *name).collect(), "{wrong:#?}");
}

#[test]
fn the_docs_list_the_deliberate_differences() {
    let docs = include_str!("../../docs/checks.md");
    for (name, _) in DELIBERATE {
        assert!(docs.contains(&format!("`{name}`")), "tool/docs/checks.md does not name {name}");
    }
}
