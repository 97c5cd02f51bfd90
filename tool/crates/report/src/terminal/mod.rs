//! The report that people read: while checks run, and at the end.
//!
//! Where one check runs at a time, its heading, its subtests and its verdict come as they happen. Where several may run at
//! once, all that is to say of one comes in one block when it has ended. On a terminal, live lines below show what runs.

mod coverage;
mod live;
mod notices;
mod state;
mod summary;
mod text;

use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use self::coverage::coverage;
use self::state::{Row, State};
pub(super) use self::text::{TAIL, clean, evidence};
pub use self::text::{duration, relative};
use crate::again::Again;
use tool_base::ui;
use tool_base::ui::{BAD, DIM, GOOD, STRONG, Screen, WARN, columns, cut, paint};
use tool_runner::{Begun, DriverEvent, Event, Outcome, Skipped, Verdict};

/// Time between pictures.
const TICK: Duration = Duration::from_millis(100);
/// Characters of a line of somebody else's text.
const LINE: usize = 4096;

/// How a run is told.
#[derive(Debug, Clone, Default)]
pub struct Telling {
    /// Folder that paths are relative to.
    pub root: PathBuf,
    /// Show the log's lines, too.
    pub show_output: bool,
    /// How a check is run again.
    pub again: Again,
}

/// Tells a run on a screen, and keeps its picture moving until it is dropped.
pub struct Terminal {
    teller: Arc<Mutex<Teller>>,
    /// Closed when the picture is to stop.
    _moving: Sender<()>,
    screen: &'static Mutex<Screen>,
}

impl Terminal {
    /// A report to stderr.
    pub fn new(telling: Telling) -> Self {
        let screen = ui::screen();
        let teller = Arc::new(Mutex::new(Teller::new(screen, Box::new(Instant::now), telling)));
        let (moving, stopped) = channel();
        let ticking = Arc::downgrade(&teller);
        std::thread::spawn(move || {
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout)
                && let Some(teller) = ticking.upgrade()
            {
                teller.lock().unwrap_or_else(PoisonError::into_inner).tick();
            }
        });
        Self { teller, _moving: moving, screen }
    }

    /// Says what there is to say about an event.
    pub fn report(&mut self, event: &Event) {
        self.teller.lock().unwrap_or_else(PoisonError::into_inner).report(event);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // However the run has ended: nothing that moves is left behind, and nothing moves any more.
        self.teller.lock().unwrap_or_else(PoisonError::into_inner).over = true;
        ui::hold(self.screen).show(Vec::new());
    }
}

/// Whether the checks of a run come one after the other, so that each can be told as it goes.
pub(super) fn one_by_one(begun: &Begun) -> bool {
    begun.jobs == Some(1) || (begun.checks.len() == 1 && begun.repeat == Some(1))
}

/// Turns events into text. It is told what time it is.
struct Teller {
    screen: &'static Mutex<Screen>,
    now: Box<dyn Fn() -> Instant + Send>,
    telling: Telling,
    state: State,
    one_by_one: bool,
    /// Lines of logs are told apart by their check.
    several: bool,
    backend: String,
    /// Lines of logs that wait for the next picture: there may be thousands.
    lines: String,
    last_word: Instant,
    /// A prompt has the terminal, or the run is over: nothing moves.
    over: bool,
}

impl Teller {
    fn new(screen: &'static Mutex<Screen>, now: Box<dyn Fn() -> Instant + Send>, telling: Telling) -> Self {
        let begin = now();
        Self {
            screen,
            now,
            telling,
            state: State::new(begin),
            one_by_one: true,
            several: false,
            backend: String::new(),
            lines: String::new(),
            last_word: begin,
            over: false,
        }
    }

    fn report(&mut self, event: &Event) {
        let now = (self.now)();
        match event {
            Event::Begun(begun) => {
                self.state.begun(begun);
                self.one_by_one = one_by_one(begun);
                self.several = begun.checks.len() > 1 || begun.repeat != Some(1);
                self.backend.clone_from(&begun.backend);
                let skipped = |s: &Skipped| format!("{} {}  {}\n", paint(WARN, "SKIP"), s.check, paint(DIM, &s.reason));
                let text: String = begun.skipped.iter().map(skipped).collect();
                self.say(&text);
            }
            Event::Started(exec) => {
                self.state.started(exec, now);
                if self.one_by_one {
                    self.say(&format!("{}\n", paint(STRONG, &exec.label())));
                }
            }
            Event::Driver(_, DriverEvent::Debug { open }) => self.prompt(*open),
            Event::Driver(exec, event) => {
                let Some(running) = self.state.running.get_mut(&exec.id) else { return };
                running.driver(event, now);
                let left = matches!(event, DriverEvent::Leave { kind, .. } if kind == "subtest");
                if self.one_by_one && left && self.backend != tool_runner::UNIT {
                    let width = ui::hold(self.screen).columns();
                    let text = rows(running.ended_subtest(), width);
                    self.say(&text);
                }
            }
            Event::Line(exec, line) => {
                if let Some(running) = self.state.running.get_mut(&exec.id) {
                    running.line(line, now);
                }
                if self.telling.show_output {
                    let label = if self.several { format!("{}> ", exec.label()) } else { String::new() };
                    self.lines += &format!("{}{}\n", paint(DIM, &label), clean(line, LINE));
                    if ui::hold(self.screen).live().is_none() {
                        self.say("");
                    }
                }
            }
            Event::Ended(outcome) => {
                let text = self.block(outcome);
                self.say(&text);
            }
            Event::Interrupted(times) => {
                self.state.interrupted = *times;
                match times {
                    1 => self.say(&paint(WARN, "stopping: the checks clean up; Ctrl-C again kills them\n")),
                    2 => self.say(&paint(WARN, "killing what still runs\n")),
                    _ => {}
                }
            }
            Event::Finished(summary) => {
                self.over = true;
                ui::hold(self.screen).show(Vec::new());
                let width = ui::hold(self.screen).columns();
                let text = summary::text(summary, &self.telling, &self.backend, width);
                self.say(&text);
            }
        }
    }

