//! The only place that writes to the terminal: stdout is data, stderr is talk.
//!
//! Colour is dropped where it is not wanted (`NO_COLOR`, `CLICOLOR`, a pipe) by `anstream`.

use anstyle::{AnsiColor, Style};

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

/// A line of talk, to stderr.
pub fn say(text: &str) {
    anstream::eprintln!("{text}");
}

/// A line of data, to stdout. A closed pipe is not an error.
pub fn data(text: &str) {
    use std::io::Write;
    let _ = writeln!(anstream::stdout(), "{text}");
}

/// A warning, to stderr.
pub fn warn(text: &str) {
    anstream::eprintln!("{}{text}", paint(WARN, "warning: "));
}

/// An error with its hints, to stderr.
pub fn error(text: &str) {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let text = text.replace("\n\nhint: ", &format!("\n\n{}", paint(HINT, "hint: ")));
    anstream::eprintln!("{}{text}", paint(BAD, "error: "));
}

/// Bytes of another program's talk, to stderr as they are; colour is dropped where it is not wanted.
pub fn raw(bytes: &[u8]) {
    use std::io::Write;
    let _ = anstream::stderr().write_all(bytes);
}
