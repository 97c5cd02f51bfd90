//! Selection of checks: what would run, and what a run makes of it.

mod common;

use common::{Run, Scratch, git};

fn scratch() -> Scratch {
    let scratch = Scratch::new();
    for name in ["ramp", "slope"] {
        scratch.check(name, "");
    }
    scratch.write("checks/ramp.toml", "tags = [\"slow\", \"psu\"]\n");
    scratch.write("checks/slope.toml", "tags = [\"psu\"]\nbackends = [\"nixos\"]\n");
    scratch
}

fn listed(scratch: &Scratch, args: &[&str]) -> Run {
    scratch.xtask(&[&["list"], args].concat())
}

#[test]
fn tags_choose_and_leave_out() {
    let scratch = scratch();
    assert_eq!(listed(&scratch, &["--tag", "psu"]).stdout, "ramp\nslope\n");
    assert_eq!(listed(&scratch, &["--tag", "psu", "--skip-tag", "slow"]).stdout, "slope\n");
    assert_eq!(listed(&scratch, &["--tag", "psu", "r*"]).stdout, "ramp\n");
    assert_eq!(listed(&scratch, &["--skip-tag", "psu"]).stdout, "simple\n");
    listed(&scratch, &["--tag", "slwo"]).expect(4, &["no check has the tag `slwo`", "did you mean `--tag slow`?"]);
    listed(&scratch, &["--tag", "slow", "simple"]).expect(4, &["no check of this selection has the tags"]);
    let json: serde_json::Value = serde_json::from_str(&listed(&scratch, &["--json", "--tag", "slow"]).stdout).unwrap();
    assert_eq!(json[0]["tags"][1], "psu");
}

#[test]
fn a_check_for_other_backends_is_skipped_unless_it_was_named() {
    let scratch = scratch();
    let sandbox = |args: &[&str]| scratch.xtask(&[&["test", "--backend", "sandbox"], args].concat());
    assert_eq!(sandbox(&["--list"]).expect(0, &[]).stdout, "ramp\nsimple\n");
    assert_eq!(sandbox(&["--list", "--tag", "psu"]).stdout, "ramp\n");
    sandbox(&["slope"]).expect(
        2,
        &[
            "check `slope` is not meant for the backend sandbox: checks/slope.toml names nixos",
            "hint: cargo xtask test slope --backend nixos",
        ],
    );
    sandbox(&["slo*"]).expect(4, &["none of the chosen checks is meant for sandbox"]);
    scratch.xtask(&["interactive", "slope", "--backend", "sandbox"]).expect(2, &["not meant for the backend sandbox"]);
    sandbox(&["--tag", "psu"]).expect(0, &["1 passed"]);
    let run: serde_json::Value = serde_json::from_str(&scratch.result("run.json")).unwrap();
    assert_eq!(run["summary"]["skipped"][0]["check"], "slope");
    // A job of a pipeline is a NixOS machine.
    for name in ["slope", "ramp"] {
        scratch.write(&format!("checks/{name}.nix"), "");
    }
    scratch.write("checks/ramp.toml", "backends = [\"sandbox\"]\n");
    let matrix: serde_json::Value = serde_json::from_str(&scratch.xtask(&["ci-matrix"]).stdout).unwrap();
    assert_eq!(matrix["include"].as_array().unwrap().len(), 1);
    scratch.write("checks/slope.toml", "\nbackends = [\"nixso\"]\n");
    sandbox(&[]).expect(3, &["checks/slope.toml:2: unknown backend `nixso`", "did you mean `nixos`?"]);
}

#[test]
fn a_change_chooses_what_it_affects() {
    let scratch = scratch();
    let changed = |args: &[&str]| listed(&scratch, &[&["--changed"], args].concat());
    std::fs::write(scratch.root.join(".gitignore"), "/target\n").unwrap();
    git(&scratch.root, &["init", "--quiet", "--initial-branch=main"]);
    git(&scratch.root, &["add", "."]);
    git(&scratch.root, &["commit", "--quiet", "--message", "first"]);
    changed(&[]).expect(4, &["error: nothing changed since main ("]);
    git(&scratch.root, &["switch", "--quiet", "--create", "topic"]);
    scratch.write("README.md", "");
    changed(&[]).expect(4, &["1 file changed since main (", "nothing that these checks depend on"]);
    scratch.write("checks/ramp.py", "pass\n");
    git(&scratch.root, &["commit", "--quiet", "--all", "--message", "second"]);
    scratch.check("new", "");
    assert_eq!(changed(&[]).expect(0, &["3 files changed since main ("]).stdout, "new\nramp\n");
    assert_eq!(changed(&["--tag", "slow"]).stdout, "ramp\n");
    assert_eq!(listed(&scratch, &["--changed=HEAD"]).stdout, "new\n");
    let names = scratch.xtask(&["test", "--list", "--backend", "sandbox", "--changed", "simple"]);
    names.expect(4, &["nothing that these checks depend on"]);
    scratch.edit("ioc.toml", "# The one", "# the one");
    assert_eq!(changed(&[]).expect(0, &["ioc.toml among them"]).stdout, "new\nramp\nsimple\nslope\n");
    listed(&scratch, &["--changed=nowhere"]).expect(2, &["`nowhere` is no commit", "hint: git fetch origin nowhere"]);
    // A pipeline without jobs is an answer.
    git(&scratch.root, &["checkout", "--quiet", "."]);
    scratch.xtask(&["ci-matrix", "--changed=HEAD", "--format", "github"]).expect(0, &[]);
}

#[test]
fn what_failed_is_run_again_until_it_passes() {
    let scratch = scratch();
    scratch.write("checks/slope.toml", "");
    let again = |args: &[&str]| scratch.xtask(&[&["test", "--backend", "sandbox", "--rerun-failed"], args].concat());
    again(&[]).expect(4, &["no run is kept in ", "hint: cargo xtask test"]);
    scratch.check("ramp", "assert False\n");
    scratch.check("simple", "");
    scratch.xtask(&["test", "--backend", "sandbox", "-j1"]).expect(1, &["2 not run"]);
    assert_eq!(again(&["--list"]).expect(0, &["failed or not run in 2"]).stdout, "ramp\nsimple\nslope\n");
    assert_eq!(again(&["--list", "s*"]).stdout, "simple\nslope\n");
    again(&["--no-fail-fast"]).expect(1, &["2 passed, 1 failed"]);
    assert_eq!(again(&["--list"]).stdout, "ramp\n");
    // A run that was killed has told nothing.
    std::fs::create_dir(scratch.root.join("target/checks/99990101T000000Z-1")).unwrap();
    std::fs::write(scratch.root.join("target/checks/99990101T000000Z-1/run.json"), "{\"run\": {\"che").unwrap();
    std::fs::rename(scratch.root.join("checks/ramp.py"), scratch.root.join("checks/incline.py")).unwrap();
    again(&[]).expect(4, &["warning: no longer there, so not run again: ramp", "nothing of this selection failed"]);
    std::fs::rename(scratch.root.join("checks/incline.py"), scratch.root.join("checks/ramp.py")).unwrap();
    scratch.check("ramp", "");
    again(&[]).expect(0, &["1 passed"]);
    again(&[]).expect(4, &["nothing of this selection failed in the last run, 2"]);
}
