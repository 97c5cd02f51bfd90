//! The machine's clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A moment: µs since the machine started, µs since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Time {
    pub mono: u64,
    pub real: u64,
}

/// Counts from the start of the machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts now.
    pub(super) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// This moment.
    pub(super) fn now(&self) -> Time {
        let us = |d: std::time::Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
        let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time { mono: us(self.start.elapsed()), real: us(real) }
    }
}
