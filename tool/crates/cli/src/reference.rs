//! The reference of the command line, out of clap's own description of it: `tool/docs/cli.md` and the manual page.

use clap::builder::PossibleValue;
use clap::{Arg, Command, CommandFactory};

use crate::cli::Cli;
use tool_base::fail::Status;

/// A command as the reference shows it.
struct Page {
    name: String,
    about: String,
    usage: String,
    /// Heading and entries.
    sections: Vec<(String, Vec<Entry>)>,
    examples: String,
}

/// An argument or option.
struct Entry {
    /// `-o, --output <DIR>`
    spelling: String,
    help: String,
    /// Values it can have, with what they mean.
    values: Vec<(String, String)>,
}

/// The exit statuses, which hold for all commands.
const STATUSES: [(Status, &str); 7] = [
    (Status::Done, "done"),
    (Status::CheckFailed, "a check failed"),
    (Status::Usage, "wrong usage"),
    (Status::Config, "bad configuration"),
    (Status::NothingSelected, "nothing selected"),
    (Status::HostNotReady, "the host is not ready"),
    (Status::Interrupted, "interrupted"),
];

/// The text of `tool/docs/cli.md`.
pub fn cli_md() -> String {
    let pages = pages(Cli::command());
    let mut text = "# Command line\n\nWritten from the program's own help: \
                    `XTASK_WRITE_DOCS=1 cargo test -p tool-e2e --test docs` writes it anew.\n\n| command | what it does |\n|---|---|\n"
        .to_owned();
    for page in &pages {
        let anchor = page.name.replace(' ', "-");
        text += &format!("| [`{}`](#{anchor}) | {} |\n", page.name, cell(&page.about));
    }
    text += "\nExit statuses: ";
    let statuses = STATUSES.map(|(status, meaning)| format!("{} {meaning}", status.code()));
    text += &format!("{}. stdout is data, stderr is talk.\n", statuses.join(", "));
    let mut told = Vec::new();
    for page in &pages {
        text += &format!("\n## `{}`\n\n{}.\n\n    {}\n", page.name, page.about, page.usage);
        for (heading, entries) in &page.sections {
            let all: Vec<_> = entries.iter().map(|e| (&e.spelling, &e.help, &e.values)).collect();
            text += &match once(&mut told, format!("{all:?}"), &page.name) {
                Some(where_told) if all.len() > 1 => format!("\n{heading}: {where_told}.\n"),
                _ => {
                    let entries = entries.iter().map(|entry| markdown(entry, &mut told, &page.name));
                    format!("\n{heading}:\n\n{}", entries.collect::<String>())
                }
            };
        }
        if !page.examples.is_empty() {
            let lines: Vec<String> = page.examples.lines().map(|line| format!("    {}", line.trim())).collect();
            text += &format!("\nExamples:\n\n{}\n", lines.join("\n"));
        }
    }
    text
}

/// An entry, with its values where they were not told before.
fn markdown(entry: &Entry, told: &mut Vec<(String, String)>, page: &str) -> String {
    let value = |(value, help): &(String, String)| {
        format!("  * `{value}`{}\n", if help.is_empty() { String::new() } else { format!(": {help}") })
    };
    let values: String = entry.values.iter().map(value).collect();
    let (spelling, help) = (&entry.spelling, &entry.help);
    match once(told, values.clone(), page) {
        Some(where_told) if !values.is_empty() => format!("* `{spelling}`: {help}; values: {where_told}\n"),
        _ => format!("* `{spelling}`: {help}\n{values}"),
    }
}

/// Where a text was told before, if it was.
fn once(told: &mut Vec<(String, String)>, text: String, page: &str) -> Option<String> {
    let before = told.iter().find(|(known, _)| *known == text).map(|(_, page)| page.clone());
    told.push((text, page.to_owned()));
    before.map(|page| format!("see [`{page}`](#{})", page.replace(' ', "-")))
}

