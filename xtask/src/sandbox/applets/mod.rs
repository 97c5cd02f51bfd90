//! Programs that the xtask binary stands in for on a sandbox machine, chosen by the name it is called by.

use std::ffi::OsString;

use anyhow::Result;

use crate::fail::Status;

/// Runs the applet that `args[0]` names; `None` where it names none.
pub fn dispatch(_args: &[OsString]) -> Result<Option<Status>> {
    Ok(None)
}
