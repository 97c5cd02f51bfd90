//! The figures of speed and size, as medians of whole processes: `cargo bench -p tool-e2e`, with `-- --cold` also those that
//! take minutes, `-- --runs N` for other medians than of five.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the table, and what is being measured")]

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};

use tool_backends::embedded;
use tool_base::fail;
use tool_base::process::{Cmd, which};
use tool_report::terminal::duration;

/// A figure, its median and its goal.
struct Row {
    what: &'static str,
    median: String,
    goal: &'static str,
}

/// What is measured, and how.
struct Bench {
    runs: usize,
    cold: bool,
    /// The tool of this checkout.
    tool: PathBuf,
    /// A project as the tool ships it, with this tool.
    project: PathBuf,
    /// The binary of the end-to-end tests: an xtask.
    xtask: PathBuf,
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let after = |flag: &str| words.windows(2).find(|pair| pair[0] == flag).map(|pair| pair[1].clone());
    let scratch = tempfile::tempdir()?;
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no tool/")?.to_owned();
    let xtask = PathBuf::from(env!("CARGO_BIN_EXE_foreign"));
    let bench = Bench {
        runs: after("--runs").and_then(|n| n.parse().ok()).unwrap_or(5),
        cold: words.iter().any(|word| word == "--cold"),
        project: scratch.path().join("project"),
        tool,
        xtask,
    };
    let processors = u32::try_from(std::thread::available_parallelism()?.get())?;
    if let Some(warning) = busy(&std::fs::read_to_string("/proc/loadavg")?, processors) {
        eprintln!("warning: {warning}");
    }
    let built = bench.xtask.ancestors().nth(2).context("no target folder")?.join("embedded");
    Cmd::new("cp").arg("-R").arg(bench.tool.join("template")).arg(&bench.project).read()?;
    std::fs::copy(bench.tool.join("Cargo.lock"), bench.project.join("Cargo.lock"))?;
    symlink(&bench.tool, bench.project.join("tool"))?;
    std::fs::create_dir(bench.project.join("target"))?;
    symlink(built, bench.project.join("target/embedded"))?;
    for Row { what, median, goal } in bench.measure(scratch.path())? {
        println!("{what:<56} {median:>10}   goal {goal}");
    }
    Ok(())
}

impl Bench {
    /// An xtask of the project.
    fn command(&self) -> Cmd {
        Cmd::new(&self.xtask)
            .cwd(&self.project)
            .env("CARGO_MANIFEST_DIR", self.project.join("xtask"))
            .env("CARGO_TARGET_DIR", self.project.join("target"))
    }

    fn measure(&self, scratch: &Path) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        let mut figure = |what, goal, cmd: &Cmd, measure: &dyn Fn(&Cmd) -> Result<f64>| -> Result<()> {
            eprintln!("measuring {what}: {cmd}");
            rows.push(Row { what, median: duration(measure(cmd)?), goal });
            Ok(())
        };
        let warm = |cmd: &Cmd| median(self.runs, cmd);
        let script = scratch.join("first.py");
        std::fs::write(&script, "machine.succeed('true')\n")?;
        let first = self.command().arg("driver").arg("-o").arg(scratch).arg(&script);
        figure("sandbox: start to first answered command, with Python", "0.10 s", &first, &warm)?;
        let simple = self.command().args(["test", "simple", "--backend", "sandbox"]);
        figure("test simple, warm", "2.50 s", &simple, &warm)?;
        if self.cold {
            let build = Cmd::new("cargo").args(["build", "--offline", "--package", "xtask", "--target-dir"]);
            let build = build.arg(scratch.join("xtask")).cwd(&self.project);
            figure("xtask, cold build", "25 s", &build, &seconds)?;
            let report = self.tool.join("crates/report/src/junit.rs");
            let touched = |cmd: &Cmd| {
                let again = || Cmd::new("touch").arg(&report).read().and_then(|_| seconds(cmd));
                Ok(middle((0..self.runs).map(|_| again()).collect::<Result<_>>()?))
            };
            figure("xtask, build after a touch of one file of a report", "3 s", &build, &touched)?;
            let source = self.tool.join("embedded");
            let build = embedded::build_command(&source, &scratch.join("embedded"), embedded::rustc_version()?, false);
            figure("embedded, cold build", "100 s", &build, &seconds)?;
        }
        rows.push(side_by_side(self.runs, &simple)?);
        rows.push(recording(self.runs, &simple)?);
        if let Some(row) = nix_overhead(self.runs, &scratch.join("nix"), &self.xtask)? {
            rows.push(row);
        }
        rows.push(Row {
            what: "crates that xtask is built from",
            median: crates(&self.project)?.to_string(),
            goal: "70",
        });
        Ok(rows)
    }
}

