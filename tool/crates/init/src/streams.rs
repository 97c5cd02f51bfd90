//! Sockets that lead into the journal: output of services, `/dev/log`, journald's own two.

use std::fs;
use std::io::{IoSliceMut, Read, Seek};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use tool_base::sys;
use unix::cmsg_space;
use unix::fcntl::{FcntlArg, SealFlag, fcntl};
use unix::poll::{PollFd, PollFlags, PollTimeout, poll};
use unix::sys::socket::sockopt::PassCred;
use unix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, Shutdown, SockFlag, SockType, UnixCredentials, recvmsg, setsockopt,
    shutdown, socketpair,
};

use super::frames::{Heading, Lines, heading, native, syslog, take_priority};
use super::journal::{Feed, Journal, sender_fields};
use super::procs;

/// Bytes of an entry that is taken in whole.
const MAX_ENTRY: u64 = 16 << 20;

/// Whose output a stream is.
#[derive(Debug, Clone, Default)]
pub(super) struct Source {
    /// The unit.
    pub(super) unit: String,
    /// `SyslogIdentifier=`, else the name of the program.
    pub(super) identifier: String,
    /// This run of the unit.
    pub(super) invocation: String,
    /// Priority of lines that name none.
    pub(super) priority: u32,
    /// Lines may begin with `<N>`.
    pub(super) level_prefix: bool,
    /// `LogLevelMax=`: lines of a lower priority are dropped.
    pub(super) level_max: Option<u8>,
}

/// A socket for the output of a service: what is written to it becomes entries.
pub(super) fn output(journal: &Journal, source: Source) -> Result<OwnedFd> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)
        .context("cannot make a socket")?;
    setsockopt(&ours, PassCred, &true)?;
    shutdown(ours.as_raw_fd(), Shutdown::Write)?;
    let stream = Arc::new(Stream::new(ours, journal, source));
    let feed: Arc<dyn Feed> = stream.clone();
    journal.reads(Arc::downgrade(&feed));
    std::thread::spawn(move || stream.serve());
    Ok(theirs)
}

/// What came in one message.
pub(super) struct Received {
    pub(super) count: usize,
    pub(super) from: Option<UnixCredentials>,
    /// Descriptors that came along; they close when this goes.
    pub(super) fds: Vec<OwnedFd>,
}

pub(super) fn receive(fd: &OwnedFd, buffer: &mut [u8]) -> Option<Received> {
    receive_with(fd, buffer, MsgFlags::empty()).ok()
}

