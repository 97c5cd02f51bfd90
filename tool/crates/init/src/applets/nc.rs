//! `nc` for machines whose host has none: test scripts lean on it, and every NixOS test machine has it.
//!
//! The options of OpenBSD's netcat that scripts use.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::time::Duration;

use super::{Options, options, say};

const FLAGS: &str = "-4 -6 -D -d -h -k -l -N -n -r -t -u -U -v -z";
const VALUED: &str = "-i -p -q -s -w -W";

/// A connection in both directions.
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn copy(&self) -> std::io::Result<std::fs::File> {
        let fd: OwnedFd = match self {
            Self::Tcp(stream) => stream.try_clone()?.into(),
            Self::Unix(stream) => stream.try_clone()?.into(),
        };
        Ok(fd.into())
    }

    fn shut_write(&self) {
        let how = std::net::Shutdown::Write;
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(how),
            Self::Unix(stream) => stream.shutdown(how),
        };
    }
}

/// Runs `nc`.
pub(super) fn run(program: &str, args: &[String]) -> Result<u8, String> {
    let given = options(program, args, FLAGS, VALUED, "")?;
    let limit = given.last(&["-w"]).map(|s| s.parse::<u64>().map_err(|_| format!("nc: timeout too large: {s}")));
    let limit = limit.transpose()?.map(Duration::from_secs);
    match (given.has(&["-l"]), given.has(&["-U"]), given.has(&["-u"])) {
        (true, true, _) => listen_unix(&given),
        (true, _, true) => listen_udp(&given),
        (true, ..) => listen_tcp(&given),
        (_, true, datagram) => connect_unix(&given, datagram),
        (_, _, true) => connect_udp(&given),
        _ => connect_tcp(&given, limit),
    }
}

fn text(error: &std::io::Error) -> String {
    error.to_string().split(" (os error").next().unwrap_or_default().to_owned()
}

/// Host and ports: one, or a range with `-z`.
fn target(given: &Options) -> Result<(String, Vec<u16>), String> {
    let [host, ports] = &given.words[..] else { return Err("nc: missing port number".to_owned()) };
    let number = |text: &str| match text.parse::<u32>() {
        Ok(port @ 1..=65535) => u16::try_from(port).map_err(|e| e.to_string()),
        Ok(0) => Err(format!("nc: port number too small: {text}")),
        Ok(_) => Err(format!("nc: port number too large: {text}")),
        Err(_) => Err(format!("nc: port number invalid: {text}")),
    };
    let (low, high) = match ports.split_once('-') {
        Some((low, high)) => (number(low)?, number(high)?),
        None => (number(ports)?, number(ports)?),
    };
    Ok((host.clone(), (low.min(high)..=high.max(low)).collect()))
}

fn connect_tcp(given: &Options, limit: Option<Duration>) -> Result<u8, String> {
    let (host, ports) = target(given)?;
    let mut status = 1;
    for port in ports {
        let addresses = (host.as_str(), port).to_socket_addrs().map_err(|e| {
            format!(
                "nc: getaddrinfo for host \"{host}\" port {port}: {}",
                text(&e).trim_start_matches("failed to lookup address information: ")
            )
        })?;
        let family =
            |a: &std::net::SocketAddr| !(given.has(&["-4"]) && a.is_ipv6() || given.has(&["-6"]) && a.is_ipv4());
        for address in addresses.filter(family) {
            let stream = limit.map_or_else(|| TcpStream::connect(address), |l| TcpStream::connect_timeout(&address, l));
            match stream {
                Ok(stream) => {
                    if given.has(&["-v"]) {
                        say(&format!("Connection to {host} {port} port [tcp/*] succeeded!"));
                    }
                    status = 0;
                    if !given.has(&["-z"]) {
                        return talk(&Stream::Tcp(stream), given, limit);
                    }
                    break;
                }
                Err(error) if given.has(&["-v"]) => {
                    say(&format!("nc: connect to {host} port {port} (tcp) failed: {}", text(&error)));
                }
                Err(_) => {}
            }
        }
    }
    Ok(status)
}

fn connect_unix(given: &Options, datagram: bool) -> Result<u8, String> {
    let [path] = &given.words[..] else { return Err("nc: missing path of the socket".to_owned()) };
    let failed = |e: std::io::Error| format!("nc: {path}: {}", text(&e));
    if datagram {
        let socket = UnixDatagram::unbound().map_err(failed)?;
        socket.connect(path).map_err(failed)?;
        if !given.has(&["-z"]) {
            each_chunk(|chunk| socket.send(chunk).map(|_| ())).map_err(failed)?;
        }
        return Ok(0);
    }
    let stream = UnixStream::connect(path).map_err(failed)?;
    if given.has(&["-z"]) { Ok(0) } else { talk(&Stream::Unix(stream), given, None) }
}

