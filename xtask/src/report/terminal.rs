//! The report that people read while checks run.

use std::io::{self, Write};
use std::path::Path;

use super::journal;
use crate::runner::{DriverEvent, Event, Outcome, Summary, Verdict};
use crate::ui::{BAD, DIM, GOOD, STRONG, WARN, paint};

/// Lines of each journal and of the log that a failure shows.
pub(super) const TAIL: usize = 10;
/// Characters of a line of somebody else's text.
const LINE: usize = 200;
/// Characters of a line of a failure's message, which may name a long command.
const MESSAGE_LINE: usize = 2000;

/// Writes a run as text. Colour is always written; the sink drops it where it is not wanted.
pub struct Terminal<'a> {
    sink: &'a mut dyn Write,
    root: &'a Path,
    show_output: bool,
    /// Lines of log are told apart by their check where several run.
    several: bool,
}

impl<'a> Terminal<'a> {
    /// A report to `sink`, with paths relative to `root`.
    pub fn new(sink: &'a mut dyn Write, root: &'a Path, show_output: bool) -> Self {
        Self { sink, root, show_output, several: false }
    }

    /// Writes what there is to say about an event. A terminal that is gone is not an error.
    pub fn report(&mut self, event: &Event) {
        let _ = self.write(event).and_then(|()| self.sink.flush());
    }

    fn write(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Begun(begun) => {
                self.several = begun.checks.len() > 1 || begun.repeat != Some(1);
                Ok(())
            }
            Event::Started(exec) => writeln!(self.sink, "{}", paint(STRONG, &exec.label())),
            Event::Driver(_, DriverEvent::Leave { kind, name, seconds, ok, .. }) if kind == "subtest" => {
                let mark = if *ok { paint(GOOD, "✓") } else { paint(BAD, "✗") };
                writeln!(self.sink, "  {mark} {name}  {}", paint(DIM, &duration(*seconds)))
            }
            Event::Line(exec, line) if self.show_output => {
                if self.several {
                    write!(self.sink, "{}> ", exec.label())?;
                }
                writeln!(self.sink, "{line}")
            }
            Event::Driver(..) | Event::Line(..) | Event::Tick | Event::Interrupted(2..) => Ok(()),
            Event::Interrupted(0..=1) => {
                writeln!(self.sink, "{}", paint(WARN, "stopping: the checks clean up; Ctrl-C again kills them"))
            }
            Event::Ended(outcome) => {
                let (style, word) = label(outcome);
                let time = if outcome.cached { "passed earlier, not run again" } else { &duration(outcome.seconds) };
                let time = paint(DIM, time);
                writeln!(self.sink, "{} {}  {time}", paint(style, word), outcome.exec.label())
            }
            Event::Finished(summary) => self.finish(summary),
        }
    }

    fn finish(&mut self, summary: &Summary) -> io::Result<()> {
        for outcome in summary.results() {
            if outcome.verdict != Verdict::Passed {
                self.explain(outcome)?;
            }
        }
        let count = |f: fn(&Verdict) -> bool| summary.results().filter(|o| f(&o.verdict)).count();
        let flaky = summary.results().filter(|o| o.is_flaky()).count();
        let passed = count(|v| *v == Verdict::Passed);
        let failed = count(Verdict::is_failure);
        let interrupted = count(|v| *v == Verdict::Interrupted);
        let mut parts = vec![paint(if passed > 0 { GOOD } else { DIM }, &format!("{passed} passed"))];
        for (number, style, word) in [
            (flaky, WARN, "flaky"),
            (failed, BAD, "failed"),
            (interrupted, WARN, "interrupted"),
            (summary.not_run, WARN, "not run"),
        ] {
            if number > 0 {
                parts.push(paint(style, &format!("{number} {word}")));
            }
        }
        writeln!(self.sink, "\n{} in {}", parts.join(", "), duration(summary.seconds))
    }

    /// Failing subtest, line, message, the last lines of log and journals, and what to do next.
    fn explain(&mut self, outcome: &Outcome) -> io::Result<()> {
        let name = &outcome.exec.check.name;
        let script = outcome.exec.check.script.as_deref().map_or(String::new(), |s| self.relative(s));
        writeln!(self.sink)?;
        let what = match &outcome.verdict {
            Verdict::TimedOut(limit) => format!("{name} ran into its time limit of {limit} s"),
            Verdict::Interrupted => format!("{name} was interrupted"),
            _ => format!("{name} failed"),
        };
        match &outcome.failure {
            Some(failure) => {
                let place = failure.line.map_or(script.clone(), |line| format!("{script}:{line}"));
                let subtest = failure.subtest.as_ref().map_or(String::new(), |s| format!(", in subtest \"{s}\""));
                writeln!(self.sink, "{}{subtest}, at {}", paint(BAD, &what), paint(STRONG, &place))?;
                if let Some(source) = &failure.source {
                    writeln!(self.sink, "\n    {}\n", clean(source.trim(), MESSAGE_LINE))?;
                }
                for line in failure.message.lines().take(TAIL) {
                    writeln!(self.sink, "  {}", clean(line, MESSAGE_LINE))?;
                }
            }
            None => {
                writeln!(self.sink, "{}", paint(BAD, &what))?;
                if let Verdict::Failed(code) = outcome.verdict {
                    writeln!(self.sink, "  the driver ended with status {code} and gave no reason")?;
                }
            }
        }
        if outcome.verdict != Verdict::Interrupted {
            for (title, lines) in evidence(outcome) {
                self.tail(&title, &lines)?;
            }
        }
        let log = self.relative(&outcome.exec.dir.join("log"));
        writeln!(self.sink, "\n  log          {log}")?;
        writeln!(self.sink, "  run again    cargo xtask test {name}")?;
        writeln!(self.sink, "  look inside  cargo xtask interactive {name}")
    }

    fn tail(&mut self, title: &str, lines: &[String]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        writeln!(self.sink, "\n  {}", paint(DIM, &format!("last lines of {title}:")))?;
        for line in lines {
            writeln!(self.sink, "    {}", clean(line, LINE))?;
        }
        Ok(())
    }

    fn relative(&self, path: &Path) -> String {
        relative(self.root, path)
    }
}

