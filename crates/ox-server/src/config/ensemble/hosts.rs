//! The hosts of the members: names without an address, and addresses that two members share.
//!
//! Invariant: nothing here keeps a server from starting; names are looked up again at each
//! connection.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, ToSocketAddrs};

use ox_proto::ServerId;

use super::super::reader::Reader;
use super::members::Membership;

/// Java takes two servers with one address in a file, though not in a reconfig; then one of them
/// cannot start, or answers for the other.
pub(super) fn given_twice(reader: &mut Reader, membership: &Membership) {
    let mut owners: BTreeMap<(String, u16), ServerId> = BTreeMap::new();
    for (&id, member) in &membership.config.members {
        let mut others = BTreeSet::new();
        for address in &member.addresses {
            for port in [address.quorum_port, address.election_port] {
                let owner = owners
                    .entry((address.host.to_lowercase(), port))
                    .or_insert(id);
                others.extend(Some(*owner).filter(|&owner| owner != id));
            }
        }
        let Some((key, origin)) = membership.line(id) else {
            continue;
        };
        for other in others {
            let text = format!("server.{} has the same host and port", other.0);
            reader.warn(origin.clone(), &key, text);
        }
    }
}

/// Names are looked up all at once, since a name server that does not answer costs seconds each.
pub(super) fn unresolved(reader: &mut Reader, membership: &Membership) {
    let members = membership.config.members.values();
    let hosts: BTreeSet<&str> = members
        .flat_map(|member| &member.addresses)
        .map(|address| address.host.as_str())
        .filter(|host| host.parse::<IpAddr>().is_err())
        .collect();
    let without: BTreeSet<&str> = std::thread::scope(|scope| {
        let lookups: Vec<_> = hosts
            .into_iter()
            .map(|host| (host, scope.spawn(|| is_resolved(host))))
            .collect();
        lookups
            .into_iter()
            .filter_map(|(host, lookup)| match lookup.join() {
                Ok(true) => None,
                Ok(false) | Err(_) => Some(host),
            })
            .collect()
    });
    for (&id, member) in &membership.config.members {
        let Some((key, origin)) = membership.line(id) else {
            continue;
        };
        for address in &member.addresses {
            if without.contains(address.host.as_str()) {
                let host = &address.host;
                let text = format!("{host} cannot be resolved; each connection tries it again");
                reader.warn(origin.clone(), &key, text);
            }
        }
    }
}

fn is_resolved(host: &str) -> bool {
    (host, 0)
        .to_socket_addrs()
        .is_ok_and(|mut found| found.next().is_some())
}
