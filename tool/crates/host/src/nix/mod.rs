//! What Nix is here, who builds, and whether the flake's inputs are at hand.

pub mod builders;
pub mod facts;
pub mod inputs;
pub mod read;
pub mod version;
