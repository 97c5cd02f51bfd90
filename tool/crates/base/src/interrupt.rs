//! Ctrl-C as a message instead of an end. SIGTERM, which CI services send, and SIGHUP, when a terminal closes, say the same.

use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::Result;

use crate::sys;

/// Says when Ctrl-C was pressed, instead of ending the program; the other end of it, for whoever has the same wish. To be
/// called before any thread is started.
///
/// # Errors
/// If the signal cannot be blocked.
pub fn messages() -> Result<(Sender<()>, Receiver<()>)> {
    let (sender, receiver) = channel();
    let pressed = sender.clone();
    each(move || pressed.send(()).is_ok())?;
    Ok((sender, receiver))
}

/// Does something at each Ctrl-C, in a thread of its own, until it says `false`. To be called before any thread is started.
///
/// # Errors
/// If the signal cannot be blocked.
pub fn each(mut act: impl FnMut() -> bool + Send + 'static) -> Result<()> {
    sys::block_interrupts()?;
    sys::take_ends_for_interrupts()?;
    std::thread::spawn(move || while sys::wait_for_interrupt().is_ok() && act() {});
    Ok(())
}
