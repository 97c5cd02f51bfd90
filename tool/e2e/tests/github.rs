//! What GitHub's runner makes of a run.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use std::fs;

use common::{Run, Scratch};

/// Commands that GitHub's runner would obey. As it does: both forms of a command, blanks before it are no matter, `\r`
/// ends a line too, and after `stop-commands` it waits for the token.
fn obeyed(output: &str) -> Vec<String> {
    let mut token: Option<String> = None;
    let mut commands = Vec::new();
    for line in output.split(['\n', '\r']).map(str::trim) {
        if let Some(waiting) = &token {
            if line == format!("::{waiting}::") {
                token = None;
            }
        } else if let Some(new) = line.strip_prefix("::stop-commands::") {
            assert!(new.len() >= 32, "{new} can be guessed");
            token = Some(new.to_owned());
        } else if line.starts_with("::") || line.contains("##[") {
            commands.push(line.to_owned());
        }
    }
    commands
}

/// The runner reads two pipes, each in its order, and nobody knows which of them first.
fn orders(run: &Run) -> Vec<String> {
    let (out, err): (Vec<&str>, Vec<&str>) = (run.stdout.lines().collect(), run.stderr.lines().collect());
    let all_at = |at: usize| [&err[..at], &out, &err[at..]].concat().join("\n");
    let mut orders: Vec<String> = (0..=err.len()).map(all_at).collect();
    for step in [1, 2, 3, 7] {
        let (mut ours, mut theirs) = (out.chunks(step), err.iter());
        let mut mixed: Vec<&str> = Vec::new();
        while ours.len() + theirs.len() > 0 {
            mixed.extend(ours.next().unwrap_or_default());
            mixed.extend(theirs.next());
        }
        orders.push(mixed.join("\n"));
    }
    orders
}

/// What the runner obeys, whichever order it reads in.
#[track_caller]
fn obeyed_in_any_order(run: &Run) -> Vec<String> {
    let commands = obeyed(&run.stderr);
    for order in orders(run) {
        assert_eq!(obeyed(&order), commands, "{order}");
    }
    commands
}

struct Runner {
    scratch: Scratch,
}

impl Runner {
    fn new() -> Self {
        let scratch = Scratch::new();
        fs::remove_file(scratch.root.join("checks/simple.py")).unwrap();
        Self { scratch }
    }

    fn run(&self, args: &[&str]) -> Run {
        let mut command = self.scratch.command(&[&["test", "--backend", "sandbox"], args].concat());
        command.env("GITHUB_ACTIONS", "true");
        command.env("GITHUB_STEP_SUMMARY", self.scratch.root.join("summary"));
        command.env("GITHUB_OUTPUT", self.scratch.root.join("output"));
        Run::of(&command.output().unwrap())
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.scratch.root.join(name)).unwrap()
    }
}

const ATTACK: &str = r#"
machine.start()
bad = "::error file=x::injected\n  ::set-output name=a::b\n##[error]injected\r::stop-commands::x\n::x::\n::warning::injected"
print(bad)
print("\x1b[31mred\x1b[0m" + "y" * 10_000_000)
machine.succeed("echo '" + bad + "' >&2")
with subtest("a\n::notice::injected"):
    raise Exception(bad + "\n\x1b[31m</pre><b>" + "z" * 10_000_000)
"#;

#[test]
fn what_a_check_prints_is_no_command() {
    let runner = Runner::new();
    runner.scratch.check("evil", ATTACK);
    let run = runner.run(&["--show-output"]).expect(1, &["injected"]);
    let commands = obeyed(&run.stderr);
    assert_eq!(commands.len(), 3, "{commands:#?}");
    assert_eq!(commands[..2], ["::group::evil", "::endgroup::"]);
    let error = &commands[2];
    assert!(error.starts_with("::error file=checks/evil.py,line=8,title=check evil"), "{error}");
    assert!(error.ends_with("%0Arun again: cargo xtask test evil --backend sandbox"), "{error}");
    assert!(error.len() < 4096, "{}", error.len());
    assert_eq!(obeyed(&run.stdout), Vec::<String>::new());
    // At the end the runner hears commands again: other lines of the same step may give some.
    assert_eq!(obeyed(&(run.stderr.clone() + "::debug::x\n")).len(), 4);
    assert!(runner.file("summary").contains("cargo xtask test evil --backend sandbox"));

    let summary = runner.file("summary");
    assert!(summary.len() < 100_000, "{}", summary.len());
    assert!(summary.contains("**failed**") && summary.contains("checks/evil.py:8"), "{summary}");
    assert!(!summary.contains('\u{1b}') && !summary.contains("<b>"), "{summary}");
    assert_eq!(runner.file("output"), "failed=[\"evil\"]\n");
}

const PAYLOADS: [&str; 6] = [
    "::error file=x::injected",
    "  ::set-output name=a::b",
    "x ##[error]injected",
    "a\r::stop-commands::x",
    "\u{1b}[31m::warning::injected\u{1b}[0m",
    "#\u{1b}[0m#[group]injected",
];

