//! The driver's shell channel: commands and probes.

use std::io::Read;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use unix::sys::signal::killpg;
use unix::unistd::Pid;

use super::Message;
use super::exec::{PATH, data, find_program};
use crate::start;
use crate::unit::rlimits;
use tool_base::protocol::shell::{self as protocol, Reply, Request};

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
    pub(super) reply: Replier,
}

/// Where the answer to one request goes.
#[derive(Debug, Clone)]
pub(super) struct Replier {
    id: Option<u64>,
    channel: Arc<Mutex<UnixStream>>,
}

impl Replier {
    fn send(&self, reply: Reply, body: &[u8]) {
        let mut channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        // A driver that is gone is noticed by the thread that reads.
        let _ = protocol::write(&mut *channel, self.id, reply, body);
    }

    /// Says what is wrong with the request.
    pub(super) fn error(&self, error: String) {
        self.send(Reply::Error { error }, &[]);
    }
}

/// Serves the channel until the driver is gone.
pub(super) fn serve(stream: UnixStream, manager: Sender<Message>) -> std::io::Result<()> {
    let channel = Arc::new(Mutex::new(stream.try_clone()?));
    let mut stream = stream;
    std::thread::spawn(move || {
        while let Some((id, request, body)) = protocol::read(&mut stream) {
            let reply = Replier { id, channel: channel.clone() };
            match request {
                Ok(request) => take(request, body, reply, &manager),
                Err(error) => reply.error(format!("bad request: {error}")),
            }
        }
        let _ = manager.send(Message::DriverGone);
    });
    Ok(())
}

fn take(request: Request, text: Vec<u8>, reply: Replier, manager: &Sender<Message>) {
    let attempt = |connect: Box<dyn FnOnce() -> bool + Send>, reply: Replier| {
        std::thread::spawn(move || reply.send(Reply::Tried { open: connect() }, &[]));
    };
    match request {
        Request::Ping => reply.send(Reply::Pong {}, &[]),
        Request::Execute { timeout } => {
            // As bash drops them from what it reads.
            let text = text.into_iter().filter(|byte| *byte != 0).collect();
            let _ = manager.send(Message::Execute(Execute { text, timeout, reply }));
        }
        Request::Tcp { addr, port } => attempt(Box::new(move || tcp(&addr, port)), reply),
        Request::Unix { path, datagram } => attempt(Box::new(move || unix_socket(&path, datagram)), reply),
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
pub(super) fn execute(
    request: Execute,
    variables: &[String],
    stderr: &std::fs::File,
    now: u64,
) -> std::io::Result<Running> {
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
    let mut env = vec![
        format!("PATH={PATH}"),
        "HOME=/root".into(),
        "USER=root".into(),
        "DISPLAY=:0.0".into(),
        "PAGER=".into(),
        "LANG=C.UTF-8".into(),
    ];
    env.extend(variables.iter().cloned());
    let program = start::Program {
        path: start::c_text(find_program("bash", PATH).as_os_str().as_encoded_bytes()),
        argv: vec![c"bash".into(), c"-c".into(), start::c_text(script)],
        env: env.iter().map(start::c_text).collect(),
        cwd: Some(c"/tmp".into()),
        stdio: Some([stdin.as_fd(), writer.as_fd(), stderr.as_fd()]),
        umask: Some(0o022),
        limits: rlimits::numbers(&[]),
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
            reply.send(Reply::Ended { status }, &output);
        }
    });
    let limit = request.timeout.filter(|t| *t > 0.0 && t.is_finite());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and saturates")]
    let deadline = limit.map(|t| now.saturating_add((t * 1e6) as u64));
    Ok(Running { pid: started.pid, deadline, timed_out: false, status: sender })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::Shutdown;

    use super::*;

    #[test]
    fn a_bad_request_is_answered_and_harms_nobody() {
        let (mut driver, ours) = UnixStream::pair().unwrap();
        serve(ours, channel().0).unwrap();
        for request in [r#"{"id":1,"op":"dance"}"#, r#"{"id":2}"#, r#"{"id":3,"op":"ping"}"#] {
            let length = u32::try_from(request.len()).unwrap().to_be_bytes();
            driver.write_all(&[&length, request.as_bytes()].concat()).unwrap();
        }
        driver.shutdown(Shutdown::Write).unwrap();
        let mut replies = String::new();
        driver.read_to_string(&mut replies).unwrap();
        let parts: Vec<&str> = replies.split("{\"id\":").skip(1).collect();
        assert!(parts[0].starts_with("1,\"error\":\"bad request: unknown variant `dance`"), "{replies}");
        assert!(parts[1].starts_with("2,\"error\":\"bad request: missing field `op`"), "{replies}");
        assert_eq!((parts[2], parts.len()), ("3}", 3), "{replies}");
    }
}
