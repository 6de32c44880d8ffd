//! Ports for servers that are stopped and started again.
//!
//! Invariants: a port given out here is not one that the system picks for an outgoing connection,
//! and no other test gets it while the value that stands for it lives. The ports that `bind` gives
//! for 0 are of the first sort: while a member of an ensemble is down, some client's socket could
//! take its place, and the member could not come back.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::ops::Range;

/// Where to look: above the ports of well-known services, below those of outgoing connections.
const LOWEST: u16 = 10_000;

/// Tries before the range counts as full.
const TRIES: usize = 10_000;

/// A TCP port that is ours whether a server listens there or not.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// The UDP port of the same number, which no server here uses: other tests see it taken.
    _claim: UdpSocket,
}

impl Port {
    /// Claims a port that is free.
    #[track_caller]
    pub fn claim() -> Self {
        let range = lasting();
        for _ in 0..TRIES {
            let number = rand::random_range(range.clone());
            let address = ("127.0.0.1", number);
            if let Ok(claim) = UdpSocket::bind(address)
                && TcpListener::bind(address).is_ok()
            {
                return Self {
                    number,
                    _claim: claim,
                };
            }
        }
        panic!("no free port in {range:?}");
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

/// The ports of a member of an ensemble, its own whether it runs or not.
#[derive(Debug)]
pub struct Ports {
    /// Its address.
    pub host: Ipv4Addr,
    /// Where its learners connect.
    pub quorum: u16,
    /// For votes.
    pub election: u16,
    /// For clients.
    pub client: u16,
    _claims: Vec<Port>,
}

impl Ports {
    /// On loopback, which all share.
    #[track_caller]
    pub fn claim() -> Self {
        let claims = [Port::claim(), Port::claim(), Port::claim()];
        let [quorum, election, client] = claims.each_ref().map(Port::number);
        Self {
            host: Ipv4Addr::LOCALHOST,
            quorum,
            election,
            client,
            _claims: claims.into(),
        }
    }

    /// On a host of its own.
    pub fn standard(host: Ipv4Addr) -> Self {
        Self {
            host,
            quorum: QUORUM_PORT,
            election: ELECTION_PORT,
            client: CLIENT_PORT,
            _claims: Vec::new(),
        }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((self.host, self.client))
    }
}

/// The ports of a member in a namespace of its own.
pub const CLIENT_PORT: u16 = 2181;
/// As `CLIENT_PORT`, for its learners.
pub const QUORUM_PORT: u16 = 2888;
/// As `CLIENT_PORT`, for votes.
pub const ELECTION_PORT: u16 = 3888;

/// From `LOWEST` to the first port of outgoing connections; on a system that does not say, to the
/// lowest that any common system uses.
fn lasting() -> Range<u16> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first = text.split_whitespace().next();
    let end: u16 = first.and_then(|text| text.parse().ok()).unwrap_or(32_768);
    LOWEST..end.max(LOWEST + 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_port_is_given_out_again_only_after_its_claim() {
        let port = Port::claim();
        let address = ("127.0.0.1", port.number());
        assert!(
            TcpListener::bind(address).is_ok(),
            "it is free for a server"
        );
        assert!(
            UdpSocket::bind(address).is_err(),
            "and nobody else claims it"
        );
        drop(port);
        assert!(UdpSocket::bind(address).is_ok());
    }
}
