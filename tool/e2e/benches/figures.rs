//! `cargo xtask bench`: the figures of speed and size, as medians of whole processes.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use tool::cli::Bench;
use tool_backends::embedded;
use tool_base::fail::{Failure, Status};
use tool_base::process::{Cmd, which};
use tool_base::{fail, ui};
use tool_project::Project;
use tool_report::terminal::duration;

/// A figure, its median and its goal.
struct Row {
    what: &'static str,
    median: String,
    goal: &'static str,
}

/// Runs the command. The table goes to stdout.
pub fn run(args: &Bench) -> Result<Status> {
    let project = Project::load()?;
    if let Some(cases) = args.conformance.as_deref().filter(|cases| !cases.is_dir()) {
        return Err(Failure::new(
            Status::Usage,
            format!("there is no folder {} of conformance cases", cases.display()),
        )
        .hint("leave out --conformance, or give the folder that holds the recorded cases")
        .into());
    }
    embedded::programs(&project)?;
    let processors = u32::try_from(std::thread::available_parallelism()?.get())?;
    if let Some(warning) = busy(&std::fs::read_to_string("/proc/loadavg")?, processors) {
        ui::warn(&warning);
    }
    let scratch = project.target.join("bench");
    // What an interrupted bench left.
    let _ = std::fs::remove_dir_all(&scratch);
    // Runs have a target folder of their own: in the user's, they would push out the user's runs.
    std::fs::create_dir_all(scratch.join("target")).with_context(|| format!("cannot create {}", scratch.display()))?;
    symlink(project.target.join("embedded"), scratch.join("target/embedded"))?;
    let rows = measure(args, &project, &scratch);
    std::fs::remove_dir_all(&scratch)?;
    for Row { what, median, goal } in rows? {
        ui::data(&format!("{what:<56} {median:>10}   goal {goal}"));
    }
    Ok(Status::Done)
}

fn measure(args: &Bench, project: &Project, scratch: &Path) -> Result<Vec<Row>> {
    let xtask = std::env::current_exe()?;
    let here = Cmd::new(&xtask).env("CARGO_TARGET_DIR", scratch.join("target"));
    let mut rows = Vec::new();
    let mut figure = |what, goal, cmd: &Cmd, measure: &dyn Fn(&Cmd) -> Result<f64>| -> Result<()> {
        ui::say(&ui::paint(ui::DIM, &format!("measuring {what}: {cmd}")));
        rows.push(Row { what, median: duration(measure(cmd)?), goal });
        Ok(())
    };
    let warm = |cmd: &Cmd| median(args.runs, cmd);

    let script = scratch.join("first.py");
    std::fs::write(&script, "machine.succeed('true')\n")?;
    let first = here.clone().arg("driver").arg("-o").arg(scratch).arg(&script);
    figure("sandbox: start to first answered command, with Python", "0.10 s", &first, &warm)?;
    let simple = here.args(["test", "simple", "--backend", "sandbox"]);
    figure("test simple, warm", "2.50 s", &simple, &warm)?;
    if args.cold {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let fresh = |name| scratch.join(name);
        let build =
            Cmd::new(cargo).args(["build", "--locked", "--package", "xtask", "--target-dir"]).arg(fresh("xtask"));
        figure("xtask, cold build", "25 s", &build.cwd(&project.root), &seconds)?;
        let source = project.root.join("embedded");
        let build = embedded::build_command(&source, &fresh("embedded"), embedded::rustc_version()?);
        figure("embedded, cold build", "100 s", &build, &seconds)?;
    }
    rows.push(side_by_side(args.runs, &simple)?);
    rows.push(recording(args.runs, &simple)?);
    if let Some(row) = nix_overhead(args.runs, project, &scratch.join("nix"), &xtask)? {
        rows.push(row);
    }
    if let Some(cases) = &args.conformance {
        rows.push(agreement(cases, &xtask, scratch)?);
    }
    rows.push(Row { what: "crates that xtask is built from", median: crates(project)?.to_string(), goal: "70" });
    Ok(rows)
}

/// How long twenty runs of a check take side by side, over one alone.
fn side_by_side(runs: u32, one: &Cmd) -> Result<Row> {
    let twenty = one.clone().args(["--repeat", "20", "--jobs", "20"]);
    ui::say(&ui::paint(ui::DIM, &format!("measuring 20 copies side by side: {twenty}")));
    let median = format!("{:.2} x", ratio(runs, &twenty, one)?);
    Ok(Row { what: "20 copies of simple side by side, over one alone", median, goal: "3 x" })
}

/// What the recording of process variables adds to a check's time.
fn recording(runs: u32, with: &Cmd) -> Result<Row> {
    let without = with.clone().arg("--no-record");
    ui::say(&ui::paint(ui::DIM, &format!("measuring recording, cost: {with}, and {without}")));
    let median = format!("{:+.1} %", (ratio(runs, with, &without)? - 1.0) * 100.0);
    Ok(Row { what: "recording of process variables, cost in test simple", median, goal: "5 %" })
}

