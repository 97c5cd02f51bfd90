//! Reporters: what people and programs read about a run. They consume the runner's events.

pub mod github;
pub mod html;
pub mod journal;
pub mod terminal;