/// The manual page cargo-xtask(1), in roff.
pub fn man(line: Command) -> String {
    let mut text = format!(".TH CARGO-XTASK 1 \"\" \"xtask {}\"\n", env!("CARGO_PKG_VERSION"));
    let about = line.get_about().map(ToString::to_string).unwrap_or_default();
    text += &format!(".SH NAME\ncargo-xtask \\- {}\n", roff(&about));
    text += ".SH SYNOPSIS\n\\fBcargo xtask\\fR \\fICOMMAND\\fR ...\n.SH COMMANDS\n";
    for page in pages(line) {
        text += &format!(".SS {}\n{}.\n.PP\n\\fB{}\\fR\n", roff(&page.name), roff(&page.about), roff(&page.usage));
        for entry in page.sections.iter().flat_map(|(_, entries)| entries) {
            text += &format!(".TP\n\\fB{}\\fR\n{}\n", roff(&entry.spelling), roff(&entry.help));
            for (value, help) in &entry.values {
                text += &format!(".br\n\\fI{}\\fR  {}\n", roff(value), roff(help));
            }
        }
        if !page.examples.is_empty() {
            let lines: Vec<String> = page.examples.lines().map(|line| roff(line.trim())).collect();
            text += &format!(".PP\n.nf\n{}\n.fi\n", lines.join("\n"));
        }
    }
    text += ".SH EXIT STATUS\n";
    for (status, meaning) in STATUSES {
        text += &format!(".TP\n\\fB{}\\fR\n{meaning}\n", status.code());
    }
    text
}

/// All commands that are not plumbing.
fn pages(mut cli: Command) -> Vec<Page> {
    cli.build();
    cli.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help").map(page).collect()
}

fn page(command: &Command) -> Page {
    let mut sections: Vec<(String, Vec<Entry>)> = Vec::new();
    for arg in command.get_arguments().filter(|arg| !arg.is_hide_set() && arg.get_id() != "help") {
        let heading = match arg.get_help_heading() {
            Some(heading) => heading.to_owned(),
            None if arg.is_positional() => "Arguments".to_owned(),
            None => "Options".to_owned(),
        };
        let entry = entry(arg);
        match sections.iter_mut().find(|(known, _)| *known == heading) {
            Some((_, entries)) => entries.push(entry),
            None => sections.push((heading, vec![entry])),
        }
    }
    let usage = command.clone().render_usage().to_string();
    Page {
        name: format!("cargo xtask {}", command.get_name()),
        about: command.get_about().map(ToString::to_string).unwrap_or_default(),
        usage: usage.trim_start_matches("Usage: ").to_owned(),
        sections,
        examples: command.get_after_help().map(ToString::to_string).unwrap_or_default().replace("Examples:\n", ""),
    }
}

fn entry(arg: &Arg) -> Entry {
    let mut help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    let flag = !arg.get_action().takes_values();
    if !defaults.is_empty() && !flag {
        help += &format!(" (default: {})", defaults.join(" "));
    }
    if let Some(variable) = arg.get_env() {
        help += &format!(" (environment: {})", variable.to_string_lossy());
    }
    let values = if flag { Vec::new() } else { arg.get_possible_values() };
    let value = |value: &PossibleValue| {
        (value.get_name().to_owned(), value.get_help().map(ToString::to_string).unwrap_or_default())
    };
    Entry {
        spelling: arg.get_short().map(|short| format!("-{short}, ")).unwrap_or_default() + &arg.to_string(),
        help,
        values: values.iter().filter(|value| !value.is_hide_set()).map(value).collect(),
    }
}

/// Text for a cell of a table in Markdown.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Text for roff: no line of it is a request.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_has_what_people_type_and_no_plumbing() {
        for text in [cli_md(), man(Cli::command()).replace("\\-", "-")] {
            for wanted in ["cargo xtask test", "--backend <BACKEND>", "sandbox", "XTASK_BACKEND"] {
                assert!(text.contains(wanted), "{wanted}");
            }
            for unwanted in ["sandbox-init", "guard", "--root"] {
                assert!(!text.contains(unwanted), "{unwanted}");
            }
        }
    }

    #[test]
    fn roff_requests_are_text() {
        assert_eq!(roff(".TH \\x --a"), "\\&.TH \\ex \\-\\-a");
    }
}
