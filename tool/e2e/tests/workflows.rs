//! Runs every `run:` step of the GitHub workflows as shipped and of the actions that they call, and every line of the GitLab
//! jobs, as a runner would: on a copy of the project or on the fixture for Nix.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;
#[path = "common/nix.rs"]
#[allow(dead_code, reason = "tests/nix.rs uses the rest")]
mod fixture;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Run, Scratch};
use fixture::Fixture;

/// Steps that would change this machine, by their beginning, and why they are not run here.
const NOT_HERE: [(&str, &str); 6] = [
    (ALLOW_NAMESPACES, "changes the kernel"),
    ("sudo rm -f /dev/kvm", "takes KVM from everyone"),
    ("sudo systemctl restart nix-daemon.service", "stops what others build"),
    ("rustup component add clippy rustfmt", "changes the installed Rust"),
    ("pipx install ty==", "installs a program for this user"),
    ("apt-get update -qq && apt-get install -y -qq --no-install-recommends pipx", "installs a program for everyone"),
];
const ALLOW_NAMESPACES: &str = "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0";

/// Steps around the cache of what is built.
const VERSION: &str = "echo \"version=$(rustc --version";
const OLD: &str = "git ls-files -z Cargo.toml Cargo.lock .cargo xtask tool | xargs -0 touch";

/// What the job does that only starts where another has failed.
const GATE: &str = "exit 1";

/// How the jobs of GitLab with a shell get Rust and Python.
const IN_NIX: &str = "nix --extra-experimental-features 'nix-command flakes' develop --command ";

fn tool() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn file(path: &str) -> String {
    fs::read_to_string(tool().join(path)).unwrap()
}

/// The texts of all files below a folder of the tool whose names end so.
fn texts(folder: &str, end: &str) -> Vec<String> {
    let files = walkdir::WalkDir::new(tool().join(folder)).into_iter().map(Result::unwrap);
    let files = files.filter(|entry| entry.file_name().to_str().unwrap().ends_with(end));
    let texts: Vec<_> = files.map(|entry| fs::read_to_string(entry.path()).unwrap()).collect();
    assert!(!texts.is_empty(), "no {end} in {folder}");
    texts
}

/// The user's workflows as shipped, and the actions that they call.
fn workflows() -> Vec<String> {
    [texts("template/.github/workflows", ".yml"), texts("ci/github", "action.yml")].concat()
}

fn gitlab() -> String {
    file("template/.gitlab-ci.yml") + &texts("ci/gitlab", ".yml").concat()
}

/// The lines of `script:` in the jobs of GitLab.
fn gitlab_steps() -> BTreeSet<String> {
    let mut steps = BTreeSet::new();
    let mut inside = false;
    for line in gitlab().lines() {
        match line.strip_prefix("    - ") {
            Some(step) if inside => {
                steps.insert(step.strip_prefix(IN_NIX).unwrap_or(step).to_owned());
            }
            _ if line.trim_start().starts_with('#') => {}
            _ => inside = line == "  script:",
        }
    }
    steps
}

/// The `run:` steps of all workflows and actions, each once.
fn steps() -> BTreeSet<String> {
    workflows().iter().flat_map(|text| steps_of(text)).collect()
}

fn steps_of(text: &str) -> Vec<String> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let lines: Vec<&str> = text.lines().collect();
    let mut steps = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let key = line.trim_start().trim_start_matches("- ");
        let Some(step) = key.strip_prefix("run:").map(str::trim) else { continue };
        if step == "|" {
            let inside =
                lines[i + 1..].iter().take_while(|l| l.trim().is_empty() || indent(l) > line.len() - key.len());
            steps.push(inside.map(|l| l.trim()).collect::<Vec<_>>().join("\n").trim().to_owned());
        } else {
            steps.push(step.to_owned());
        }
    }
    steps
}

