//! Channel Access and PV Access programs that would search more widely than C's: under their own name, with C's list of addresses.
//!
//! Where `EPICS_CA_AUTO_ADDR_LIST` is not switched off, those of `tool/embedded/` send each search to 255.255.255.255 as
//! well, over every network card. C sends it to the broadcast addresses of the cards only, and a machine of a NixOS test
//! has none: what getifaddrs(3) gives in their place is the card's own address. So a PV of another machine is not found
//! there before `EPICS_CA_ADDR_LIST` says where to look, and must not be found here. PV Access has the same, with its own variables.
//!
//! And they die of a panic when nobody reads them any more, as in `caget A B | grep -q A`, which C's do not: where they print
//! into a pipe, they print into one of ours.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, anyhow};
use unix::ifaddrs::{InterfaceAddress, getifaddrs};
use unix::net::if_::InterfaceFlags;

use super::{SEARCHERS, print};
use tool_base::fail::Status;
use tool_base::process::Cmd;
use tool_base::{process, sys};

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

/// Becomes the program, or passes on what it prints.
pub(super) fn run(name: &str, args: &[OsString]) -> Result<Status> {
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
    match pipe(1).filter(|_| name != "soft-ioc") {
        Some(out) => pass_on(command, pipe(2) == Some(out)).with_context(|| format!("cannot start {name}")),
        None => Err(anyhow!("cannot start {name}: {}", command.exec())),
    }
}

/// Which pipe a descriptor of ours is, if it is one. What services print into is a socket.
fn pipe(fd: u32) -> Option<(u64, u64)> {
    let about = fs::metadata(format!("/proc/self/fd/{fd}")).ok()?;
    about.file_type().is_fifo().then(|| (about.dev(), about.ino()))
}

/// Runs a program to its end; its stderr comes along where it is the same pipe.
fn pass_on(mut command: Command, stderr_too: bool) -> Result<Status> {
    let (mut output, input) = io::pipe()?;
    if stderr_too {
        command.stderr(input.try_clone()?);
    }
    command.stdout(input);
    let mut child = sys::dying_with_us(&mut command).spawn()?;
    // It holds ends of the pipe.
    drop(command);
    let mut bytes = [0; 4096];
    loop {
        let some = output.read(&mut bytes)?;
        if some == 0 {
            break;
        }
        if !print(&bytes[..some]) {
            if !sys::sigpipe_was_ignored() {
                child.kill()?;
                sys::end_by_sigpipe();
            }
            // C's go on, and nobody hears them.
            io::copy(&mut output, &mut io::sink())?;
        }
    }
    Ok(Status::Other(process::code(child.wait()?)))
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
