//! What Nix is here, and whether the flake's inputs are at hand.

pub mod inputs;
pub mod version;
