//! `cargo xtask ci-matrix`: the checks as jobs of a CI service. `tool/docs/ci-matrix.schema.json` describes the form.

use anyhow::Result;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::cli::{CiMatrix, MatrixFormat, Rows};
use tool_backends::nix;
use tool_base::fail::{Failure, Status};
use tool_base::{fail, ui};
use tool_project::settings::DEFAULT_TIMEOUT;
use tool_project::{Check, Project};
use tool_runner::{select, times};

/// Rows that GitHub allows in a matrix; a GitLab pipeline bears them too.
const MOST_ROWS: usize = 256;
/// Minutes for what comes before a check on a machine without a cache: Nix, xtask, EPICS base, a kernel.
const SET_UP_MINUTES: u64 = 60;
/// Minutes that GitHub gives a job at most.
const MOST_MINUTES: u64 = 360;
/// Seconds that a check counts for where no run of it on NixOS was recorded, beyond what it took in the sandbox: a boot.
const USUAL_SECONDS: f64 = 60.0;
/// Seconds of checks for which `--rows auto` takes another row. Each row has a machine to get ready, which takes minutes, and
/// Nix runs as many checks at once as there are processors.
const ROW_SECONDS: f64 = 600.0;
/// Minutes of a job that are not for the tool's own limit: getting ready before, keeping the reports after.
const MARGIN_MINUTES: u64 = 10;

/// One job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Row {
    /// Name of the job and of its artifact.
    name: String,
    /// Checks that it runs, separated by blanks.
    checks: String,
    /// System that it builds for.
    system: String,
    /// GitHub's label of a machine that can.
    runner: &'static str,
    /// Backend of `cargo xtask test`.
    backend: &'static str,
    /// Limit of the job in minutes.
    timeout: u64,
    /// The tool's own limit in seconds, reached first: `--global-timeout`.
    limit: u64,
}

/// Runs the command.
pub fn run(args: &CiMatrix) -> Result<Status> {
    let project = Project::load()?;
    // No row is an answer, too: a pipeline has nothing to do then.
    let checks = select::select(&project, &(&args.selection).into())?.checks;
    let (checks, _) = select::fit(checks, "nixos", &args.selection.names)?;
    nix::require_nix_files(&checks)?;
    let (real, sandbox) = (times::read(&project.target, "nixos"), times::read(&project.target, "sandbox"));
    let weighed = |check: &Check| {
        let guess = || USUAL_SECONDS + sandbox.get(&check.name).unwrap_or(&0.0);
        let seconds = real.get(&check.name).copied().unwrap_or_else(guess);
        Ok(Weighed { name: check.name.clone(), limit: check.settings()?.timeout, seconds })
    };
    let weighed = checks.iter().map(weighed).collect::<Result<Vec<_>>>()?;
    let rows = rows(&weighed, &args.system, args.rows, args.format)?;
    match args.format {
        MatrixFormat::Json => ui::data(&serde_json::to_string_pretty(&document(&rows))?),
        MatrixFormat::Github => {
            let (any, one) = (!rows.is_empty(), rows.len() == 1);
            ui::data(&format!("matrix={}\nany={any}\none={one}", json!({"include": rows})));
        }
        MatrixFormat::Gitlab => ui::data(&serde_json::to_string_pretty(&gitlab(&rows))?),
    }
    Ok(Status::Done)
}

fn document(rows: &[Row]) -> Value {
    json!({"schema": 1, "any": !rows.is_empty(), "include": rows})
}

/// A check with what decides where it goes.
#[derive(Debug, Clone)]
struct Weighed {
    name: String,
    /// Its own limit, in seconds.
    limit: Option<u64>,
    /// How long it is expected to take.
    seconds: f64,
}

/// A machine of GitHub that has KVM, for a system. GitHub's own ARM machines have none that can be relied on.
fn runner(system: &str, format: MatrixFormat) -> Result<&'static str> {
    match (system, format) {
        ("x86_64-linux", _) => Ok("ubuntu-24.04"),
        ("aarch64-linux", MatrixFormat::Gitlab) => Ok(""),
        ("aarch64-linux", _) => Err(fail::config("GitHub's machines for `aarch64-linux` have no KVM to rely on")
            .hint("--system x86_64-linux; or --format gitlab, for runners of your own")
            .into()),
        _ => Err(fail::config(format!("there is no NixOS machine for a `{system}`"))
            .hint("--system x86_64-linux")
            .into()),
    }
}

fn rows(checks: &[Weighed], systems: &[String], wanted: Option<Rows>, format: MatrixFormat) -> Result<Vec<Row>> {
    let room = MOST_ROWS / systems.len().max(1);
    if room == 0 {
        return Err(Failure::new(Status::Usage, format!("{} systems are more than a matrix has rows", systems.len()))
            .hint("--system x86_64-linux")
            .into());
    }
    let all: f64 = checks.iter().map(|check| check.seconds).sum();
    let count = match wanted {
        None => checks.len(),
        Some(Rows::Of(count)) => count.get(),
        // At most `room` are taken, so nothing is lost.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "see above")]
        Some(Rows::Auto) => (all / ROW_SECONDS).ceil() as usize,
    };
    let mut rows = Vec::new();
    for system in systems {
        let runner = runner(system, format)?;
        for some in share(checks, count.min(room)) {
            let names: Vec<&str> = some.iter().map(|check| check.name.as_str()).collect();
            let first = names.first().copied().unwrap_or_default();
            let more = if names.len() > 1 { format!(" and {} more", names.len() - 1) } else { String::new() };
            let seconds = some.iter().fold(0, |sum: u64, check| {
                sum.saturating_add(check.limit.unwrap_or(DEFAULT_TIMEOUT).max(DEFAULT_TIMEOUT))
            });
            let timeout = seconds.div_ceil(60).saturating_add(SET_UP_MINUTES).min(MOST_MINUTES);
            rows.push(Row {
                name: format!("{first}{more} ({system})"),
                checks: names.join(" "),
                system: system.clone(),
                runner,
                backend: "nixos",
                timeout,
                limit: (timeout - MARGIN_MINUTES) * 60,
            });
        }
    }
    Ok(rows)
}

