//! What neither a linter nor a runner (runners.rs) says of the workflows as shipped, the actions that they call, and GitLab's jobs.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Steps that are no command of ours, by their beginning: they set the machine up, care for the cache, or fail on purpose.
const SET_UP: [&str; 10] = [
    ALLOW_NAMESPACES,
    "sudo rm -f /dev/kvm",
    "sudo systemctl restart nix-daemon.service",
    "rustup ",
    "pipx install ty==",
    "apt-get update -qq && apt-get install -y -qq --no-install-recommends pipx",
    "echo \"version=$(rustc --version",
    "git ls-files -z Cargo.toml Cargo.lock .cargo xtask tool | xargs -0 touch",
    "exit 1",
    "sudo target/debug/xtask ",
];
const ALLOW_NAMESPACES: &str = "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0";

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

#[test]
fn steps_are_found_in_every_form() {
    let text =
        "    steps:\n      - run: a b\n      - name: x\n        run: |\n          c\n          d\n      - uses: e\n";
    assert_eq!(steps_of(text), ["a b", "c\nd"]);
}

#[test]
fn only_env_brings_values_into_steps() {
    let (steps, of_gitlab) = (steps(), gitlab_steps());
    for step in steps.iter().chain(&of_gitlab) {
        let own = step.trim_start_matches("exec ").starts_with("cargo xtask ");
        assert!(own || SET_UP.iter().any(|known| step.starts_with(known)), "not `cargo xtask …`: {step}");
        assert!(of_gitlab.contains(step) || !step.contains("${{"), "{step}");
    }
    for known in SET_UP {
        assert!(steps.iter().chain(&of_gitlab).any(|step| step.starts_with(known)), "no such step any more: {known}");
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
