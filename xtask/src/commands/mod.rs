//! One file per command: arguments → domain calls → report.

pub mod bench;
pub mod build;
pub mod ci;
pub mod driver;
pub mod interactive;
pub mod list;
pub mod test;
