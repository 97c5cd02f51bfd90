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
    /// Let Nix run VM tests without KVM (slowly): shows the change of nix.conf first
    ConfigureNix(ConfigureNix),
    /// Tell everything that keeps checks from running here, worst first, with its fix
    Doctor(Doctor),
    /// Makes namespaces in a process of its own
    #[command(hide = true)]
    UsernsProbe(UsernsProbe),
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

/// Arguments of `configure-nix`.
#[derive(Debug, Args)]
pub struct ConfigureNix {
    /// Make the change; without this nothing is written
    #[arg(long)]
    pub apply: bool,
    /// Take out what was added, and nothing else
    #[arg(long, conflicts_with = "apply")]
    pub undo: bool,
    /// Print one JSON document (docs/kvm.md describes it)
    #[arg(long)]
    pub json: bool,
    /// Work on the machine whose root is this folder
    #[arg(long, hide = true, default_value = "/")]
    pub root: PathBuf,
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Judge for this backend; `auto` is the best that can run
    #[arg(long, env = "XTASK_BACKEND", default_value = "auto", value_parser = ["auto", "nixos", "driver", "sandbox"])]
    pub backend: String,
    /// Print one JSON document (docs/kvm.md describes it)
    #[arg(long)]
    pub json: bool,
    /// Look at the machine whose root is this folder
    #[arg(long, hide = true, default_value = "/")]
    pub root: PathBuf,
}

/// Arguments of the process that tries namespaces.
#[derive(Debug, Args)]
pub struct UsernsProbe {
    /// Being PID 1 in them
    #[arg(long)]
    pub inner: bool,
}
