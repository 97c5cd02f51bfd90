//! `--junit FILE`: one JUnit report of a run, in the form that Maven Surefire writes and Jenkins and GitLab read.
//!
//! Written by hand: the crate quick-junit brings 14 crates and 7 s of processor time to a cold build, and its attribute
//! `disabled` is none that Jenkins' schema (junit-10.xsd) knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Reporter;
use super::again::Again;
use tool_base::date;
use tool_base::fail;
use tool_base::fail::Failure;
use tool_base::files::Given;
use tool_base::left;
use tool_runner::{Event, Outcome, Summary, Verdict};

/// Bytes of a log that a report shows: its end, where a failure is.
const LOG: u64 = 32 * 1024;

/// A report that is written when the run ends.
#[derive(Debug)]
pub struct Junit {
    path: PathBuf,
    file: Given,
    again: Again,
    checks: Vec<String>,
}

impl Junit {
    /// A report to `path`. Makes its folder, and drops a report of an earlier run.
    ///
    /// # Errors
    /// If the file could not be written later.
    pub fn create(path: &Path, again: &Again) -> Result<Self> {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = fs::create_dir_all(dir).and_then(|()| Given::new(path));
        let file = file.and_then(|file| file.clear().map(|()| file)).with_context(|| cannot_write(path))?;
        Ok(Self { path: path.to_owned(), file, again: again.clone(), checks: Vec::new() })
    }
}

fn cannot_write(path: &Path) -> Failure {
    fail::host(format!("cannot write the JUnit report {}", path.display()))
        .hint("give a file in a folder that you may write to: --junit target/junit.xml")
}

