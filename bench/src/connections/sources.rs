//! Addresses to connect from: as few as have ports enough, because a fleet behind one address is the harder case.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result, ensure};

/// A connection whose other end was killed keeps its port for a while, and a new one is needed beside it.
const PORTS_PER_CONNECTION: usize = 2;

pub(super) struct Sources {
    addresses: u8,
}

impl Sources {
    pub(super) fn for_connections(connections: usize) -> Result<Self> {
        let file = "/proc/sys/net/ipv4/ip_local_port_range";
        let text = std::fs::read_to_string(file).with_context(|| format!("reading {file}"))?;
        let ends: Vec<usize> = text.split_whitespace().filter_map(|port| port.parse().ok()).collect();
        let [first, last] = ends[..] else { anyhow::bail!("{file} does not hold two ports: {text}") };
        let ports = (last + 1).saturating_sub(first);
        ensure!(ports >= 100, "the system has only {ports} ports for connections: widen net.ipv4.ip_local_port_range");
        let addresses = (connections * PORTS_PER_CONNECTION).div_ceil(ports).max(1);
        let addresses = u8::try_from(addresses).ok().filter(|addresses| *addresses < 250);
        Ok(Self { addresses: addresses.context("too many agents for the ports of 127.0.0.0/24")? })
    }

    pub(super) fn count(&self) -> usize {
        usize::from(self.addresses)
    }

    /// The address of agent `number`.
    pub(super) fn of(&self, number: usize) -> IpAddr {
        let last = u8::try_from(number % self.count()).unwrap_or(0);
        IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1 + last))
    }
}
