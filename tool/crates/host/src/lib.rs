//! What this computer can do: KVM, nix.conf, user namespaces, the version of Nix. Facts are read, then judged by pure
//! functions, and each verdict has its advice.
//!
//! It must not know how checks are run.

mod accounts;
pub mod builders;
pub mod configure;
pub mod doctor;
pub mod finding;
pub mod kvm;
pub mod nix;
pub mod nixconf;
pub mod used;
