//! `cargo xtask ci-matrix`: the checks as jobs of a CI service. `tool/docs/ci-matrix.schema.json` describes the form.

use anyhow::Result;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::cli::{CiMatrix, MatrixFormat};
use tool_backends::nix;
use tool_base::fail::{Failure, Status};
use tool_base::{fail, ui};
use tool_project::{Check, Project};
use tool_runner::select;

/// Rows that GitHub allows in a matrix; a GitLab pipeline bears them too.
const MOST_ROWS: usize = 256;
/// Minutes for what comes before a check on a machine without a cache: Nix, xtask, EPICS base, a kernel.
const SET_UP_MINUTES: u64 = 60;
/// Limit of a check that names none, in seconds (`globalTimeout` in `tool/nix/checks.nix`).
const DEFAULT_TIMEOUT: u64 = 900;
/// Minutes that GitHub gives a job at most.
const MOST_MINUTES: u64 = 360;

/// One job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Row {
    /// Name of the job and of its artifact.
    name: String,
    /// Checks that it runs, separated by blanks: one, unless there are more checks than rows.
    checks: String,
    /// System that it builds for.
    system: String,
    /// GitHub's label of a machine that can.
    runner: &'static str,
    /// Backend of `cargo xtask test`.
    backend: &'static str,
    /// Limit of the job in minutes.
    timeout: u64,
}

/// Runs the command.
pub fn run(args: &CiMatrix) -> Result<Status> {
    let project = Project::load()?;
    // No row is an answer, too: a pipeline has nothing to do then.
    let mut checks = select::select(&project, &(&args.selection).into())?.checks;
    checks.retain(|check| check.nix.is_some());
    let (checks, _) = select::fit(checks, "nixos", &args.selection.names)?;
    nix::require_nix_files(&checks)?;
    let timed = checks.iter().map(|check| Ok((check, check.settings()?.timeout))).collect::<Result<Vec<_>>>()?;
    let rows = rows(&timed, &args.system)?;
    match args.format {
        MatrixFormat::Json => ui::data(&serde_json::to_string_pretty(&document(&rows))?),
        MatrixFormat::Github => {
            ui::data(&format!("matrix={}\nany={}", json!({"include": rows}), !rows.is_empty()));
        }
        MatrixFormat::Gitlab => ui::data(&serde_json::to_string_pretty(&gitlab(&rows))?),
    }
    Ok(Status::Done)
}

fn document(rows: &[Row]) -> Value {
    json!({"schema": 1, "any": !rows.is_empty(), "include": rows})
}

/// A machine of GitHub for a system. `None` where GitHub has none.
fn runner(system: &str) -> Option<&'static str> {
    match system {
        "x86_64-linux" => Some("ubuntu-24.04"),
        "aarch64-linux" => Some("ubuntu-24.04-arm"),
        _ => None,
    }
}

fn rows(checks: &[(&Check, Option<u64>)], systems: &[String]) -> Result<Vec<Row>> {
    let room = MOST_ROWS / systems.len().max(1);
    if room == 0 {
        return Err(Failure::new(Status::Usage, format!("{} systems are more than a matrix has rows", systems.len()))
            .hint("--system x86_64-linux")
            .into());
    }
    let mut rows = Vec::new();
    for system in systems {
        let Some(runner) = runner(system) else {
            let failure = fail::config(format!("no machine of GitHub is a `{system}`"));
            return Err(failure.hint("--system x86_64-linux, or --system aarch64-linux").into());
        };
        for some in checks.chunks(checks.len().div_ceil(room).max(1)) {
            let names: Vec<&str> = some.iter().map(|(check, _)| check.name.as_str()).collect();
            let first = names.first().copied().unwrap_or_default();
            let more = if names.len() > 1 { format!(" and {} more", names.len() - 1) } else { String::new() };
            let seconds = some.iter().fold(0, |sum: u64, (_, timeout)| {
                sum.saturating_add(timeout.unwrap_or(DEFAULT_TIMEOUT).max(DEFAULT_TIMEOUT))
            });
            rows.push(Row {
                name: format!("{first}{more} ({system})"),
                checks: names.join(" "),
                system: system.clone(),
                runner,
                backend: "nixos",
                timeout: seconds.div_ceil(60).saturating_add(SET_UP_MINUTES).min(MOST_MINUTES),
            });
        }
    }
    Ok(rows)
}

/// A child pipeline of GitLab. It has a job even if there is no check: GitLab refuses an empty pipeline.
fn gitlab(rows: &[Row]) -> Value {
    let mut jobs = Map::new();
    for row in rows {
        let job = json!({
            "extends": ".nixos",
            "timeout": format!("{} minutes", row.timeout),
            "variables": {"CHECKS": row.checks, "SYSTEM": row.system},
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

    fn check(name: &str) -> Check {
        Check { name: name.into(), nix: Some("x".into()), ..Check::default() }
    }

    fn rows_of(count: usize, timeout: Option<u64>, systems: &[&str]) -> Vec<Row> {
        let checks: Vec<Check> = (0..count).map(|n| check(&format!("c{n}"))).collect();
        let timed: Vec<_> = checks.iter().map(|c| (c, timeout)).collect();
        rows(&timed, &systems.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_check_is_a_row() {
        let rows = rows_of(1, None, &["x86_64-linux", "aarch64-linux"]);
        assert_eq!(
            serde_json::to_value(&rows).unwrap(),
            json!([
                {"name": "c0 (x86_64-linux)", "checks": "c0", "system": "x86_64-linux", "runner": "ubuntu-24.04",
                 "backend": "nixos", "timeout": 75},
                {"name": "c0 (aarch64-linux)", "checks": "c0", "system": "aarch64-linux", "runner": "ubuntu-24.04-arm",
                 "backend": "nixos", "timeout": 75},
            ])
        );
        assert_eq!(rows_of(1, Some(3600), &["x86_64-linux"])[0].timeout, 120);
        assert_eq!(rows_of(1, Some(u64::MAX), &["x86_64-linux"])[0].timeout, 360);
    }

    #[test]
    fn no_check_is_no_row_and_gitlab_still_has_a_job() {
        let rows = rows_of(0, None, &["x86_64-linux"]);
        assert_eq!(document(&rows), json!({"schema": 1, "any": false, "include": []}));
        assert_eq!(gitlab(&rows).as_object().unwrap().len(), 1);
    }

    #[test]
    fn unknown_systems_are_refused() {
        let one = check("a");
        let text = fail::render(&rows(&[(&one, None)], &["riscv64-linux".into()]).unwrap_err());
        assert!(text.starts_with("error: no machine of GitHub is a `riscv64-linux`"), "{text}");
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
