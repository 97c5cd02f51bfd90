//! What the workflow needs of a machine beyond KVM: `read` facts, `judge` them into one line each.

pub mod advice;
mod judge;
mod read;
pub mod userns;

pub use judge::{Diagnosis, Item, State, judge};
pub use read::{Facts, facts};
pub use userns::{UsernsFacts, diagnose_userns};
