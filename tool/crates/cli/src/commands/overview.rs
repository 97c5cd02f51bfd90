//! `cargo xtask` alone: what one does most, by task.

use crate::own::Own;
use tool_base::fail::Status;
use tool_base::ui;

/// Tasks, with the command lines that serve them.
const TASKS: [(&str, &[(&str, &str)]); 4] = [
    (
        "Try the IOC",
        &[
            ("test", "run all checks, each on a machine of its own"),
            ("test simple", "run one check"),
            ("run", "the IOC at its prompt, beside its simulator"),
            ("run --host", "the same on this host, for any client"),
        ],
    ),
    (
        "Find out why",
        &[
            ("test simple --debug", "stay there after a failure"),
            ("interactive simple", "a Python prompt on a check's machine"),
            ("exec", "a shell on the machine where the IOC runs"),
            ("doctor", "what keeps checks from running here"),
        ],
    ),
    (
        "Make it yours",
        &[
            ("rename --app psu", "give everything your own names"),
            ("new-check ramp", "one more check to start from"),
            ("lint", "mistakes in the IOC's files, at once"),
            ("build", "build the IOC: Nix, make or the soft IOC"),
        ],
    ),
    ("Before a change lands", &[("ci", "everything that must hold")]),
];
/// Widest command line here, with its margin.
const COLUMN: usize = 34;
/// A terminal that has room for two columns.
const ROOMY: usize = 76;

/// Runs the command.
pub fn run(own: &[Own]) -> Status {
    ui::data(text(ui::width(), own).trim_end());
    Status::Done
}

/// The overview for a terminal of some columns.
fn text(width: usize, own: &[Own]) -> String {
    let mut text = String::new();
    let about = |own: &Own| own.command.get_about().map(ToString::to_string).unwrap_or_default();
    let yours: Vec<(String, String)> = own.iter().map(|own| (own.command.get_name().to_owned(), about(own))).collect();
    let yours: Vec<(&str, &str)> = yours.iter().map(|(name, about)| (name.as_str(), about.as_str())).collect();
    let tasks = TASKS.into_iter().chain((!yours.is_empty()).then_some(("Of this project", &yours[..])));
    for (task, lines) in tasks {
        text += &format!("{}\n", ui::paint(ui::STRONG, task));
        for (words, what) in lines {
            let command = format!("cargo xtask {words}");
            if width >= ROOMY {
                text += &format!("  {command:<COLUMN$}{}\n", ui::paint(ui::DIM, what));
            } else {
                text += &format!("  {command}\n      {}\n", ui::paint(ui::DIM, &ui::wrap(what, 6, width)));
            }
        }
        text.push('\n');
    }
    text + &ui::wrap("All commands: cargo xtask --help. One of them: cargo xtask test --help.", 0, width) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;

    #[test]
    fn every_command_line_is_one() {
        for words in TASKS.iter().flat_map(|(_, lines)| *lines).map(|(words, _)| *words) {
            let line = std::iter::once("xtask").chain(words.split(' '));
            Cli::command().try_get_matches_from(line).unwrap();
        }
    }

    #[test]
    fn it_fits() {
        for width in [40, 80] {
            let plain = anstream::adapter::strip_str(&text(width, &[])).to_string();
            let widest = plain.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= width, "{plain}");
        }
    }
}
