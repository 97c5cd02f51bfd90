//! Runs as they are told on a terminal and in a log.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use tool_project::Check;
use tool_runner::{Exec, ScriptFailure, Subtest, Summary};

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A run that is told to a screen, with a clock that is set by hand.
struct Play {
    teller: Teller,
    sink: Sink,
    milliseconds: Arc<AtomicU64>,
    size: Option<(usize, usize)>,
    outcomes: Vec<Outcome>,
    next: usize,
}

impl Play {
    /// `size` is that of a terminal.
    fn new(size: Option<(usize, usize)>, colour: bool, change: impl FnOnce(&mut Telling)) -> Self {
        let sink = Sink::default();
        let screen = Screen::new(Box::new(sink.clone()), colour, size.is_some(), move || size);
        let milliseconds = Arc::new(AtomicU64::new(0));
        let (begin, passed) = (Instant::now(), Arc::clone(&milliseconds));
        let now = move || begin + Duration::from_millis(passed.load(Ordering::Relaxed));
        let mut telling = Telling { root: "/p".into(), ..Telling::default() };
        change(&mut telling);
        let teller = Teller::new(Box::leak(Box::new(Mutex::new(screen))), Box::new(now), telling);
        Self { teller, sink, milliseconds, size, outcomes: Vec::new(), next: 0 }
    }

    fn log() -> Self {
        Self::new(None, false, |_| {})
    }

    fn begin(&mut self, checks: &[&str], jobs: usize) -> &mut Self {
        let checks = checks.iter().map(|name| (*name).to_owned()).collect();
        let begun = Begun {
            checks,
            skipped: Vec::new(),
            jobs: Some(jobs),
            repeat: Some(1),
            backend: "sandbox".into(),
            dir: PathBuf::new(),
            tool: "0.0.0".to_owned(),
        };
        self.teller.report(&Event::Begun(&begun));
        self
    }

    /// So many seconds pass, with ten ticks in each.
    fn pass(&mut self, seconds: u64) -> &mut Self {
        for _ in 0..seconds * 10 {
            self.milliseconds.fetch_add(100, Ordering::Relaxed);
            self.teller.tick();
        }
        self
    }

    fn start(&mut self, name: &str, attempt: u32) -> Exec {
        let check =
            Check { name: name.into(), script: Some(format!("/p/checks/{name}.py").into()), ..Check::default() };
        let mut exec = Exec { id: self.next, check, repetition: 1, attempt, dir: PathBuf::new() };
        exec.dir = PathBuf::from(format!("/p/target/checks/1/{}", exec.label()));
        self.next += 1;
        self.teller.report(&Event::Started(&exec));
        exec
    }

    fn enter(&mut self, exec: &Exec, name: &str) -> &mut Self {
        let event = DriverEvent::Enter { kind: "subtest".into(), name: name.into(), depth: 1 };
        self.teller.report(&Event::Driver(exec, &event));
        self
    }

    fn leave(&mut self, exec: &Exec, name: &str, seconds: f64, ok: bool) -> &mut Self {
        let event = DriverEvent::Leave { kind: "subtest".into(), name: name.into(), depth: 1, seconds, ok };
        self.teller.report(&Event::Driver(exec, &event));
        self
    }

    fn line(&mut self, exec: &Exec, line: &str) -> &mut Self {
        self.teller.report(&Event::Line(exec, line));
        self
    }

    fn end(&mut self, exec: &Exec, verdict: Verdict, change: impl FnOnce(&mut Outcome)) -> &mut Self {
        let mut outcome = Outcome::new(exec, verdict, None, 1.584);
        change(&mut outcome);
        self.teller.report(&Event::Ended(&outcome));
        self.outcomes.push(outcome);
        self
    }

    fn finish(&mut self, not_run: usize) -> &mut Self {
        let outcomes = std::mem::take(&mut self.outcomes);
        let summary = Summary { outcomes, not_run, seconds: 61.6, ..Summary::default() };
        self.teller.report(&Event::Finished(&summary));
        self
    }

    /// All that was written, styles and controls as they are.
    fn written(&self) -> String {
        String::from_utf8(self.sink.0.lock().unwrap().clone()).unwrap()
    }

    /// What a terminal shows and has scrolled off.
    fn seen(&self) -> String {
        let (columns, rows) = self.size.unwrap();
        rendered(&self.written(), columns, rows)
    }
}

