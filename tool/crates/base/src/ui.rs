//! The only place that talks: stderr is talk, stdout is data ([`data`]).
//!
//! Colour is dropped where it is not wanted (`NO_COLOR`, `CLICOLOR`, a pipe), as `anstream` judges it. While checks run on a
//! terminal, a few live lines stand below the talk: [`Screen`] keeps the two apart.

use std::io::{self, IsTerminal, Write};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use anstyle::{AnsiColor, Style};

use crate::fail::{self, Status};
use crate::{disarm, sys};

mod stdout;

pub use stdout::{Data, data, finish};

/// Red and bold: errors and failed checks.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// Green and bold: what passed.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Yellow and bold: warnings.
pub const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// Bold: headings.
pub const STRONG: Style = Style::new().bold();
/// Dim: times, paths, what may be skipped.
pub const DIM: Style = Style::new().dimmed();
/// Cyan and bold: hints.
pub const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// `text` in a style.
pub fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Talk that scrolls, and live lines below it that change in place.
pub struct Screen {
    out: Box<dyn Write + Send>,
    colour: bool,
    /// Whether lines may change in place.
    live: bool,
    /// Whether a CI service takes lines for commands.
    disarmed: bool,
    /// Columns and rows, `None` where there is no terminal.
    size: Box<dyn Fn() -> Option<(usize, usize)> + Send>,
    /// The live lines as they stand; the cursor is at the begin of the row below them.
    lines: Vec<String>,
}

impl Screen {
    /// A screen. Text is passed to it with colour, and written to `out` without where `colour` is not wanted.
    pub fn new(
        out: Box<dyn Write + Send>,
        colour: bool,
        live: bool,
        size: impl Fn() -> Option<(usize, usize)> + Send + 'static,
    ) -> Self {
        Self { out, colour, live, disarmed: false, size: Box::new(size), lines: Vec::new() }
    }

    /// Stderr. Lines change in place only for a person at a terminal that can do it.
    fn of_stderr() -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "false");
        let able = std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
        let terminal = io::stderr().is_terminal();
        let colour = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
        let live = terminal && able && !set("CI") && !set("GITHUB_ACTIONS");
        let screen = Self::new(Box::new(io::stderr()), colour, live, move || {
            terminal.then(|| sys::terminal_size(&io::stderr()).unwrap_or((80, 24)))
        });
        Self { disarmed: disarm::wanted(), ..screen }
    }

    /// Columns and rows, where lines may change in place.
    pub fn live(&self) -> Option<(usize, usize)> {
        (self.size)().filter(|_| self.live)
    }

    /// Columns, where there is a terminal.
    pub fn columns(&self) -> Option<usize> {
        (self.size)().map(|(columns, _)| columns)
    }

    /// Text that scrolls, whole lines. A terminal that is gone is not an error.
    pub fn print(&mut self, text: &str) {
        if !text.is_empty() {
            self.write(text, None);
        }
    }

    /// An empty screen; where lines cannot change in place, the text goes on.
    pub fn clear(&mut self) {
        if self.live().is_some() {
            let _ = self.out.write_all(b"\x1b[H\x1b[2J");
        }
    }

    /// Replaces the live lines. The caller has cut them to the width.
    pub fn show(&mut self, lines: Vec<String>) {
        if lines != self.lines {
            self.write("", Some(lines));
        }
    }

    /// Text above the line that another program has at the cursor: that line moves down as it is, and so does the cursor.
    pub fn insert(&mut self, text: &str) {
        let Some((width, _)) = self.live() else { return self.print(text) };
        let text = self.coloured(text.trim_end());
        let rows: usize = text.lines().map(|line| columns(line).div_ceil(width.max(1)).max(1)).sum();
        // Room below, which scrolls if need be; then empty rows at the line, the text in there, and back.
        let room = "\x1bD".repeat(rows);
        let text = text.replace('\n', "\r\n");
        let frame = format!("{room}\x1b[{rows}A\x1b7\r\x1b[{rows}L{text}\x1b8\x1b[{rows}B");
        let _ = self.out.write_all(frame.as_bytes()).and_then(|()| self.out.flush());
    }

    /// Everything in one write: no half-drawn picture is seen.
    fn write(&mut self, text: &str, lines: Option<Vec<String>>) {
        let text = self.coloured(text);
        if self.lines.is_empty() && lines.as_ref().is_none_or(Vec::is_empty) {
            let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
            return;
        }
        // A terminal that became narrower has broken the old lines into more rows.
        let width = (self.size)().map_or(80, |(columns, _)| columns.max(1));
        let rows: usize = self.lines.iter().map(|line| columns(line).div_ceil(width).max(1)).sum();
        let mut frame = "\x1b[?2026h".to_owned();
        if rows > 0 {
            // The keyboard's echo, such as ^C, may have moved the cursor.
            frame += &format!("\r\x1b[{rows}A");
        }
        if !text.is_empty() {
            frame += "\x1b[J";
            frame += &text;
        }
        if let Some(lines) = lines {
            self.lines = lines;
        }
        for line in &self.lines {
            frame += &self.coloured(line);
            frame += "\x1b[K\n";
        }
        frame += "\x1b[J\x1b[?2026l";
        let _ = self.out.write_all(frame.as_bytes()).and_then(|()| self.out.flush());
    }

    fn coloured(&self, text: &str) -> String {
        let text = if self.colour { text.to_owned() } else { anstream::adapter::strip_str(text).to_string() };
        if self.disarmed { disarm::text(&text).into_owned() } else { text }
    }
}

static SCREEN: LazyLock<Mutex<Screen>> = LazyLock::new(|| Mutex::new(Screen::of_stderr()));

