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

/// What Ctrl-C means to a program that is followed: once, it may clean up; twice, it is killed.
#[derive(Debug, Default)]
pub struct Presses(u32);

impl Presses {
    /// Once more; whether the program is to be killed.
    pub fn again(&mut self) -> bool {
        self.0 += 1;
        self.kill()
    }

    /// Whether it was killed.
    pub fn kill(&self) -> bool {
        self.0 > 1
    }

    /// Whether Ctrl-C was pressed at all.
    pub fn any(&self) -> bool {
        self.0 > 0
    }
}
