//! How a check's machine comes about.

use clap::{Args, ValueEnum};

/// How a check's machine comes about.
#[derive(Debug, Args)]
pub struct MachineOptions {
    /// Where to run
    #[arg(long, env = "XTASK_BACKEND", value_enum)]
    pub backend: Option<BackendChoice>,
    /// Which build of the IOC to run in the sandbox
    #[arg(long, value_enum, default_value_t = IocChoice::Auto)]
    pub ioc: IocChoice,
    /// What to tell Nix
    #[command(flatten)]
    pub nix: NixOptions,
}

/// What to tell Nix; the sandbox has no use for it.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Nix")]
pub struct NixOptions {
    /// Let Git track new files below ioc/, checks/ and simulators/ first: Nix sees no others
    #[arg(long)]
    pub track: bool,
    /// Processor of the VM: KVM where it can be used, or emulated, which is slow but works everywhere
    #[arg(long, value_enum)]
    pub accel: Option<Accel>,
    /// System to build for, such as aarch64-linux
    #[arg(long)]
    pub system: Option<String>,
    /// Machines that build, as in nix.conf
    #[arg(long, value_name = "MACHINES")]
    pub builders: Option<String>,
    /// Store to build in, such as ssh-ng://farm1
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// Use no network
    #[arg(long)]
    pub offline: bool,
    /// Anything else for Nix
    #[arg(last = true, value_name = "NIXARGS")]
    pub args: Vec<String>,
}

/// A processor for VMs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Accel {
    /// The host's own
    Kvm,
    /// Emulated by QEMU
    Tcg,
}

/// A way to run checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BackendChoice {
    /// The best one that this host can run
    Auto,
    /// Linux namespaces: needs neither Nix nor KVM
    Sandbox,
    /// NixOS virtual machine, built by Nix: hermetic, and what passed is not run again
    Nixos,
    /// NixOS virtual machine, run as you: needs no feature of Nix's builders and keeps files on failure
    Driver,
}

/// A build of the IOC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IocChoice {
    /// The best one at hand: built by Nix, built by make, else embedded
    Auto,
    /// result/, as `nix build` leaves it
    Nix,
    /// ioc/bin/ARCH/, as `make -C ioc` leaves it
    Make,
    /// The soft IOC of tool/embedded/
    Embedded,
}
