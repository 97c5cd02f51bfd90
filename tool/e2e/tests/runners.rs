//! The workflows as shipped, run by runners that people have at hand: act (GitHub) and gitlab-ci-local, on a project that is
//! somebody else's. `.ci/run` installs both below target/ci-tools; without them these tests say so and do nothing.
//!
//! Stand-ins: for KVM, for what installs programs, for other people's actions. Nix, the sandbox and xtask are real.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr, reason = "tests")]

mod common;
#[path = "common/nix.rs"]
#[allow(dead_code, reason = "tests/nix.rs uses the rest")]
mod fixture;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::copy;
use fixture::Fixture;

/// Programs that would change this machine, or that it does not have.
const CARGO: &str = r#"
case "$1 $2" in
"xtask check-kvm") echo "a stand-in for KVM" >&2 ;;
"xtask "*)
    shift
    export CARGO="$0" CARGO_MANIFEST_DIR="$PWD/xtask" CARGO_TARGET_DIR="$PWD/target"
    mkdir -p target && ln -sfn "$EMBEDDED" target/embedded
    exec "$XTASK" "$@"
    ;;
*) echo "cargo $*" >&2 ;;
esac
"#;
/// GitLab's jobs get Rust and Python by `nix develop`, which the fixture's flake has not.
const NIX: &str = r#"
case "$*" in
*" develop --command "*) while [ "$1" != --command ]; do shift; done && shift && exec "$@" ;;
esac
PATH=${PATH#*:} exec nix "$@"
"#;

/// Actions of others: what they are given is noted in `$SEEN`. upload-artifact refuses what GitHub's refuses.
const ACTIONS: [(&str, &str); 3] = [
    (
        "cachix/install-nix-action",
        r#"{name: a, description: a, runs: {using: composite, steps: [{shell: bash, run: 'echo "nix" >> "$SEEN"'}]}}"#,
    ),
    (
        "nix-community/cache-nix-action",
        r#"{name: a, description: a,
            inputs: {primary-key: {description: k, required: true}, restore-prefixes-first-match: {description: p},
              save: {description: s, default: "true"}, lookup-only: {description: l}, gc-max-store-size-linux: {description: g}},
            outputs: {hit-primary-key: {description: h, value: "${{ steps.a.outputs.hit }}"}},
            runs: {using: composite, steps: [{id: a, shell: bash, env: {SAVE: "${{ inputs.save }}", KEY: "${{ inputs.primary-key }}"},
              run: 'echo "cache $KEY save=$SAVE" >> "$SEEN"; echo "hit=${HIT:-false}" >> "$GITHUB_OUTPUT"'}]}}"#,
    ),
    (
        "actions/upload-artifact",
        r#"{name: a, description: a,
            inputs: {name: {description: n}, path: {description: p}, compression-level: {description: c},
              retention-days: {description: r}, if-no-files-found: {description: i}},
            runs: {using: composite, steps: [{if: always(), shell: bash, env: {NAME: "${{ inputs.name }}", FILE: "${{ inputs.path }}"},
              run: 'case "$NAME$FILE" in *[\":\<\>\|\*\?]*) exit 1 ;; esac; [ ! -f "$FILE" ] || cp "$FILE" "$ARTIFACTS/$NAME"'}]}}"#,
    ),
];

/// A check that keeps files with names that no artifact may have.
const KEEPS: &str = r#"machine.succeed("mkdir -p /tmp/out && echo 42 > /tmp/out/LAB1:VOLT.txt && echo 1 > /tmp/out/.hidden")
machine.copy_from_machine("/tmp/out")
"#;

struct Runner {
    fixture: Fixture,
    tools: PathBuf,
}

impl Runner {
    /// `None`, and a loud word, where a runner or Nix is missing.
    fn new(program: &str) -> Option<Self> {
        let target = Path::new(env!("CARGO_BIN_EXE_foreign")).ancestors().nth(2).unwrap();
        let tools = target.join("ci-tools");
        if !tools.join(program).exists() {
            eprintln!("SKIPPED: no {program} in {}: .ci/run installs it", tools.display());
            return None;
        }
        let fixture = Fixture::new()?;
        let tool = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let root = &fixture.root;
        fs::copy(root.join("checks/good.nix"), root.join("good")).unwrap();
        for gone in ["checks", "ioc"] {
            fs::remove_dir_all(root.join(gone)).unwrap();
        }
        for part in ["ioc", "ioc.toml", ".github", ".gitlab-ci.yml"] {
            copy(&tool.join("template").join(part), &root.join(part));
        }
        for part in ["ci", "driver"] {
            copy(&tool.join(part), &root.join("tool").join(part));
        }
        fixture.write(".gitignore", "target/\n.gitlab-ci-local/\nchecks.yml\n");
        for (action, text) in ACTIONS {
            let dir = fixture.dir.path().join("actions").join(action);
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("action.yml"), text).unwrap();
        }
        let bin = fixture.dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let nothing = ["sudo", "rustup", "pipx", "apt-get"].map(|name| (name, "echo \"${0##*/} $*\" >&2\n"));
        for (name, text) in [("cargo", CARGO), ("nix", NIX)].into_iter().chain(nothing) {
            fs::write(bin.join(name), format!("#!/bin/sh\n{text}")).unwrap();
            fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::create_dir(fixture.dir.path().join("artifacts")).unwrap();
        let runner = Self { fixture, tools };
        runner.check("level", KEEPS);
        Some(runner)
    }

