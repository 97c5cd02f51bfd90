//! The driver's shell channel: frames, commands, probes.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use unix::sys::signal::killpg;
use unix::unistd::Pid;

use super::Message;
use super::exec::{PATH, data, find_program};
use crate::start;

/// Longest header of a frame, bytes.
const HEADER_MAX: usize = 1 << 20;
/// Longest command that goes on the command line, bytes; the kernel takes 128 KiB per argument.
const ARG_MAX: usize = 120 * 1024;

/// What a command leaves in the background gets so much time to start its programs. Through the console of a virtual
/// machine it always has it: a `pgrep` in the next command finds them.
const SETTLE: Duration = Duration::from_millis(20);

/// A command that the driver wants to be run.
#[derive(Debug)]
pub(super) struct Execute {
    /// Text for bash.
    pub(super) text: Vec<u8>,
    /// Limit, seconds.
    pub(super) timeout: Option<f64>,
    /// Where its end is told.
    pub(super) reply: Reply,
}

/// Where the answer to one request goes.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    id: Value,
    channel: Arc<Mutex<UnixStream>>,
}

impl Reply {
    fn send(&self, mut header: Value, body: &[u8]) {
        header["id"] = self.id.clone();
        if !body.is_empty() {
            header["body"] = body.len().into();
        }
        let text = header.to_string();
        let length = u32::try_from(text.len()).unwrap_or(0).to_be_bytes();
        let mut channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        // A driver that is gone is noticed by the thread that reads.
        let _ = channel.write_all(&[&length, text.as_bytes()].concat()).and_then(|()| channel.write_all(body));
    }

    /// Says what is wrong with the request.
    pub(super) fn error(&self, text: &str) {
        self.send(json!({ "error": text }), &[]);
    }
}

/// Reads one frame: header and body. `None` at the end.
pub(super) fn read_frame(from: &mut impl Read) -> Option<(Value, Vec<u8>)> {
    let mut length = [0; 4];
    from.read_exact(&mut length).ok()?;
    let length = usize::try_from(u32::from_be_bytes(length)).ok().filter(|n| *n <= HEADER_MAX)?;
    let mut header = vec![0; length];
    from.read_exact(&mut header).ok()?;
    let header: Value = serde_json::from_slice(&header).unwrap_or(Value::Null);
    let size = header["body"].as_u64().unwrap_or(0);
    let mut body = Vec::new();
    let read = from.take(size).read_to_end(&mut body).ok()?;
    (read as u64 == size).then_some((header, body))
}

/// Serves the channel until the driver is gone.
pub(super) fn serve(stream: UnixStream, manager: Sender<Message>) -> std::io::Result<()> {
    let channel = Arc::new(Mutex::new(stream.try_clone()?));
    let mut stream = stream;
    std::thread::spawn(move || {
        while let Some((header, body)) = read_frame(&mut stream) {
            let reply = Reply { id: header["id"].clone(), channel: channel.clone() };
            take(&header, body, reply, &manager);
        }
        let _ = manager.send(Message::DriverGone);
    });
    Ok(())
}

fn take(header: &Value, text: Vec<u8>, reply: Reply, manager: &Sender<Message>) {
    match header["op"].as_str() {
        Some("execute") => {
            // As bash drops them from what it reads.
            let text = text.into_iter().filter(|byte| *byte != 0).collect();
            let timeout = header["timeout"].as_f64();
            let _ = manager.send(Message::Execute(Execute { text, timeout, reply }));
        }
        Some("tcp") => {
            let address = header["addr"].as_str().unwrap_or("localhost").to_owned();
            let port = header["port"].as_u64().and_then(|p| u16::try_from(p).ok());
            std::thread::spawn(move || reply.send(json!({ "open": port.is_some_and(|p| tcp(&address, p)) }), &[]));
        }
        Some("unix") => {
            let path = header["path"].as_str().unwrap_or_default().to_owned();
            let datagram = header["datagram"].as_bool().unwrap_or(false);
            std::thread::spawn(move || reply.send(json!({ "open": unix_socket(&path, datagram) }), &[]));
        }
        Some(other) => reply.error(&format!("unknown request `{other}`")),
        None => reply.error("request without `op`"),
    }
}

