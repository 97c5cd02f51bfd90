//! `cargo xtask bench`: the figures of speed and size, as medians of whole processes.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::cli::Bench;
use crate::conformance;
use crate::embedded;
use crate::fail::{self, Failure, Status};
use crate::process::{Cmd, which};
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
    if let Some(cases) = args.conformance.as_deref().filter(|cases| !cases.is_dir()) {
        return Err(Failure::new(
            Status::Usage,
            format!("there is no folder {} of conformance cases", cases.display()),
        )
        .hint("leave out --conformance, or give the folder that holds the recorded cases")
        .into());
    }
    embedded::programs(&project)?;
    let scratch = project.target.join("bench");
    std::fs::create_dir_all(&scratch).with_context(|| format!("cannot create {}", scratch.display()))?;
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
    let ratio = median(runs, &twenty)? / median(runs, one)?;
    Ok(Row { what: "20 copies of simple side by side, over one alone", median: format!("{ratio:.2} x"), goal: "3 x" })
}

/// What the recording of process variables adds to a check's time. In turn, as the machine's speed drifts.
fn recording(runs: u32, with: &Cmd) -> Result<Row> {
    let without = with.clone().arg("--no-record");
    ui::say(&ui::paint(ui::DIM, &format!("measuring recording, cost: {with}, and {without}")));
    let ratio = |_| Ok(median(1, with)? / median(1, &without)?);
    let mut ratios = (0..runs.max(5)).map(ratio).collect::<Result<Vec<f64>>>()?;
    ratios.sort_by(f64::total_cmp);
    let median = format!("{:+.1} %", (ratios[ratios.len() / 2] - 1.0) * 100.0);
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
    let (plain, ours) = (median(runs.max(2), &plain)?, median(runs.max(2), &ours)?);
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