#[test]
fn nothing_of_others_is_a_command_on_either_stream() {
    let runner = Runner::new();
    let prints: String = PAYLOADS.iter().map(|payload| format!("print({payload:?})\n")).collect();
    let last = format!("with subtest({:?}):\n    raise Exception({:?})\n", PAYLOADS[2], PAYLOADS.join("\n"));
    runner.scratch.check("evil", &prints.replace("\\u{1b}", "\\x1b"));
    runner.scratch.check("::error::x", &last.replace("\\u{1b}", "\\x1b"));
    let args = ["--message-format", "json", "--show-output", "--no-fail-fast", "--no-lint", "-j1"];
    let run = runner.run(&args).expect(1, &["injected"]);
    let commands = obeyed_in_any_order(&run);
    assert_eq!(commands.len(), 5, "{commands:#?}");
    // JSON is what it was.
    let lines: Vec<serde_json::Value> = run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = |text: &str| lines.iter().any(|line| line["text"].as_str().is_some_and(|line| line.contains(text)));
    assert!(told("x ##[error]injected") && told("::error file=x::injected"), "{}", run.stdout);

    let step = |args: &[&str]| Run::of(&runner.scratch.command(args).env("GITHUB_ACTIONS", "true").output().unwrap());
    let path = "ioc/exampleApp/Db/example.db";
    let db = fs::read_to_string(runner.scratch.root.join(path)).unwrap();
    runner.scratch.write(path, &format!("{db}\nrecord(ai, \"a\") {{ field(NONE, \"1\") }}\n{}\n", PAYLOADS.join("\n")));
    for args in [&["lint"][..], &["lint", "--json"]] {
        let run = step(args);
        let commands = obeyed_in_any_order(&run);
        assert!(!commands.is_empty() && commands.iter().all(|line| line.contains("title=lint ")), "{commands:#?}");
    }
    for args in [&["list"][..], &["list", "--json"], &["test", "--list", "--backend", "sandbox"]] {
        assert_eq!(obeyed_in_any_order(&step(args).expect(0, &[])), Vec::<String>::new());
    }
    for args in [&["list", "\n::error::injected"][..], &["list", "--x\n::error::injected"], &["\n##[error]injected"]] {
        let commands = obeyed_in_any_order(&step(args));
        assert!(commands.iter().all(|line| line.starts_with("::error title=cargo xtask list::")), "{commands:#?}");
    }
}

#[test]
fn passes_and_failures_are_summed_up() {
    let runner = Runner::new();
    runner.scratch.check("a-good", "pass\n");
    runner.scratch.check("b-bad", "x = 1\nassert x == 2, 'two was wanted'\n");
    let run = runner.run(&["--no-fail-fast"]).expect(1, &[]);
    let commands = obeyed(&run.stderr);
    assert_eq!(commands.len(), 5, "{commands:#?}");
    assert!(
        commands[4].contains("file=checks/b-bad.py,line=2,") && commands[4].contains("two was wanted"),
        "{commands:#?}"
    );
    let summary = runner.file("summary");
    assert!(summary.find("b-bad").unwrap() < summary.find("a-good").unwrap(), "failures come first:\n{summary}");
}

/// Services that know of no GitHub: plain text, a JUnit report at a known place, and one file of all that was left.
#[test]
fn elsewhere_it_is_plain_text_a_report_and_an_archive() {
    let scratch = Scratch::new();
    scratch.check("bad", "start_all()\nmachine.fail(\"true\")\n");
    // The project has no Rust of its own.
    let cargo = scratch.root.join("cargo");
    common::executable(&cargo, "#!/bin/sh\n");
    let services: [&[(&str, &str)]; 3] = [
        &[("JENKINS_URL", "https://ci.example.org/"), ("BUILD_NUMBER", "7"), ("JOB_NAME", "ioc"), ("TERM", "xterm")],
        &[("CI", "woodpecker"), ("CI_SYSTEM_NAME", "woodpecker"), ("CI_PIPELINE_NUMBER", "7")],
        &[("CI", "true"), ("BUILDKITE", "true"), ("BUILDKITE_BUILD_NUMBER", "7"), ("TERM", "dumb")],
    ];
    for service in services {
        let run = |args: &[&str]| {
            let mut command = scratch.command(args);
            command.env("CARGO", &cargo).env("CARGO_PKG_NAME", "xtask").envs(service.iter().copied());
            Run::of(&command.output().unwrap())
        };
        let ci = run(&["ci"]).expect(1, &["PASS simple", "FAIL bad", "run only this step again: "]);
        let text = ci.stdout + &ci.stderr;
        assert!(!text.contains(['\u{1b}', '\r']) && !text.contains("::"), "{service:?}: {text}");
        let junit = scratch.root.join("target/checks/junit.xml");
        let report = fs::read_to_string(&junit).unwrap();
        assert_eq!(report.matches("<failure").count(), 1, "{service:?}: {report}");
        fs::remove_file(junit).unwrap();
        run(&["report", "--archive", "all.tar.gz"]).expect(0, &[]);
        let mut tar = std::process::Command::new("tar");
        let list = Run::of(&tar.arg("-tzf").arg(scratch.root.join("all.tar.gz")).output().unwrap()).expect(0, &[]);
        assert!(list.stdout.contains("/report.html") && list.stdout.contains("/bad/log"), "{}", list.stdout);
        fs::remove_dir_all(scratch.root.join("target/checks")).unwrap();
    }
}

#[test]
fn trouble_of_any_command_is_told_on_the_page() {
    let scratch = Scratch::new();
    scratch.edit("ioc.toml", "[ioc]", "[iok]");
    let output = scratch.command(&["list"]).env("GITHUB_ACTIONS", "true").output().unwrap();
    let run = Run::of(&output).expect(3, &[]);
    let commands = obeyed(&run.stderr);
    assert_eq!(commands.len(), 1, "{commands:?}");
    assert!(commands[0].starts_with("::error title=cargo xtask list::error: ioc.toml:"), "{commands:?}");
    let quiet = scratch.command(&["list"]).env_remove("GITHUB_ACTIONS").output().unwrap();
    assert_eq!(obeyed(&String::from_utf8_lossy(&quiet.stderr)), Vec::<String>::new());
}