    /// Some time has passed: says who is slow, and draws the picture.
    fn tick(&mut self) {
        let now = (self.now)();
        if self.over || self.state.total.is_none() && self.state.started == 0 {
            return;
        }
        let (live, width) = {
            let screen = ui::hold(self.screen);
            (screen.live(), screen.columns())
        };
        let mut text = notices::slow_or_silent(&mut self.state, now, live.is_some(), width);
        if live.is_none() && text.is_empty() {
            text = notices::heartbeat(&self.state, now, self.last_word);
        }
        if !text.is_empty() || !self.lines.is_empty() {
            self.say(&text);
        }
        if let Some(size) = live {
            ui::hold(self.screen).show(live::lines(&self.state, now, size));
        }
    }

    /// Text that scrolls.
    fn say(&mut self, text: &str) {
        let text = std::mem::take(&mut self.lines) + text;
        if !text.is_empty() {
            self.last_word = (self.now)();
            ui::hold(self.screen).print(&text);
        }
    }

    /// A prompt takes the terminal, or gives it back.
    fn prompt(&mut self, open: bool) {
        self.say("");
        self.over = open;
        let now = (self.now)();
        if open {
            ui::hold(self.screen).show(Vec::new());
        } else {
            // What a person took is no silence of the check.
            self.state.running.values_mut().for_each(|running| running.is_heard(now));
            self.last_word = now;
        }
    }

    /// What is said when an execution has ended.
    fn block(&mut self, outcome: &Outcome) -> String {
        let running = self.state.ended(outcome);
        let width = ui::hold(self.screen).columns();
        let (style, word) = label(outcome);
        let time = if outcome.cached { "passed earlier, not run again" } else { &duration(outcome.seconds) };
        let verdict = format!("{} {}  {}\n", paint(style, word), outcome.exec.label(), paint(DIM, time));
        let (before, after) = match &running {
            Some(running) if self.one_by_one => (rows(running.unfinished(), width), String::new()),
            // Of a test program, there may be thousands; what failed is told at the end.
            Some(_) if self.backend == tool_runner::UNIT => (String::new(), self.reason(outcome, width)),
            Some(running) => (String::new(), rows(&running.subtests, width) + &self.reason(outcome, width)),
            None => Default::default(),
        };
        before + &verdict + &after
    }

    /// Why it failed, in a line: the whole comes at the end.
    fn reason(&self, outcome: &Outcome, width: Option<usize>) -> String {
        let Some(failure) = outcome.failure.as_ref().filter(|_| outcome.verdict.is_failure()) else {
            return String::new();
        };
        let line = format!("  {}", summary::in_a_line(failure, &outcome.exec, &self.telling.root));
        cut(&line, width.unwrap_or(200).max(20)) + "\n"
    }
}

/// Subtests with their times, those within others indented.
fn rows(subtests: &[Row], width: Option<usize>) -> String {
    let outermost = subtests.first().map_or(0, |row| row.level);
    let row = |row: &Row| {
        let mark = if row.ok { paint(GOOD, "✓") } else { paint(BAD, "✗") };
        let time = row.seconds.map_or_else(|| "not ended".to_owned(), duration);
        let indent = " ".repeat(2 * (1 + row.level - outermost.min(row.level)));
        let room = width.map_or(200, |width| width.saturating_sub(indent.len() + 4 + columns(&time)).max(8));
        format!("{indent}{mark} {}  {}\n", cut(&clean(&row.name, LINE), room), paint(DIM, &time))
    };
    subtests.iter().map(row).collect()
}

/// The word for a verdict, and its colour.
pub(super) fn label(outcome: &Outcome) -> (anstyle::Style, &'static str) {
    match &outcome.verdict {
        _ if outcome.is_flaky() => (WARN, "FLAKY"),
        _ if outcome.retried => (WARN, "RETRY"),
        Verdict::Passed => (GOOD, "PASS"),
        Verdict::Failed(_) => (BAD, "FAIL"),
        Verdict::TimedOut(_) => (BAD, "TIME"),
        Verdict::Interrupted => (WARN, "STOP"),
        Verdict::HostFailed => (WARN, "HOST"),
    }
}

#[cfg(test)]
mod tests;
