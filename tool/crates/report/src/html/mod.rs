//! `cargo xtask report`: a run as one web page that needs no network and no other file.
//!
//! [`read`] gathers facts from the folder of a run, [`page`] turns them into text. What other programs wrote is hostile:
//! it reaches the page through [`Html::text`] only.

mod chart;
mod compare;
mod coverage;
pub mod page;
pub mod read;
mod timeline;

pub use tool_runner::record::{Alarm, Kind, Pv, Recording, Update};

/// A run, as far as its folder tells.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// Name of its folder.
    pub name: String,
    /// The folder.
    pub dir: std::path::PathBuf,
    /// How the checks were run; empty where nobody knows.
    pub backend: String,
    /// When it began, seconds since 1970.
    pub started: Option<f64>,
    /// How long it took; `None` where it never came to its end.
    pub seconds: Option<f64>,
    /// Checks that were left out after a failure.
    pub not_run: usize,
    /// The host's trouble that ended it.
    pub trouble: String,
    /// The commit of Git that was checked, in words; empty where nobody knows.
    pub revision: String,
    /// Version and revision of the tool.
    pub tool: String,
    /// Checks at once.
    pub jobs: Option<usize>,
    /// What ran; failures first.
    pub executions: Vec<Execution>,
    /// What was used of the IOC, where somebody asked.
    pub coverage: Option<tool_runner::coverage::Coverage>,
}

/// How an execution ended. The order is that of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It failed.
    Failed,
    /// It ran into a time limit.
    TimedOut,
    /// It never came to its end, nobody knows why.
    Unfinished,
    /// The host failed while it ran.
    HostFailed,
    /// Ctrl-C ended it.
    Interrupted,
    /// It failed and was run again.
    Retried,
    /// It passed after a failure.
    Flaky,
    /// It passed.
    Passed,
}

impl State {
    /// A sign that does not need colour.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Failed => "✗",
            Self::TimedOut => "◷",
            Self::Unfinished => "?",
            Self::HostFailed => "!",
            Self::Interrupted => "■",
            Self::Retried => "↻",
            Self::Flaky => "≈",
            Self::Passed => "✓",
        }
    }

    /// In words.
    pub fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::TimedOut => "timed out",
            Self::Unfinished => "unfinished",
            Self::HostFailed => "could not run",
            Self::Interrupted => "interrupted",
            Self::Retried => "retried",
            Self::Flaky => "flaky",
            Self::Passed => "passed",
        }
    }

    /// Class of its colour: `good`, `bad` or `warn`.
    pub fn class(self) -> &'static str {
        match self {
            Self::Passed => "good",
            Self::Failed | Self::TimedOut => "bad",
            _ => "warn",
        }
    }
}

/// What an execution may take of a page, so that one of many, or of long ones, stays one that a browser can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes of log and journals.
    pub text: u64,
    /// Process variables of a machine that are drawn.
    pub charts: usize,
    /// Points of each.
    pub points: usize,
    /// Steps of the script.
    pub steps: usize,
}

impl Room {
    /// The room of each of so many executions that failed, or passed.
    pub fn of(passed: bool, count: usize) -> Self {
        let count = count.max(1);
        // Failures get most of it.
        let part = if passed { 2 } else { 5 };
        let share = |all: usize| part * all / 5 / count;
        let charts = share(480).clamp(8, 40);
        Self {
            text: share(1_000_000).min(400_000) as u64,
            charts,
            points: (share(60_000) / charts).clamp(40, 1500),
            steps: share(6000).clamp(40, 2000),
        }
    }
}

/// One execution of a check.
#[derive(Debug, Clone)]
pub struct Execution {
    /// Name of its folder: the check's, with its repetition and attempt.
    pub label: String,
    /// Name of the check.
    pub check: String,
    /// How it ended.
    pub state: State,
    /// Whether it passed earlier and was not run again.
    pub cached: bool,
    /// When it began, seconds since 1970.
    pub started: Option<f64>,
    /// How long it took.
    pub seconds: f64,
    /// Why it failed.
    pub failure: Option<Cause>,
    /// Blocks of its script, in the order of their begin.
    pub spans: Vec<Span>,
    /// Its log.
    pub log: Text,
    /// Journals of its machines, by machine and unit.
    pub journals: Vec<Journal>,
    /// What its process variables did, by machine.
    pub recordings: Vec<Recording>,
    /// What it may take of the page.
    pub room: Room,
    /// Files that it left.
    pub files: Vec<Left>,
    /// How many more there are than the page names.
    pub more_files: usize,
    /// The last pass of the same check, where it failed.
    pub pass: Option<std::rc::Rc<Pass>>,
}

/// A file that an execution left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Its path in the run's folder.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// All of it, where the page is to have it even when it is mailed.
    pub copy: Option<Vec<u8>>,
}

/// An earlier execution of a check, to compare with.
#[derive(Debug, Clone)]
pub struct Pass {
    /// Name of its run.
    pub run: String,
    /// Blocks of its script.
    pub spans: Vec<Span>,
    /// What its process variables did.
    pub recordings: Vec<Recording>,
}

/// Why a script failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cause {
    /// What went wrong.
    pub message: String,
    /// Script, as seen from the project.
    pub script: String,
    /// Line of the script, from 1.
    pub line: Option<usize>,
    /// Text around that line, with numbers.
    pub excerpt: Vec<(usize, String)>,
    /// Subtest around it.
    pub subtest: Option<String>,
    /// Unit that is to blame.
    pub unit: Option<String>,
}

/// A block of a script on the time line.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// A subtest, or one step of it.
    pub subtest: bool,
    /// What it is about.
    pub name: String,
    /// Blocks around it.
    pub depth: u32,
    /// When it began, seconds from the begin of the execution.
    pub start: f64,
    /// When it was left; `None` where it never was.
    pub end: Option<f64>,
    /// Whether it was left without an exception.
    pub ok: bool,
}

/// Lines of somebody else's text, without control characters, perhaps cut.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// The lines that are shown.
    pub lines: Vec<Line>,
    /// Where lines were left out, how many bytes: after this many lines of `lines`.
    pub cut: Option<(usize, u64)>,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its text.
    pub text: String,
    /// Whether it speaks of an error, as its priority or its mark says.
    pub error: bool,
}

/// Journal of a unit.
#[derive(Debug, Clone)]
pub struct Journal {
    /// The machine.
    pub machine: String,
    /// The unit.
    pub unit: String,
    /// Its lines, each with its time.
    pub text: Text,
}

/// Text of a page. Everything but literals of our own goes through [`Html::text`].
#[derive(Debug, Default)]
pub struct Html(String);

impl Html {
    /// Adds markup of our own.
    pub fn raw(&mut self, markup: &str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Adds text, which is safe between tags and in quoted attributes.
    pub fn text(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(c),
                c if c.is_control() => self.0.push('\u{fffd}'),
                c => self.0.push(c),
            }
        }
        self
    }

    /// The text so far.
    pub fn finish(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_gets_out_of_its_place(text in any::<String>()) {
            let mut html = Html::default();
            html.text(&text);
            let html = html.finish();
            prop_assert!(!html.chars().any(|c| "<>\"'\0\u{1b}".contains(c)), "{}", html);
            let plain = html.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
            let plain = plain.replace("&#39;", "'").replace("&amp;", "&");
            let kept: String = text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect();
            prop_assert_eq!(plain, kept);
        }
    }
}
