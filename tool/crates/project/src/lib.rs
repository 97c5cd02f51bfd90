//! The project of the user: where it is, what `ioc.toml` and `checks/NAME.toml` say, and the changes to its files that
//! the user asks for (`rename`, `new-check`).
//!
//! It must not know how checks are run, nor what the host can do.

mod choice;
mod project;
pub mod scaffold;
pub mod settings;

pub use choice::Choice;
pub use project::*;
