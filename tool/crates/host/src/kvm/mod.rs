//! Whether VMs are accelerated on this machine: `read` facts (`probe` uses KVM itself), `diagnose`, give `advice`, `mend`.

pub(crate) mod access;
pub mod advice;
pub mod diagnose;
pub mod facts;
pub mod mend;
pub mod probe;
pub mod read;

pub use crate::used;
pub use diagnose::{For, Known, Report, report, usual};
pub use facts::Facts;