    /// A check that passes by Nix.
    fn check(&self, name: &str, script: &str) {
        let root = &self.fixture.root;
        fs::create_dir_all(root.join("checks")).unwrap();
        fs::copy(root.join("good"), root.join(format!("checks/{name}.nix"))).unwrap();
        self.fixture.write(&format!("checks/{name}.py"), script);
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        let git: [&[&str]; 3] = [
            &["add", "-A"],
            &["-c", "user.name=me", "-c", "user.email=me@example.org", "commit", "-qm", "theirs"],
            &["branch", "-M", "main"],
        ];
        for args in git {
            self.fixture.git(args);
        }
        let like = self.fixture.command(&[]);
        let place = |name: &str| self.fixture.dir.path().join(name);
        let mut path = place("bin").into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap());
        let mut command = Command::new(self.tools.join(program));
        command.args(args).current_dir(&self.fixture.root).env_clear();
        command.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let embedded = self.tools.parent().unwrap().join("embedded");
        command
            .env("PATH", path)
            .env("XTASK", env!("CARGO_BIN_EXE_foreign"))
            .env("EMBEDDED", embedded)
            .env("SEEN", place("seen"))
            .env("ARTIFACTS", place("artifacts"))
            // The features that GitHub's machines give to builders.
            .env(
                "NIX_CONFIG",
                "build-users-group =\nsandbox = false\nsubstituters =\nsystem-features = nixos-test kvm\n",
            )
            .stdin(Stdio::null());
        command
    }

    fn act(&self, args: &[&str]) -> Command {
        let mut command = self.command("bin/act", &["push", "-W", ".github/workflows/ci.yml", "--action-offline-mode"]);
        command.args(["--pull=false", "-P", "ubuntu-24.04=-self-hosted", "-P", "ubuntu-slim=-self-hosted"]);
        for action in uses(&self.fixture.root) {
            let name = action.split('@').next().unwrap();
            if ACTIONS.iter().any(|(known, _)| *known == name) {
                let dir = self.fixture.dir.path().join("actions").join(name);
                command.arg("--local-repository").arg(format!("{action}={}", dir.display()));
            }
        }
        command.args(args);
        command
    }

    fn seen(&self) -> String {
        fs::read_to_string(self.fixture.dir.path().join("seen")).unwrap_or_default()
    }

    /// Names of the files in an artifact.
    fn artifact(&self, name: &str) -> String {
        let file = self.fixture.dir.path().join("artifacts").join(name);
        let list = Command::new("tar").arg("-tzf").arg(&file).output().unwrap();
        assert!(list.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&list.stderr));
        String::from_utf8(list.stdout).unwrap()
    }
}

/// Other people's actions that the workflow comes to.
fn uses(root: &Path) -> BTreeSet<String> {
    let files = walkdir::WalkDir::new(root.join("tool/ci/github")).into_iter().map(|entry| entry.unwrap().into_path());
    let texts = files.filter(|path| path.is_file()).map(|path| fs::read_to_string(path).unwrap());
    let lines: Vec<String> = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    lines.iter().filter_map(|line| Some(line.split_once("uses: ")?.1.split(' ').next()?.to_owned())).collect()
}

/// How each job has ended, by what act says.
fn jobs(text: &str) -> BTreeSet<(String, bool)> {
    let job = |line: &str| {
        let name = line.strip_prefix("[ci/")?.split(']').next()?.trim().to_owned();
        let ended = |how| line.trim_end().ends_with(how);
        (ended("Job succeeded") || ended("Job failed")).then(|| (name, ended("Job succeeded")))
    };
    text.lines().filter_map(job).collect()
}

fn ended(list: &[(&str, bool)]) -> BTreeSet<(String, bool)> {
    list.iter().map(|(name, how)| ((*name).to_owned(), *how)).collect()
}

const SANDBOX: &str = "checks in the sandbox, without Nix";
const BUILD: &str = "build for NixOS machines";

