//! Reporters: what people and programs read about a run: the terminal, the page, JUnit, JSON lines, GitHub. They
//! consume the runner's events.
//!
//! It must not know backends, machines or the command line.

pub mod again;
pub mod github;
pub mod html;
pub mod journal;
pub mod json;
pub mod junit;
pub mod terminal;

use anyhow::Result;

use tool_runner::Event;

/// A report for programs. It hears every event of a run.
pub trait Reporter {
    /// Takes note of an event.
    ///
    /// # Errors
    /// If the report cannot be written. The run goes on, and ends with the error if nothing worse happens.
    fn report(&mut self, event: &Event) -> Result<()>;
}