/// The screen behind stderr, for the report of a run; all other talk goes through [`say`] and its like.
pub fn screen() -> &'static Mutex<Screen> {
    &SCREEN
}

/// Takes hold of a screen. Whoever panicked with it has only left some lines behind.
pub fn hold(screen: &Mutex<Screen>) -> MutexGuard<'_, Screen> {
    screen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A line of talk, to stderr.
pub fn say(text: &str) {
    hold(&SCREEN).print(&format!("{text}\n"));
}

/// What a run sets out to do and why: talk that stands back.
pub fn remark(text: &str) {
    say(&paint(DIM, &prose(text)));
}

/// Text whose long lines are broken at blanks, where stderr is a terminal. A hint is pasted: it stays whole.
fn prose(text: &str) -> String {
    let columns = hold(&SCREEN).columns();
    columns.map_or_else(|| text.to_owned(), |width| broken(text, width))
}

fn broken(text: &str, width: usize) -> String {
    let (text, hint) = text.find("hint: ").map_or((text, ""), |at| text.split_at(at));
    let broken = |line: &str| {
        // What is indented has been laid out by somebody.
        if line.starts_with(' ') || columns(line) <= width { line.to_owned() } else { wrap(line, 0, width) }
    };
    text.split('\n').map(broken).collect::<Vec<_>>().join("\n") + hint
}

/// A warning, to stderr.
pub fn warn(text: &str) {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    say(&prose(&format!("{}{text}", paint(WARN, "warning: "))));
}

/// A warning while another program reads from the terminal: above what is being typed there.
pub fn warn_above(text: &str) {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let text = prose(&format!("{}{text}", paint(WARN, "warning: ")));
    hold(&SCREEN).insert(&format!("{text}\n"));
}

/// An error with its hints, to stderr.
pub fn error(text: &str) {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let text = prose(&format!("{}{text}", paint(BAD, "error: ")));
    say(&text.replace("\n\nhint: ", &format!("\n\n{}", paint(HINT, "hint: "))));
}

/// Prints an error to stderr and returns its exit status.
pub fn report(failed: &anyhow::Error) -> Status {
    error(&fail::render(failed));
    fail::status(failed)
}

/// Columns of the terminal, 80 where there is none. `COLUMNS` overrides it.
pub fn width() -> usize {
    let set = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
    set.or_else(data_columns).filter(|&columns| columns >= 20).unwrap_or(80)
}

/// Columns of the terminal that data goes to; `None` where it goes to a program or a file, which want whole lines.
pub fn data_columns() -> Option<usize> {
    sys::terminal_size(&io::stdout()).map(|(columns, _)| columns).filter(|_| io::stdout().is_terminal())
}

/// Columns that a text takes on a terminal. Styles take none.
pub fn columns(text: &str) -> usize {
    anstream::adapter::strip_str(text).to_string().chars().map(char_columns).sum()
}

/// As the Unicode standard's annex 11 has it, in broad strokes.
fn char_columns(c: char) -> usize {
    match u32::from(c) {
        0x300..=0x36f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// A line of somebody else's text: no control characters, not endless.
pub fn clean(line: &str, limit: usize) -> String {
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

/// `text`, which has no styles, cut to `width` columns; an ellipsis says so.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().map(char_columns).sum::<usize>() <= width {
        return text.to_owned();
    }
    let mut used = 1;
    let kept = text.chars().take_while(|c| {
        used += char_columns(*c);
        used <= width
    });
    let kept: String = kept.collect();
    if width == 0 { String::new() } else { format!("{}…", kept.trim_end()) }
}

/// `text` broken at spaces into lines of at most `width` columns, each but the first behind `indent` spaces.
/// The caller has written `indent` columns already. Words longer than a line stay whole: commands are pasted.
pub fn wrap(text: &str, indent: usize, width: usize) -> String {
    let room = width.saturating_sub(indent).max(20);
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last().map_or(0, |l| columns(l));
        match lines.last_mut() {
            Some(last) if line == 0 => last.push_str(word),
            Some(last) if line + 1 + columns(word) <= room => last.extend([" ", word]),
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join(&format!("\n{}", " ".repeat(indent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_at_spaces_and_words_stay_whole() {
        assert_eq!(wrap("one two  three", 4, 24), "one two three");
        assert_eq!(wrap("aaaaaaaaaa bbbbbbbbbb cc", 2, 22), "aaaaaaaaaa\n  bbbbbbbbbb cc");
        let long = "https://example.org/a/very/long/address";
        assert_eq!(wrap(&format!("see {long} there"), 0, 20), format!("see\n{long}\nthere"));
        assert_eq!(wrap("", 9, 80), "");
        assert_eq!(wrap(&paint(BAD, "aaaaaaaaaa bbbbbbbbb"), 0, 20).lines().count(), 1);
    }

    #[test]
    fn prose_is_broken_and_hints_are_not() {
        let text = "error: one two three four five six\n  laid out by somebody else, in one line\n\nhint: cargo xtask test one two";
        assert_eq!(
            broken(text, 20),
            "error: one two three\nfour five six\n  laid out by somebody else, in one line\n\nhint: cargo xtask test one two"
        );
        assert_eq!(broken(text, 80), text);
    }

    #[test]
    fn text_is_cut_by_columns() {
        assert_eq!(cut("one two", 7), "one two");
        assert_eq!(cut("one two", 5), "one…");
        assert_eq!(cut("電源電源", 5), "電源…");
        assert_eq!(columns(&paint(BAD, "e\u{301}電")), 3);
        assert_eq!((cut("ab", 1), cut("ab", 0)), ("…".to_owned(), String::new()));
    }
}
