//! Channel Access and PV Access programs that would search more widely than C's: under their own name, with C's list of addresses.
//!
//! Where `EPICS_CA_AUTO_ADDR_LIST` is not switched off, those of `tool/embedded/` send each search to 255.255.255.255 as
//! well, over every network card. C sends it to the broadcast addresses of the cards only, and a machine of a NixOS test
//! has none: what getifaddrs(3) gives in their place is the card's own address. So a PV of another machine is not found
//! there before `EPICS_CA_ADDR_LIST` says where to look, and must not be found here. PV Access has the same, with its own variables.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::Path;

use anyhow::{Result, anyhow};
use unix::ifaddrs::{InterfaceAddress, getifaddrs};
use unix::net::if_::InterfaceFlags;

use super::SEARCHERS;
use tool_base::process::Cmd;

/// The variables of a program: whether it searches by itself, and where else.
fn variables(name: &str) -> (&'static str, &'static str) {
    if name.starts_with("pv") {
        ("EPICS_PVA_AUTO_ADDR_LIST", "EPICS_PVA_ADDR_LIST")
    } else {
        ("EPICS_CA_AUTO_ADDR_LIST", "EPICS_CA_ADDR_LIST")
    }
}

/// Whether a program of this name is to be held back.
pub(super) fn has(name: &str) -> bool {
    !name.is_empty() && Path::new(SEARCHERS).join(name).is_file()
}

/// Becomes the program.
pub(super) fn run(name: &str, args: &[OsString]) -> Result<Infallible> {
    let mut command = Cmd::new(Path::new(SEARCHERS).join(name)).args(&args[1..]).to_std();
    command.arg0(&args[0]);
    let (auto_list, list) = variables(name);
    let auto = std::env::var_os(auto_list).unwrap_or_default();
    // As C reads it: whatever contains "no".
    if !["no", "NO"].iter().any(|no| auto.to_string_lossy().contains(no)) {
        // The server of PV Access answers no search that came to the address of a card.
        let own = name.starts_with("pv").then_some(Ipv4Addr::LOCALHOST).into_iter();
        let own = own.chain(getifaddrs()?.filter_map(|card| destination(&card)));
        command.env(auto_list, "NO").env(list, addresses(own, &std::env::var_os(list).unwrap_or_default()));
    }
    Err(anyhow!("cannot start {name}: {}", command.exec()))
}

/// Where C searches by way of a network card.
fn destination(card: &InterfaceAddress) -> Option<Ipv4Addr> {
    let v4 = |address: Option<unix::sys::socket::SockaddrStorage>| Some(address?.as_sockaddr_in()?.ip());
    let up = card.flags.contains(InterfaceFlags::IFF_UP) && !card.flags.contains(InterfaceFlags::IFF_LOOPBACK);
    up.then(|| v4(card.broadcast.or(card.destination)).or(v4(card.address))).flatten()
}

/// C's list: the cards' addresses, or the machine itself where there is no card, then what the user says.
fn addresses(own: impl Iterator<Item = Ipv4Addr>, list: &OsStr) -> OsString {
    let mut own: Vec<String> = own.map(|address| address.to_string()).collect();
    if own.is_empty() {
        own.push(Ipv4Addr::LOCALHOST.to_string());
    }
    let mut all = OsString::from(own.join(" "));
    all.push(" ");
    all.push(list);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_that_of_c() {
        let own = [Ipv4Addr::new(192, 168, 1, 2), Ipv4Addr::new(192, 168, 2, 2)];
        assert_eq!(addresses(own.into_iter(), OsStr::new("a b:5066")), "192.168.1.2 192.168.2.2 a b:5066");
        assert_eq!(addresses(std::iter::empty(), OsStr::new("")), "127.0.0.1 ");
    }
}
