//! What editors and their programs make of a project: pyright, ty, mypy and ruff find nothing in checks that are right, and know
//! the names of scripts. `.ci/run` installs them below target/ci-tools; without one of them its part is left out.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Run, Scratch, copy, executable, git};

/// A project with all that editors read, and a second check with machines of its own.
fn project() -> Scratch {
    let scratch = Scratch::new();
    for part in ["pyproject.toml", "checks/__builtins__.pyi"] {
        copy(&shipped(part), &scratch.root.join(part));
    }
    scratch.write("checks/pair.toml", "[nodes.ioc]\n[nodes.my-client]\nioc = false\nvlans = [1, 7]\n");
    scratch
        .check("pair", "my_client.succeed(\"true\")\nioc.start(allow_reboot=True)\nprint(vlan7.nr)\nlog.info(\"x\")\n");
    scratch
}

/// A file of the user's.
fn shipped(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("template").join(part)
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
    let tasks = shipped(".vscode/tasks.json");
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

/// The container's image comes from a registry and needs a daemon, neither of which tests have: the program of dev containers reads
/// the file, and what it would give to docker is what doctor tells people to give.
#[test]
fn a_dev_container_may_make_machines() {
    let Some(program) = installed("devcontainer") else { return };
    let scratch = Scratch::new();
    copy(&shipped(".devcontainer"), &scratch.root.join(".devcontainer"));
    let mut read = Command::new(program);
    read.args(["read-configuration", "--docker-path", "true", "--workspace-folder"]).arg(&scratch.root);
    let run = Run::of(&read.output().unwrap()).expect(0, &[]);
    let read: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let own = &read["configuration"];
    let given: Vec<&str> = own["runArgs"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
    let doctor = std::fs::read_to_string(shipped("../docs/errors.md")).unwrap();
    let told = format!("docker run {} …", given.join(" ").replace("--security-opt=", "--security-opt "));
    assert!(doctor.contains(&told), "doctor does not tell {told}");
    assert_eq!(
        (own["image"].as_str(), own["postCreateCommand"].as_str()),
        (Some("rust:1"), Some("cargo xtask test simple"))
    );
}

/// Nix is a stand-in: no flake can be fetched here.
#[test]
fn direnv_enters_the_shell_of_nix_where_nix_is() {
    // Where the programs come from that it is given below.
    if !Path::new("/usr/bin/direnv").is_file() {
        return common::skipped("no /usr/bin/direnv; .ci/run installs it");
    }
    let scratch = Scratch::new();
    copy(&shipped(".envrc"), &scratch.root.join(".envrc"));
    let bin = scratch.scratch_dir().join("bin");
    let direnv = |args: &[&str]| {
        let mut direnv = Command::new("direnv");
        scratch.environment(&mut direnv);
        direnv.args(args).env("HOME", scratch.scratch_dir()).env("PATH", &bin);
        Run::of(&direnv.output().unwrap()).expect(0, &[]).stdout
    };
    // All programs but Nix.
    std::fs::create_dir(&bin).unwrap();
    for program in std::fs::read_dir("/usr/bin").unwrap().map(|entry| entry.unwrap().path()) {
        if !program.ends_with("nix") {
            std::os::unix::fs::symlink(&program, bin.join(program.file_name().unwrap())).unwrap();
        }
    }
    direnv(&["allow"]);
    assert_eq!(direnv(&["exec", ".", "sh", "-c", "echo ${SHELL_OF-none}"]), "none\n");
    let nix = "#!/bin/sh\ncase \" $* \" in *' print-dev-env '*) echo \"export SHELL_OF='$*'\" ;; esac\n";
    executable(&bin.join("nix"), nix);
    let entered = direnv(&["exec", ".", "sh", "-c", "echo $SHELL_OF"]);
    assert!(entered.contains("print-dev-env"), "{entered}");
}

/// `cargo` is a stand-in that runs the real xtask, as the tests' project has no workspace.
#[test]
fn pre_commit_refuses_what_lint_finds() {
    let Some(program) = installed("pre-commit") else { return };
    let scratch = project();
    copy(&shipped(".pre-commit-config.yaml"), &scratch.root.join(".pre-commit-config.yaml"));
    scratch.write(".gitignore", "target\n");
    let bin = scratch.scratch_dir().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let cargo = format!("#!/bin/sh\nshift\nexec '{}' \"$@\"\n", env!("CARGO_BIN_EXE_foreign"));
    executable(&bin.join("cargo"), &cargo);
    git(&scratch.root, &["init", "-q"]);
    let run = |program: &Path, args: &[&str]| {
        let mut command = Command::new(program);
        scratch.environment(&mut command);
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        command.args(args).env("HOME", scratch.scratch_dir()).env("PATH", path);
        Run::of(&command.output().unwrap())
    };
    run(&program, &["install"]).expect(0, &[]);
    let commit = || {
        git(&scratch.root, &["add", "."]);
        run(Path::new("git"), &["-c", "user.name=me", "-c", "user.email=me@localhost", "commit", "-qm", "one"])
    };
    scratch.check("wrong", "machne.start()\n");
    commit().expect(1, &["cargo xtask lint", "Failed", "checks/wrong.py:1"]);
    scratch.check("wrong", "machine.start()\n");
    commit().expect(0, &["Passed"]);
}
