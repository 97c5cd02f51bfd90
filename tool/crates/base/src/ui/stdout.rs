//! Stdout, which is for data: the only door to it. What could not be written is remembered, and told when the program ends.

use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;

use super::{hold, screen};
use crate::disarm;
use anyhow::{Context, Result};

use crate::fail;

/// The kernel's number of it.
static TROUBLE: OnceLock<i32> = OnceLock::new();

/// A line of data. Colour is dropped where it is not wanted.
pub fn data(text: &str) {
    let colour = anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
    let line = format!("{text}\n");
    write(&if colour { line } else { anstream::adapter::strip_str(&line).to_string() });
}

/// Whole lines while checks run: stdout may be the same terminal as stderr. The live lines come back with their next picture.
fn write(lines: &str) {
    let mut screen = hold(screen());
    screen.show(Vec::new());
    let lines = if disarm::wanted() { disarm::text(lines) } else { lines.into() };
    note(io::stdout().write_all(lines.as_bytes()));
}

fn note(result: io::Result<()>) {
    // Whoever closed the pipe has read enough.
    if let Err(error) = result
        && error.kind() != ErrorKind::BrokenPipe
    {
        let _ = TROUBLE.set(error.raw_os_error().unwrap_or(libc::EIO));
    }
}

/// Stdout for a report of whole lines. Its trouble is told by [`finish`], as that of all data is.
#[derive(Debug, Default)]
pub struct Data(Vec<u8>);

impl Write for Data {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        if let Some(end) = self.0.iter().rposition(|byte| *byte == b'\n') {
            let lines: Vec<u8> = self.0.drain(..=end).collect();
            write(&String::from_utf8_lossy(&lines));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// To be called when all has been written.
///
/// # Errors
/// Some of it could not be.
pub fn finish() -> Result<()> {
    note(io::stdout().flush());
    let Some(trouble) = TROUBLE.get() else { return Ok(()) };
    let hint = "is the disk full? `df` tells; or write to another file";
    Err(io::Error::from_raw_os_error(*trouble)).context(fail::host("stdout could not be written").hint(hint))
}
