//! The conformance cases: small scripts, and what nixpkgs' test driver did with them on a virtual machine.
//!
//! The cases are no part of the project; their folder has a README.md of its own. Its programs `run_real` and `compare`
//! do the work.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use tool_base::fail;
use tool_base::process::{Cmd, quote};

/// Drivers at a time. Most of them wait; the longest case waits for a minute.
const JOBS: &str = "12";

/// How the sandbox did.
#[derive(Debug, Deserialize)]
pub struct Score {
    /// Cases that agree.
    pub agree: usize,
    /// All cases.
    pub total: usize,
    /// The verdict on each case.
    pub cases: BTreeMap<String, Verdict>,
}

/// One case.
#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "shown where a case differs")]
pub struct Verdict {
    /// Whether outcome and all facts agree.
    pub equal: bool,
    /// What does not.
    pub differs: Vec<Difference>,
}

/// One fact that differs.
#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "shown where a case differs")]
pub struct Difference {
    /// Name of the fact.
    pub key: String,
    /// What the real driver gave.
    pub expected: serde_json::Value,
    /// What the sandbox gave.
    pub got: serde_json::Value,
}

/// Runs all cases of a folder in the sandbox and compares: about a minute and a half. `scratch` is an empty folder.
pub fn run(cases: &Path, xtask: &Path, scratch: &Path) -> Result<Score> {
    let cases = cases
        .canonicalize()
        .map_err(|e| fail::Failure::new(fail::Status::Usage, format!("{}: {e}", cases.display())))?;
    let word = |path: &Path| quote(path.as_os_str());
    let driver = format!(
        "{} driver --units {} --path {} --timeout {{timeout}} -o {{out}} {{script}}",
        word(xtask),
        word(&cases.join("guest/units")),
        word(&cases.join("guest/bin"))
    );
    let (results, verdicts) = (scratch.join("results.json"), scratch.join("verdicts.json"));
    Cmd::new(cases.join("run_real"))
        .args(["--driver-command", &driver, "--name", "sandbox", "--jobs", JOBS])
        .arg("--work")
        .arg(scratch.join("work"))
        .arg("-o")
        .arg(&results)
        // Each driver leaves a folder of results there.
        .env("CARGO_TARGET_DIR", scratch.join("target"))
        .read()?;
    // Its exit status only says whether all cases agree.
    let output = Cmd::new(cases.join("compare")).arg("--json").arg(&verdicts).arg(&results).output()?;
    let text = std::fs::read(&verdicts)
        .with_context(|| format!("compare gave no verdicts: {}", String::from_utf8_lossy(&output.stderr).trim()))?;
    Ok(serde_json::from_slice(&text)?)
}
