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

/// Columns of the terminal, 80 where there is none. `COLUMNS` overrides it.
pub fn width() -> usize {
    use std::io::IsTerminal;
    let set = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
    let asked = || {
        let terminal = std::fs::File::open("/dev/tty").ok().filter(|_| std::io::stdout().is_terminal())?;
        let output = crate::process::Cmd::new("stty").arg("size").to_std().stdin(terminal).output().ok()?;
        String::from_utf8_lossy(&output.stdout).split_whitespace().nth(1)?.parse().ok()
    };
    set.or_else(asked).filter(|&columns| columns >= 20).unwrap_or(80)
}

/// `text` broken at spaces into lines of at most `width` columns, each but the first behind `indent` spaces.
/// The caller has written `indent` columns already. Words longer than a line stay whole: commands are pasted.
pub fn wrap(text: &str, indent: usize, width: usize) -> String {
    let room = width.saturating_sub(indent).max(20);
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().map_or(0, |l| l.chars().count());
        match lines.last_mut() {
            Some(last) if line == 0 => last.push_str(word),
            Some(last) if line + 1 + word.chars().count() <= room => last.extend([" ", word]),
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
    }
}
