//! The command line: types and help texts only, no behaviour.

mod ci;
mod host;
mod machine;
mod project;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use ci::{Ci, CiMatrix, MatrixFormat, Rows};
pub use host::{CheckKvm, ConfigureNix, Doctor, For};
pub use machine::{Accel, BackendChoice, IocChoice, MachineOptions, NixOptions};
pub use project::{Adopt, NewCheck, Rename, Upgrade};

/// Build this IOC, check it, know the host.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run checks of this IOC
    Test(Test),
    /// Run the IOC beside its simulators, with its prompt
    Run(Run),
    /// Run a command, or a shell, on the machine where the IOC runs
    Exec(Exec),
    /// Make a web page of a run: verdicts, time line, PVs, logs
    Report(Report),
    /// Open a Python prompt on a check's machine
    Interactive(Interactive),
    /// Give everything names of your own: shows the change first
    ///
    /// The application, its boot folder and the prefix of its records, in folders, files and texts.
    Rename(Rename),
    /// Bring an IOC of yours that exists into this project: shows the change first
    ///
    /// Its files take the place of the example's in ioc/. ioc.toml, a simulator for each TCP port and each serial one that StreamDevice uses, and a
    /// check that reads every input come with them; what is left to do is named in TODO-adopt.md.
    Adopt(Adopt),
    /// Make one more check to start from
    NewCheck(NewCheck),
    /// List the checks
    List(List),
    /// Look for mistakes in the IOC's files and the checks
    Lint(Lint),
    /// Build the IOC: with Nix, with make, or the soft IOC
    Build(Build),

    /// Everything that must hold before a change lands
    Ci(Ci),
    /// Print the checks as jobs of a CI service
    CiMatrix(CiMatrix),

    /// Replace tool/ by a newer one: one staged change
    Upgrade(Upgrade),
    /// Tell what keeps checks from running here, and its fix
    Doctor(Doctor),
    /// Tell whether VMs are accelerated here, and if not, why
    CheckKvm(CheckKvm),
    /// Let Nix run VM tests without KVM: shows the change first
    ConfigureNix(ConfigureNix),

    /// Run any script on a sandbox machine (plumbing)
    Driver(Driver),
    /// Print the script that lets a shell complete `cargo xtask`
    Completions(Completions),
    /// Print the manual page
    Man,

    /// What can come next on a command line
    #[command(hide = true)]
    Complete(Complete),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask test
  cargo xtask test simple
  cargo xtask test 're*' --backend sandbox
  cargo xtask test simple --watch
  cargo xtask test --changed --skip-tag slow
  cargo xtask test --rerun-failed")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Test {
    /// Which checks
    #[command(flatten)]
    pub selection: Selection,
    /// Print the names of the checks that would run, and run none
    #[arg(long)]
    pub list: bool,
    /// Build and run the unit tests of the code in ioc/ instead, by make or Nix; NAME is a test program
    #[arg(long, conflicts_with_all = ["tag", "skip_tag", "changed", "rerun_failed", "list", "global_timeout"])]
    #[arg(conflicts_with_all = ["jobs", "retries", "repeat", "until_failure", "watch", "no_run", "dry_run", "debug"])]
    #[arg(conflicts_with_all = ["rebuild", "no_record", "coverage", "no_lint", "strict", "ioc", "accel"])]
    pub unit: bool,
    /// Write a JUnit report of the whole run to this file
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// What to print on stdout
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = MessageFormat::Human)]
    pub message_format: MessageFormat,
    /// Limit for each check, or each program of --unit, in seconds
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = positive::<u64>)]
    pub timeout: Option<u64>,
    /// Limit for the whole run, in seconds: what runs then is ended, what waits is not started
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = positive::<u64>)]
    pub global_timeout: Option<u64>,
    /// Checks at once [default: four per processor in the sandbox, as many as Nix allows, else one per processor]
    #[arg(short, long, value_name = "N", allow_negative_numbers = true, value_parser = positive::<usize>)]
    pub jobs: Option<usize>,
    /// Run a check again up to N times if it fails; a pass then counts as flaky [default: as checks/NAME.toml says]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = number)]
    pub retries: Option<u32>,
    /// Run each check N times
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true, value_parser = positive::<u32>)]
    pub repeat: u32,
    /// Run the checks again and again until one fails
    #[arg(long, conflicts_with_all = ["repeat", "retries", "no_fail_fast"])]
    pub until_failure: bool,
    /// Run them, and at each save again those that the saved files concern, until Ctrl-C
    #[arg(long, conflicts_with_all = ["list", "no_run", "dry_run", "debug", "until_failure", "junit", "message_format"])]
    #[arg(conflicts_with_all = ["changed", "rerun_failed"])]
    pub watch: bool,
    /// Build what the checks need, and run none; links in target/nix keep it from Nix's garbage collection
    #[arg(long, conflicts_with_all = ["list", "debug", "until_failure", "junit", "message_format"])]
    pub no_run: bool,
    /// Print what Nix would build and fetch, and whether its builders can; build nothing (Nix)
    #[arg(long, conflicts_with_all = ["list", "debug", "until_failure", "junit", "message_format", "no_run", "rebuild"])]
    pub dry_run: bool,
    /// After a failure, stay in the machine at a Python prompt; checks run one by one (sandbox)
    #[arg(long, conflicts_with_all = ["jobs", "retries", "message_format"])]
    pub debug: bool,
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
    /// Tell which records and protocols of the IOC the checks used, and which they never did; coverage.json has it too (sandbox)
    #[arg(long, conflicts_with_all = ["list", "no_run", "dry_run", "no_record"])]
    pub coverage: bool,
    /// Do not look for mistakes first (sandbox); `cargo xtask lint` shows them
    #[arg(long)]
    pub no_lint: bool,
    /// Let a check fail that passed although something went wrong: a unit that failed, an error before iocInit (sandbox)
    #[arg(long)]
    pub strict: bool,
    /// How to run them; last, as its heading for Nix holds for all that follows
    #[command(flatten)]
    pub machine: MachineOptions,
}