/// `path` as seen from `root`.
pub(super) fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

/// The last lines of what may tell why a check failed, each under a title: the log where the driver gave no reason, and the
/// journals of the services.
pub(super) fn evidence(outcome: &Outcome) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    if outcome.failure.is_none() {
        found.push(("log".to_owned(), log_tail(&outcome.exec.dir.join("log"))));
    }
    let mut tails: Vec<_> = journal::tails(&outcome.exec.dir.join("journal"), TAIL).into_iter().collect();
    // The unit that is to blame comes first, units that only exist do not come at all.
    let blamed = outcome.failure.as_ref().and_then(|f| f.unit.as_deref());
    tails.retain(|((_, unit), _)| unit.ends_with(".service"));
    tails.sort_by_key(|((_, unit), _)| blamed.is_none_or(|name| name != unit));
    for ((machine, unit), tail) in tails {
        let mut lines = tail.trouble;
        if !lines.is_empty() {
            lines.push("…".to_owned());
        }
        lines.extend(tail.last);
        found.push((format!("{unit} on {machine}"), lines));
    }
    found
}

fn label(outcome: &Outcome) -> (anstyle::Style, &'static str) {
    match &outcome.verdict {
        _ if outcome.is_flaky() => (WARN, "FLAKY"),
        _ if outcome.retried => (WARN, "RETRY"),
        Verdict::Passed => (GOOD, "PASS"),
        Verdict::Failed(_) => (BAD, "FAIL"),
        Verdict::TimedOut(_) => (BAD, "TIME"),
        Verdict::Interrupted => (WARN, "STOP"),
    }
}

/// Last lines of the driver's log.
fn log_tail(path: &Path) -> Vec<String> {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(64 * 1024)..]).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].iter().map(|l| (*l).to_owned()).collect()
}

