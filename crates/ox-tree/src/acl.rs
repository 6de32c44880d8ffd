//! Who may do what: the permission check, and what getACL hides.
//!
//! Source: `PrepRequestProcessor.checkACL`, `IPAuthenticationProvider`; client-protocol.md 9.1,
//! 9.4 and 9.5. The bits are [`Acl::READ`] and its neighbours.

use std::net::{Ipv4Addr, Ipv6Addr};

use ox_proto::{Acl, Id};

/// True if somebody with these ids may do what any bit of `perm_mask` stands for. An empty list
/// grants everything, as does an id of the scheme `super`.
pub fn permits(acl: &[Acl], perm_mask: i32, ids: &[Id]) -> bool {
    acl.is_empty()
        || acl
            .iter()
            .any(|entry| entry.perms & perm_mask != 0 && is_for(&entry.id, ids))
        || ids.iter().any(|id| id.scheme == "super")
}

fn is_for(wanted: &Id, ids: &[Id]) -> bool {
    (wanted.scheme == "world" && wanted.id == "anyone")
        || ids
            .iter()
            .any(|id| id.scheme == wanted.scheme && matches(wanted, &id.id))
}

fn matches(wanted: &Id, id: &str) -> bool {
    match wanted.scheme.as_str() {
        "ip" => matches_address(&wanted.id, id),
        "sasl" => id == wanted.id || id == "super",
        _ => id == wanted.id,
    }
}

/// True if `id` may stand in an acl under the scheme `ip`: an address, or one with the number of
/// its leading bits that count.
pub fn is_ip_id(id: &str) -> bool {
    Network::parse(id).is_some()
}

fn matches_address(wanted: &str, address: &str) -> bool {
    match (Network::parse(wanted), Address::parse(address)) {
        (Some(network), Some(address)) => network.contains(address),
        _ => false,
    }
}

/// An address as its bits, counted from the top.
#[derive(Clone, Copy, PartialEq)]
enum Address {
    V4(u32),
    V6(u128),
}

impl Address {
    fn parse(text: &str) -> Option<Self> {
        if !text.contains(':') {
            return parse_v4(text).map(|address| Self::V4(address.to_bits()));
        }
        // Dotted notation within an IPv6 address is not accepted.
        let address: Ipv6Addr = (!text.contains('.')).then(|| text.parse().ok())??;
        Some(Self::V6(address.to_bits()))
    }

    fn len(self) -> u32 {
        match self {
            Self::V4(_) => u32::BITS,
            Self::V6(_) => u128::BITS,
        }
    }

    /// The address with all but its first `len` bits cleared.
    fn prefix(self, len: u32) -> Self {
        match self {
            Self::V4(bits) => Self::V4(bits & u32::MAX.checked_shl(32 - len).unwrap_or(0)),
            Self::V6(bits) => Self::V6(bits & u128::MAX.checked_shl(128 - len).unwrap_or(0)),
        }
    }
}

/// Four decimal numbers. Java reads each as an int, so zeros and a plus sign may lead.
fn parse_v4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        *octet = parts.next()?.parse().ok()?;
    }
    parts.next().is_none().then(|| octets.into())
}

struct Network {
    address: Address,
    prefix_len: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix_len) = match text.split_once('/') {
            Some((address, len)) => (Address::parse(address)?, len.parse().ok()?),
            None => {
                let address = Address::parse(text)?;
                (address, address.len())
            }
        };
        (prefix_len <= address.len()).then_some(Self {
            address,
            prefix_len,
        })
    }

    /// The families never match each other.
    fn contains(&self, address: Address) -> bool {
        address.len() == self.address.len()
            && address.prefix(self.prefix_len) == self.address.prefix(self.prefix_len)
    }
}

