//! Ports for the servers of tests.

use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::Mutex;

/// A port that is free for TCP and UDP, and stays so until the server has it. The kernel gives its numbers out to any client,
/// so this one is below those, and a socket of this network's says that it is taken: other tests look for that, here and in
/// `epics/run.py`. It is held as long as this process lives.
pub fn free() -> u16 {
    static TAKEN: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());
    let first = u16::try_from(std::process::id() % 12_000).unwrap();
    let free = |port: &u16| {
        let name = SocketAddr::from_abstract_name(format!("xtask-test-port-{port}")).unwrap();
        // Who has not taken it must not try it either: its owner's server would find it in use.
        let Ok(ours) = UnixListener::bind_addr(&name) else { return false };
        let free = TcpListener::bind(("0.0.0.0", *port)).is_ok() && UdpSocket::bind(("0.0.0.0", *port)).is_ok();
        TAKEN.lock().unwrap().extend(free.then_some(ours));
        free
    };
    (0..12_000).map(|more| 20_000 + (first + more) % 12_000).find(free).unwrap()
}
