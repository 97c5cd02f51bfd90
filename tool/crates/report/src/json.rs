//! `--message-format json`: a run as JSON lines on stdout. `tool/docs/events.md` describes them; tools rely on the form.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::Reporter;
use tool_runner::{DriverEvent, Event, Exec, Outcome, Skipped, Summary, Verdict};

/// Version of the form. New events and new keys do not change it.
pub const VERSION: u32 = 1;

/// Writes a line for each event, as it happens.
pub struct Json<'a> {
    sink: Box<dyn Write + 'a>,
    /// Seconds since 1970.
    clock: Box<dyn FnMut() -> f64 + 'a>,
    show_output: bool,
}

/// A line. Its own form, so that the runner's types may change.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    message: Message<'a>,
    time: f64,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Message<'a> {
    RunBegun {
        version: u32,
        backend: &'a str,
        dir: &'a Path,
        checks: &'a [String],
        skipped: Vec<Left<'a>>,
        jobs: Option<usize>,
        repeat: Option<u32>,
    },
    CheckStarted {
        id: usize,
        check: &'a str,
        repetition: u32,
        attempt: u32,
        dir: &'a Path,
    },
    SubtestEntered {
        id: usize,
        name: &'a str,
    },
    SubtestLeft {
        id: usize,
        name: &'a str,
        seconds: f64,
        ok: bool,
    },
    Failure {
        id: usize,
        class: &'a str,
        message: &'a str,
        line: Option<u32>,
        source: Option<&'a str>,
        subtest: Option<&'a str>,
        unit: Option<&'a str>,
    },
    Line {
        id: usize,
        text: &'a str,
    },
    CheckEnded {
        id: usize,
        check: &'a str,
        repetition: u32,
        attempt: u32,
        verdict: &'static str,
        seconds: f64,
        flaky: bool,
        retried: bool,
        cached: bool,
    },
    Interrupted {
        times: u32,
    },
    RunFinished {
        ok: bool,
        passed: usize,
        flaky: usize,
        failed: usize,
        interrupted: usize,
        host_failed: usize,
        not_run: usize,
        skipped: usize,
        seconds: f64,
        trouble: Option<&'a str>,
    },
}

#[derive(Serialize)]
struct Left<'a> {
    check: &'a str,
    reason: &'a str,
}

impl<'a> Json<'a> {
    /// A report to `sink`. `clock` gives seconds since 1970; `show_output` adds the log's lines.
    pub fn new(sink: Box<dyn Write + 'a>, clock: Box<dyn FnMut() -> f64 + 'a>, show_output: bool) -> Self {
        Self { sink, clock, show_output }
    }
}

impl Reporter for Json<'_> {
    fn report(&mut self, event: &Event) -> Result<()> {
        if let Some(message) = message(event, self.show_output) {
            let line = serde_json::to_string(&Line { message, time: (self.clock)() })?;
            // Whoever reads may have heard enough.
            let _ = writeln!(self.sink, "{line}").and_then(|()| self.sink.flush());
        }
        Ok(())
    }
}

fn message<'a>(event: &Event<'a>, show_output: bool) -> Option<Message<'a>> {
    Some(match event {
        Event::Begun(begun) => Message::RunBegun {
            version: VERSION,
            backend: &begun.backend,
            dir: &begun.dir,
            checks: &begun.checks,
            skipped: begun.skipped.iter().map(|Skipped { check, reason }| Left { check, reason }).collect(),
            jobs: begun.jobs,
            repeat: begun.repeat,
        },
        Event::Started(Exec { id, check, repetition, attempt, dir }) => {
            Message::CheckStarted { id: *id, check: &check.name, repetition: *repetition, attempt: *attempt, dir }
        }
        Event::Driver(exec, said) => return driver(exec.id, said),
        Event::Line(exec, text) if show_output => Message::Line { id: exec.id, text },
        Event::Line(..) => return None,
        Event::Ended(outcome) => ended(outcome),
        Event::Interrupted(times) => Message::Interrupted { times: *times },
        Event::Finished(summary) => finished(summary),
    })
}

fn driver(id: usize, said: &DriverEvent) -> Option<Message<'_>> {
    Some(match said {
        DriverEvent::Enter { kind, name, .. } if kind == "subtest" => Message::SubtestEntered { id, name },
        DriverEvent::Leave { kind, name, seconds, ok, .. } if kind == "subtest" => {
            Message::SubtestLeft { id, name, seconds: *seconds, ok: *ok }
        }
        DriverEvent::Failure(failure) => Message::Failure {
            id,
            class: &failure.class,
            message: &failure.message,
            line: failure.line,
            source: failure.source.as_deref(),
            subtest: failure.subtest.as_deref(),
            unit: failure.unit.as_deref(),
        },
        DriverEvent::Enter { .. }
        | DriverEvent::Leave { .. }
        | DriverEvent::Try { .. }
        | DriverEvent::Debug { .. }
        | DriverEvent::Remark { .. }
        | DriverEvent::Other => {
            return None;
        }
    })
}

