//! The project of the user: where it is, what `ioc.toml` and `checks/NAME.toml` say, and the changes to its files that
//! the user asks for (`rename`, `new-check`, `upgrade`).
//!
//! It must not know how checks are run, nor what the host can do.

pub mod adopt;
pub mod change;
mod choice;
mod config;
pub mod editor;
mod names;
mod project;
pub mod saved;
pub mod scaffold;
pub mod settings;
mod toml_text;
pub mod upgrade;

pub use choice::Choice;
pub use config::{Config, Ioc, Simulator, parse};
pub use names::valid_name;
pub use project::{Check, Project};
pub use toml_text::{find_key, nearest, read_toml};
