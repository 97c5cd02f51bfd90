//! What the last run left to do: `target/checks/RUN/run.json`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{RunFile, Verdict};
use anyhow::Result;
use tool_base::fail::{Failure, Status};

/// The newest run whose results are kept.
#[derive(Debug)]
pub struct LastRun {
    /// Name of its folder.
    pub name: String,
    /// Checks that failed, were interrupted, or did not run.
    pub to_do: BTreeSet<String>,
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
    let file = serde_json::from_str(text).ok();
    let RunFile { run, summary, .. } = file.filter(|file: &RunFile| file.run.backend != crate::UNIT)?;
    let left = |check: &String| {
        let mut ends = summary.results().filter(|o| o.exec.check.name == *check).peekable();
        ends.peek().is_none() || ends.any(|o| o.verdict != Verdict::Passed)
    };
    Some(run.checks.into_iter().filter(left).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Begun, Exec, Outcome, Summary};
    use tool_base::fail;
    use tool_project::Check;

    fn run(verdict: Verdict) -> String {
        let outcome = |check: &str, verdict, retried| {
            let check = Check { name: check.into(), ..Check::default() };
            let exec = Exec { id: 0, check, repetition: 1, attempt: 1, dir: PathBuf::new() };
            Outcome { retried, ..Outcome::new(&exec, verdict, None, 0.5) }
        };
        let outcomes = vec![
            outcome("good", Verdict::Passed, false),
            outcome("flaky", Verdict::Failed(1), true),
            outcome("flaky", Verdict::Passed, false),
            outcome("bad", verdict, false),
            outcome("bad", Verdict::Passed, false),
        ];
        let begun = Begun {
            checks: ["good", "flaky", "bad", "not-run"].map(str::to_owned).into(),
            skipped: Vec::new(),
            jobs: None,
            repeat: None,
            backend: "sandbox".to_owned(),
            dir: PathBuf::new(),
            tool: String::new(),
        };
        let summary = Summary { outcomes, ..Summary::default() };
        serde_json::to_string(&RunFile { version: crate::VERSION, run: begun, summary }).unwrap()
    }

    #[test]
    fn what_did_not_pass_is_left_to_do() {
        for verdict in [Verdict::Failed(1), Verdict::TimedOut(3), Verdict::Interrupted] {
            let left = to_do(&run(verdict)).unwrap();
            assert_eq!(left.iter().map(String::as_str).collect::<Vec<_>>(), ["bad", "not-run"]);
        }
    }

    #[test]
    fn the_newest_whole_file_counts() {
        let dir = tempfile::tempdir().unwrap();
        let error = read(&dir.path().join("checks")).unwrap_err();
        assert_eq!(fail::status(&error).code(), 4);
        for (name, text) in [("20260101", "{}"), ("20260102", &run(Verdict::Passed)), ("20260103", "{\"run\": {")] {
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
        fn half_a_file_is_no_run(cut in 0_usize..1500) {
            let text = run(Verdict::Passed);
            prop_assert!(cut >= text.len() || to_do(&text[..cut]).is_none());
        }
    }
}