#[test]
fn github_builds_once_runs_all_and_keeps_everything() {
    let Some(runner) = Runner::new("bin/act") else { return };
    let output = runner.act(&[]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let row = "level (x86_64-linux)";
    assert_eq!(jobs(&text), ended(&[(SANDBOX, true), (BUILD, true), (row, true), ("gate", true)]), "{text}");
    let seen = runner.seen();
    let keys: BTreeSet<&str> = seen.lines().filter_map(|l| l.strip_prefix("cache ")?.split(' ').next()).collect();
    assert_eq!(keys.len(), 1, "rows look for what the build has kept: {seen}");
    assert!(seen.contains("save=true") && seen.contains("save=false"), "{seen}");
    let kept = runner.artifact("sandbox");
    for name in ["/out/LAB1:VOLT.txt", "/out/.hidden", "/report.html", "/run.json", "journal.jsonl"] {
        assert!(kept.contains(name), "no {name}: {kept}");
    }
    assert!(!kept.contains("/latest"), "{kept}");
    assert!(runner.artifact(row).contains("/report.html"));
}

#[test]
fn github_is_red_and_keeps_what_a_failure_left() {
    let Some(runner) = Runner::new("bin/act") else { return };
    runner.check("level", "machine.fail(\"true\")\n");
    let output = runner.act(&[]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let expected = ended(&[(SANDBOX, false), (BUILD, true), ("level (x86_64-linux)", true), ("gate", false)]);
    assert_eq!(jobs(&text), expected, "{text}");
    assert!(!output.status.success());
    let kept = runner.artifact("sandbox");
    assert!(kept.contains("/report.html") && kept.contains("/level/log"), "{kept}");
}

#[test]
fn github_keeps_what_a_cancelled_job_had_so_far() {
    let Some(runner) = Runner::new("bin/act") else { return };
    runner.check("level", "print(\"it has begun\")\nmachine.succeed(\"sleep 600\")\n");
    let mut act = runner.act(&["-j", "sandbox"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut text = String::new();
    for line in BufReader::new(act.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        // Written when the machine runs.
        if line.contains("⭐ Run Main exec cargo xtask ci") {
            wait_for_log(&runner);
            assert!(Command::new("kill").args(["-INT", &act.id().to_string()]).status().unwrap().success());
        }
        text += &(line + "\n");
    }
    assert!(!act.wait().unwrap().success(), "{text}");
    assert!(runner.artifact("sandbox").contains("/level/log"), "{text}");
}

/// Waits until the check of a job says that it has begun.
fn wait_for_log(runner: &Runner) {
    let cache = runner.fixture.dir.path().join("home/act");
    loop {
        let logs = walkdir::WalkDir::new(&cache).into_iter().flatten().filter(|entry| entry.file_name() == "log");
        if logs.into_iter().any(|log| fs::read_to_string(log.path()).is_ok_and(|text| text.contains("it has begun"))) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn github_without_checks_for_nixos_is_green_and_with_many_has_few_rows() {
    let Some(runner) = Runner::new("bin/act") else { return };
    fs::remove_file(runner.fixture.root.join("checks/level.nix")).unwrap();
    let output = runner.act(&[]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    assert_eq!(jobs(&text), ended(&[(SANDBOX, true), (BUILD, true), ("gate", true)]), "{text}");
    assert_eq!(runner.seen(), "", "no Nix is installed for nothing");

    for n in 0..150 {
        runner.check(&format!("c{n}"), "");
    }
    let output = runner.act(&["-j", "build"]).env("HIT", "true").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    assert!(!text.contains("--no-run"), "what the cache has is not built: {text}");
    let matrix = text.lines().find_map(|line| line.split_once("::set-output:: matrix=")).unwrap().1;
    let matrix: serde_json::Value = serde_json::from_str(matrix).unwrap();
    assert_eq!(matrix["include"].as_array().unwrap().len(), 30);
}

#[test]
fn gitlab_runs_both_legs() {
    let Some(runner) = Runner::new("node_modules/.bin/gitlab-ci-local") else { return };
    if Command::new("rsync").arg("--version").output().is_err() {
        eprintln!("SKIPPED: gitlab-ci-local needs rsync");
        return;
    }
    runner.fixture.git(&["remote", "add", "origin", "https://example.org/me/project.git"]);
    let run = |code| {
        let output = runner.command("node_modules/.bin/gitlab-ci-local", &["--force-shell-executor"]).output().unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}");
        text
    };
    let text = run(0);
    for job in ["plan", "sandbox", "check level (x86_64-linux)"] {
        assert!(text.lines().any(|line| line.contains(" PASS ") && line.contains(job)), "{job}: {text}");
    }
    runner.check("level", "machine.fail(\"true\")\n");
    let text = run(1);
    assert!(text.lines().any(|line| line.contains("FAIL") && line.contains("sandbox")), "{text}");
}
