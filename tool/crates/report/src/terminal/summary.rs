//! The end of a run: failures first, each with what helps to find its cause, then flaky checks and counts.

use std::path::Path;

use super::Telling;
use super::text::{TAIL, clean, duration, evidence, relative};
use tool_base::ui::{BAD, DIM, GOOD, HINT, STRONG, WARN, cut, paint, wrap};
use tool_runner::{Exec, Outcome, ScriptFailure, Summary, Verdict};

/// Characters of a line of somebody else's text.
const LINE: usize = 200;
/// Characters of a line of a failure's message, which may name a long command.
const MESSAGE_LINE: usize = 2000;
/// From so many results on, the slowest are named.
const MANY: usize = 10;
/// How many of them.
const SLOWEST: usize = 3;

/// All of it, for a terminal of so many columns, or for a file.
pub fn text(summary: &Summary, telling: &Telling, backend: &str, width: Option<usize>) -> String {
    let report = Report { telling, backend, width };
    let results = || summary.results();
    let mut text: String = results().filter(|o| o.verdict.is_failure()).map(|o| report.failure(o)).collect();
    let failed = !text.is_empty();
    for outcome in results().filter(|o| o.verdict == Verdict::Passed && !o.remarks.is_empty()) {
        text += &report.remarks(outcome);
    }
    let flaky: Vec<&Outcome> = results().filter(|o| o.is_flaky()).collect();
    if !flaky.is_empty() {
        text.push('\n');
        text.extend(flaky.into_iter().map(|o| report.flaky(o, summary)));
    }
    let interrupted: Vec<&Outcome> = results().filter(|o| o.verdict == Verdict::Interrupted).collect();
    if !interrupted.is_empty() {
        text += &report.interrupted(&interrupted);
    }
    let failures: Vec<&Outcome> = results().filter(|o| o.verdict.is_failure()).collect();
    if failures.len() > 1 {
        text += &report.recap(&failures);
    }
    if failed {
        text += &format!("\n{} the whole run as a page: cargo xtask report --open\n", paint(HINT, "hint:"));
    }
    text.push('\n');
    let ran: Vec<&Outcome> = results().filter(|o| !o.cached).collect();
    if ran.len() >= MANY {
        text += &report.wrapped(&slowest(ran), 0);
    }
    text + &report.wrapped(&counts(summary), 0)
}

/// Where and why, in a line.
pub fn in_a_line(failure: &ScriptFailure, exec: &Exec, root: &Path) -> String {
    let message = failure.message.lines().map(|line| clean(line, LINE)).find(|line| !line.trim().is_empty());
    let message = message.unwrap_or_else(|| clean(&failure.class, LINE));
    match place(failure, exec, root) {
        place if place.is_empty() => message,
        place => format!("{place}: {message}"),
    }
}

/// Why an execution failed, in a line.
fn why(outcome: &Outcome, root: &Path) -> String {
    match (&outcome.failure, &outcome.verdict) {
        (Some(failure), _) => in_a_line(failure, &outcome.exec, root),
        (None, Verdict::TimedOut(limit)) => format!("ran into its time limit of {limit} s"),
        (None, _) => "the driver gave no reason".to_owned(),
    }
}

/// `checks/simple.py:17`
fn place(failure: &ScriptFailure, exec: &Exec, root: &Path) -> String {
    let script = exec.script().map_or(String::new(), |s| relative(root, &s));
    failure.line.map_or(script.clone(), |line| format!("{script}:{line}"))
}

/// Where it was when it was ended from outside.
fn open_subtest(outcome: &Outcome) -> String {
    let subtest = outcome.subtests.iter().rfind(|subtest| !subtest.ok);
    subtest.map_or(String::new(), |s| format!(", in subtest \"{}\"", clean(&s.name, LINE)))
}

fn slowest(mut results: Vec<&Outcome>) -> String {
    results.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let named = |o: &&Outcome| format!("{} {}", o.exec.label(), duration(o.seconds));
    let named: Vec<String> = results.iter().take(SLOWEST).map(named).collect();
    paint(DIM, &format!("slowest: {}", named.join(", ")))
}

fn counts(summary: &Summary) -> String {
    let count = |f: fn(&Outcome) -> bool| summary.results().filter(|o| f(o)).count();
    let passed = count(|o| o.verdict == Verdict::Passed);
    let mut parts = vec![paint(if passed > 0 { GOOD } else { DIM }, &format!("{passed} passed"))];
    for (number, style, word) in [
        (count(Outcome::is_flaky), WARN, "flaky"),
        (count(|o| o.verdict.is_failure()), BAD, "failed"),
        (count(|o| o.verdict == Verdict::Interrupted), WARN, "interrupted"),
        (count(|o| o.verdict == Verdict::HostFailed), WARN, "could not run"),
        (summary.not_run, WARN, "not run"),
        (summary.skipped.len(), WARN, "skipped"),
    ] {
        if number > 0 {
            parts.push(paint(style, &format!("{number} {word}")));
        }
    }
    let stopped = summary.not_run > 0 && !summary.interrupted() && summary.trouble.is_none();
    let go_on = if stopped { "; --no-fail-fast goes on after a failure" } else { "" };
    format!("{} in {}{}", parts.join(", "), duration(summary.seconds), paint(DIM, go_on))
}

struct Report<'a> {
    telling: &'a Telling,
    backend: &'a str,
    width: Option<usize>,
}