/// The list as somebody sees it who may read the znode but not administer it: of a digest id
/// only the user is told.
pub fn masked(acl: &[Acl]) -> Vec<Acl> {
    let mut acl = acl.to_vec();
    for entry in acl.iter_mut().filter(|entry| entry.id.scheme == "digest") {
        if let Some(end) = entry.id.id.find(':') {
            entry.id.id.replace_range(end.., ":x");
        }
    }
    acl
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(perms: i32, scheme: &str, id: &str) -> Acl {
        Acl {
            perms,
            id: Id::new(scheme, id),
        }
    }

    #[track_caller]
    fn check(acl: &[(i32, &str, &str)], mask: i32, ids: &[(&str, &str)], expected: bool) {
        let acl: Vec<Acl> = acl
            .iter()
            .map(|(p, scheme, id)| entry(*p, scheme, id))
            .collect();
        let ids: Vec<Id> = ids
            .iter()
            .map(|(scheme, id)| Id::new(*scheme, *id))
            .collect();
        assert_eq!(
            permits(&acl, mask, &ids),
            expected,
            "{acl:?} {mask} {ids:?}"
        );
    }

    #[track_caller]
    fn check_ip(wanted: &str, address: &str, expected: bool) {
        check(
            &[(31, "ip", wanted)],
            Acl::READ,
            &[("ip", address)],
            expected,
        );
    }

    #[test]
    fn the_world_needs_no_id() {
        check(&[(1, "world", "anyone")], Acl::READ, &[], true);
        check(
            &[(1, "world", "anyone")],
            Acl::WRITE,
            &[("ip", "127.0.0.1")],
            false,
        );
        check(
            &[(1, "world", "someone")],
            Acl::READ,
            &[("ip", "127.0.0.1")],
            false,
        );
    }

    #[test]
    fn an_empty_list_and_super_allow_everything() {
        check(&[], Acl::ADMIN, &[], true);
        check(&[(0, "digest", "u:h")], Acl::ADMIN, &[("super", "")], true);
        check(
            &[(31, "super", "")],
            Acl::ADMIN,
            &[("digest", "super")],
            false,
        );
    }

    #[test]
    fn any_bit_of_the_mask_is_enough() {
        let acl = &[(16, "digest", "u:h"), (1, "world", "anyone")];
        check(acl, Acl::READ | Acl::ADMIN, &[], true);
        check(acl, Acl::ADMIN, &[], false);
        check(acl, Acl::ADMIN, &[("digest", "u:h")], true);
        check(acl, Acl::WRITE, &[("digest", "u:h")], false);
    }

    #[test]
    fn scheme_and_id_must_be_equal() {
        check(
            &[(31, "digest", "u:h")],
            Acl::READ,
            &[("digest", "u:g")],
            false,
        );
        check(
            &[(31, "digest", "u:h")],
            Acl::READ,
            &[("x509", "u:h")],
            false,
        );
        check(
            &[(31, "x509", "CN=a")],
            Acl::READ,
            &[("ip", "1.2.3.4"), ("x509", "CN=a")],
            true,
        );
        check(
            &[(31, "sasl", "kim")],
            Acl::READ,
            &[("sasl", "super")],
            true,
        );
    }

    #[test]
    fn addresses_match_after_masking_within_their_family() {
        check_ip("127.0.0.1", "127.0.0.1", true);
        check_ip("127.0.0.1", "127.0.0.2", false);
        check_ip("10.1.0.0/16", "10.1.255.3", true);
        check_ip("10.1.0.0/16", "10.2.255.3", false);
        check_ip("10.1.2.255/25", "10.1.2.129", true);
        check_ip("10.1.2.255/25", "10.1.2.127", false);
        check_ip("0.0.0.0/0", "8.8.8.8", true);
        check_ip("0.0.0.0/0", "0:0:0:0:0:0:0:1", false);
        check_ip("::/0", "0:0:0:0:0:0:0:1", true);
        check_ip("::/0", "127.0.0.1", false);
        check_ip("2001:db8::/33", "2001:db8:0:0:0:0:0:1", true);
        check_ip("2001:db8::/33", "2001:db8:8000:0:0:0:0:1", false);
        check_ip("fe80::1", "fe80:0:0:0:0:0:0:1%eth0", false);
        check_ip("nonsense", "nonsense", false);
    }

    #[test]
    fn an_ip_id_is_an_address_and_maybe_a_number_of_bits() {
        for id in [
            "1.2.3.4",
            "+1.002.3.4",
            "1.2.3.4/32",
            "1.2.3.4/0",
            "::1",
            "2001:db8::/128",
        ] {
            assert!(is_ip_id(id), "{id}");
        }
        for id in [
            "127.1",
            "1.2.3.4.5",
            "1.2.3.256",
            "1.2.3.4/",
            "1.2.3.4/33",
            "1.2.3.4/-1",
            "host",
            "",
            "::1/129",
            "::ffff:1.2.3.4",
            "1.2.3.-4",
        ] {
            assert!(!is_ip_id(id), "{id}");
        }
    }

    #[test]
    fn only_the_user_of_a_digest_is_told() {
        let acl = [
            entry(31, "digest", "u:h:h"),
            entry(1, "ip", "::1"),
            entry(1, "digest", "odd"),
        ];
        let expected = [entry(31, "digest", "u:x"), acl[1].clone(), acl[2].clone()];
        assert_eq!(masked(&acl), expected);
    }
}