/// A line of somebody else's text: no control characters, not endless.
pub(super) fn clean(line: &str, limit: usize) -> String {
    // A line may have megabytes; what is beyond is never shown, even if the rest is all colour.
    let beyond = line.char_indices().nth(16 * limit).map_or(line.len(), |(at, _)| at);
    let text = anstream::adapter::strip_str(&line[..beyond]).to_string();
    let mut text: String = text.chars().map(|c| if c == '\t' { ' ' } else { c }).filter(|c| !c.is_control()).collect();
    if let Some((at, _)) = text.char_indices().nth(limit) {
        text.truncate(at);
        text.push('…');
    }
    text
}

/// `0.42 s`, `12.3 s`, `2 min 05 s`.
pub fn duration(seconds: f64) -> String {
    if seconds < 10.0 {
        format!("{seconds:.2} s")
    } else if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a run")]
        let whole = seconds.round() as u64;
        format!("{} min {:02} s", whole / 60, whole % 60)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::project::Check;
    use crate::runner::{Exec, Failure};

    fn exec() -> Exec {
        let check = Check { name: "simple".into(), script: Some("/p/checks/simple.py".into()), nix: None };
        Exec { id: 0, check, repetition: 1, attempt: 1, dir: PathBuf::from("/p/target/checks/1/simple") }
    }

    fn outcome(verdict: Verdict, failure: Option<Failure>) -> Outcome {
        Outcome::new(&exec(), verdict, failure, 1.584)
    }

    fn text(outcome: Outcome, not_run: usize) -> String {
        let mut sink = Vec::new();
        let root = PathBuf::from("/p");
        let mut terminal = Terminal::new(&mut sink, &root, false);
        let exec = exec();
        let subtest = |name: &str, ok| DriverEvent::Leave {
            kind: "subtest".into(),
            name: name.into(),
            depth: 1,
            seconds: 0.31,
            ok,
        };
        terminal.report(&Event::Started(&exec));
        terminal.report(&Event::Driver(&exec, &subtest("check services", true)));
        terminal.report(&Event::Driver(&exec, &subtest("check voltage", outcome.verdict == Verdict::Passed)));
        terminal.report(&Event::Ended(&outcome));
        let summary = Summary { outcomes: vec![outcome], skipped: Vec::new(), not_run, started: 0.0, seconds: 1.6 };
        terminal.report(&Event::Finished(&summary));
        anstream::adapter::strip_str(&String::from_utf8(sink).unwrap()).to_string()
    }

    #[test]
    fn a_pass_is_short() {
        insta::assert_snapshot!(text(outcome(Verdict::Passed, None), 0));
    }

    #[test]
    fn a_failure_says_where_why_and_what_next() {
        let failure = Failure {
            class: "RequestedAssertionFailed".into(),
            message: "command `caget -t VOLT-RB | grep -qxF '0'` failed (exit code 1)".into(),
            line: Some(17),
            source: Some("    machine.succeed(\"caget -t VOLT-RB | grep -qxF '0'\")".into()),
            subtest: Some("check voltage".into()),
            unit: None,
        };
        insta::assert_snapshot!(text(outcome(Verdict::Failed(1), Some(failure)), 1));
    }

    #[test]
    fn a_timeout_and_an_interruption_are_told_apart() {
        insta::assert_snapshot!(format!(
            "{}-----\n{}",
            text(outcome(Verdict::TimedOut(60), None), 0),
            text(outcome(Verdict::Interrupted, None), 2)
        ));
    }

    #[test]
    fn durations_and_odd_lines() {
        assert_eq!(duration(0.4219), "0.42 s");
        assert_eq!(duration(12.34), "12.3 s");
        assert_eq!(duration(125.2), "2 min 05 s");
        assert_eq!(clean("\u{1b}[31mred\u{1b}[0m\u{7}\tx", LINE), "red x");
        assert_eq!(clean(&"y".repeat(300), LINE).chars().count(), 201);
    }
}
