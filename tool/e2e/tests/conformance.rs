//! The conformance cases of the test driver, where they lie beside the project: see tool/docs/checks.md.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

#[path = "common/conformance.rs"]
mod conformance;

/// Cases that differ from the recorded driver on purpose, each with the reason. tool/docs/checks.md lists them.
const DELIBERATE: [(&str, &str); 1] = [(
    "fatal-caught",
    "a failure of wait_until_succeeds and the like is RequestedAssertionFailed, as in NixOS 26.05; the recorded driver is of early 2025",
)];

#[test]
fn all_cases_agree_but_deliberate_differences() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance");
    let cases = std::env::var_os("XTASK_CONFORMANCE").map_or(cases, Into::into);
    if !cases.join("run_real").exists() {
        // Past libtest, which keeps what a passed test prints to itself.
        let mut terminal = std::io::stderr().lock();
        writeln!(terminal, "SKIPPED: no conformance cases at {} (XTASK_CONFORMANCE names them)", cases.display())
            .unwrap();
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let score = conformance::run(&cases, Path::new(env!("CARGO_BIN_EXE_foreign")), scratch.path()).unwrap();
    let deliberate: BTreeSet<&str> = DELIBERATE.iter().map(|(name, _)| *name).collect();
    let wrong: Vec<_> =
        score.cases.iter().filter(|(name, verdict)| !verdict.equal && !deliberate.contains(name.as_str())).collect();
    assert!(wrong.is_empty(), "{} of {} agree, but not: {wrong:#?}", score.agree, score.total);
    let stale: Vec<_> = deliberate.iter().filter(|name| score.cases.get(**name).is_none_or(|v| v.equal)).collect();
    assert!(stale.is_empty(), "these agree or are gone, so they are no differences any more: {stale:?}");
}

#[test]
fn the_docs_list_the_deliberate_differences() {
    let docs = include_str!("../../docs/checks.md");
    for (name, _) in DELIBERATE {
        assert!(docs.contains(&format!("`{name}`")), "tool/docs/checks.md does not name {name}");
    }
}
