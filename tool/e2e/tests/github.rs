//! What GitHub's runner makes of a run.
#![expect(clippy::unwrap_used, reason = "tests")]

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
    assert!(error.ends_with("%0Arun again: cargo xtask test evil"), "{error}");
    assert!(error.len() < 4096, "{}", error.len());
    assert_eq!(obeyed(&run.stdout), Vec::<String>::new());
    // At the end the runner hears commands again: other lines of the same step may give some.
    assert_eq!(obeyed(&(run.stderr + "::debug::x\n")).len(), 4);

    let summary = runner.file("summary");
    assert!(summary.len() < 100_000, "{}", summary.len());
    assert!(summary.contains("**failed**") && summary.contains("checks/evil.py:8"), "{summary}");
    assert!(!summary.contains('\u{1b}') && !summary.contains("<b>"), "{summary}");
    assert_eq!(runner.file("output"), "failed=[\"evil\"]\n");
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

#[test]
fn trouble_of_the_host_or_the_project_is_shown_too() {
    let runner = Runner::new();
    runner.scratch.check("a", "pass\n");
    let run = runner.run(&["nothing\n::error::injected"]).expect(4, &[]);
    let commands = obeyed(&run.stderr);
    assert_eq!(commands.len(), 1, "{commands:#?}");
    assert!(commands[0].starts_with("::error title=cargo xtask test::error: "), "{commands:#?}");
}

#[test]
fn elsewhere_nothing_of_it_is_said() {
    let runner = Runner::new();
    runner.scratch.check("a", "pass\n");
    let run = runner.scratch.xtask(&["test", "--backend", "sandbox"]).expect(0, &[]);
    assert!(!run.stderr.contains("::"), "{}", run.stderr);
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
