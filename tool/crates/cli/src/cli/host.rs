//! What looks at this computer, and changes it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::machine::BackendChoice;

/// Whose KVM decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum For {
    /// You: what `--backend driver` needs
    User,
    /// Nix's builders: what `--backend nixos` needs
    Builders,
}

#[derive(Debug, Args)]
pub struct CheckKvm {
    /// Whose KVM decides the exit status [default: the builders where Nix has separate ones, else the user]
    #[arg(long = "for", value_name = "WHOM")]
    pub whom: Option<For>,
    /// Open /dev/kvm to Nix's builders by a udev rule, after showing it (needs root)
    #[arg(long)]
    pub fix: bool,
    /// Do not ask before writing
    #[arg(long, requires = "fix")]
    pub yes: bool,
    /// Print one JSON document (tool/docs/kvm.md describes it)
    #[arg(long)]
    pub json: bool,
    /// Look at the machine whose root is this folder
    #[arg(long, hide = true, default_value = "/")]
    pub root: PathBuf,
}

#[derive(Debug, Args)]
pub struct ConfigureNix {
    /// Make the change; without this nothing is written
    #[arg(long)]
    pub apply: bool,
    /// Take out what was added, and nothing else
    #[arg(long, conflicts_with = "apply")]
    pub undo: bool,
    /// Print one JSON document (tool/docs/kvm.md describes it)
    #[arg(long)]
    pub json: bool,
    /// Work on the machine whose root is this folder
    #[arg(long, hide = true, default_value = "/")]
    pub root: PathBuf,
}

#[derive(Debug, Args)]
pub struct Doctor {
    /// Judge for this backend; `auto` is the best that can run
    #[arg(long, env = "XTASK_BACKEND", value_enum)]
    pub backend: Option<BackendChoice>,
    /// Print one JSON document (tool/docs/kvm.md describes it)
    #[arg(long)]
    pub json: bool,
    /// Look at the machine whose root is this folder
    #[arg(long, hide = true, default_value = "/")]
    pub root: PathBuf,
}