fn ended(outcome: &Outcome) -> Message<'_> {
    let Exec { id, check, repetition, attempt, .. } = &outcome.exec;
    Message::CheckEnded {
        id: *id,
        check: &check.name,
        repetition: *repetition,
        attempt: *attempt,
        verdict: match outcome.verdict {
            Verdict::Passed => "passed",
            Verdict::Failed(_) => "failed",
            Verdict::TimedOut(_) => "timed-out",
            Verdict::Interrupted => "interrupted",
            Verdict::HostFailed => "host-failed",
        },
        seconds: outcome.seconds,
        flaky: outcome.is_flaky(),
        retried: outcome.retried,
        cached: outcome.cached,
    }
}

fn finished(summary: &Summary) -> Message<'_> {
    let count = |wanted: fn(&Outcome) -> bool| summary.results().filter(|o| wanted(o)).count();
    Message::RunFinished {
        ok: summary.passed(),
        passed: count(|o| o.verdict == Verdict::Passed),
        flaky: count(Outcome::is_flaky),
        failed: count(|o| o.verdict.is_failure()),
        interrupted: count(|o| o.verdict == Verdict::Interrupted),
        host_failed: count(|o| o.verdict == Verdict::HostFailed),
        not_run: summary.not_run,
        skipped: summary.skipped.len(),
        seconds: summary.seconds,
        trouble: summary.trouble.as_deref(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use tool_project::Check;
    use tool_runner::{Begun, ScriptFailure};

    fn lines(events: &[Event], show_output: bool) -> String {
        let mut sink = Vec::new();
        let mut clock = 0.0;
        let tick = || {
            clock += 0.5;
            clock
        };
        let mut json = Json::new(Box::new(&mut sink), Box::new(tick), show_output);
        for event in events {
            json.report(event).unwrap();
        }
        drop(json);
        String::from_utf8(sink).unwrap()
    }

    fn exec() -> Exec {
        let check = Check { name: "simple".into(), ..Check::default() };
        Exec { id: 7, check, repetition: 1, attempt: 2, dir: "/p/simple/retry1".into() }
    }

    #[test]
    fn the_form_is_stable() {
        let begun = Begun {
            checks: vec!["simple".into()],
            skipped: vec![Skipped { check: "vm".into(), reason: "not meant for sandbox".into() }],
            jobs: Some(2),
            repeat: Some(1),
            backend: "sandbox".into(),
            dir: "/p".into(),
            tool: "0.0.0".to_owned(),
        };
        let exec = exec();
        let (name, kind) = ("check voltage".to_owned(), "subtest".to_owned());
        let enter = DriverEvent::Enter { kind: kind.clone(), name: name.clone(), depth: 1 };
        let leave = DriverEvent::Leave { kind, name, depth: 1, seconds: 0.25, ok: false };
        let nested = DriverEvent::Enter { kind: "nested".into(), name: "x".into(), depth: 2 };
        let failure = ScriptFailure {
            class: "AssertionError".into(),
            message: "two\nlines".into(),
            line: Some(3),
            source: None,
            subtest: Some("check voltage".into()),
            unit: None,
        };
        let failed = DriverEvent::Failure(failure.clone());
        let outcome = Outcome::new(&exec, Verdict::TimedOut(60), Some(failure), 1.5);
        let summary = Summary {
            outcomes: vec![outcome.clone()],
            skipped: begun.skipped.clone(),
            not_run: 1,
            seconds: 2.0,
            trouble: Some("error: disk full".into()),
            ..Summary::default()
        };
        insta::assert_snapshot!(lines(
            &[
                Event::Begun(&begun),
                Event::Started(&exec),
                Event::Driver(&exec, &enter),
                Event::Driver(&exec, &nested),
                Event::Line(&exec, "caput VOLT 42"),
                Event::Driver(&exec, &leave),
                Event::Driver(&exec, &failed),
                Event::Ended(&outcome),
                Event::Interrupted(1),
                Event::Finished(&summary),
            ],
            true
        ));
    }

    proptest! {
        /// Whatever a script prints: it is one line, and comes back as it was.
        #[test]
        fn any_text_is_one_line(text in "\\PC*|[\\x00-\\xff]{0,40}") {
            let exec = exec();
            let line = lines(&[Event::Line(&exec, &text)], true);
            prop_assert_eq!(line.matches('\n').count(), 1);
            let value: Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(value["text"].as_str(), Some(text.as_str()));
            prop_assert_eq!(lines(&[Event::Line(&exec, &text)], false), "");
        }
    }
}
