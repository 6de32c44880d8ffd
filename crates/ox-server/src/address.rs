//! Addresses as Java writes them, because they stand in acls.
//!
//! Source: `InetAddress.getHostAddress`; client-protocol.md 9.1.

use std::net::{IpAddr, SocketAddr};

/// An IPv4 peer of a dual-stack socket counts as IPv4.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Dotted IPv4, or eight groups without leading zeros and never shortened.
pub(crate) fn text(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let groups = address.segments().map(|group| format!("{group:x}"));
            groups.join(":")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, expected: &str) {
        let address = SocketAddr::new(address.parse().unwrap(), 1);
        assert_eq!(text(canonical(address).ip()), expected);
    }

    #[test]
    fn addresses_are_written_as_java_writes_them() {
        check("127.0.0.1", "127.0.0.1");
        check("::ffff:10.0.0.7", "10.0.0.7");
        check("::1", "0:0:0:0:0:0:0:1");
        check("fe80::a0b:1", "fe80:0:0:0:0:0:a0b:1");
    }
}