/// A step's shell, with a `cargo` that runs the xtask of this test instead of building it again.
fn shell(step: &str, like: &Command, place: &Path) -> Command {
    let bin = place.join("runner-bin");
    fs::create_dir_all(&bin).unwrap();
    let cargo = "[ \"$1\" = xtask ] || { echo \"not xtask: $*\" >&2; exit 99; }\nshift\nexec \"$XTASK\" \"$@\"\n";
    common::executable(&bin.join("cargo"), &format!("#!/bin/sh\n{cargo}"));
    let mut path = bin.into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    let mut command = Command::new("bash");
    // As GitHub calls it.
    command
        .args(["--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step])
        .current_dir(like.get_current_dir().unwrap());
    for (name, value) in like.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
        .env("PATH", path)
        .env("XTASK", env!("CARGO_BIN_EXE_foreign"))
        .env("CI", "true")
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_OUTPUT", place.join("output"))
        .env("GITHUB_STEP_SUMMARY", place.join("summary"));
    command
}

fn on(step: &str, like: &Command, place: &Path, variables: &[(&str, &str)]) -> Run {
    let mut command = shell(step, like, place);
    command.envs(variables.iter().copied());
    Run::of(&command.output().unwrap())
}

fn on_project(step: &str, scratch: &Scratch, variables: &[(&str, &str)]) -> Run {
    on(step, &scratch.command(&[]), scratch.scratch_dir(), variables)
}

/// The fixture with the checks `good` and `simple`, which pass.
fn nix_project() -> Option<Fixture> {
    let fixture = Fixture::new()?;
    let checks = fixture.root.join("checks");
    let files: Vec<PathBuf> = fs::read_dir(&checks).unwrap().map(|entry| entry.unwrap().path()).collect();
    for file in files.iter().filter(|file| file.file_stem().unwrap() != "good") {
        fs::remove_file(file).unwrap();
    }
    for kind in ["nix", "py"] {
        fs::copy(checks.join("good").with_extension(kind), checks.join("simple").with_extension(kind)).unwrap();
    }
    fixture.git(&["add", "-A"]);
    Some(fixture)
}

/// Runs `configure-nix --apply` on the nix.conf of the fixture, which Nix itself then reads.
fn configure(step: &str, fixture: &Fixture) {
    // A Nix that does not advertise KVM, whatever this machine has; the rest is as in the container of GitLab's job.
    fs::write(fixture.dir.path().join("conf/nix.conf"), "system-features = nixos-test\n").unwrap();
    let config = "build-users-group =\nsandbox = false\nexperimental-features = nix-command flakes";
    // What an ordinary user's Nix reads.
    let own = fixture.dir.path().join("own");
    let variables = [("NIX_CONFIG", config), ("XDG_CONFIG_HOME", own.to_str().unwrap())];
    let run = on(step, &fixture.command(&[]), fixture.dir.path(), &variables).expect(0, &[]);
    if step.contains("--apply") {
        assert!(run.stdout.contains("Nix was asked: it has the feature kvm now."), "{}", run.stdout);
    }
    let _ = fs::remove_dir_all(own);
}

#[test]
fn every_step_runs() {
    let scratch = Scratch::new();
    scratch.write("checks/simple.nix", "");
    let fixture = nix_project();
    let mut left: BTreeSet<&str> = NOT_HERE.iter().map(|(step, _)| *step).collect();
    for step in steps().into_iter().chain(gitlab_steps()) {
        eprintln!("step: {step}");
        // What a step does as root is done by whoever runs the tests.
        let step = step.replace("sudo target/debug/xtask ", "cargo xtask ");
        if let Some((known, why)) = NOT_HERE.iter().find(|(known, _)| step.starts_with(known)) {
            eprintln!("  SKIPPED: {why}");
            left.remove(known);
        } else if step.contains("cargo xtask ci ") {
            // It is for a whole project with a Rust of its own: only that the command line is one.
            on_project(&format!("{step} --help"), &scratch, &[("LIMIT", "60")]).expect(0, &[]);
        } else if step.starts_with(VERSION) {
            let run = on_project(&step.replace("rustc", "echo rustc 1.95.0"), &scratch, &[]);
            run.expect(0, &[]);
            let output = fs::read_to_string(scratch.scratch_dir().join("output")).unwrap();
            assert!(output.contains("version=rustc-1.95.0"), "{output}");
        } else if step.starts_with(OLD) {
            if let Some(fixture) = &fixture {
                fixture.write("Cargo.toml", "");
                fixture.git(&["add", "."]);
                on(&step, &fixture.command(&[]), fixture.dir.path(), &[]).expect(0, &[]);
                let changed = |file: &str| fs::metadata(fixture.root.join(file)).unwrap().modified().unwrap();
                assert_eq!(changed("Cargo.toml"), std::time::UNIX_EPOCH, "cargo has to take it for built");
                assert!(changed("ioc.toml") > std::time::UNIX_EPOCH, "no part of the key: it may have changed");
            }
        } else if step == GATE {
            on_project(&step, &scratch, &[]).expect(1, &[]);
        } else if step.starts_with("rustup ") {
            // Only that the words are its own: it would change the installed Rust.
            if Command::new("rustup").arg("--version").output().is_ok() {
                on_project(&format!("{step} --help"), &scratch, &[("TOOLCHAIN", "stable")]).expect(0, &[]);
            } else {
                common::skipped("no rustup here");
            }
        } else if step.contains("--format gitlab") {
            on_project(&step, &scratch, &[]).expect(0, &[]);
            let pipeline = fs::read_to_string(scratch.root.join("checks.yml")).unwrap();
            assert!(pipeline.contains(r#""extends": ".nixos""#), "{pipeline}");
        } else if step.contains("ci-matrix") {
            on_project(&step, &scratch, &[]).expect(0, &[]);
            let output = fs::read_to_string(scratch.scratch_dir().join("output")).unwrap();
            assert!(output.contains("matrix={\"include\":[{") && output.contains("\nany=true\n"), "{output}");
        } else if step.contains("--backend sandbox") {
            on_project(&step, &scratch, &[]).expect(0, &[]);
        } else if let Some(fixture) = fixture.as_ref().filter(|_| step.contains("configure-nix")) {
            configure(&step, fixture);
        } else if let Some(fixture) = &fixture {
            let system = format!("{}-linux", std::env::consts::ARCH);
            let variables = [
                ("CHECKS", "good simple"),
                ("SYSTEM", system.as_str()),
                ("LIMIT", "600"),
                ("OPTIONS", "-- --keep-going"),
            ];
            let run = on(&step, &fixture.command(&[]), fixture.dir.path(), &variables);
            if step.contains("check-kvm") {
                // Either is an answer.
                assert!(matches!(run.code, Some(0 | 5)), "{:?}: {}", run.code, run.stderr);
            } else {
                run.expect(0, &[]);
            }
        } else {
            eprintln!("  SKIPPED: no Nix here");
        }
    }
    assert!(left.is_empty(), "no such step any more: {left:?}");
}

#[test]
fn steps_are_found_in_every_form() {
    let text =
        "    steps:\n      - run: a b\n      - name: x\n        run: |\n          c\n          d\n      - uses: e\n";
    assert_eq!(steps_of(text), ["a b", "c\nd"]);
}

#[test]
fn only_env_brings_values_into_steps() {
    for step in steps() {
        assert!(!step.contains("${{"), "{step}");
        let sets_up = ["rustup ", VERSION, OLD].iter().any(|known| step.starts_with(known))
            || NOT_HERE.iter().any(|(known, _)| step.starts_with(known));
        let words = step.trim_start_matches("exec ").replace("sudo target/debug/xtask ", "cargo xtask ");
        let own = words.starts_with("cargo xtask ") || step == GATE;
        assert!(own || sets_up, "not `cargo xtask …`: {step}");
    }
    for step in gitlab_steps() {
        let sets_up = NOT_HERE.iter().any(|(known, _)| step.starts_with(known));
        assert!(step.starts_with("cargo xtask ") || sets_up, "not `cargo xtask …`: {step}");
    }
    assert!(file("docs/errors.md").contains(ALLOW_NAMESPACES), "doctor says another");
}

/// Neither GitHub nor a linter looks at this before a run.
#[test]
fn what_is_called_is_there_and_takes_what_it_is_given() {
    let mut called = BTreeSet::new();
    for text in workflows() {
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let Some((before, action)) = line.split_once("uses: ./tool/") else { continue };
            called.insert(action.to_owned());
            let declared = file(&format!("{action}/action.yml"));
            // Keys of the step stand below `uses`, and those of `with` below it.
            let inside = lines[i + 1..].iter().take_while(|l| l.starts_with(&" ".repeat(before.len())));
            for given in inside.skip_while(|l| l.trim() != "with:").skip(1) {
                let input = given.trim().split(':').next().unwrap();
                assert!(declared.contains(&format!("\n  {input}:\n")), "{action} has no input {input}");
            }
        }
    }
    assert!(called.len() >= 4, "{called:?}");
    let text = gitlab();
    let included: Vec<_> = text.lines().filter_map(|line| line.trim().strip_prefix("- local: tool/")).collect();
    assert_eq!(included.len(), 2, "{text}");
    for path in included {
        assert!(tool().join(path).is_file(), "{path}");
    }
}

/// Else GitHub ends the job while reports are being written.
#[test]
fn the_tools_limit_comes_ten_minutes_before_the_jobs() {
    let (mut minutes, mut seen) = (0, 0);
    for text in texts("template/.github/workflows", ".yml") {
        for (key, value) in text.lines().filter_map(|line| line.trim().split_once(": ")) {
            let number = value.split(' ').next().unwrap().parse::<u64>();
            match (key, number) {
                ("timeout-minutes", Ok(limit)) => minutes = limit,
                ("limit", Ok(seconds)) => {
                    assert!(seconds + 600 <= minutes * 60, "{seconds} s in a job of {minutes} minutes");
                    seen += 1;
                }
                _ => {}
            }
        }
    }
    assert_eq!(seen, 3);
}

#[test]
fn the_oldest_rust_is_the_one_that_cargo_demands() {
    let manifest = file("Cargo.toml");
    let oldest = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    for action in ["sandbox", "rust"] {
        let text = file(&format!("ci/github/{action}/action.yml"));
        assert!(text.contains(&format!("    default: \"{oldest}\"\n")), "{action}: {oldest}");
    }
    let gitlab = gitlab();
    let images: Vec<&str> = gitlab.lines().filter_map(|line| line.trim().strip_prefix("image: ")).collect();
    assert!(!images.is_empty());
    for image in images {
        assert!(image.starts_with(&format!("rust:{oldest}")), "{image}");
    }
}
