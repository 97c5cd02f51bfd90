//! `cargo xtask man`: the manual page cargo-xtask(1); before a terminal, in a pager.

use std::io::{IsTerminal, Write};
use std::process::Stdio;

use anyhow::Result;

use crate::reference;
use tool_base::fail::Status;
use tool_base::process::{Cmd, which};
use tool_base::{sys, ui};

/// Prints the page, or shows it.
pub fn run(line: clap::Command) -> Result<Status> {
    let page = reference::man(line);
    if !std::io::stdout().is_terminal() {
        ui::data(page.trim_end());
    } else if !is_man() || !shown(&Cmd::new("man").args(["-l", "-"]), &page)? {
        // Without man(1) nobody wants to read its language.
        let text = reference::cli_md();
        if which("less").is_none() || !shown(&Cmd::new("less"), &text)? {
            ui::data(text.trim_end());
        }
    }
    Ok(Status::Done)
}

/// Whether `man` is one: a minimized system has a script there, which says only that, and that all is well.
fn is_man() -> bool {
    which("man").is_some() && Cmd::new("man").args(["-w", "man"]).read().is_ok_and(|path| path.starts_with('/'))
}

/// Whether a pager has shown a text.
fn shown(pager: &Cmd, text: &str) -> Result<bool> {
    // Ctrl-C is the pager's.
    sys::block_interrupts()?;
    let mut command = pager.to_std();
    let mut child = sys::interruptible(command.stdin(Stdio::piped())).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // Who leaves it early has read enough.
        let _ = stdin.write_all(text.as_bytes());
    }
    Ok(child.wait()?.success())
}
