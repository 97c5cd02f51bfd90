//! What a caller may ask of a backend.

use tool_project::Choice;

/// A build of the IOC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IocChoice {
    /// The best one at hand.
    #[default]
    Auto,
    /// `result/`, as `nix build` leaves it.
    Nix,
    /// `ioc/bin/ARCH/`, as `make -C ioc` leaves it.
    Make,
    /// The soft IOC of tool/embedded/.
    Embedded,
}

/// A processor for VMs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// The host's own.
    Kvm,
    /// Emulated by QEMU.
    Tcg,
}

/// What to tell Nix; the sandbox has no use for it.
#[derive(Debug, Clone, Default)]
pub struct NixOptions {
    /// Let Git track new files first: Nix sees no others.
    pub track: bool,
    /// Processor of the VM.
    pub accel: Option<Accel>,
    /// System to build for, such as aarch64-linux.
    pub system: Option<String>,
    /// Machines that build, as in nix.conf.
    pub builders: Option<String>,
    /// Store to build in, such as ssh-ng://farm1.
    pub store: Option<String>,
    /// Use no network.
    pub offline: bool,
    /// Anything else for Nix.
    pub args: Vec<String>,
}

/// How a check's machine comes about.
#[derive(Debug, Clone, Default)]
pub struct MachineOptions {
    /// Where to run; `None` is `auto`.
    pub backend: Option<Choice>,
    /// Which build of the IOC to run in the sandbox.
    pub ioc: IocChoice,
    /// What to tell Nix.
    pub nix: NixOptions,
}

/// How checks are run, beyond which and where.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct RunOptions {
    /// Limit for each check, in seconds.
    pub timeout: Option<u64>,
    /// Checks at once.
    pub jobs: Option<usize>,
    /// Show the log of the driver while it runs.
    pub show_output: bool,
    /// Run checks again that passed earlier (Nix).
    pub rebuild: bool,
    /// After a failure, stay in the machine at a Python prompt (sandbox).
    pub debug: bool,
    /// Record what the process variables do (sandbox).
    pub record: bool,
    /// Let the soft IOC tell what is used of it (sandbox).
    pub coverage: bool,
    /// A pass with remarks is a failure (sandbox).
    pub strict: bool,
    /// Look for mistakes first, and start nothing where there are some (sandbox).
    pub lint: bool,
}
