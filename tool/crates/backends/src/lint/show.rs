//! Findings as people read them.

use std::path::Path;

use super::{Mistake, Severity};
use tool_base::ui;

/// Columns of a source line that are shown at most.
const WIDEST: usize = 76;

/// How many errors and warnings there are.
pub fn count(findings: &[Mistake]) -> (usize, usize) {
    let errors = findings.iter().filter(|f| f.severity == Severity::Error).count();
    (errors, findings.len() - errors)
}

/// The last line: `2 errors and 1 warning in 2 files`.
pub fn summary(findings: &[Mistake]) -> String {
    let (errors, warnings) = count(findings);
    let mut files: Vec<&str> = findings.iter().map(|f| f.file.as_str()).collect();
    files.dedup();
    let some = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    match (errors, warnings) {
        (0, 0) => "nothing found".to_owned(),
        (_, 0) => format!("{} in {}", some(errors, "error"), some(files.len(), "file")),
        (0, _) => format!("{} in {}", some(warnings, "warning"), some(files.len(), "file")),
        _ => format!("{} and {} in {}", some(errors, "error"), some(warnings, "warning"), some(files.len(), "file")),
    }
}

/// A finding: its place and what it is, the line it is in, what to do; for a terminal of so many columns, or for a file.
pub fn finding(finding: &Mistake, root: &Path, width: Option<usize>) -> String {
    let Mistake { file, line, column, severity, code, message, hint } = finding;
    let (style, word) = match severity {
        Severity::Error => (ui::BAD, "error"),
        Severity::Warning => (ui::WARN, "warning"),
    };
    let place = ui::paint(ui::STRONG, &plain(&format!("{file}:{line}:{column}:")));
    let broken = |text: &str, indent| width.map_or_else(|| text.to_owned(), |width| ui::wrap(text, indent, width));
    let kind = ui::paint(style, &format!("{word}[{code}]:"));
    let mut text = format!("{}\n", broken(&format!("{place} {kind} {}", plain(message)), 4));
    let room = width.map_or(WIDEST, |width| width.saturating_sub(4).clamp(20, WIDEST));
    let source = std::fs::read(root.join(file)).unwrap_or_default();
    let source = String::from_utf8_lossy(&source);
    if let Some((excerpt, at)) =
        source.lines().nth(line.saturating_sub(1) as usize).and_then(|l| excerpt(l, *column, room))
    {
        text += &format!("    {excerpt}\n    {}{}\n", " ".repeat(at), ui::paint(style, "^"));
    }
    text + &format!("    {} {}\n", ui::paint(ui::HINT, "hint:"), broken(&plain(hint), 10))
}

/// The part of a line around a column, without its indentation, and where the column is in it.
fn excerpt(line: &str, column: u32, room: usize) -> Option<(String, usize)> {
    let line: Vec<char> = plain(line.trim_end()).chars().collect();
    let at = (column as usize).saturating_sub(1);
    let indent = line.iter().position(|c| *c != ' ')?.min(at);
    let start = if at - indent < room { indent } else { at - room / 2 };
    let shown: String = line.iter().skip(start).take(room).collect();
    Some((shown, at - start))
}

/// Text that cannot do anything to a terminal: no control characters, and each one keeps its column.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() => char::REPLACEMENT_CHARACTER,
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(severity: Severity, file: &str) -> Mistake {
        Mistake {
            file: file.to_owned(),
            line: 2,
            column: 6,
            severity,
            code: "unknown-field".to_owned(),
            message: "record type ai has no field `DECS`".to_owned(),
            hint: "did you mean `DESC`?".to_owned(),
        }
    }

    #[test]
    fn a_finding_shows_its_line() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.db"), "x\n\tü \u{1b}[31mDECS\n").unwrap();
        let text =
            anstream::adapter::strip_str(&finding(&sample(Severity::Error, "a.db"), dir.path(), None)).to_string();
        insta::assert_snapshot!(text, @r"
        a.db:2:6: error[unknown-field]: record type ai has no field `DECS`
            ü �[31mDECS
                ^
            hint: did you mean `DESC`?
        ");
        let text = finding(&sample(Severity::Error, "a.db"), dir.path(), Some(40));
        insta::assert_snapshot!(anstream::adapter::strip_str(&text).to_string(), @r"
        a.db:2:6: error[unknown-field]:
            record type ai has no field `DECS`
            ü �[31mDECS
                ^
            hint: did you mean `DESC`?
        ");
    }

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let line = format!("{}X{}", "a".repeat(5000), "b".repeat(5000));
        let (text, at) = excerpt(&line, 5001, WIDEST).unwrap();
        assert_eq!(text.chars().count(), WIDEST);
        assert_eq!(text.chars().nth(at), Some('X'));
        assert_eq!(excerpt("   ", 2, 40), None);
        assert_eq!(excerpt("  abc", 99, WIDEST).map(|(_, at)| at), Some(WIDEST / 2));
    }

    #[test]
    fn the_summary_counts() {
        use Severity::{Error, Warning};
        assert_eq!(summary(&[]), "nothing found");
        assert_eq!(summary(&[sample(Error, "a")]), "1 error in 1 file");
        let all = [sample(Error, "a"), sample(Error, "a"), sample(Warning, "b")];
        assert_eq!(summary(&all), "2 errors and 1 warning in 2 files");
    }
}
