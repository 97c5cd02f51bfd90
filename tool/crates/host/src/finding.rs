//! What is wrong with a machine, why, and what to do: one form for every command, one table for the docs.

use serde::Serialize;

use tool_base::ui;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something that was asked for cannot work.
    Error,
    /// It works, but slower or less surely than it looks.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// The word that people read.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One known cause of trouble. `tool/docs/errors.md` is made from these.
#[derive(Debug)]
pub struct Entry {
    /// Stable name, in lower case with dashes. Scripts may rely on it.
    pub id: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What is wrong, in a few words.
    pub title: &'static str,
    /// Why that is so.
    pub cause: &'static str,
    /// What to do. The first one holds where no other case is known to apply.
    pub fixes: &'static [Fix],
}

/// What to do about a cause in one surrounding.
#[derive(Debug)]
pub struct Fix {
    /// The surrounding, such as `VMware`; empty in the general case.
    pub case: &'static str,
    /// Steps, one on a line; lines that start with `$ ` can be pasted (without these two characters).
    pub steps: &'static str,
}

/// The fix that holds everywhere.
pub const fn all(steps: &'static str) -> Fix {
    when("", steps)
}

/// The fix for one surrounding.
pub const fn when(case: &'static str, steps: &'static str) -> Fix {
    Fix { case, steps }
}

/// A table of causes, in the order of the documentation: name here, id, severity, title, cause, fixes.
macro_rules! entries {
    ($($name:ident $id:literal $severity:ident $title:literal $cause:literal [$($fix:expr),+ $(,)?])+) => {
        /// All of them.
        pub static ALL: &[&$crate::finding::Entry] = &[$(&$name),+];
        $(
            #[doc = $title]
            pub static $name: $crate::finding::Entry = $crate::finding::Entry {
                id: $id,
                severity: $crate::finding::Severity::$severity,
                title: $title,
                cause: $cause,
                fixes: &[$($fix),+],
            };
        )+
    };
}
pub(crate) use entries;

/// A cause that was found on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// See [`Entry::id`].
    pub id: &'static str,
    /// See [`Entry::severity`].
    pub severity: Severity,
    /// See [`Entry::title`].
    pub title: &'static str,
    /// What was seen on this machine.
    pub evidence: String,
    /// See [`Entry::cause`].
    pub cause: &'static str,
    /// What to do here: see [`Fix::steps`].
    pub fix: &'static str,
}

impl Finding {
    /// A finding with the general fix.
    pub fn new(entry: &'static Entry, evidence: impl Into<String>) -> Self {
        Self::of_case(entry, "", evidence)
    }

    /// A finding with the fix for a surrounding, or the general one where the table has none for it.
    pub fn of_case(entry: &'static Entry, case: &str, evidence: impl Into<String>) -> Self {
        let fix = entry.fixes.iter().find(|f| f.case == case).or(entry.fixes.first());
        Self {
            id: entry.id,
            severity: entry.severity,
            title: entry.title,
            evidence: evidence.into(),
            cause: entry.cause,
            fix: fix.map_or("", |f| f.steps),
        }
    }

    /// The same finding with another weight.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// The commands of the fix, ready to be pasted.
    pub fn commands(&self) -> Vec<&'static str> {
        self.fix.lines().filter_map(|l| l.strip_prefix("$ ")).collect()
    }
}

/// Prints findings as paragraphs: what, seen how, why, and what to do.
pub fn print(findings: &[Finding], width: usize) {
    for (number, finding) in findings.iter().enumerate() {
        let style = match finding.severity {
            Severity::Error => ui::BAD,
            Severity::Warning => ui::WARN,
            Severity::Note => ui::STRONG,
        };
        let head = format!("{}[{}]: ", finding.severity.word(), finding.id);
        let title = ui::wrap(finding.title, 2, width.saturating_sub(head.len()));
        ui::data(&format!("\n{}{}", ui::paint(style, &head), ui::paint(ui::STRONG, &title)));
        ui::data(&format!("  seen:  {}", ui::wrap(&finding.evidence, 9, width)));
        ui::data(&format!("  cause: {}", ui::wrap(finding.cause, 9, width)));
        let same = findings[..number].iter().find(|f| f.fix == finding.fix);
        match same {
            Some(same) => ui::data(&format!("{}as for {}", ui::paint(ui::HINT, "  fix:   "), same.id)),
            None => print_fix(finding.fix, width),
        }
    }
}

fn print_fix(fix: &str, width: usize) {
    for (number, line) in fix.lines().enumerate() {
        let head = if number == 0 { ui::paint(ui::HINT, "  fix:   ") } else { " ".repeat(9) };
        match line.strip_prefix("$ ") {
            // Whole and without a prompt, so that it can be pasted.
            Some(command) => ui::data(&format!("    {command}")),
            None => ui::data(&format!("{head}{}", ui::wrap(line, 9, width))),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_to_be_filled_in_is_said_beside_the_command() {
        let entries = crate::kvm::advice::ALL.iter().chain(crate::doctor::advice::ALL);
        for (entry, fix) in entries.flat_map(|e| e.fixes.iter().map(move |f| (e, f))) {
            let (commands, prose): (Vec<&str>, Vec<&str>) = fix.steps.lines().partition(|l| l.starts_with("$ "));
            let known = ["ALL", "GROUP", "MODE", "RESTART"];
            let upper = |w: &str| w.len() > 1 && w.chars().all(|c| c.is_ascii_uppercase()) && !known.contains(&w);
            let mut words = commands.iter().flat_map(|c| c.split([' ', '=']));
            let unsaid = words.find(|w| (*w == "…" || upper(w)) && !prose.concat().contains(*w));
            assert_eq!(unsaid, None, "{} {}", entry.id, fix.case);
        }
    }
}
