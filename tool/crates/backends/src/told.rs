//! A log that is written to its file, and told from there: whoever writes it waits for nobody who reads what xtask says, and what
//! waits to be told is on the disk, not in memory.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use tool_base::fail;

/// Bytes of a line that are told; the file has all of them.
const LINE: usize = 4096;

/// A log, and the thread that tells its lines.
pub struct Log {
    path: PathBuf,
    file: File,
    more: SyncSender<()>,
    teller: JoinHandle<()>,
}

impl Log {
    /// Begins the log at `path`; each of its lines is passed on.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path, pass_on: impl FnMut(String) + Send + 'static) -> Result<Self> {
        let cannot = || format!("cannot create {}", path.display());
        let file = File::create(path).with_context(cannot)?;
        let from = File::open(path).with_context(cannot)?;
        let (more, written) = sync_channel(1);
        let teller = std::thread::spawn(move || tell(BufReader::new(from), &written, pass_on));
        Ok(Self { path: path.to_owned(), file, more, teller })
    }

    /// Writes what comes next.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).with_context(|| {
            fail::host(format!("cannot write to {}", self.path.display()))
                .hint("if the disk is full: df -h . && du -sh target")
        })?;
        // Where one such word waits already, it is about these bytes, too.
        let _ = self.more.try_send(());
        Ok(())
    }

    /// The log is whole: waits until it is told.
    pub fn end(self) {
        drop(self.more);
        let _ = self.teller.join();
    }
}

/// Passes on the lines of a file that grows as long as there may come a word that it did.
fn tell(mut from: impl BufRead, written: &Receiver<()>, mut pass_on: impl FnMut(String)) {
    let mut line = Vec::new();
    let mut whole = false;
    loop {
        while let Ok(bytes @ [_, ..]) = from.fill_buf() {
            let end = bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            let part = &bytes[..end.unwrap_or(bytes.len())];
            line.extend_from_slice(&part[..part.len().min(LINE.saturating_sub(line.len()))]);
            let size = part.len();
            from.consume(size);
            if end.is_some() {
                pass_on(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned());
                line.clear();
            }
        }
        if whole {
            break;
        }
        whole = written.recv().is_err();
    }
    if !line.is_empty() {
        pass_on(String::from_utf8_lossy(&line).into_owned());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_log_is_kept_whole_and_told_in_lines_when_there_is_time() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("log");
        let text = format!("one\r\n\n{}\nlast", "x".repeat(20_000));
        let ((told, lines), (free, busy)) = (channel(), channel::<()>());
        let mut log = Log::create(&file, move |line: String| {
            let _ = busy.recv();
            told.send(line).unwrap();
        })
        .unwrap();
        for part in text.as_bytes().chunks(7) {
            log.write(part).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text, "nothing is told yet");
        drop(free);
        log.end();
        assert_eq!(lines.iter().map(|line| line.len()).collect::<Vec<_>>(), [3, 0, LINE, 4]);
    }
}
