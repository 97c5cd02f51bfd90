//! What editors and their programs make of a project: pyright, ty, mypy and ruff find nothing in checks that are right, and know
//! the names of scripts. `.ci/run` installs them below target/ci-tools; without one of them its part is left out.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Run, Scratch, copy};

/// A project with all that editors read, and a second check with machines of its own.
fn project() -> Scratch {
    let scratch = Scratch::new();
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("template");
    for part in ["pyproject.toml", "checks/__builtins__.pyi"] {
        copy(&template.join(part), &scratch.root.join(part));
    }
    scratch.write("checks/pair.toml", "[nodes.ioc]\n[nodes.my-client]\nioc = false\nvlans = [1, 7]\n");
    scratch
        .check("pair", "my_client.succeed(\"true\")\nioc.start(allow_reboot=True)\nprint(vlan7.nr)\nlog.info(\"x\")\n");
    scratch
}

/// Where `.ci/run` has put a program.
fn installed(name: &str) -> Option<PathBuf> {
    let tools = Path::new(env!("CARGO_BIN_EXE_foreign")).ancestors().nth(2).unwrap().join("ci-tools");
    let found =
        ["bin", "node_modules/.bin"].map(|folder| tools.join(folder).join(name)).into_iter().find(|p| p.exists());
    if found.is_none() {
        common::skipped(&format!("no {name} in target/ci-tools; .ci/run installs it"));
    }
    found
}

#[test]
fn the_names_of_scripts_follow_the_checks() {
    let scratch = project();
    let names = || std::fs::read_to_string(scratch.root.join("checks/__builtins__.pyi")).unwrap();
    scratch.xtask(&["lint"]).expect(0, &[]);
    for name in ["ioc: QemuMachine", "machine: QemuMachine", "my_client: QemuMachine", "vlan1: _Vlan", "vlan7: _Vlan"] {
        assert!(names().lines().any(|line| line == name), "no {name} in {}", names());
    }
    scratch.xtask(&["new-check", "third", "--from", "pair"]).expect(0, &[]);
    std::fs::remove_file(scratch.root.join("checks/pair.toml")).unwrap();
    std::fs::remove_file(scratch.root.join("checks/third.toml")).unwrap();
    scratch.xtask(&["new-check", "fourth"]).expect(0, &[]);
    assert!(!names().contains("my_client"), "{}", names());
    // Who removes the file wants none.
    std::fs::remove_file(scratch.root.join("checks/__builtins__.pyi")).unwrap();
    scratch.xtask(&["lint", "--backend", "nixos"]);
    assert!(!scratch.root.join("checks/__builtins__.pyi").exists());
}

#[test]
fn programs_of_editors_find_what_is_wrong_and_nothing_else() {
    let scratch = project();
    scratch.xtask(&["lint"]).expect(0, &[]);
    let right = std::fs::read_to_string(scratch.root.join("checks/simple.py")).unwrap();
    let all = [("pyright", vec![]), ("ty", vec!["check"]), ("mypy", vec![]), ("ruff", vec!["check"])];
    for (name, args) in all {
        let Some(program) = installed(name) else { continue };
        let run = || {
            let mut command = Command::new(&program);
            Run::of(&command.args(&args).current_dir(&scratch.root).env("NO_COLOR", "1").output().unwrap())
        };
        run().expect(0, &[]);
        scratch.write(
            "checks/simple.py",
            &format!("{right}\nimport json\nnumber: int = \"a\"\nmachine.wait_for_units(\"ioc\")\nmachne.start()\n"),
        );
        let wrong = run();
        assert_eq!(wrong.code, Some(1), "{name}: {}{}", wrong.stdout, wrong.stderr);
        let finds = match name {
            "pyright" | "ty" => vec!["wait_for_units", "machne"],
            "ruff" => vec!["json"],
            _ => vec!["\"int\""],
        };
        for what in finds {
            assert!(wrong.stdout.contains(what), "{name} does not find {what}: {}", wrong.stdout);
        }
        scratch.write("checks/simple.py", &right);
    }
}

/// Finds a pattern of .vscode/tasks.json in what a command says, as VS Code does.
const MATCH: &str = r#"
import json, re, sys
from pathlib import Path
tasks = json.loads(Path(sys.argv[1]).read_text())["tasks"]
pattern = next(t for t in tasks if t["label"] == sys.argv[2])["problemMatcher"]["pattern"]
found = [m for m in map(re.compile(pattern["regexp"]).match, sys.stdin.read().splitlines()) if m]
print(*(f"{m[pattern['file']]}|{m[pattern['line']]}" for m in found))
"#;

#[test]
fn tasks_of_vs_code_lead_to_the_place() {
    use std::io::Write;
    let tasks = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("template/.vscode/tasks.json");
    let scratch = Scratch::new();
    let places = |task: &str, said: &str| {
        let mut python = Command::new("python3");
        python.args(["-c", MATCH, tasks.to_str().unwrap(), task]);
        let mut child =
            python.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(said.as_bytes()).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap().trim().to_owned()
    };
    scratch.check("bad", "start_all()\nmachne.start()\n");
    assert_eq!(places("lint", &scratch.xtask(&["lint"]).stdout), "checks/bad.py|2");
    scratch.check("bad", "with subtest(\"one\"):\n    machine.succeed(\"false\")\n");
    assert_eq!(places("test", &scratch.xtask(&["test", "bad", "--backend", "sandbox"]).stderr), "checks/bad.py|2");
}
