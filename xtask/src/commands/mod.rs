//! One file per command: arguments → domain calls → report.

pub(crate) mod check_kvm;
pub(crate) mod configure_nix;
pub(crate) mod doctor;