/// How long twenty runs of a check take side by side, over one alone.
fn side_by_side(runs: usize, one: &Cmd) -> Result<Row> {
    let twenty = one.clone().args(["--repeat", "20", "--jobs", "20"]);
    eprintln!("measuring 20 copies side by side: {twenty}");
    let median = format!("{:.2} x", ratio(runs, &twenty, one)?);
    Ok(Row { what: "20 copies of simple side by side, over one alone", median, goal: "3 x" })
}

/// What the recording of process variables adds to a check's time.
fn recording(runs: usize, with: &Cmd) -> Result<Row> {
    let without = with.clone().arg("--no-record");
    eprintln!("measuring recording, cost: {with}, and {without}");
    let median = format!("{:+.1} %", (ratio(runs, with, &without)? - 1.0) * 100.0);
    Ok(Row { what: "recording of process variables, cost in test simple", median, goal: "5 %" })
}

/// What `test NAME` adds to `nix build` of a check that passed already. The flake is the tests' fixture, in a store of
/// its own. `None` where there is no Nix.
fn nix_overhead(runs: usize, dir: &Path, xtask: &Path) -> Result<Option<Row>> {
    const SETTINGS: &str = "build-users-group =\nsandbox = false\nsubstituters =\nsystem-features = nixos-test\n";
    if which("nix").is_none() || which("git").is_none() {
        return Ok(None);
    }
    let root = dir.join("project");
    std::fs::create_dir_all(dir)?;
    let dir = dir.canonicalize()?;
    Cmd::new("cp").arg("-R").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/nix")).arg(&root).read()?;
    std::fs::create_dir(root.join("tool"))?;
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
    eprintln!("nix build {}, cargo xtask test {}", duration(plain), duration(ours));
    // Nix makes its store read-only.
    Cmd::new("chmod").arg("-R").arg("u+w").arg(&dir).read()?;
    Ok(Some(Row { what: "test of a cached NixOS check, over plain nix build", median, goal: "10 % + 0.10 s" }))
}

/// A word about a machine that has other things to do, from /proc/loadavg and the number of its processors.
fn busy(loadavg: &str, processors: u32) -> Option<String> {
    let load = loadavg.split_whitespace().next()?;
    let what =
        format!("the machine is busy (load {load} on {processors} processors): times and ratios will be too high");
    (load.parse::<f64>().ok()? > f64::from(processors) / 2.0).then_some(what)
}

/// Median of the wall time of a command in seconds, after one run that does not count.
fn median(runs: usize, cmd: &Cmd) -> Result<f64> {
    seconds(cmd)?;
    Ok(middle((0..runs).map(|_| seconds(cmd)).collect::<Result<_>>()?))
}

/// Median of the ratio of two commands' wall times. They take turns, as the machine's speed drifts.
fn ratio(runs: usize, a: &Cmd, b: &Cmd) -> Result<f64> {
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

fn crates(project: &Path) -> Result<usize> {
    let tree = Cmd::new("cargo")
        .args(["tree", "--package", "xtask", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"])
        .cwd(project)
        .read()?;
    Ok(tree.lines().map(|line| line.trim_end_matches(" (*)")).collect::<BTreeSet<_>>().len())
}
