//! `cargo xtask bench`: the figures of speed and size, as medians of whole processes.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use crate::cli::Bench;
use crate::conformance;
use crate::embedded;
use crate::fail::{self, Status};
use crate::process::Cmd;
use crate::project::Project;
use crate::report::terminal::duration;
use crate::ui;

/// A figure, its median and its goal.
struct Row {
    what: &'static str,
    median: String,
    goal: &'static str,
}

/// Runs the command. The table goes to stdout.
pub fn run(args: &Bench) -> Result<Status> {
    let project = Project::load()?;
    embedded::programs(&project)?;
    let scratch = project.target.join("bench");
    std::fs::create_dir_all(&scratch)?;
    let rows = measure(args, &project, &scratch);
    std::fs::remove_dir_all(&scratch)?;
    for Row { what, median, goal } in rows? {
        ui::data(&format!("{what:<56} {median:>10}   goal {goal}"));
    }
    Ok(Status::Done)
}

fn measure(args: &Bench, project: &Project, scratch: &Path) -> Result<Vec<Row>> {
    let xtask = std::env::current_exe()?;
    let mut rows = Vec::new();
    let mut figure = |what, runs, goal, cmd: &Cmd| -> Result<()> {
        ui::say(&ui::paint(ui::DIM, &format!("measuring {what}: {cmd}")));
        rows.push(Row { what, median: duration(median(runs, cmd)?), goal });
        Ok(())
    };

    let script = scratch.join("first.py");
    std::fs::write(&script, "machine.succeed('true')\n")?;
    let first = Cmd::new(&xtask).arg("driver").arg("-o").arg(scratch).arg(&script);
    figure("sandbox: start to first answered command, with Python", args.runs, "0.10 s", &first)?;
    let simple = Cmd::new(&xtask).args(["test", "simple", "--backend", "sandbox"]);
    figure("test simple, warm", args.runs, "2.50 s", &simple)?;
    if args.cold {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let fresh = |name| scratch.join(name);
        let build =
            Cmd::new(cargo).args(["build", "--locked", "--package", "xtask", "--target-dir"]).arg(fresh("xtask"));
        figure("xtask, cold build", 1, "25 s", &build.cwd(&project.root))?;
        let source = project.root.join("embedded");
        let build = embedded::build_command(&source, &fresh("embedded"), embedded::rustc_version()?);
        figure("embedded, cold build", 1, "100 s", &build)?;
    }
    if let Some(cases) = &args.conformance {
        ui::say(&ui::paint(ui::DIM, "running the conformance cases"));
        let score = conformance::run(cases, &xtask, scratch)?;
        let of = |(name, verdict): (String, conformance::Verdict)| (!verdict.equal).then_some(name);
        let differ: Vec<String> = score.cases.into_iter().filter_map(of).collect();
        ui::say(&format!("cases that differ (docs/checks.md tells why): {}", differ.join(" ")));
        let median = format!("{} of {}", score.agree, score.total);
        rows.push(Row { what: "conformance cases that agree", median, goal: "all but deliberate differences" });
    }
    rows.push(Row { what: "crates that xtask is built from", median: crates(project)?.to_string(), goal: "70" });
    Ok(rows)
}

/// Median of the wall time of a command in seconds, after one run that does not count if there are several.
fn median(runs: u32, cmd: &Cmd) -> Result<f64> {
    let mut times = Vec::new();
    for run in 0..=runs {
        if run == 0 && runs == 1 {
            continue;
        }
        let start = Instant::now();
        let output = cmd.output()?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(fail::host(format!("`{cmd}` ended with {}\n{stderr}", output.status)).into());
        }
        if run > 0 {
            times.push(start.elapsed().as_secs_f64());
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn crates(project: &Project) -> Result<usize> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = Cmd::new(cargo)
        .args(["tree", "--package", "xtask", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"])
        .cwd(&project.root)
        .read()?;
    Ok(tree.lines().map(|line| line.trim_end_matches(" (*)")).collect::<BTreeSet<_>>().len())
}
