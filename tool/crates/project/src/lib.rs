//! The project of the user: where it is, what `ioc.toml` and `checks/NAME.toml` say, and the changes to its files that
//! the user asks for (`rename`, `new-check`, `upgrade`).
//!
//! It must not know how checks are run, nor what the host can do.

pub mod adopt;
pub mod change;
mod choice;
pub mod editor;
mod names;
mod project;
pub mod saved;
pub mod scaffold;
pub mod settings;
pub mod upgrade;

pub use choice::Choice;
pub use names::valid_name;
pub use project::*;
