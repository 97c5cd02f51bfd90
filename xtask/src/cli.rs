//! The command line: types and help texts only, no behaviour.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// Run checks of this IOC
    Test(Test),
    /// Make a web page of a run: verdicts, time line, process variables, logs
    Report(Report),
    /// Open a Python prompt on a check's machine
    Interactive(Interactive),
    /// Run any script on a sandbox machine (plumbing)
    Driver(Driver),
    /// List the checks
    List(List),
    /// Everything that must hold before a change lands: format, lints, tests, checks
    Ci(Ci),
    /// Print the checks as jobs of a CI service
    CiMatrix(CiMatrix),
    /// Print the figures of speed and size
    Bench(Bench),
    /// First stage of a sandbox run
    #[command(hide = true)]
    SandboxCage(SandboxStage),
    /// PID 1 of a sandbox run
    #[command(hide = true)]
    SandboxHost(SandboxStage),
    /// PID 1 of a sandbox machine (started by `sandbox-host`)
    #[command(hide = true)]
    SandboxInit(SandboxInit),
    /// Build the IOC: with Nix, with make, or the soft IOC
    Build(Build),
    /// Runs a program so that nothing of it outlives xtask
    #[command(hide = true)]
    Guard(Guard),

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

/// Arguments of `test`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Test {
    /// Checks to run, by name or glob; all of them by default
    #[arg(value_name = "NAME|GLOB")]
    pub names: Vec<String>,
    /// How to run them
    #[command(flatten)]
    pub machine: MachineOptions,
    /// Limit for each check, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: Option<u64>,
    /// Limit for the whole run, in seconds: what runs then is ended, what waits is not started
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub global_timeout: Option<u64>,
    /// Checks at once [default: twice the processors in the sandbox, as many as Nix allows, else one per processor]
    #[arg(short, long, value_name = "N", value_parser = positive)]
    pub jobs: Option<usize>,
    /// Run a check again up to N times if it fails; a pass then counts as flaky [default: as checks/NAME.toml says]
    #[arg(long, value_name = "N")]
    pub retries: Option<u32>,
    /// Run each check N times
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: u32,
    /// Run the checks again and again until one fails
    #[arg(long, conflicts_with_all = ["repeat", "retries", "no_fail_fast"])]
    pub until_failure: bool,
    /// Show the log of the driver while it runs
    #[arg(long)]
    pub show_output: bool,
    /// Go on after a check has failed
    #[arg(long)]
    pub no_fail_fast: bool,
    /// Run checks again that passed earlier (Nix)
    #[arg(long)]
    pub rebuild: bool,
    /// Do not record what the process variables do (sandbox)
    #[arg(long)]
    pub no_record: bool,
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "a number from 1 is expected".to_owned())
}

/// Arguments of `report`.
#[derive(Debug, Args)]
pub struct Report {
    /// Folder of a run, or its name below target/checks/
    #[arg(default_value = "latest")]
    pub run: PathBuf,
    /// Open the page in the web browser
    #[arg(long)]
    pub open: bool,
    /// Write the page to this file [default: report.html in the folder of the run]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Arguments of `interactive`.
#[derive(Debug, Args)]
pub struct Interactive {
    /// Check whose machine and script to load
    #[arg(default_value = "simple")]
    pub name: String,
    /// How to run it
    #[command(flatten)]
    pub machine: MachineOptions,
}

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
    /// Let Git track new files below ioc/, checks/ and nix/ first: Nix sees no others
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
    /// The soft IOC of embedded/
    Embedded,
}

/// Arguments of `driver`.
#[derive(Debug, Args)]
pub struct Driver {
    /// The test script
    pub script: PathBuf,
    /// Folder of systemd unit files for the machine; may be repeated
    #[arg(long, value_name = "DIR")]
    pub units: Vec<PathBuf>,
    /// Folder of programs, which the machine has in /usr/local/bin; may be repeated
    #[arg(long, value_name = "DIR")]
    pub path: Vec<PathBuf>,
    /// Limit for the whole script, in seconds
    #[arg(long, default_value_t = 3600, value_name = "SECONDS")]
    pub timeout: u64,
    /// Folder for files that the script copies out
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// Write a JUnit report to this file of the output folder
    #[arg(long, value_name = "FILE")]
    pub junit_xml: Option<String>,
    /// Give a Python prompt instead of running the script
    #[arg(short = 'I', long)]
    pub interactive: bool,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct List {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `ci`.
#[derive(Debug, Args)]
pub struct Ci {}

/// Arguments of `ci-matrix`.
#[derive(Debug, Args)]
pub struct CiMatrix {
    /// Checks to print, by name or glob; by default all that have a NAME.nix
    #[arg(value_name = "NAME|GLOB")]
    pub names: Vec<String>,
    /// For whom
    #[arg(long, value_enum, default_value_t = MatrixFormat::Json)]
    pub format: MatrixFormat,
    /// System to check for; may be repeated
    #[arg(long, default_value = "x86_64-linux")]
    pub system: Vec<String>,
}

/// A form of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MatrixFormat {
    /// One JSON document (docs/ci-matrix.schema.json describes it)
    Json,
    /// Lines for `$GITHUB_OUTPUT`: `matrix=` and `any=`
    Github,
    /// A child pipeline
    Gitlab,
}

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// Runs of each quick figure
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: u32,
    /// Measure the cold builds too: minutes
    #[arg(long)]
    pub cold: bool,
    /// Folder of the driver's conformance cases: how many of them agree in the sandbox, a minute and a half
    #[arg(long, value_name = "DIR")]
    pub conformance: Option<PathBuf>,
}

/// Arguments of the stages of a sandbox run.
#[derive(Debug, Args)]
pub struct SandboxStage {
    /// File that describes the run
    #[arg(long)]
    pub spec: PathBuf,
    /// Inherited descriptor to xtask
    #[arg(long)]
    pub sync_fd: i32,
    /// Inherited descriptor for the driver's events
    #[arg(long)]
    pub events_fd: Option<i32>,
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

/// Arguments of `build`.
#[derive(Debug, Args)]
pub struct Build {
    /// How to build: `nixos` and `driver` mean Nix, `sandbox` means make, or else the soft IOC
    #[arg(long, env = "XTASK_BACKEND", value_enum)]
    pub backend: Option<BackendChoice>,
    /// What to tell Nix
    #[command(flatten)]
    pub nix: NixOptions,
}

/// Arguments of the stage that guards a program.
#[derive(Debug, Args)]
pub struct Guard {
    /// Inherited descriptor to xtask
    #[arg(long)]
    pub sync_fd: i32,
    /// Folder that goes away with the program
    #[arg(long, value_name = "DIR")]
    pub remove: Option<PathBuf>,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    pub command: Vec<std::ffi::OsString>,
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
    #[arg(long, env = "XTASK_BACKEND", value_parser = ["auto", "nixos", "driver", "sandbox"])]
    pub backend: Option<String>,
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