/// What `test NAME` adds to `nix build` of a check that passed already. The flake is the tests' fixture, in a store of
/// its own. `None` where there is no Nix.
fn nix_overhead(runs: u32, project: &Project, dir: &Path, xtask: &Path) -> Result<Option<Row>> {
    const SETTINGS: &str = "build-users-group =\nsandbox = false\nsubstituters =\nsystem-features = nixos-test\n";
    if which("nix").is_none() || which("git").is_none() {
        return Ok(None);
    }
    let root = dir.join("project");
    std::fs::create_dir_all(dir)?;
    let dir = dir.canonicalize()?;
    Cmd::new("cp").arg("-R").arg(project.root.join("xtask/tests/fixtures/nix")).arg(&root).read()?;
    Cmd::new("git").args(["init", "--quiet"]).cwd(&root).read()?;
    Cmd::new("git").args(["add", "."]).cwd(&root).read()?;
    let mut environment = vec![
        ("CARGO_MANIFEST_DIR", root.join("xtask").into_os_string()),
        ("CARGO_TARGET_DIR", root.join("target").into_os_string()),
        ("NIX_REMOTE", "local".into()),
        ("NIX_CONFIG", SETTINGS.into()),
    ];
    for (key, folder) in [
        ("NIX_STORE_DIR", "store"),
        ("NIX_STATE_DIR", "state"),
        ("NIX_LOG_DIR", "log"),
        ("NIX_CONF_DIR", "conf"),
        ("HOME", "home"),
        ("XDG_CACHE_HOME", "home"),
    ] {
        environment.push((key, dir.join(folder).into_os_string()));
    }
    let here = |cmd: Cmd| environment.iter().fold(cmd.cwd(&root), |cmd, (key, value)| cmd.env(key, value));
    let check = format!(".#checks.{}-linux.good", std::env::consts::ARCH);
    let features = ["--extra-experimental-features", "nix-command flakes"];
    let plain = here(Cmd::new("nix").args(["build", "-L", "--no-link"]).args(features).arg(check));
    let ours = here(Cmd::new(xtask).args(["test", "good", "--backend", "nixos"]));
    let (plain, ours) = (median(runs, &plain)?, median(runs, &ours)?);
    let median = format!("+{:.2} s", ours - plain);
    ui::say(&ui::paint(ui::DIM, &format!("nix build {}, cargo xtask test {}", duration(plain), duration(ours))));
    // Nix makes its store read-only.
    Cmd::new("chmod").arg("-R").arg("u+w").arg(&dir).read()?;
    Ok(Some(Row { what: "test of a cached NixOS check, over plain nix build", median, goal: "10 % + 0.10 s" }))
}

/// How many conformance cases agree. The others are named on the way.
fn agreement(cases: &Path, xtask: &Path, scratch: &Path) -> Result<Row> {
    ui::say(&ui::paint(ui::DIM, "running the conformance cases"));
    let score = conformance::run(cases, xtask, scratch)?;
    let differ = score.cases.into_iter().filter_map(|(name, verdict)| (!verdict.equal).then_some(name));
    let differ: Vec<String> = differ.collect();
    ui::say(&format!("cases that differ (docs/checks.md tells why): {}", differ.join(" ")));
    let median = format!("{} of {}", score.agree, score.total);
    Ok(Row { what: "conformance cases that agree", median, goal: "all but deliberate differences" })
}

/// A word about a machine that has other things to do, from /proc/loadavg and the number of its processors.
fn busy(loadavg: &str, processors: u32) -> Option<String> {
    let load = loadavg.split_whitespace().next()?;
    let what =
        format!("the machine is busy (load {load} on {processors} processors): times and ratios will be too high");
    (load.parse::<f64>().ok()? > f64::from(processors) / 2.0).then_some(what)
}

/// Median of the wall time of a command in seconds, after one run that does not count.
fn median(runs: u32, cmd: &Cmd) -> Result<f64> {
    seconds(cmd)?;
    Ok(middle((0..runs).map(|_| seconds(cmd)).collect::<Result<_>>()?))
}

/// Median of the ratio of two commands' wall times. They take turns, as the machine's speed drifts.
fn ratio(runs: u32, a: &Cmd, b: &Cmd) -> Result<f64> {
    Ok(middle((0..runs).map(|_| Ok(seconds(a)? / seconds(b)?)).collect::<Result<_>>()?))
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Wall time of a command in seconds.
fn seconds(cmd: &Cmd) -> Result<f64> {
    let start = Instant::now();
    let output = cmd.output()?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(fail::host(format!("`{cmd}` ended with {}\n{stderr}", output.status)).into());
    }
    Ok(start.elapsed().as_secs_f64())
}

fn crates(project: &Project) -> Result<usize> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = Cmd::new(cargo)
        .args(["tree", "--package", "xtask", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"])
        .cwd(&project.root)
        .read()?;
    Ok(tree.lines().map(|line| line.trim_end_matches(" (*)")).collect::<BTreeSet<_>>().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_machine_is_named() {
        assert!(busy("0.97 3.00 3.00 1/90 12\n", 2).is_none());
        assert!(busy("1.20 0.00 0.00 1/90 12\n", 2).is_some_and(|text| text.contains("load 1.20 on 2")));
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(middle(vec![3.0, 1.0, 2.0]).to_bits(), 2.0_f64.to_bits());
    }
}
