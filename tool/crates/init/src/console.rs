//! The console: a pipe to the driver that is never waited for, and a FIFO that programs write to.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use anyhow::{Context, Result};
use unix::sys::stat::Mode;

enum Message {
    Line(Vec<u8>),
    Flush(Sender<()>),
}

/// Where console lines go.
#[derive(Clone)]
pub(super) struct Console {
    sender: Sender<Message>,
}

impl Console {
    /// Starts the thread that writes to the driver.
    pub(super) fn new(fd: OwnedFd) -> Self {
        let (sender, receiver) = channel();
        std::thread::spawn(move || write_lines(File::from(fd), &receiver));
        Self { sender }
    }

    /// Queues a line, without its newline.
    pub(super) fn line(&self, line: &[u8]) {
        let _ = self.sender.send(Message::Line([line, b"\n"].concat()));
    }

    /// Waits until what was queued is written, but not for ever.
    pub(super) fn flush(&self) {
        let (sender, receiver) = channel();
        let _ = self.sender.send(Message::Flush(sender));
        let _ = receiver.recv_timeout(Duration::from_secs(1));
    }

    /// Makes `/dev/console` and copies what is written to it. The result is the writing end for programs.
    pub(super) fn device(&self, path: &Path) -> Result<File> {
        let _ = std::fs::remove_file(path);
        unix::unistd::mkfifo(path, Mode::from_bits_truncate(0o622))
            .with_context(|| format!("cannot make {}", path.display()))?;
        // Open for reading and writing: it never blocks here and never ends.
        let open = || File::options().read(true).write(true).open(path).with_context(|| path.display().to_string());
        let reader = open()?;
        let console = self.clone();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(reader);
            let mut line = Vec::new();
            // A line without end is passed on in pieces.
            while (&mut reader).take(65536).read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                console.line(line.strip_suffix(b"\n").unwrap_or(&line));
                line.clear();
            }
        });
        open()
    }
}

fn write_lines(mut file: File, receiver: &Receiver<Message>) {
    let mut open = true;
    while let Ok(message) = receiver.recv() {
        match message {
            // A driver that has closed its end is no reason to stop.
            Message::Line(line) => open = open && file.write_all(&line).is_ok(),
            Message::Flush(done) => {
                let _ = done.send(());
            }
        }
    }
}
