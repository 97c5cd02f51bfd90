//! PID 1 of a run without a driver: one machine, and one command on it that has the caller's terminal.

use std::fs::File;
use std::io;

use anyhow::{Context, Result, bail};
use unix::sys::wait::waitpid;

use super::network::Switches;
use super::spec::Spec;
use super::{as_root, machine};
use tool_base::fail::Status;
use tool_base::process::{self, Cmd};

/// Boots the first machine, runs the command on it, and ends with it; its exit status is ours.
pub fn run(spec: &Spec, command: &[String]) -> Result<Status> {
    let machine = spec.machines.first().context("the run has no machine")?;
    let mut switches = Switches::new()?;
    let (booted, lines) = machine::boot(spec, machine, &mut switches).context("the machine does not come up")?;
    // The journal has it all.
    std::thread::spawn(move || io::copy(&mut File::from(lines.console), &mut io::sink()));
    let (program, arguments) = command.split_first().context("the run has no command")?;
    let inside = as_root(&Cmd::new(program).args(arguments));
    let pid = booted.spawn_inside(inside)?;
    loop {
        let status = match waitpid(None, None) {
            Err(unix::Error::EINTR) => continue,
            Err(_) => bail!("the sandbox lost track of its command"),
            Ok(status) => status,
        };
        if let Some((ended, code)) = process::ended(status)
            && ended.as_raw() == pid
        {
            return Ok(Status::Other(code));
        }
    }
}