fn tcp(address: &str, port: u16) -> bool {
    // The machine's own name and address plan need no name server.
    let Ok(addresses) = (address, port).to_socket_addrs() else { return false };
    addresses.into_iter().any(|a| TcpStream::connect_timeout(&a, Duration::from_secs(5)).is_ok())
}

fn unix_socket(path: &str, datagram: bool) -> bool {
    if datagram {
        UnixDatagram::unbound().is_ok_and(|s| s.connect(path).is_ok())
    } else {
        UnixStream::connect(path).is_ok()
    }
}

/// A command that runs.
#[derive(Debug)]
pub(super) struct Running {
    /// Its process, and process group.
    pub(super) pid: i32,
    /// When SIGTERM is due, µs since the start of the machine.
    pub(super) deadline: Option<u64>,
    /// The limit has passed.
    pub(super) timed_out: bool,
    /// Takes the exit status.
    pub(super) status: Sender<i32>,
}

/// Starts a command; a thread collects its output and answers when it has ended and all have closed stdout.
pub(super) fn execute(request: Execute, stderr: &std::fs::File, now: u64) -> std::io::Result<Running> {
    use std::os::fd::AsFd;
    let (mut reader, writer) = std::io::pipe()?;
    let stdin =
        if request.text.len() > ARG_MAX { data(&request.text)? } else { std::fs::File::open("/dev/null")?.into() };
    let script = if request.text.len() > ARG_MAX {
        // The text is too long for a command line: bash reads it, then gives up the descriptor.
        b"set -euo pipefail; __text=$(cat; printf x); exec </dev/null; eval \"unset __text; ${__text%x}\"".to_vec()
    } else {
        [b"set -euo pipefail; ".as_slice(), &request.text].concat()
    };
    let env = [
        format!("PATH={PATH}"),
        "HOME=/root".into(),
        "USER=root".into(),
        "DISPLAY=:0.0".into(),
        "PAGER=".into(),
        "LANG=C.UTF-8".into(),
    ];
    let program = start::Program {
        path: start::c_text(find_program("bash", PATH).as_os_str().as_encoded_bytes()),
        argv: vec![c"bash".into(), c"-c".into(), start::c_text(script)],
        env: env.iter().map(start::c_text).collect(),
        cwd: Some(c"/tmp".into()),
        stdio: Some([stdin.as_fd(), writer.as_fd(), stderr.as_fd()]),
        umask: Some(0o022),
        ignore_sigpipe: true,
        ..Default::default()
    };
    let started = start::start(&program)?;
    drop(writer);
    let (sender, receiver) = channel();
    let reply = request.reply;
    std::thread::spawn(move || {
        let mut output = Vec::new();
        let _ = reader.read_to_end(&mut output);
        if let Ok(status) = receiver.recv() {
            if killpg(Pid::from_raw(started.pid), None).is_ok() {
                std::thread::sleep(SETTLE);
            }
            reply.send(json!({ "status": status }), &output);
        }
    });
    let limit = request.timeout.filter(|t| *t > 0.0 && t.is_finite());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and saturates")]
    let deadline = limit.map(|t| now.saturating_add((t * 1e6) as u64));
    Ok(Running { pid: started.pid, deadline, timed_out: false, status: sender })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_frame_is_a_length_a_header_and_a_body() {
        let header = br#"{"id":1,"op":"execute","body":3}"#;
        let bytes = [&[0, 0, 0, 32], &header[..], b"abcrest"].concat();
        let mut from = &bytes[..];
        let (header, body) = read_frame(&mut from).unwrap();
        assert_eq!((header["id"].as_u64(), body.as_slice(), from), (Some(1), &b"abc"[..], &b"rest"[..]));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = read_frame(&mut &bytes[..]);
        }
    }
}
