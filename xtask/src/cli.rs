//! The command line: types and help texts only, no behaviour.

use clap::{Args, Parser, Subcommand};

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