/// A terminal, as much of it as is needed. A live line that wraps would leave traces.
fn rendered(text: &str, columns: usize, rows: usize) -> String {
    let mut lines: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column) = (0, 0);
    let mut text = text.chars();
    while let Some(c) = text.next() {
        match c {
            '\n' => (row, column) = (row + 1, 0),
            '\r' => column = 0,
            '\u{1b}' => {
                assert_eq!(text.next(), Some('['));
                let mut code = String::new();
                while !code.ends_with(|c: char| c.is_ascii_alphabetic()) {
                    code.extend(text.next());
                }
                let number = code[..code.len() - 1].parse().unwrap_or(1);
                match code.chars().last().unwrap() {
                    'A' => {
                        assert!(number < rows, "the picture is taller than the terminal");
                        row -= number;
                    }
                    'K' => lines[row].truncate(column),
                    'J' => {
                        lines[row].truncate(column);
                        lines.truncate(row + 1);
                    }
                    'm' | 'h' | 'l' => {}
                    other => panic!("what is {other}?"),
                }
            }
            c => {
                if column == columns {
                    (row, column) = (row + 1, 0);
                }
                lines.resize_with(lines.len().max(row + 1), Vec::new);
                let line = &mut lines[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = c;
                column += 1;
            }
        }
        lines.resize_with(lines.len().max(row + 1), Vec::new);
    }
    lines.into_iter().map(|line| line.into_iter().collect::<String>().trim_end().to_owned() + "\n").collect()
}

fn failure(message: &str) -> ScriptFailure {
    ScriptFailure {
        class: "RequestedAssertionFailed".into(),
        message: message.into(),
        line: Some(17),
        source: Some("    machine.succeed(\"caget -t VOLT-RB | grep -qxF '0'\")".into()),
        subtest: Some("check voltage".into()),
        unit: None,
    }
}

const MESSAGE: &str = "command `caget -t VOLT-RB | grep -qxF '0'` failed (exit code 1)";

/// Two that pass, one of them flaky, one that fails, side by side. What was written when all were under way.
fn mixed(play: &mut Play) -> String {
    play.begin(&["simple", "now-and-then", "alarms", "last"], 3).pass(1);
    let simple = play.start("simple", 1);
    let flaky = play.start("now-and-then", 1);
    let alarms = play.start("alarms", 1);
    play.pass(2).enter(&simple, "check services").enter(&flaky, "ask the supply").enter(&alarms, "one").pass(1);
    play.leave(&flaky, "ask the supply", 1.0, false);
    play.end(&flaky, Verdict::Failed(1), |o| {
        o.retried = true;
        o.failure = Some(failure("no reply"));
    });
    let again = play.start("now-and-then", 2);
    play.leave(&simple, "check services", 1.21, true)
        .enter(&simple, "check voltage of 電源 and of every other supply")
        .pass(70);
    let under_way = play.written();
    play.enter(&alarms, "inner").leave(&alarms, "inner", 70.0, true).leave(&alarms, "one", 71.5, true).pass(1);
    play.end(&alarms, Verdict::Passed, |_| {});
    let last = play.start("last", 1);
    play.pass(1).end(&again, Verdict::Passed, |_| {});
    play.leave(&simple, "check voltage of 電源 and of every other supply", 73.0, false);
    play.end(&simple, Verdict::Failed(1), |o| o.failure = Some(failure(MESSAGE)));
    play.end(&last, Verdict::Passed, |_| {});
    under_way
}

#[test]
fn one_check_is_told_as_it_goes() {
    let mut play = Play::log();
    let exec = play.begin(&["simple"], 8).start("simple", 1);
    play.enter(&exec, "check services").pass(1).leave(&exec, "check services", 1.21, true);
    play.enter(&exec, "check voltage").enter(&exec, "inner").leave(&exec, "inner", 0.02, true);
    assert!(!play.written().contains("inner"), "it comes below the subtest around it");
    play.leave(&exec, "check voltage", 0.04, true).end(&exec, Verdict::Passed, |_| {}).finish(0);
    insta::assert_snapshot!(play.written());
}

#[test]
fn one_check_on_a_terminal() {
    let mut play = Play::new(Some((40, 12)), false, |_| {});
    let exec = play.begin(&["simple"], 8).start("simple", 1);
    play.enter(&exec, "check services").pass(1).leave(&exec, "check services", 1.21, true);
    play.enter(&exec, "a voltage with a long name that is beyond 40 columns").pass(3);
    insta::assert_snapshot!(play.seen());
    play.leave(&exec, "a voltage with a long name that is beyond 40 columns", 3.0, true);
    play.end(&exec, Verdict::Passed, |_| {}).finish(0);
    insta::assert_snapshot!(play.seen());
}