impl Report<'_> {
    /// Failing subtest, line, message, the last lines of log and journals, and what to do next.
    fn failure(&self, outcome: &Outcome) -> String {
        let label = outcome.exec.label();
        let what = match &outcome.verdict {
            Verdict::TimedOut(limit) => format!("{label} ran into its time limit of {limit} s"),
            _ => format!("{label} failed"),
        };
        let mut text = "\n".to_owned();
        match &outcome.failure {
            Some(failure) => {
                let place = place(failure, &outcome.exec, &self.telling.root);
                let subtest = failure.subtest.as_ref();
                let subtest = subtest.map_or(String::new(), |s| format!(", in subtest \"{}\"", clean(s, LINE)));
                let at = if place.is_empty() { place } else { format!(", at {}", paint(STRONG, &place)) };
                text += &self.wrapped(&format!("{}{subtest}{at}", paint(BAD, &what)), 0);
                if let Some(source) = &failure.source {
                    text += &format!("\n    {}\n", self.wrapped(&clean(source.trim(), MESSAGE_LINE), 4));
                }
                for line in failure.message.lines().take(TAIL) {
                    text += &format!("  {}", self.wrapped(&clean(line, MESSAGE_LINE), 2));
                }
            }
            None => {
                text += &self.wrapped(&format!("{}{}", paint(BAD, &what), open_subtest(outcome)), 0);
                if let Verdict::Failed(code) = outcome.verdict {
                    text += &format!("  the driver ended with status {code} and gave no reason\n");
                }
            }
        }
        for (title, lines) in evidence(outcome) {
            text += &self.tail(&title, &lines);
        }
        text + &self.next_steps(outcome)
    }

    /// Several failures, a line each: what is above has scrolled away.
    fn recap(&self, failures: &[&Outcome]) -> String {
        let mut text = "\n".to_owned();
        let widest = failures.iter().map(|o| tool_base::ui::columns(&o.exec.label())).max().unwrap_or(0);
        for outcome in failures {
            let why = why(outcome, &self.telling.root);
            let gap = " ".repeat(widest - tool_base::ui::columns(&outcome.exec.label()));
            let line = format!("FAIL {}{gap}  {why}", outcome.exec.label());
            text += &format!(
                "{}\n",
                cut(&line, self.width.unwrap_or(LINE).max(20)).replacen("FAIL", &paint(BAD, "FAIL"), 1)
            );
        }
        text
    }

    /// What a pass must not hide.
    fn remarks(&self, outcome: &Outcome) -> String {
        let head = paint(WARN, &format!("{} passed, but", outcome.exec.label()));
        let mut text = format!("\n{}", self.wrapped(&head, 0));
        for remark in &outcome.remarks {
            text += &format!("  {}", self.wrapped(&format!("- {}", clean(remark, LINE)), 4));
        }
        text + &self.wrapped(
            &paint(DIM, "  --strict makes that a failure; `may_fail` in checks/NAME.toml names units that may"),
            2,
        )
    }

    fn tail(&self, title: &str, lines: &[String]) -> String {
        if lines.is_empty() {
            return String::new();
        }
        let room = self.width.map_or(LINE, |width| width.saturating_sub(5).clamp(20, LINE));
        let mut text = format!("\n  {}", self.wrapped(&paint(DIM, &format!("last lines of {title}:")), 2));
        for line in lines {
            text += &format!("    {}\n", cut(&clean(line, LINE), room));
        }
        text
    }

    /// What Ctrl-C ended, and the command that runs all of it again.
    fn interrupted(&self, outcomes: &[&Outcome]) -> String {
        let mut text = String::new();
        for outcome in outcomes {
            let what = paint(WARN, &format!("{} was interrupted", outcome.exec.label()));
            text += &format!("\n{}", self.wrapped(&format!("{what}{}", open_subtest(outcome)), 0));
            text += &format!("  files        {}\n", relative(&self.telling.root, &outcome.exec.dir));
        }
        let mut names: Vec<&str> = outcomes.iter().map(|outcome| outcome.exec.check.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        text + &format!("\n  run again    {}\n", self.telling.again.test(&names, &[]))
    }

    /// Commands that can be pasted: they are never broken.
    fn next_steps(&self, outcome: &Outcome) -> String {
        let Telling { root, again, .. } = self.telling;
        let name = outcome.exec.check.name.as_str();
        let mut text = format!("\n  log          {}\n", relative(root, &outcome.exec.dir.join("log")));
        text += &format!("  run again    {}\n", again.test(&[name], &[]));
        if self.backend == "sandbox" {
            text += &format!("  debug        {}\n", again.test(&[name], &["--debug"]));
        }
        if self.backend == tool_runner::UNIT {
            return text;
        }
        text + &format!("  look inside  {}\n", again.interactive(name))
    }

    /// A pass after failures: what has failed in them.
    fn flaky(&self, outcome: &Outcome, summary: &Summary) -> String {
        let Outcome { exec, .. } = outcome;
        let head = paint(WARN, &format!("{} is flaky", exec.check.name));
        let mut text = self.wrapped(&format!("{head}: it passed at attempt {}", exec.attempt), 0);
        let same = |o: &&Outcome| o.exec.check.name == exec.check.name && o.exec.repetition == exec.repetition;
        for failed in summary.outcomes.iter().filter(same).filter(|o| o.retried) {
            let line = format!("  attempt {}: {}", failed.exec.attempt, why(failed, &self.telling.root));
            text += &(cut(&line, self.width.unwrap_or(LINE).max(20)) + "\n");
            text += &format!("    {}\n", paint(DIM, &relative(&self.telling.root, &failed.exec.dir.join("log"))));
        }
        text
    }

    /// Broken at blanks where there is a terminal, else left alone.
    fn wrapped(&self, text: &str, indent: usize) -> String {
        match self.width {
            Some(width) if tool_base::ui::columns(text) + indent > width => wrap(text, indent, width) + "\n",
            _ => format!("{text}\n"),
        }
    }
}
