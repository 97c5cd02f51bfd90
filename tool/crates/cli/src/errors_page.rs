//! tool/docs/errors.md, out of the tables of what the host commands find.

use tool_host::finding::{Entry, Fix};
use tool_host::{doctor, kvm};

/// Every cause that is known, in the order of `tool/docs/errors.md`.
fn all() -> Vec<&'static Entry> {
    [kvm::advice::ALL, doctor::advice::ALL].concat()
}

/// The text of `tool/docs/errors.md`.
pub fn errors_md() -> String {
    let text = String::from(
        "# What the host commands find\n\n\
         <!-- Generated from the tables in tool/crates/host/src/kvm/advice.rs and …/doctor/advice.rs.\n     \
         To write it anew: XTASK_WRITE_DOCS=1 cargo test -p tool-e2e --test docs -->\n\n\
         `cargo xtask check-kvm`, `configure-nix` and `doctor` name what they find by these ids. They are stable.\n",
    );
    text + &all().into_iter().map(section).collect::<String>()
}

/// One entry of the table as Markdown: a point for each way to mend it, commands below that.
fn section(entry: &Entry) -> String {
    let Entry { id, severity, title, cause, fixes } = entry;
    let fixes: String = fixes.iter().map(point).collect();
    format!("\n## {id}\n\n**{title}** ({}): {cause}\n\n{fixes}", severity.word())
}

fn point(Fix { case, steps }: &Fix) -> String {
    let case = if case.is_empty() { String::new() } else { format!("{case}: ") };
    let lines =
        steps.lines().map(|line| line.strip_prefix("$ ").map_or(line.to_owned(), |command| format!("`{command}`")));
    format!("* {case}{}\n", lines.collect::<Vec<_>>().join("\n  * "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        let mut ids: Vec<&str> = all().iter().map(|e| e.id).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count, "an id stands twice");
        for entry in all() {
            assert!(entry.id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{}", entry.id);
            assert!(!entry.title.is_empty() && !entry.title.ends_with('.'), "{}: title", entry.id);
            assert!(entry.cause.ends_with('.'), "{}: the cause is a sentence", entry.id);
            assert!(entry.fixes.first().is_some_and(|f| f.case.is_empty()), "{}: the first fix is general", entry.id);
            let steps = |f: &Fix| !f.steps.is_empty() && !f.steps.starts_with('$');
            assert!(entry.fixes.iter().all(steps), "{}: a fix starts with a sentence", entry.id);
            let code =
                entry.fixes.iter().flat_map(|f| f.steps.lines()).all(|l| !l.starts_with("$ ") || !l.contains('`'));
            assert!(code, "{}: a command stands between backticks", entry.id);
        }
    }

    #[test]
    fn commands_become_code() {
        let general = point(&tool_host::finding::all("Do:\n$ a\n$ b\nThen rest."));
        assert_eq!(general, "* Do:\n  * `a`\n  * `b`\n  * Then rest.\n");
        assert_eq!(point(&Fix { case: "docker", steps: "Rest." }), "* docker: Rest.\n");
    }
}
