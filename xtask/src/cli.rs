//! The command line: types and help texts only, no behaviour.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::kvm::For;

/// Build this IOC, check it, know the host.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// PID 1 of a sandbox machine (started by `sandbox-host`)
    #[command(hide = true)]
    SandboxInit(SandboxInit),

    /// Tell whether VMs are accelerated here, for whom, and if not, why
    CheckKvm(CheckKvm),
    /// Uses KVM in a process that may be killed
    #[command(hide = true)]
    KvmProbe(KvmProbe),
}

/// Arguments of PID 1 of a sandbox machine.
#[derive(Debug, Args)]
pub struct SandboxInit {
    /// Name of the machine
    #[arg(long)]
    pub name: String,
    /// Inherited descriptor of the shell channel
    #[arg(long)]
    pub shell_fd: i32,
    /// Inherited descriptor of the console
    #[arg(long)]
    pub console_fd: i32,
}

/// Arguments of `check-kvm`.
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
    /// Print one JSON document (docs/kvm.md describes it)
    #[arg(long)]
    pub json: bool,
    /// Look at the machine whose root is this folder
    #[arg(long, hide = true, default_value = "/")]
    pub root: PathBuf,
}

/// Arguments of the process that uses KVM.
#[derive(Debug, Args)]
pub struct KvmProbe {
    /// The device
    #[arg(long)]
    pub device: PathBuf,
    /// User to become first
    #[arg(long, requires = "gid")]
    pub uid: Option<u32>,
    /// Group to become first
    #[arg(long, requires = "uid")]
    pub gid: Option<u32>,
}