fn receive_with(fd: &OwnedFd, buffer: &mut [u8], flags: MsgFlags) -> unix::Result<Received> {
    // Room for all that the kernel lets through (SCM_MAX_FD of unix(7)): of a message cut short not even the sender is known.
    let mut space = cmsg_space!(UnixCredentials, [RawFd; 253]);
    loop {
        let mut parts = [IoSliceMut::new(buffer)];
        match recvmsg::<()>(fd.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC | flags) {
            Ok(message) => {
                let mut received = Received { count: message.bytes, from: None, fds: Vec::new() };
                for control in message.cmsgs().into_iter().flatten() {
                    match control {
                        ControlMessageOwned::ScmCredentials(from) => received.from = Some(from),
                        ControlMessageOwned::ScmRights(fds) => {
                            received.fds.extend(fds.into_iter().filter_map(|fd| sys::inherited(fd).ok()));
                        }
                        _ => {}
                    }
                }
                return Ok(received);
            }
            Err(unix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// A stream of lines that become entries.
pub(super) struct Stream {
    fd: OwnedFd,
    journal: Journal,
    source: Source,
    state: Mutex<Reading>,
}

/// How far a stream is read.
#[derive(Default)]
struct Reading {
    lines: Lines,
    /// Who wrote last, and what is known of them.
    sender: (i32, Vec<(&'static str, String)>),
}

impl Feed for Stream {
    fn unit(&self) -> &str {
        &self.source.unit
    }

    /// A few megabytes at most.
    fn drain(&self) -> bool {
        let mut reading = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = vec![0; 65536];
        for _ in 0..64 {
            match receive_with(&self.fd, &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(Received { count: 0, .. }) => {
                    if let Some(line) = std::mem::take(&mut reading.lines).finish() {
                        self.log(&line, &reading.sender.1);
                    }
                    return false;
                }
                Ok(Received { count, from, .. }) => self.take(&mut reading, &buffer[..count], from),
                Err(unix::errno::Errno::EAGAIN) => return true,
                Err(_) => return false,
            }
        }
        true
    }
}

impl Stream {
    fn new(fd: OwnedFd, journal: &Journal, source: Source) -> Self {
        Self { fd, journal: journal.clone(), source, state: Mutex::default() }
    }

    /// Reads until the last writer has closed it.
    fn serve(&self) {
        loop {
            let mut ready = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
            if poll(&mut ready, PollTimeout::NONE).is_err_and(|e| e != unix::errno::Errno::EINTR) {
                return;
            }
            let _passage = self.journal.passage();
            if !self.drain() {
                return;
            }
        }
    }

    fn take(&self, reading: &mut Reading, bytes: &[u8], from: Option<UnixCredentials>) {
        if let Some(from) = from.filter(|f| f.pid() != reading.sender.0 && f.pid() != 0) {
            let own = self.source.unit.is_empty();
            let fields = if own { who(&from) } else { sender_fields(from.pid(), from.uid(), from.gid()) };
            reading.sender = (from.pid(), fields);
        }
        for line in reading.lines.push(bytes) {
            self.log(&line, &reading.sender.1);
        }
    }

    fn log(&self, line: &[u8], sender: &[(&str, String)]) {
        let source = &self.source;
        // `<N>` without a facility only.
        let (priority, message) = match take_priority(line) {
            (Some(priority), message) if source.level_prefix && priority < 8 => (Some(priority), message),
            _ => (None, line),
        };
        let priority = priority.unwrap_or(source.priority);
        if message.is_empty() || source.level_max.is_some_and(|max| priority > max.into()) {
            return;
        }
        let mut fields = vec![
            ("PRIORITY", priority.to_string()),
            ("SYSLOG_FACILITY", "3".to_owned()),
            ("_TRANSPORT", "stdout".to_owned()),
        ];
        if !source.identifier.is_empty() {
            fields.push(("SYSLOG_IDENTIFIER", source.identifier.clone()));
        }
        fields.extend_from_slice(sender);
        if !source.unit.is_empty() {
            fields.push(("_SYSTEMD_UNIT", source.unit.clone()));
            fields.push(("_SYSTEMD_CGROUP", format!("/system.slice/{}", source.unit)));
            fields.push(("_SYSTEMD_SLICE", "system.slice".to_owned()));
            fields.push(("_SYSTEMD_INVOCATION_ID", source.invocation.clone()));
        }
        self.journal.append(message, &fields);
    }
}

/// Binds a datagram socket that tells who sends.
pub(super) fn datagram(path: &Path) -> Result<OwnedFd> {
    let _ = fs::remove_file(path);
    let socket = UnixDatagram::bind(path).with_context(|| format!("cannot bind {}", path.display()))?;
    setsockopt(&socket, PassCred, &true)?;
    allow_all(path)?;
    Ok(socket.into())
}

/// Binds a stream socket.
pub(super) fn listener(path: &Path) -> Result<UnixListener> {
    let _ = fs::remove_file(path);
    let socket = UnixListener::bind(path).with_context(|| format!("cannot bind {}", path.display()))?;
    allow_all(path)?;
    Ok(socket)
}

fn allow_all(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666)).with_context(|| path.display().to_string())
}

/// Serves `/dev/log`: `logger` and `syslog(3)`.
pub(super) fn serve_syslog(path: &Path, journal: Journal) -> Result<()> {
    let socket = datagram(path)?;
    std::thread::spawn(move || {
        let mut buffer = vec![0; 262_144];
        while let Some(Received { count, from, .. }) = receive(&socket, &mut buffer) {
            let entry = syslog(&buffer[..count]);
            let mut fields = vec![
                ("PRIORITY", (entry.priority & 7).to_string()),
                ("SYSLOG_FACILITY", (entry.priority >> 3).to_string()),
                ("_TRANSPORT", "syslog".to_owned()),
            ];
            fields.extend(entry.identifier.map(|i| ("SYSLOG_IDENTIFIER", i)));
            fields.extend(entry.pid.map(|p| ("SYSLOG_PID", p)));
            fields.extend(from.map(|f| who(&f)).unwrap_or_default());
            journal.append(entry.message, &fields);
        }
    });
    Ok(())
}

/// Fields of a sender, with its unit where it has one.
fn who(from: &UnixCredentials) -> Vec<(&'static str, String)> {
    let mut fields = sender_fields(from.pid(), from.uid(), from.gid());
    if let Some((unit, invocation)) = procs::unit_of(from.pid()) {
        fields.push(("_SYSTEMD_UNIT", unit));
        fields.push(("_SYSTEMD_INVOCATION_ID", invocation));
    }
    fields
}

/// Serves journald's socket for entries with fields: `logger --journald`, libraries of systemd.
pub(super) fn serve_native(path: &Path, journal: Journal) -> Result<()> {
    let socket = datagram(path)?;
    std::thread::spawn(move || {
        let mut buffer = vec![0; 262_144];
        while let Some(Received { count, from, fds }) = receive(&socket, &mut buffer) {
            let large = fds.into_iter().next().and_then(handed_over);
            let sent = native(large.as_deref().unwrap_or(&buffer[..count]));
            let mut fields = vec![("_TRANSPORT", "journal".to_owned())];
            fields.extend(from.map(|f| who(&f)).unwrap_or_default());
            let mut message = Vec::new();
            for (key, value) in &sent {
                // A sender cannot set the fields that journald vouches for.
                if key == "MESSAGE" {
                    message.clone_from(value);
                } else if !key.starts_with('_') {
                    fields.push((key, String::from_utf8_lossy(value).into_owned()));
                }
            }
            journal.append(&message, &fields);
        }
    });
    Ok(())
}

/// An entry that is too large for a datagram, in a sealed memfd as `sd_journal_sendv(3)` makes them: reading it cannot hang.
fn handed_over(memfd: OwnedFd) -> Option<Vec<u8>> {
    let seals = SealFlag::from_bits_retain(fcntl(&memfd, FcntlArg::F_GET_SEALS).ok()?);
    let mut file = fs::File::from(memfd);
    let mut bytes = Vec::new();
    file.rewind().ok()?;
    file.take(MAX_ENTRY).read_to_end(&mut bytes).ok()?;
    seals.contains(SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_WRITE).then_some(bytes)
}

/// Serves journald's socket for streams: `systemd-cat`.
pub(super) fn serve_stdout(path: &Path, journal: Journal) -> Result<()> {
    let socket = listener(path)?;
    // Streams inherit it, so that what is sent before they are accepted has a sender too.
    setsockopt(&socket, PassCred, &true)?;
    std::thread::spawn(move || {
        for stream in socket.incoming().flatten() {
            let journal = journal.clone();
            std::thread::spawn(move || serve_stream(stream, &journal));
        }
    });
    Ok(())
}

/// A stream begins with its heading.
fn serve_stream(stream: UnixStream, journal: &Journal) {
    let fd = OwnedFd::from(stream);
    let mut head = Vec::new();
    let mut sender = None;
    let mut buffer = vec![0; 4096];
    while head.split(|b| *b == b'\n').count() < 8 {
        let Some(Received { count, from, .. }) = receive(&fd, &mut buffer).filter(|r| r.count > 0 && head.len() < 8192)
        else {
            return;
        };
        head.extend_from_slice(&buffer[..count]);
        sender = from.or(sender);
    }
    let Heading { identifier, unit, priority, level_prefix, body } = heading(&head);
    let source = Source { unit, identifier, priority, level_prefix, ..Source::default() };
    let stream = Stream::new(fd, journal, source);
    stream.take(&mut stream.state.lock().unwrap_or_else(PoisonError::into_inner), body, sender);
    stream.serve();
}
