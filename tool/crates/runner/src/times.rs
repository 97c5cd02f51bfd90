//! How long checks took when they last passed: `target/times/BACKEND.json`, a small file that a CI service can keep from run to
//! run, whatever becomes of the runs themselves.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::{Outcome, Verdict};
use tool_base::files;

fn file(target: &Path, backend: &str) -> PathBuf {
    target.join("times").join(backend).with_extension("json")
}

/// Seconds of each check that has passed in a backend. What cannot be read is not known.
pub fn read(target: &Path, backend: &str) -> BTreeMap<String, f64> {
    let times = fs::read(file(target, backend)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    times.unwrap_or_default()
}

/// Adds what a run has shown.
pub(crate) fn keep(target: &Path, backend: &str, outcomes: &[Outcome]) -> Result<()> {
    let mut times = read(target, backend);
    let passed = outcomes.iter().filter(|outcome| outcome.verdict == Verdict::Passed && !outcome.cached);
    let passed: Vec<_> = passed.map(|outcome| (outcome.exec.check.name.clone(), outcome.seconds)).collect();
    if passed.is_empty() {
        return Ok(());
    }
    times.extend(passed);
    let file = file(target, backend);
    fs::create_dir_all(file.parent().unwrap_or(target))?;
    Ok(files::replace(&file, &serde_json::to_string_pretty(&times)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Exec;
    use tool_project::Check;

    #[test]
    fn the_newest_pass_of_a_backend_tells_the_time() {
        let dir = tempfile::tempdir().unwrap();
        let outcome = |name: &str, verdict, cached, seconds| {
            let check = Check { name: name.into(), ..Check::default() };
            let exec = Exec { id: 0, check, repetition: 1, attempt: 1, dir: PathBuf::new() };
            Outcome { cached, ..Outcome::new(&exec, verdict, None, seconds) }
        };
        keep(dir.path(), "nixos", &[outcome("a", Verdict::Failed(1), false, 1.0)]).unwrap();
        assert!(!dir.path().join("times").exists(), "nothing is known");
        let passed = |name, seconds| outcome(name, Verdict::Passed, false, seconds);
        keep(dir.path(), "nixos", &[passed("a", 40.0), passed("b", 7.0)]).unwrap();
        keep(dir.path(), "nixos", &[passed("a", 50.0)]).unwrap();
        keep(dir.path(), "sandbox", &[passed("a", 1.0)]).unwrap();
        let rest = [outcome("a", Verdict::Interrupted, false, 2.0), outcome("a", Verdict::Passed, true, 0.0)];
        keep(dir.path(), "nixos", &rest).unwrap();
        assert_eq!(read(dir.path(), "nixos"), BTreeMap::from([("a".to_owned(), 50.0), ("b".to_owned(), 7.0)]));
        fs::write(file(dir.path(), "nixos"), "{\"a\": ").unwrap();
        assert!(read(dir.path(), "nixos").is_empty());
    }
}
