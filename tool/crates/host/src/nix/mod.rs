//! What Nix is here, and whether the flake's inputs are at hand.

pub mod facts;
pub mod inputs;
pub mod read;
pub mod version;

/// What Nix reads of a project.
pub const READS: &[&str] = &["flake.nix", "flake.lock", "ioc.toml", "checks", "ioc", "nix", "simulators"];
