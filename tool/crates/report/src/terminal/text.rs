//! Words and lines that reports have in common.

use std::path::Path;
use std::time::Duration;

use super::super::journal;
use tool_base::left;
pub use tool_base::ui::clean;
use tool_runner::Outcome;

/// Lines of each journal and of the log that a failure shows.
pub const TAIL: usize = 10;

/// `path` as seen from `root`.
pub fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

/// The last lines of what may tell why a check failed, each under a title: the log, and the journals of the services.
pub fn evidence(outcome: &Outcome) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    // A failure without a line is not the script's: then the message is what there is to say.
    if outcome.failure.as_ref().is_none_or(|failure| failure.line.is_some()) {
        found.push(("log".to_owned(), log_tail(&outcome.exec.dir, outcome.failure.is_some())));
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

/// Last lines of the driver's log; where the failure is known, those before the driver tells it, and nothing of the consoles,
/// whose journals are shown.
fn log_tail(folder: &Path, told: bool) -> Vec<String> {
    let (_, text) = left::tail(folder, Path::new("log"), 64 * 1024).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut lines: Vec<&str> = text.lines().collect();
    if told {
        let end = lines.iter().position(|line| line.starts_with("!!! ")).unwrap_or(lines.len());
        lines.truncate(end);
        lines.retain(|line| !line.contains(" # ["));
    }
    lines[lines.len().saturating_sub(TAIL)..].iter().map(|l| (*l).to_owned()).collect()
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

/// `30 s`, `2 min 05 s`: whole seconds.
pub fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds => duration(Duration::from_secs(seconds).as_secs_f64()),
    }
}

/// `0:07`, `12:05`, `1:02:03`: for columns of times that change.
pub fn clock(time: Duration) -> String {
    let (minutes, seconds) = (time.as_secs() / 60, time.as_secs() % 60);
    match minutes / 60 {
        0 => format!("{minutes}:{seconds:02}"),
        hours => format!("{hours}:{:02}:{seconds:02}", minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_ends_where_the_failure_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let text = "must succeed: x\nmachine # [ 0.1] bash[20]: noise\noutput: 0\n!!! Traceback\ncleanup\n";
        std::fs::write(&log, text).unwrap();
        assert_eq!(log_tail(dir.path(), true), ["must succeed: x", "output: 0"]);
        assert_eq!(log_tail(dir.path(), false).len(), 5);
    }

    #[test]
    fn durations_and_odd_lines() {
        assert_eq!(duration(0.4219), "0.42 s");
        assert_eq!(duration(12.34), "12.3 s");
        assert_eq!(duration(125.2), "2 min 05 s");
        assert_eq!(span(Duration::from_millis(59_900)), "59 s");
        assert_eq!(span(Duration::from_millis(60_400)), "1 min 00 s");
        assert_eq!(clock(Duration::from_secs(3723)), "1:02:03");
        assert_eq!(clock(Duration::from_secs(67)), "1:07");
        assert_eq!(clean("\u{1b}[31mred\u{1b}[0m\u{7}\tx", 200), "red x");
        assert_eq!(clean(&"y".repeat(300), 200).chars().count(), 201);
    }
}