#[test]
fn several_failures_are_named_again_at_the_end() {
    let mut play = Play::log();
    play.begin(&["alarms", "psu"], 1);
    for (name, message) in [("alarms", "no reply"), ("psu", MESSAGE)] {
        let exec = play.start(name, 1);
        play.pass(1).end(&exec, Verdict::Failed(1), |o| o.failure = Some(failure(message)));
    }
    let text = play.finish(0).written();
    let recap: Vec<&str> = text.lines().filter(|line| line.starts_with("FAIL ") && line.contains(".py:17")).collect();
    assert_eq!(recap[0], "FAIL alarms  checks/alarms.py:17: no reply");
    assert!(recap[1].starts_with("FAIL psu     checks/psu.py:17: command `caget"), "{recap:?}");
}

#[test]
fn a_check_under_way_says_what_it_waits_for() {
    for (columns, told) in [(100, "waiting for success: caget NOSUCH · 63rd try"), (45, "caget NOSUCH · 63rd try")] {
        let mut play = Play::new(Some((columns, 24)), false, |_| {});
        play.begin(&["psu"], 1);
        let exec = play.start("psu", 1);
        let step = |name: &str| DriverEvent::Enter { kind: "nested".into(), name: name.into(), depth: 1 };
        for event in
            [step("run the VM test script"), step("waiting for success: caget NOSUCH"), DriverEvent::Try { count: 63 }]
        {
            play.teller.report(&Event::Driver(&exec, &event));
        }
        play.pass(64);
        let text = play.seen();
        assert!(text.contains(&format!("1:04  psu   {told}")), "{text}");
    }
}

#[test]
fn a_failure_says_where_why_and_what_next() {
    let tell = |size, colour| {
        let mut play = Play::new(size, colour, |telling| {
            telling.again.machine =
                ["--backend", "sandbox", "--ioc", "make", "--", "--max-jobs", "1"].map(Into::into).into();
            telling.again.limits = vec!["--timeout".into(), "5".into()];
        });
        let exec = play.begin(&["it's simple", "b"], 1).start("it's simple", 1);
        play.enter(&exec, "check voltage").leave(&exec, "check voltage", 0.31, false);
        play.end(&exec, Verdict::Failed(1), |o| o.failure = Some(failure(MESSAGE))).finish(1);
        play.written()
    };
    insta::assert_snapshot!("failure", tell(None, false));
    insta::assert_snapshot!(
        "failure_in_colour",
        tell(Some((200, 50)), true).escape_debug().to_string().replace("\\n", "\n")
    );
    insta::assert_snapshot!("failure_at_40_columns", tell(Some((40, 12)), false));
}

#[test]
fn several_checks_are_told_in_blocks() {
    let mut play = Play::log();
    mixed(&mut play);
    insta::assert_snapshot!("mixed", play.finish(0).written());
}

#[test]
fn several_checks_on_terminals() {
    for (columns, rows) in [(40, 12), (200, 50)] {
        let mut play = Play::new(Some((columns, rows)), false, |_| {});
        let under_way = rendered(&mixed(&mut play), columns, rows);
        insta::assert_snapshot!(format!("mixed_at_{columns}_columns_under_way"), under_way);
        insta::assert_snapshot!(format!("mixed_at_{columns}_columns"), play.finish(0).seen());
    }
}

#[test]
fn a_picture_is_smaller_than_its_terminal() {
    let picture = |size| {
        let mut play = Play::new(Some(size), false, |_| {});
        let names: Vec<String> = (0..30).map(|n| format!("check-number-{n}")).collect();
        play.begin(&names.iter().map(String::as_str).collect::<Vec<_>>(), 20);
        for name in &names[..20] {
            let exec = play.start(name, 1);
            play.enter(&exec, "wait for something that takes its time");
        }
        play.pass(1).seen()
    };
    insta::assert_snapshot!(picture((40, 12)));
    assert_eq!(picture((40, 3)), "   0:01  20 running, 10 waiting\n\n");
    for size in [1, 2, 9, 10, 20, 79].into_iter().flat_map(|columns| [2, 5, 6, 7, 24].map(|rows| (columns, rows))) {
        assert!(picture(size).lines().all(|line| line.chars().count() < size.0.max(2)), "{size:?}");
    }
}

/// Nothing changes in the picture but the seconds, and nothing is written for less.
#[test]
fn a_quiet_picture_is_drawn_once_a_second() {
    let mut play = Play::new(Some((80, 24)), false, |_| {});
    play.begin(&["a", "b"], 2).start("a", 1);
    let frames = play.pass(20).written().matches("?2026h").count();
    assert!((20..=21).contains(&frames), "{frames}");
}

