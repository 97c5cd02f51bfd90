//! `cargo xtask man`: the manual page cargo-xtask(1).

use crate::fail::Status;
use crate::{reference, ui};

/// Prints the page.
pub fn run() -> Status {
    ui::data(reference::man().trim_end());
    Status::Done
}
