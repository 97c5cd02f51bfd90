//! What the last run left to do: `target/checks/RUN/run.json`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Deserialize;

use tool_base::fail::{Failure, Status};

/// The newest run whose results are kept.
#[derive(Debug)]
pub struct LastRun {
    /// Name of its folder.
    pub name: String,
    /// Checks that failed, were interrupted, or did not run.
    pub to_do: BTreeSet<String>,
}

/// The part of `run.json` that counts here.
#[derive(Deserialize)]
struct File {
    run: Run,
    summary: Summary,
}

#[derive(Deserialize)]
struct Run {
    checks: Vec<String>,
    #[serde(default)]
    backend: String,
}

#[derive(Deserialize)]
struct Summary {
    outcomes: Vec<Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    check: String,
    verdict: serde_json::Value,
    retried: bool,
}

/// Finds the newest run in `dir` that told its results. One that was killed, or was interactive, told none.
pub fn read(dir: &Path) -> Result<LastRun> {
    let told = |run: &PathBuf| {
        let text = fs::read_to_string(run.join("run.json")).ok()?;
        Some(LastRun { name: run.file_name()?.to_string_lossy().into_owned(), to_do: to_do(&text)? })
    };
    runs(dir).iter().rev().find_map(told).ok_or_else(|| {
        Failure::new(Status::NothingSelected, format!("no run is kept in {}, so none failed", dir.display()))
            .hint("cargo xtask test")
            .into()
    })
}

/// Folders of runs, the oldest first.
fn runs(dir: &Path) -> Vec<PathBuf> {
    let mut runs: Vec<PathBuf> = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    runs.retain(|path| !path.is_symlink());
    runs.sort();
    runs
}

/// Checks that a run left to do; `None` where the text is not a run's, or it was one of unit tests.
fn to_do(text: &str) -> Option<BTreeSet<String>> {
    let File { run, summary } =
        serde_json::from_str(text).ok().filter(|file: &File| file.run.backend != crate::UNIT)?;
    let left = |check: &String| {
        let mut ends = summary.outcomes.iter().filter(|o| o.check == *check && !o.retried).peekable();
        ends.peek().is_none() || ends.any(|o| o.verdict != "passed")
    };
    Some(run.checks.into_iter().filter(left).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use tool_base::fail;

    fn run(verdict: &serde_json::Value) -> String {
        let outcome = |check, verdict: &serde_json::Value, retried| json!({"check": check, "verdict": verdict, "retried": retried});
        let outcomes = [
            outcome("good", &json!("passed"), false),
            outcome("flaky", &json!({"failed": 1}), true),
            outcome("flaky", &json!("passed"), false),
            outcome("bad", verdict, false),
            outcome("bad", &json!("passed"), false),
        ];
        let checks = ["good", "flaky", "bad", "not-run"];
        json!({"version": 1, "run": {"checks": checks}, "summary": {"outcomes": outcomes}}).to_string()
    }

    #[test]
    fn what_did_not_pass_is_left_to_do() {
        for verdict in [json!({"failed": 1}), json!({"timed-out": 3}), json!("interrupted")] {
            let left = to_do(&run(&verdict)).unwrap();
            assert_eq!(left.iter().map(String::as_str).collect::<Vec<_>>(), ["bad", "not-run"]);
        }
    }

    #[test]
    fn the_newest_whole_file_counts() {
        let dir = tempfile::tempdir().unwrap();
        let error = read(&dir.path().join("checks")).unwrap_err();
        assert_eq!(fail::status(&error).code(), 4);
        for (name, text) in [("20260101", "{}"), ("20260102", &run(&json!("passed"))), ("20260103", "{\"run\": {")] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join("run.json"), text).unwrap();
        }
        fs::create_dir(dir.path().join("20260104")).unwrap();
        std::os::unix::fs::symlink("20260104", dir.path().join("latest")).unwrap();
        let last = read(dir.path()).unwrap();
        assert_eq!((last.name.as_str(), last.to_do.len()), ("20260102", 1));
    }

    proptest! {
        #[test]
        fn half_a_file_is_no_run(cut in 0_usize..300) {
            let text = run(&json!("passed"));
            prop_assert!(cut >= text.len() || to_do(&text[..cut]).is_none());
        }
    }
}
