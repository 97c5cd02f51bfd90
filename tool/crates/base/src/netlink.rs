//! Network links of the thread's own network namespace, by rtnetlink(7): `ip` need not be installed.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use unix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

// linux/rtnetlink.h, linux/netlink.h, linux/if_link.h, linux/if_addr.h, linux/veth.h
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const NLMSG_ERROR: u16 = 2;
const IFF_UP: u32 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_F_NODAD: u8 = 2;

/// Takes the link with this name up or down.
pub fn set_link(name: &str, up: bool) -> io::Result<()> {
    request(RTM_NEWLINK, 0, &link(index(name)?, if up { IFF_UP } else { 0 }, IFF_UP))
}

/// Creates a bridge, which is down.
pub fn create_bridge(name: &str) -> io::Result<()> {
    let kind = attribute(IFLA_INFO_KIND, b"bridge");
    let body = [link(0, 0, 0), text(IFLA_IFNAME, name), attribute(IFLA_LINKINFO, &kind)].concat();
    request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &body)
}

/// Creates a cable: one end here, plugged into `bridge`, the other, `peer`, in another network namespace. Both are down.
pub fn create_cable(name: &str, bridge: &str, peer: &str, namespace: BorrowedFd) -> io::Result<()> {
    let there = attribute(IFLA_NET_NS_FD, &namespace.as_raw_fd().to_ne_bytes());
    let peer = [link(0, 0, 0), text(IFLA_IFNAME, peer), there].concat();
    let data = attribute(IFLA_INFO_DATA, &attribute(VETH_INFO_PEER, &peer));
    let info = [attribute(IFLA_INFO_KIND, b"veth"), data].concat();
    let master = attribute(IFLA_MASTER, &index(bridge)?.to_ne_bytes());
    let body = [link(0, 0, 0), text(IFLA_IFNAME, name), master, attribute(IFLA_LINKINFO, &info)].concat();
    request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &body)
}

/// Gives a link an address, as `ip addr add` does: without a broadcast address. No neighbour is asked whether an IPv6
/// address is taken, so it counts at once.
pub fn add_address(name: &str, address: IpAddr, prefix: u8) -> io::Result<()> {
    let (family, octets) = match address {
        IpAddr::V4(address) => (libc::AF_INET, address.octets().to_vec()),
        IpAddr::V6(address) => (libc::AF_INET6, address.octets().to_vec()),
    };
    let family = u8::try_from(family).map_err(io::Error::other)?;
    // struct ifaddrmsg: family, prefix length, flags, scope, index
    let body = [
        vec![family, prefix, IFA_F_NODAD, 0],
        index(name)?.to_ne_bytes().to_vec(),
        attribute(IFA_LOCAL, &octets),
        attribute(IFA_ADDRESS, &octets),
    ]
    .concat();
    request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &body)
}

fn index(name: &str) -> io::Result<u32> {
    Ok(unix::net::if_::if_nametoindex(name)?)
}

/// struct ifinfomsg: family, padding, type, index, flags, change mask.
fn link(index: u32, flags: u32, change: u32) -> Vec<u8> {
    [[0; 4], index.to_ne_bytes(), flags.to_ne_bytes(), change.to_ne_bytes()].concat()
}

/// struct rtattr and its value, padded to four bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn text(kind: u16, value: &str) -> Vec<u8> {
    attribute(kind, format!("{value}\0").as_bytes())
}

/// Sends one request and waits for the kernel's answer.
fn request(kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    // struct nlmsghdr: length, type, flags, sequence, port
    let length = u32::try_from(16 + body.len()).map_err(io::Error::other)?;
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_ACK | flags).to_ne_bytes());
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
