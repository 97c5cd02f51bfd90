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

/// One entry of the table as Markdown.
fn section(entry: &Entry) -> String {
    let Entry { id, severity, title, cause, fixes } = entry;
    let head = format!("\n## {id}\n\n**{title}** ({})\n\n{cause}\n", severity.word());
    let fix = |fix: &Fix| {
        let case = if fix.case.is_empty() { String::new() } else { format!(" ({})", fix.case) };
        format!("\nWhat to do{case}:\n\n{}\n", markdown(fix.steps))
    };
    std::iter::once(head).chain(fixes.iter().map(fix)).collect()
}

/// Steps as Markdown: sentences as they are, commands as code.
fn markdown(steps: &str) -> String {
    let mut out: Vec<String> = Vec::new();
    let mut in_code = false;
    for line in steps.lines() {
        let command = line.strip_prefix("$ ");
        if command.is_some() && !in_code {
            if !out.is_empty() {
                out.push(String::new());
            }
            out.push("```sh".to_owned());
        } else if command.is_none() && in_code {
            out.extend(["```".to_owned(), String::new()]);
        }
        in_code = command.is_some();
        out.push(command.unwrap_or(line).to_owned());
    }
    if in_code {
        out.push("```".to_owned());
    }
    out.join("\n")
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
        }
    }

    #[test]
    fn commands_become_code() {
        assert_eq!(markdown("Do:\n$ a\n$ b\nThen rest."), "Do:\n\n```sh\na\nb\n```\n\nThen rest.");
    }
}
