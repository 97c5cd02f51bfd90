//! `ioc-console PORT`: the console of an IOC, on the TCP port that procServ has on NixOS. Stdin is what the IOC says, stdout what it is
//! told; stderr goes to the journal. It ends when the IOC has.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::say;

/// A client that does not read is left behind, rather than to hold up the IOC.
const PATIENCE: Duration = Duration::from_secs(1);
const GREETING: &[u8] = b"@@@ The shell of the IOC; everybody here sees what it says. \"exit\" ends the IOC.\r\n";
/// Begins a command of telnet's, of three bytes (RFC 854).
const INTERPRET_AS_COMMAND: u8 = 255;

type Clients = Arc<Mutex<Vec<TcpStream>>>;

fn all(clients: &Clients) -> MutexGuard<'_, Vec<TcpStream>> {
    clients.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `ioc-console`.
pub(super) fn run(program: &str, args: &[String]) -> Result<u8, String> {
    let port =
        args.first().and_then(|port| port.parse::<u16>().ok()).ok_or(format!("{program}: missing port number"))?;
    let clients = Clients::default();
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(listener) => {
            let clients = clients.clone();
            std::thread::spawn(move || serve(&listener, &clients));
        }
        Err(error) => say(&format!("{program}: the IOC has no console on port {port}: {error}")),
    }
    let (mut stdin, mut stderr) = (std::io::stdin().lock(), std::io::stderr());
    let mut buffer = [0; 4096];
    while let Ok(size @ 1..) = stdin.read(&mut buffer) {
        let said = &buffer[..size];
        let _ = stderr.write_all(said);
        all(&clients).retain_mut(|client| client.write_all(&lines(said)).is_ok());
    }
    Ok(0)
}

fn serve(listener: &TcpListener, clients: &Clients) {
    for mut client in listener.incoming().flatten() {
        let ready = client.set_write_timeout(Some(PATIENCE)).and_then(|()| client.write_all(GREETING));
        if let Ok(copy) = ready.and_then(|()| client.try_clone()) {
            all(clients).push(copy);
            std::thread::spawn(move || listen(client));
        }
    }
}

/// Passes on what a client types.
fn listen(mut client: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(size @ 1..) = client.read(&mut buffer) {
        let mut out = std::io::stdout().lock();
        if out.write_all(&typed(&buffer[..size])).and_then(|()| out.flush()).is_err() {
            break;
        }
    }
}

/// What was typed, without telnet's commands and line ends.
fn typed(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut bytes = bytes.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            &INTERPRET_AS_COMMAND => {
                bytes.nth(1);
            }
            b'\r' | 0 => {}
            _ => text.push(*byte),
        }
    }
    text
}

/// Text with the line ends of a terminal.
fn lines(text: &[u8]) -> Vec<u8> {
    text.iter().flat_map(|byte| if *byte == b'\n' { vec![b'\r', b'\n'] } else { vec![*byte] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telnet_is_understood() {
        assert_eq!(typed(b"\xff\xfd\x03dbl\r\0\xff\xfb\x18\r\n"), b"dbl\n");
        assert_eq!(typed(b"\xff"), b"");
        assert_eq!(lines(b"a\nb"), b"a\r\nb");
    }
}
