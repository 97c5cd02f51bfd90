//! The switches that machines are plugged into: one bridge per VLAN, in a network namespace of their own.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, Result, anyhow};
use unix::sched::{CloneFlags, setns, unshare};

use super::spec::MachineSpec;
use tool_base::netlink;

/// Whether a network namespace passes packets on.
const FORWARDING: [&str; 2] = ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"];

/// The switches of a run.
#[derive(Debug)]
pub struct Switches {
    namespace: File,
    bridges: BTreeSet<u8>,
    cables: u32,
}

/// The cables of a machine, by their names at the switch; the first one is that of `eth1`.
#[derive(Debug, Default)]
pub struct Cables(Vec<String>);

impl Switches {
    /// A namespace without any switch.
    pub fn new() -> Result<Self> {
        let thread = std::thread::spawn(|| -> Result<File> {
            unshare(CloneFlags::CLONE_NEWNET).context("a network namespace cannot be made")?;
            File::open("/proc/thread-self/ns/net").context("cannot open the switches' network namespace")
        });
        let namespace = thread.join().map_err(|_| anyhow!("the thread that makes the network has panicked"))??;
        Ok(Self { namespace, bridges: BTreeSet::new(), cables: 0 })
    }

    /// Plugs a machine into its VLANs: `eth1`, `eth2`, … appear in its namespace, still down.
    pub fn plug(&mut self, machine: &MachineSpec, namespace: BorrowedFd) -> Result<Cables> {
        let mut cables = Vec::new();
        for (i, vlan) in machine.vlans.iter().enumerate() {
            let bridge = format!("br{vlan}");
            let new = self.bridges.insert(*vlan);
            // A name is not used again: the old cable of a machine that was shut down may still be there.
            self.cables += 1;
            let cable = format!("cable{}", self.cables);
            let peer = format!("eth{}", i + 1);
            let there = namespace.try_clone_to_owned()?;
            let name = cable.clone();
            self.inside(move || {
                if new {
                    netlink::create_bridge(&bridge)?;
                    netlink::set_link(&bridge, true)?;
                }
                netlink::create_cable(&name, &bridge, &peer, there.as_fd())?;
                netlink::set_link(&name, true)
            })
            .with_context(|| format!("machine `{}` cannot be plugged into VLAN {vlan}", machine.name))?;
            cables.push(cable);
        }
        Ok(Cables(cables))
    }

    /// Plugs the cable of `eth1`, or pulls it: the machine sees its carrier come and go.
    pub fn set_cable(&self, cables: &Cables, up: bool) -> Result<()> {
        let Some(name) = cables.0.first().cloned() else { return Ok(()) };
        self.inside(move || netlink::set_link(&name, up)).context("cannot reach the cable of eth1")
    }

    /// Does something in the switches' namespace.
    fn inside(&self, action: impl FnOnce() -> io::Result<()> + Send + 'static) -> Result<()> {
        let namespace = self.namespace.try_clone()?;
        let thread = std::thread::spawn(move || -> Result<()> {
            setns(namespace, CloneFlags::CLONE_NEWNET)?;
            Ok(action()?)
        });
        thread.join().map_err(|_| anyhow!("the thread that makes the network has panicked"))?
    }
}

/// Gives the machine's own network cards their addresses. To be called in its network namespace, where /proc is the machine's.
pub fn configure(machine: &MachineSpec) -> Result<()> {
    // A new namespace takes this from the host (net.core.devconf_inherit_init_net), where docker has set it. No machine of
    // NixOS passes packets on.
    for forward in FORWARDING {
        if fs::read_to_string(forward).is_ok_and(|set| set.trim() != "0") {
            fs::write(forward, "0").with_context(|| format!("cannot write {forward}"))?;
        }
    }
    for (i, vlan) in machine.vlans.iter().enumerate() {
        let card = format!("eth{}", i + 1);
        let [v4, v6] = addresses(*vlan, machine.number);
        netlink::add_address(&card, v4, 24)
            .and_then(|()| netlink::set_link(&card, true))
            .with_context(|| format!("cannot configure {card} of machine `{}`", machine.name))?;
        // A host may have IPv6 switched off.
        let _ = netlink::add_address(&card, v6, 64);
    }
    Ok(())
}

/// 192.168.VLAN.NUMBER and 2001:db8:VLAN::NUMBER with the digits of the decimal numbers, as nixpkgs' test framework
/// gives them.
pub fn addresses(vlan: u8, number: u8) -> [IpAddr; 2] {
    let digits = |number: u8| u16::from_str_radix(&number.to_string(), 16).unwrap_or(0);
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, digits(vlan), 0, 0, 0, 0, digits(number));
    [Ipv4Addr::new(192, 168, vlan, number).into(), v6.into()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_machine_passes_packets_on() {
        // A namespace of the thread's own: /proc/sys/net is that of who reads it.
        let set = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).ok()?;
            let there: Vec<&str> = FORWARDING.into_iter().filter(|file| fs::write(file, "1").is_ok()).collect();
            configure(&MachineSpec { vlans: Vec::new(), ..MachineSpec::default() }).unwrap();
            // A container may have /proc/sys read-only.
            (!there.is_empty()).then_some(())?;
            Some(there.into_iter().map(|file| (file, fs::read_to_string(file).unwrap())).collect::<Vec<_>>())
        });
        match set.join().unwrap() {
            Some(set) => assert!(set.iter().all(|(_, set)| set.trim() == "0"), "{set:?}"),
            None => println!("SKIP: here, one cannot make a network namespace and set it up"),
        }
    }

    #[test]
    fn addresses_are_those_of_nixpkgs() {
        assert_eq!(addresses(12, 34).map(|a| a.to_string()), ["192.168.12.34", "2001:db8:12::34"]);
    }
}
