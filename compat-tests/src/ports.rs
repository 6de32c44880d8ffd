//! Ports for servers that are stopped and started again.
//!
//! Invariant: a port given out here is not one that the system picks for an outgoing connection.
//! The ports that `bind` gives for 0 are such ones: while a member of an ensemble is down, some
//! client's socket could take its place, and the member could not come back.

use std::fs;
use std::net::TcpListener;
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering};

/// Where to look: above the ports of well-known services, below those of outgoing connections.
const LOWEST: u16 = 10_000;

/// Where this process looks next, as an offset.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port that was free a moment ago, and that no outgoing connection will take.
#[track_caller]
pub fn lasting_port() -> u16 {
    let range = lasting();
    // Other test processes look here too: each begins elsewhere.
    let begin = u16::try_from(std::process::id() % 20_000).expect("below 20 000");
    for _ in range.clone() {
        let offset = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = range.start + offset % (range.end - range.start);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port in {range:?}");
}

/// From `LOWEST` to the first port of outgoing connections; on a system that does not say, to the
/// lowest that any common system uses.
fn lasting() -> Range<u16> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first = text.split_whitespace().next();
    let end: u16 = first.and_then(|text| text.parse().ok()).unwrap_or(32_768);
    LOWEST..end.max(LOWEST + 1_000)
}
