//! Network links of the own network namespace, by rtnetlink(7): `ip` need not be installed.

use std::io;
use std::os::fd::AsRawFd;

use unix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

const RTM_NEWLINK: u16 = 16;
const NLM_F_REQUEST_ACK: u16 = 1 | 4;
const NLMSG_ERROR: u16 = 2;
const IFF_UP: u32 = 1;

/// Takes the link with this name up or down.
pub fn set_link(name: &str, up: bool) -> io::Result<()> {
    let index = unix::net::if_::if_nametoindex(name)?;
    // struct ifinfomsg: family, padding, type, index, flags, change mask
    let mut body = vec![0u8; 4];
    body.extend(index.to_ne_bytes());
    body.extend((if up { IFF_UP } else { 0 }).to_ne_bytes());
    body.extend(IFF_UP.to_ne_bytes());
    request(RTM_NEWLINK, &body)
}

/// Sends one request and waits for the kernel's answer.
fn request(kind: u16, body: &[u8]) -> io::Result<()> {
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    // struct nlmsghdr: length, type, flags, sequence, port
    let length = u32::try_from(16 + body.len()).map_err(io::Error::other)?;
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(NLM_F_REQUEST_ACK.to_ne_bytes());
    message.extend(1u32.to_ne_bytes());
    message.extend(0u32.to_ne_bytes());
    message.extend(body);
    send(socket.as_raw_fd(), &message, MsgFlags::empty())?;

    let mut answer = [0u8; 4096];
    let size = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    let errno = answer.get(16..20).filter(|_| size >= 20 && answer[4..6] == NLMSG_ERROR.to_ne_bytes());
    match errno.and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(errno) => Err(io::Error::from_raw_os_error(-errno)),
        None => Err(io::Error::other("unexpected answer of rtnetlink")),
    }
}
