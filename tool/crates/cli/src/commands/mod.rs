//! One file per command: arguments → domain calls → report.

pub mod adopt;
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
pub mod upgrade;
pub mod watch;

/// The name of the package that runs us: the user's, called as they like.
fn package() -> String {
    std::env::var("CARGO_PKG_NAME").unwrap_or_else(|_| "xtask".to_owned())
}

/// The cargo that runs us, else the one on PATH.
fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
