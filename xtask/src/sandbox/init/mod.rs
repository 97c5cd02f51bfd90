//! PID 1 of a sandbox machine: services, journal, the driver's shell.

use anyhow::Result;

use crate::cli::SandboxInit;
use crate::fail::Status;

/// Runs as PID 1 until the machine is powered off.
pub fn run(_args: &SandboxInit) -> Result<Status> {
    Ok(Status::Done)
}