fn positive<N: std::str::FromStr + PartialOrd + Default>(text: &str) -> Result<N, String> {
    text.parse().ok().filter(|n| *n > N::default()).ok_or_else(|| "a number from 1 is expected".to_owned())
}

fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "a number from 0 is expected".to_owned())
}

/// A form of what is told of a run on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MessageFormat {
    /// Nothing: people read stderr
    Human,
    /// Events as JSON lines (tool/docs/events.md describes them); people still read stderr
    Json,
}

/// Which checks. One kind given several times widens it, different kinds narrow each other.
#[derive(Debug, Clone, Default, Args)]
pub struct Selection {
    /// Checks, by name or glob; all of them by default
    #[arg(value_name = "NAME|GLOB")]
    pub names: Vec<String>,
    /// Only checks with this tag (`tags` in checks/NAME.toml); may be repeated
    #[arg(long, value_name = "TAG", help_heading = "Selection")]
    pub tag: Vec<String>,
    /// No checks with this tag; may be repeated
    #[arg(long, value_name = "TAG", help_heading = "Selection")]
    pub skip_tag: Vec<String>,
    /// Only checks that a change since BASE affects, committed or not [default: since the main branch was left]
    #[arg(long, value_name = "BASE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    #[arg(help_heading = "Selection")]
    pub changed: Option<String>,
    /// Only checks that failed or did not run in the last run
    #[arg(long, help_heading = "Selection")]
    pub rerun_failed: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask run
  cargo xtask run --host
  PSU_ADDRESS=psu1.example.org:9999 cargo xtask run --host --no-simulator
  echo dbl | cargo xtask run")]
pub struct Run {
    /// Which IOC, where ioc.toml has several
    pub name: Option<String>,
    /// Run on this host: any Channel Access client here finds the IOC, and it sees your environment variables
    #[arg(long)]
    pub host: bool,
    /// Start no simulator: the IOC talks to the real device, or to none
    #[arg(long)]
    pub no_simulator: bool,
    /// Which build of the IOC to run
    #[arg(long, value_enum, default_value_t = IocChoice::Auto)]
    pub ioc: IocChoice,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask exec
  cargo xtask exec caget PV
  cargo xtask exec journalctl -u simulator")]
pub struct Exec {
    /// Machine to run it on, where a check has several
    #[arg(long, value_name = "NAME")]
    pub machine: Option<String>,
    /// The command; a shell by default
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<std::ffi::OsString>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask completions bash > ~/.cargo-xtask.bash && echo '. ~/.cargo-xtask.bash' >> ~/.bashrc
  cargo xtask completions zsh > ~/.cargo-xtask.zsh && echo '. ~/.cargo-xtask.zsh' >> ~/.zshrc
  cargo xtask completions fish > ~/.config/fish/conf.d/cargo-xtask.fish")]
pub struct Completions {
    /// Which shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// A shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Fish,
    Zsh,
}

/// Arguments of the command that shells ask at each TAB.
#[derive(Debug, Args)]
pub struct Complete {
    /// The words after `cargo xtask`; the last one is being typed
    #[arg(last = true)]
    pub words: Vec<String>,
}

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
    /// Keep all runs, each with its page, in one file: a .tar.gz with their names as they are
    #[arg(long, value_name = "FILE", conflicts_with_all = ["run", "open", "output"])]
    pub archive: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Interactive {
    /// Check whose machine and script to load [default: simple, the only one, or no script]
    #[arg(value_name = "CHECK")]
    pub name: Option<String>,
    /// How to run it
    #[command(flatten)]
    pub machine: MachineOptions,
}

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

#[derive(Debug, Args)]
pub struct List {
    /// Which checks
    #[command(flatten)]
    pub selection: Selection,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Lint {
    /// Judge scripts for this backend; `auto` warns of what only some of them have
    #[arg(long, env = "XTASK_BACKEND", value_enum)]
    pub backend: Option<BackendChoice>,
    /// Let warnings fail too
    #[arg(long)]
    pub deny_warnings: bool,
    /// Print one JSON document (tool/docs/lint.md describes it)
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Build {
    /// How to build: `nixos` and `driver` mean Nix, `sandbox` means make, or else the soft IOC
    #[arg(long, env = "XTASK_BACKEND", value_enum)]
    pub backend: Option<BackendChoice>,
    /// What to tell Nix
    #[command(flatten)]
    pub nix: NixOptions,
}