impl Reporter for Junit {
    fn report(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Begun(begun) => self.checks.clone_from(&begun.checks),
            Event::Finished(summary) => {
                let text = document(&self.checks, summary, &self.again);
                self.file.write(&text).with_context(|| cannot_write(&self.path))?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// The whole report: a suite for each execution that counts, one for each check that has none.
fn document(checks: &[String], summary: &Summary, again: &Again) -> String {
    let mut suites: Vec<Suite> = summary.results().map(|outcome| executed(outcome, summary, again)).collect();
    let begun: BTreeSet<&str> = summary.outcomes.iter().map(|o| o.exec.check.name.as_str()).collect();
    let not_run = checks.iter().filter(|name| !begun.contains(name.as_str()));
    suites.extend(not_run.map(|name| match &summary.trouble {
        Some(trouble) => could_not_run(name, trouble),
        None => left_out(name, "not run: the run ended before"),
    }));
    suites.extend(summary.skipped.iter().map(|skipped| left_out(&skipped.check, &skipped.reason)));
    let total = |count: fn(&Suite) -> usize| suites.iter().map(count).sum::<usize>();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuites name=\"cargo xtask test\" tests=\"{}\" failures=\"{}\" errors=\"{}\" time=\"{:.3}\">\n",
        total(|s| s.tests),
        total(|s| s.failures),
        total(|s| s.errors),
        summary.seconds
    );
    for Suite { name, tests, failures, errors, skipped, rest, cases } in &suites {
        let name = xml(name);
        text += &format!(
            "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" \
             skipped=\"{skipped}\"{rest}>\n{cases}  </testsuite>\n"
        );
    }
    text + "</testsuites>\n"
}

#[derive(Default)]
struct Suite {
    name: String,
    tests: usize,
    failures: usize,
    errors: usize,
    skipped: usize,
    /// More attributes.
    rest: String,
    cases: String,
}

impl Suite {
    fn case(&mut self, name: &str, seconds: f64, children: &str) {
        self.tests += 1;
        let (class, name) = (xml(&self.name), xml(name));
        self.cases += &format!(
            "    <testcase classname=\"{class}\" name=\"{name}\" time=\"{seconds:.3}\">{children}</testcase>\n"
        );
    }
}

/// A check that has no result.
fn left_out(name: &str, reason: &str) -> Suite {
    let mut suite = Suite { name: name.to_owned(), skipped: 1, ..Suite::default() };
    suite.case(name, 0.0, &format!("<skipped message=\"{}\"/>", xml(reason)));
    suite
}

/// A check that had no chance: the host failed before.
fn could_not_run(name: &str, trouble: &str) -> Suite {
    let mut suite = Suite { name: name.to_owned(), errors: 1, ..Suite::default() };
    suite.case(name, 0.0, &problem("error", "host", trouble));
    suite
}

/// What went wrong, as an element: its kind, its first line, all of it.
fn problem(element: &str, kind: &str, why: &str) -> String {
    format!("<{element} type=\"{}\" message=\"{}\">{}</{element}>", xml(kind), xml(first(why)), xml(why))
}

/// The last attempt of an execution. Whatever failed is one failure, in the case where it happened: of a subtest, or of the
/// script. Earlier attempts are told there, too, as Surefire does for reruns.
fn executed(outcome: &Outcome, summary: &Summary, again: &Again) -> Suite {
    let exec = &outcome.exec;
    let name = match exec.repetition {
        1 => exec.check.name.clone(),
        n => format!("{}/{n}", exec.check.name),
    };
    let rest = format!(" time=\"{:.3}\" timestamp=\"{}\"", outcome.seconds, date::iso(outcome.started));
    let mut suite = Suite { name, rest, ..Suite::default() };
    let failed = failed_subtest(outcome);
    let what = problems(outcome, summary, again);
    match outcome.verdict {
        Verdict::Passed => {}
        Verdict::Interrupted | Verdict::HostFailed => suite.errors += 1,
        Verdict::Failed(_) | Verdict::TimedOut(_) => suite.failures += 1,
    }
    let log = format!("<system-out>{}</system-out>", xml(&log(&exec.dir)));
    // The tests of a program are told by TAP: each is one of its own.
    let tap = outcome.failure.as_ref().is_some_and(|failure| failure.class == "TAP");
    let failed_tests = outcome.subtests.iter().filter(|subtest| tap && !subtest.ok).count();
    let (mut own, rest) = if failed_tests > 0 { by_test(outcome) } else { (BTreeMap::new(), String::new()) };
    suite.failures = suite.failures.max(failed_tests + usize::from(!rest.is_empty()));
    for (at, subtest) in outcome.subtests.iter().enumerate() {
        let seconds = subtest.seconds.unwrap_or_else(|| (outcome.seconds - subtest.start).max(0.0));
        // A script may catch what goes wrong in a subtest: then nothing has failed.
        let children = match () {
            () if tap && !subtest.ok => problem(
                "failure",
                "TAP",
                &own.remove(&subtest.name).unwrap_or_else(|| format!("not ok {}", subtest.name)),
            ),
            () if Some(at) == failed => what.clone(),
            () => String::new(),
        };
        suite.case(&subtest.name, seconds, &children);
    }
    let script_name = exec.check.script.as_deref().and_then(Path::file_name);
    let script_name = script_name.map_or_else(|| exec.check.name.clone().into(), |n| n.to_string_lossy());
    let script = match failed.map(|at| &outcome.subtests[at].name) {
        None if failed_tests > 0 && rest.is_empty() => log,
        None if failed_tests > 0 => problem("failure", "TAP", &rest) + &log,
        None => what + &log,
        Some(subtest) => {
            suite.skipped += 1;
            format!("<skipped message=\"it ended in subtest &quot;{}&quot;\"/>{log}", xml(subtest))
        }
    };
    suite.case(&script_name, outcome.seconds, &script);
    suite
}

/// What TAP says of each test that failed, by its name, and what else is wrong with the program.
fn by_test(outcome: &Outcome) -> (BTreeMap<String, String>, String) {
    let (mut own, mut rest, mut at) = (BTreeMap::<String, String>::new(), String::new(), None);
    for line in outcome.failure.iter().flat_map(|failure| failure.message.lines()) {
        if !line.starts_with("  ") {
            let name = line.strip_prefix("not ok ");
            at = name.filter(|name| outcome.subtests.iter().any(|subtest| !subtest.ok && subtest.name == *name));
        }
        let text = at.map_or(&mut rest, |name| own.entry(name.to_owned()).or_default());
        *text += if text.is_empty() { "" } else { "\n" };
        *text += line;
    }
    (own, rest)
}

/// The subtest that failed, if one did: the innermost of those that were not left well.
fn failed_subtest(outcome: &Outcome) -> Option<usize> {
    if !outcome.verdict.is_failure() {
        return None;
    }
    let subtests = &outcome.subtests;
    match &outcome.failure {
        Some(failure) => subtests.iter().rposition(|s| !s.ok && failure.subtest.as_ref() == Some(&s.name)),
        // Ended from outside.
        None => subtests.iter().rposition(|s| s.seconds.is_none()),
    }
}

/// What went wrong, at last and at earlier attempts, as elements.
fn problems(outcome: &Outcome, summary: &Summary, again: &Again) -> String {
    let exec = &outcome.exec;
    let (kind, why) = reason(outcome, summary);
    let why = format!("{why}\nrun again: {}", again.test(&[&exec.check.name], &[]));
    let mut elements = match outcome.verdict {
        Verdict::Passed => String::new(),
        Verdict::Interrupted | Verdict::HostFailed => problem("error", &kind, &why),
        Verdict::Failed(_) | Verdict::TimedOut(_) => problem("failure", &kind, &why),
    };
    let same = |o: &&Outcome| o.retried && o.exec.check == exec.check && o.exec.repetition == exec.repetition;
    for earlier in summary.outcomes.iter().filter(same) {
        let element = if outcome.verdict == Verdict::Passed { "flakyFailure" } else { "rerunFailure" };
        let (kind, why) = reason(earlier, summary);
        elements += &format!(
            "<{element} type=\"{}\" message=\"{}\"><stackTrace>{}</stackTrace><system-out>{}</system-out></{element}>",
            xml(&kind),
            xml(first(&why)),
            xml(&why),
            xml(&log(&earlier.exec.dir))
        );
    }
    elements
}

/// Kind of a failure, and all that is known of it.
fn reason(outcome: &Outcome, summary: &Summary) -> (String, String) {
    let (kind, mut why) = match (&outcome.verdict, &outcome.failure) {
        (Verdict::TimedOut(limit), _) => ("timeout", format!("ran into its time limit of {limit} s")),
        (Verdict::Interrupted, _) => ("interrupted", "interrupted".to_owned()),
        (Verdict::HostFailed, _) => ("host", summary.trouble.clone().unwrap_or_default()),
        (_, Some(failure)) => (failure.class.as_str(), failure.message.clone()),
        (Verdict::Failed(code), None) => ("driver", format!("the driver ended with status {code} and gave no reason")),
        (Verdict::Passed, None) => ("", String::new()),
    };
    if let Some(failure) = &outcome.failure {
        if let Some(subtest) = &failure.subtest {
            why += &format!("\nin subtest \"{subtest}\"");
        }
        if let Some(line) = failure.line {
            let source = failure.source.as_deref().map_or("", str::trim);
            why += &format!("\nat checks/{}.py:{line}: {source}", outcome.exec.check.name);
        }
    }
    (kind.to_owned(), why)
}

fn first(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// The end of the log of an execution.
fn log(dir: &Path) -> String {
    let (left_out, bytes) = left::tail(dir, Path::new("log"), LOG).unwrap_or_default();
    // Cut at a line, unless it is endless.
    let from = bytes.iter().position(|b| *b == b'\n').filter(|_| left_out > 0).map_or(0, |n| n + 1);
    let note = if left_out > 0 {
        let left_out = left_out + u64::try_from(from).unwrap_or_default();
        format!("[the first {left_out} bytes are left out; all of it: {}]\n", dir.join("log").display())
    } else {
        String::new()
    };
    note + &anstream::adapter::strip_str(&String::from_utf8_lossy(&bytes[from..])).to_string()
}

/// Text that may stand anywhere in XML. Characters that XML 1.0 forbids become `\u{FFFD}`.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\r' => out += "&#13;",
            '\t' | '\n' | ' '..='\u{fffd}' | '\u{10000}'.. => out.push(c),
            _ => out.push('\u{fffd}'),
        }
    }
    out
}

#[cfg(test)]
mod tests;