fn connect_udp(given: &Options) -> Result<u8, String> {
    let (host, ports) = target(given)?;
    for port in ports {
        let failed = |e: std::io::Error| format!("nc: connect to {host} port {port} (udp) failed: {}", text(&e));
        let socket = UdpSocket::bind("0.0.0.0:0").map_err(failed)?;
        socket.connect((host.as_str(), port)).map_err(failed)?;
        if given.has(&["-z"]) {
            // A closed port answers the first datagram with a refusal.
            let _ = socket.send(b"X");
            socket.set_read_timeout(Some(Duration::from_millis(100))).map_err(failed)?;
            let refused = socket.recv(&mut [0; 1]).is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused);
            return Ok(u8::from(refused));
        }
        let reader = socket.try_clone().map_err(failed)?;
        std::thread::spawn(move || {
            let mut buffer = vec![0; 65536];
            while reader.recv(&mut buffer).is_ok_and(|n| super::print(&buffer[..n])) {}
        });
        each_chunk(|chunk| socket.send(chunk).map(|_| ())).map_err(failed)?;
        let wait = given.last(&["-q", "-w"]).and_then(|s| s.parse().ok()).unwrap_or(0);
        std::thread::sleep(Duration::from_secs(wait));
    }
    Ok(0)
}

/// stdin in pieces, to its end.
fn each_chunk(mut send: impl FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<()> {
    let mut buffer = vec![0; 16384];
    loop {
        match std::io::stdin().lock().read(&mut buffer)? {
            0 => return Ok(()),
            count => send(&buffer[..count])?,
        }
    }
}

/// Copies stdin to the connection and the connection to stdout, until the other side closes.
fn talk(stream: &Stream, given: &Options, limit: Option<Duration>) -> Result<u8, String> {
    let failed = |e: std::io::Error| format!("nc: {}", text(&e));
    if let (Some(limit), Stream::Tcp(stream)) = (limit, stream) {
        stream.set_read_timeout(Some(limit)).map_err(failed)?;
    }
    let mut sender = stream.copy().map_err(failed)?;
    let shutter = match stream {
        Stream::Tcp(stream) => Stream::Tcp(stream.try_clone().map_err(failed)?),
        Stream::Unix(stream) => Stream::Unix(stream.try_clone().map_err(failed)?),
    };
    let shut = given.has(&["-N"]);
    let wait = given.last(&["-q"]).and_then(|s| s.parse::<i64>().ok()).and_then(|s| u64::try_from(s).ok());
    if !given.has(&["-d"]) {
        std::thread::spawn(move || {
            let _ = each_chunk(|chunk| sender.write_all(chunk));
            if shut {
                shutter.shut_write();
            }
            if let Some(seconds) = wait {
                std::thread::sleep(Duration::from_secs(seconds));
                let Stream::Tcp(stream) = &shutter else { return };
                let _ = stream.shutdown(std::net::Shutdown::Both);
            }
        });
    }
    let mut receiver = stream.copy().map_err(failed)?;
    let mut buffer = vec![0; 65536];
    while let Ok(count @ 1..) = receiver.read(&mut buffer) {
        if !super::print(&buffer[..count]) {
            break;
        }
    }
    Ok(0)
}

/// Address to listen on: `-l PORT`, `-l ADDRESS PORT`, `-l -p PORT`.
fn local(given: &Options) -> Result<(String, u16), String> {
    let any = if given.has(&["-6"]) { "::" } else { "0.0.0.0" };
    let (host, port) = match (&given.words[..], given.last(&["-p"])) {
        ([host, port], _) => (host.as_str(), port.as_str()),
        ([host], Some(port)) => (host.as_str(), port),
        ([port], None) => (any, port.as_str()),
        ([], Some(port)) => (any, port),
        _ => return Err("nc: missing port number".to_owned()),
    };
    Ok((host.to_owned(), port.parse().map_err(|_| format!("nc: port number invalid: {port}"))?))
}

fn listen_tcp(given: &Options) -> Result<u8, String> {
    let (host, port) = local(given)?;
    let listener = TcpListener::bind((host.as_str(), port)).map_err(|e| format!("nc: {}", text(&e)))?;
    for stream in listener.incoming().flatten() {
        talk(&Stream::Tcp(stream), given, None)?;
        if !given.has(&["-k"]) {
            break;
        }
    }
    Ok(0)
}

fn listen_unix(given: &Options) -> Result<u8, String> {
    let [path] = &given.words[..] else { return Err("nc: missing path of the socket".to_owned()) };
    let failed = |e: std::io::Error| format!("nc: {path}: {}", text(&e));
    if given.has(&["-u"]) {
        let socket = UnixDatagram::bind(path).map_err(failed)?;
        let mut buffer = vec![0; 65536];
        while socket.recv(&mut buffer).is_ok_and(|n| super::print(&buffer[..n])) {}
        return Ok(0);
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    for stream in listener.incoming().flatten() {
        talk(&Stream::Unix(stream), given, None)?;
        if !given.has(&["-k"]) {
            break;
        }
    }
    Ok(0)
}

fn listen_udp(given: &Options) -> Result<u8, String> {
    let (host, port) = local(given)?;
    let socket = UdpSocket::bind((host.as_str(), port)).map_err(|e| format!("nc: {}", text(&e)))?;
    let mut buffer = vec![0; 65536];
    while socket.recv_from(&mut buffer).is_ok_and(|(n, _)| super::print(&buffer[..n])) {}
    Ok(0)
}
