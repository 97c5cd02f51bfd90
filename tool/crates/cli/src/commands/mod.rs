//! One file per command: arguments → domain calls → report.

pub mod build;
pub(crate) mod check_kvm;
pub mod ci;
pub mod ci_matrix;
pub mod completions;
pub(crate) mod configure_nix;
pub(crate) mod doctor;
pub mod driver;
pub mod exec;
pub mod interactive;
pub mod lint;
pub mod list;
pub mod man;
pub mod new_check;
pub mod overview;
pub mod rename;
pub mod report;
pub mod run;
pub mod test;
