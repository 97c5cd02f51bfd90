//! `cargo xtask man`: the manual page cargo-xtask(1).

use crate::reference;
use tool_base::fail::Status;
use tool_base::ui;

/// Prints the page.
pub fn run(line: clap::Command) -> Status {
    ui::data(reference::man(line).trim_end());
    Status::Done
}
