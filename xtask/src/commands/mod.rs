//! One file per command: arguments → domain calls → report.

pub(crate) mod check_kvm;
