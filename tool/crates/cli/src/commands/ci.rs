//! `cargo xtask ci`: everything that must hold before a change lands.

use std::time::Instant;

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use super::ci_workflows;
use crate::cli::Ci;
use crate::embedded;
use crate::fail::{Failure, Status};
use crate::project::Project;
use crate::report::terminal::duration;
use crate::ui;

/// Runs the command.
pub fn run(_args: &Ci) -> Result<Status> {
    let project = Project::load()?;
    let sh = Shell::new()?;
    sh.change_dir(&project.root);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let xtask = std::env::current_exe()?;
    let python = crate::backend::sandbox::python()?;
    let programs = project.target.join("embedded");
    let mut steps = vec![
        ("format", cmd!(sh, "{cargo} fmt --all --check")),
        ("lints", cmd!(sh, "{cargo} clippy --workspace --all-targets --locked -- -D warnings")),
        ("tests of the driver", cmd!(sh, "{python} -B -m unittest discover -s xtask/driver/tests -t xtask")),
        ("lint of the IOC and the checks", cmd!(sh, "{xtask} lint --deny-warnings")),
        // The checks come before the tests: they build what the tests need.
        ("checks", cmd!(sh, "{xtask} test --backend sandbox --no-fail-fast")),
        ("tests", cmd!(sh, "{cargo} test --workspace --locked")),
        (
            "tests of the embedded programs",
            cmd!(sh, "{cargo} test --locked --workspace --manifest-path embedded/Cargo.toml --target-dir {programs}")
                .envs(embedded::compiler_env(embedded::rustc_version()?)),
        ),
    ];
    steps.splice(2..2, ci_workflows::steps(&sh, &project));
    let start = Instant::now();
    for (name, step) in steps {
        let begin = Instant::now();
        ui::say(&ui::paint(ui::STRONG, &format!("ci: {name}")));
        let text = step.to_string();
        step.quiet().run().with_context(|| {
            Failure::new(Status::CheckFailed, format!("`cargo xtask ci` failed at {name}"))
                .hint(format!("run only this step again: {text}"))
        })?;
        ui::say(&ui::paint(ui::DIM, &format!("ci: {name} took {}", duration(begin.elapsed().as_secs_f64()))));
    }
    ui::say(&ui::paint(ui::GOOD, &format!("ci: all passed in {}", duration(start.elapsed().as_secs_f64()))));
    Ok(Status::Done)
}
