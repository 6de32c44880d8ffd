//! Ports for servers that are stopped and started again.
//!
//! Invariants: a port given out here is not one that the system picks for an outgoing connection,
//! and no other test gets it while the value that stands for it lives. The ports that `bind` gives
//! for 0 are of the first sort: while a member of an ensemble is down, some client's socket could
//! take its place, and the member could not come back.

use std::fs;
use std::net::{TcpListener, UdpSocket};
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
