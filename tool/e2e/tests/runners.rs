//! The workflows as shipped, run by runners that people have at hand: act (GitHub) and gitlab-ci-local, on a project that is
//! somebody else's. `.ci/run` installs both below target/ci-tools; without them these tests say so and do nothing.
//!
//! Stand-ins: for KVM, for what installs programs, for other people's actions. Nix, the sandbox and xtask are real.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;
#[path = "common/nix.rs"]
#[allow(dead_code, reason = "tests/nix.rs uses the rest")]
mod fixture;
#[path = "runners/github.rs"]
mod github;
#[path = "runners/gitlab.rs"]
mod gitlab;
#[path = "runners/project.rs"]
mod project;
