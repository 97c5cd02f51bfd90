//! One file per command: arguments → domain calls → report.

pub mod bench;
pub mod build;
pub(crate) mod check_kvm;
pub mod ci;
pub mod ci_matrix;
mod ci_workflows;
pub(crate) mod configure_nix;
pub(crate) mod doctor;
pub mod driver;
pub mod interactive;
pub mod list;
pub mod report;
pub mod test;