/// Shares checks among at most so many rows: the longest first, each to the row that has least to do.
fn share(checks: &[Weighed], count: usize) -> Vec<Vec<&Weighed>> {
    let mut rows: Vec<(f64, Vec<usize>)> = vec![(0.0, Vec::new()); count.min(checks.len())];
    let mut order: Vec<usize> = (0..checks.len()).collect();
    order.sort_by(|a, b| checks[*b].seconds.total_cmp(&checks[*a].seconds));
    for at in order {
        if let Some((seconds, row)) = rows.iter_mut().min_by(|a, b| a.0.total_cmp(&b.0)) {
            *seconds += checks[at].seconds;
            row.push(at);
        }
    }
    // As the checks were: by name.
    for (_, row) in &mut rows {
        row.sort_unstable();
    }
    rows.sort_by(|a, b| a.1.cmp(&b.1));
    rows.iter().map(|(_, row)| row.iter().map(|at| &checks[*at]).collect()).collect()
}

/// A child pipeline of GitLab. It has a job even if there is no check: GitLab refuses an empty pipeline.
fn gitlab(rows: &[Row]) -> Value {
    let mut jobs = Map::new();
    for row in rows {
        let job = json!({
            "extends": ".nixos",
            "timeout": format!("{} minutes", row.timeout),
            "variables": {"CHECKS": row.checks, "SYSTEM": row.system, "LIMIT": row.limit.to_string()},
        });
        jobs.insert(format!("check {}", row.name), job);
    }
    if rows.is_empty() {
        jobs.insert("no checks".into(), json!({"script": ["echo 'there is no checks/NAME.nix'"]}));
    } else {
        jobs.insert("include".into(), json!([{"local": "tool/ci/gitlab/row.yml"}]));
    }
    Value::Object(jobs)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn weighed(count: usize, limit: Option<u64>) -> Vec<Weighed> {
        (0..count).map(|n| Weighed { name: format!("c{n}"), limit, seconds: USUAL_SECONDS }).collect()
    }

    fn rows_of(count: usize, limit: Option<u64>, systems: &[&str]) -> Vec<Row> {
        let systems: Vec<String> = systems.iter().map(|s| (*s).to_owned()).collect();
        rows(&weighed(count, limit), &systems, None, MatrixFormat::Gitlab).unwrap()
    }

    #[test]
    fn a_check_is_a_row() {
        let rows = rows_of(1, None, &["x86_64-linux"]);
        assert_eq!(
            serde_json::to_value(&rows).unwrap(),
            json!([
                {"name": "c0 (x86_64-linux)", "checks": "c0", "system": "x86_64-linux", "runner": "ubuntu-24.04",
                 "backend": "nixos", "timeout": 75, "limit": 3900},
            ])
        );
        assert_eq!(rows_of(1, Some(3600), &["x86_64-linux"])[0].timeout, 120);
        assert_eq!(rows_of(1, Some(u64::MAX), &["x86_64-linux"])[0].timeout, 360);
    }

    #[test]
    fn systems_that_no_machine_of_github_can_check_are_refused() {
        let refused = |system: &str, format| {
            fail::render(&rows(&weighed(1, None), &[system.to_owned()], None, format).unwrap_err())
        };
        assert!(refused("riscv64-linux", MatrixFormat::Gitlab).starts_with("error: there is no NixOS machine for a"));
        let text = refused("aarch64-linux", MatrixFormat::Github);
        assert!(text.starts_with("error: GitHub's machines for `aarch64-linux` have no KVM"), "{text}");
        assert_eq!(rows_of(1, None, &["aarch64-linux"]).len(), 1, "a runner of one's own");
    }

    #[test]
    fn rows_have_as_much_to_do_as_each_other() {
        let mut checks = weighed(5, None);
        checks[3].seconds = 500.0;
        let shared = |count| -> Vec<Vec<&str>> {
            share(&checks, count).iter().map(|row| row.iter().map(|check| check.name.as_str()).collect()).collect()
        };
        assert_eq!(shared(2), [vec!["c0", "c1", "c2", "c4"], vec!["c3"]]);
        assert_eq!(shared(9).len(), 5, "no row is empty");
        let auto = |checks: &[Weighed]| {
            rows(checks, &["x86_64-linux".to_owned()], Some(Rows::Auto), MatrixFormat::Github).unwrap().len()
        };
        assert_eq!([auto(&checks), auto(&checks[..3]), auto(&[])], [2, 1, 0]);
    }

    proptest! {
        /// GitHub's rules: at most 256 rows, below 1 MB. Ours: every check once per system, names unique.
        #[test]
        fn every_matrix_fits(count in 0_usize..2000, both in any::<bool>()) {
            let systems: &[&str] = if both { &["x86_64-linux", "aarch64-linux"] } else { &["x86_64-linux"] };
            let rows = rows_of(count, None, systems);
            prop_assert!(rows.len() <= 256);
            let size = json!({"include": rows}).to_string().len();
            prop_assert!(size < 1_000_000);
            let mut names: Vec<_> = rows.iter().map(|r| &r.name).collect();
            names.sort_unstable();
            names.dedup();
            prop_assert_eq!(names.len(), rows.len());
            let run: usize = rows.iter().map(|r| r.checks.split(' ').filter(|c| !c.is_empty()).count()).sum();
            prop_assert_eq!(run, count * systems.len());
        }
    }
}
