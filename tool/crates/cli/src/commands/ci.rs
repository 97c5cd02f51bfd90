//! `cargo xtask ci`: everything that must hold before a change of this project lands.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use xshell::{Cmd, Shell, cmd};

use super::cargo;
use crate::cli::Ci;
use tool_backends::{embedded, python};
use tool_base::fail::{Failure, Status};
use tool_base::{process, ui};
use tool_project::Project;
use tool_report::github::Github;
use tool_report::terminal::duration;

/// One thing that must hold.
struct Step<'a> {
    name: &'static str,
    /// The program that it needs beyond ours, and where to get it.
    needs: Option<(&'static str, &'static str)>,
    /// A command of ours: what it prints is guarded by itself.
    ours: bool,
    command: Cmd<'a>,
}

/// How a step ended.
enum End {
    Passed(f64),
    Failed(f64, String),
    Skipped(String),
}

const CHECKS: &str = "checks";
const RUSTFMT: Option<(&str, &str)> = Some(("cargo-fmt", "rustup component add rustfmt"));
const CLIPPY: Option<(&str, &str)> = Some(("cargo-clippy", "rustup component add clippy"));

/// Runs the command: all steps, whether or not one fails, and a table of them.
pub fn run(args: &Ci) -> Result<Status> {
    let project = Project::load()?;
    let sh = Shell::new()?;
    sh.change_dir(&project.root);
    let mut steps = project_steps(&sh, &project)?;
    if args.tool {
        steps.extend(tool_steps(&sh, &project)?);
    }
    let start = Instant::now();
    let limited = |mut step: Step<'_>| {
        if let (CHECKS, Some(limit)) = (step.name, args.global_timeout) {
            // What is left; they are told of even if it is nothing.
            let left = limit.saturating_sub(start.elapsed().as_secs()).max(1).to_string();
            step.command = step.command.args(["--global-timeout", &left]);
        }
        (step.name, run_step(step))
    };
    let ends: Vec<_> = steps.into_iter().map(limited).collect();
    table(&ends, start.elapsed().as_secs_f64());
    let failed: Vec<&str> =
        ends.iter().filter(|(_, end)| matches!(end, End::Failed(..))).map(|(name, _)| *name).collect();
    let Some((_, End::Failed(_, command))) = ends.iter().find(|(name, _)| Some(name) == failed.first()) else {
        return Ok(Status::Done);
    };
    Err(Failure::new(Status::CheckFailed, format!("`cargo xtask ci` failed: {}", failed.join(", ")))
        .hint(format!("run only this step again: {command}"))
        .into())
}

/// What is about the user's project, and nothing else.
fn project_steps<'a>(sh: &'a Shell, project: &Project) -> Result<Vec<Step<'a>>> {
    let (cargo, xtask) = (cargo(), process::own_program()?);
    // `cargo run` sets it: who renames the package has it tested all the same.
    let package = super::package();
    // Where CI services look for it (tool/ci/).
    let junit = project.target.join("checks/junit.xml");
    Ok(vec![
        Step {
            name: "format of xtask",
            needs: RUSTFMT,
            ours: false,
            command: cmd!(sh, "{cargo} fmt --package {package} --check"),
        },
        Step {
            name: "clippy of xtask",
            needs: CLIPPY,
            ours: false,
            command: cmd!(sh, "{cargo} clippy --package {package} --all-targets --locked -- -D warnings"),
        },
        Step { name: "lint", needs: None, ours: true, command: cmd!(sh, "{xtask} lint --deny-warnings") },
        Step {
            name: CHECKS,
            needs: None,
            ours: true,
            command: cmd!(sh, "{xtask} test --backend sandbox --no-fail-fast --no-lint --strict --junit {junit}"),
        },
    ])
}

/// The tests of the tool itself: for those who work on it.
fn tool_steps<'a>(sh: &'a Shell, project: &Project) -> Result<Vec<Step<'a>>> {
    let (cargo, python) = (cargo(), python::python()?);
    let tool = "tool/Cargo.toml";
    let target = &project.target;
    let embedded = "tool/embedded/Cargo.toml";
    let programs = target.join("embedded");
    let environment = embedded::compiler_env(embedded::rustc_version()?);
    let wiring = Path::new("tool/ci/lint.sh");
    let step = |name, needs, command| Step { name, needs, ours: false, command };
    Ok(vec![
        step("format of the tool", RUSTFMT, cmd!(sh, "{cargo} fmt --all --manifest-path {tool} --check")),
        step(
            "clippy of the tool",
            CLIPPY,
            cmd!(
                sh,
                "{cargo} clippy --workspace --all-targets --locked --manifest-path {tool} --target-dir {target} -- -D warnings"
            ),
        ),
        step("tests of the driver", None, cmd!(sh, "{python} -B -m unittest discover -s tool/driver/tests -t tool")),
        step("wiring of CI", None, cmd!(sh, "sh {wiring}")),
        step(
            "tests of the tool",
            None,
            cmd!(sh, "{cargo} test --no-fail-fast --workspace --locked --manifest-path {tool} --target-dir {target}"),
        ),
        step(
            "tests of the soft IOC",
            None,
            cmd!(
                sh,
                "{cargo} test --no-fail-fast --locked --workspace --manifest-path {embedded} --target-dir {programs}"
            )
            .envs(environment),
        ),
    ])
}

fn run_step(step: Step<'_>) -> End {
    let Step { name, needs, ours, command } = step;
    ui::say(&ui::paint(ui::STRONG, &format!("ci: {name}")));
    if let Some((program, source)) = needs.filter(|(program, _)| process::which(program).is_none()) {
        return End::Skipped(format!("no {program} here: {source}"));
    }
    let (text, begin) = (command.to_string(), Instant::now());
    // What others print is talk; `xtask` itself guards what it prints.
    let mut github = if ours { None } else { Github::detect(Path::new(".")).ok().flatten() };
    let status = std::process::Command::from(command).stdout(std::io::stderr()).status();
    if let Some(github) = &mut github {
        github.end();
    }
    let seconds = begin.elapsed().as_secs_f64();
    if status.is_ok_and(|status| status.success()) { End::Passed(seconds) } else { End::Failed(seconds, text) }
}

fn table(ends: &[(&str, End)], total: f64) {
    ui::say("");
    for (name, end) in ends {
        let (style, word, rest) = match end {
            End::Passed(seconds) => (ui::GOOD, "passed ", duration(*seconds)),
            End::Failed(seconds, _) => (ui::BAD, "FAILED ", duration(*seconds)),
            End::Skipped(why) => (ui::WARN, "skipped", why.clone()),
        };
        ui::say(&format!("{} {name:<24} {rest}", ui::paint(style, word)));
    }
    ui::say(&format!("{} steps in {}", ends.len(), duration(total)));
}