#[test]
fn other_talk_stands_above_the_picture() {
    let mut play = Play::new(Some((80, 24)), false, |telling| telling.show_output = true);
    let exec = play.begin(&["a", "b"], 2).start("a", 1);
    play.line(&exec, "said by the check").pass(1);
    ui::hold(play.teller.screen).print("warning: two\nlines\n");
    play.line(&exec, "\u{1b}[5Amore\u{7}\r, but no controls").pass(1);
    insta::assert_snapshot!(play.seen());
}

#[test]
fn what_the_keyboard_echoes_is_painted_over() {
    let mut play = Play::new(Some((80, 24)), false, |_| {});
    play.begin(&["a", "b"], 2).start("a", 1);
    play.pass(1).sink.write_all(b"^C").unwrap();
    play.teller.report(&Event::Interrupted(1));
    assert!(play.seen().starts_with("stopping: the checks clean up"), "{}", play.seen());
    assert!(!play.pass(1).seen().contains("^C"), "{}", play.seen());
}

/// A prompt has the terminal for itself, and what a person thinks is no silence.
#[test]
fn a_prompt_has_the_terminal_for_itself() {
    let mut play = Play::new(Some((80, 24)), false, |_| {});
    let exec = play.begin(&["a"], 1).start("a", 1);
    play.pass(1).teller.report(&Event::Driver(&exec, &DriverEvent::Debug { open: true }));
    let before = play.written();
    assert_eq!(play.pass(600).written(), before);
    assert_eq!(play.seen(), "a\n\n");
    play.teller.report(&Event::Driver(&exec, &DriverEvent::Debug { open: false }));
    insta::assert_snapshot!(play.pass(1).seen());
}

#[test]
fn who_hangs_is_named_with_its_last_lines() {
    let mut play = Play::log();
    play.begin(&["hangs", "talks", "c"], 2);
    let (hangs, talks) = (play.start("hangs", 1), play.start("talks", 1));
    play.enter(&hangs, "for ever");
    for n in 0..5 {
        play.line(&hangs, &format!("line {n}"));
    }
    for n in 0..25 {
        play.line(&talks, &format!("still here, {n}")).pass(10);
    }
    play.end(&talks, Verdict::Passed, |_| {});
    play.end(&hangs, Verdict::TimedOut(250), |o| {
        let subtest = Subtest { name: "for ever".into(), depth: 1, start: 0.0, seconds: None, ok: false };
        o.subtests.push(subtest);
    });
    insta::assert_snapshot!("hang", play.finish(1).written());
}

#[test]
fn on_a_terminal_only_silence_is_worth_a_word() {
    let mut play = Play::new(Some((80, 24)), false, |_| {});
    let exec = play.begin(&["hangs", "b"], 2).start("hangs", 1);
    play.line(&exec, "the last word").pass(70);
    insta::assert_snapshot!(play.seen());
}

#[test]
fn interruptions_are_short() {
    let mut play = Play::log();
    play.begin(&["a", "b", "c"], 2);
    let (a, b) = (play.start("a", 1), play.start("b", 1));
    play.enter(&a, "one").pass(2).teller.report(&Event::Interrupted(1));
    play.end(&b, Verdict::Interrupted, |_| {}).pass(31).teller.report(&Event::Interrupted(2));
    play.end(&a, Verdict::Interrupted, |o| {
        o.subtests.push(Subtest { name: "one".into(), depth: 1, start: 0.0, seconds: None, ok: false });
    });
    insta::assert_snapshot!(play.finish(1).written());
}

#[test]
fn what_passed_earlier_and_what_never_ran() {
    let mut play = Play::log();
    let exec = play.begin(&["simple"], 1).start("simple", 1);
    play.end(&exec, Verdict::Passed, |o| o.cached = true).finish(0);
    insta::assert_snapshot!(play.written());
    insta::assert_snapshot!(Play::log().begin(&[], 1).finish(0).written());
}

#[test]
fn of_many_the_slowest_are_named() {
    let mut play = Play::log();
    play.begin(&["a"; 12], 12);
    for n in 0..12 {
        let exec = play.start(&format!("c{n}"), 1);
        play.end(&exec, Verdict::Passed, |o| o.seconds = f64::from(n));
    }
    let text = play.finish(0).written();
    assert!(text.ends_with("\nslowest: c11 11.0 s, c10 10.0 s, c9 9.00 s\n12 passed in 1 min 02 s\n"), "{text}");
}
