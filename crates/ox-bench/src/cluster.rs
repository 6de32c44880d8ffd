//! Servers of one kind that serve together: one alone, or an ensemble on this machine.

use std::fmt::Write as _;
use std::path::Path;

use ox_client::Servers;

use crate::Error;
use crate::load::{CONNECTIONS, rate};
use crate::server::{Home, Kind, Server, free_ports};

/// Running servers; they end with this, and their data goes with them.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// By id, from 1.
    servers: Vec<Server>,
    /// Which of them leads; `None` if there is one alone.
    leader: Option<usize>,
    // Behind the servers, which are to be gone before their folders.
    _homes: Vec<Home>,
}

impl Cluster {
    /// Starts `size` fresh servers.
    ///
    /// Of more than one the last leads, of either kind and in every round: of servers without
    /// history the highest id wins, and the highest ids are started first.
    pub(crate) fn start(kind: &Kind, size: usize, data: &Path) -> Result<Self, Error> {
        let homes = (0..size).map(|_| Home::new(kind, data));
        let homes = homes.collect::<Result<Vec<_>, _>>()?;
        if let [home] = &homes[..] {
            let (server, _) = home.start(&[])?;
            return Ok(Self {
                servers: vec![server],
                leader: None,
                _homes: homes,
            });
        }
        let ports = free_ports(3 * size)?;
        let (clients, peers) = ports.split_at(size);
        let lines = ensemble_lines(peers);
        let mut members = Vec::new();
        let last_of_quorum = size - size / 2 - 1;
        for (place, (home, &port)) in homes.iter().zip(clients).enumerate().rev() {
            home.become_member(place + 1)?;
            members.push((place, home.launch(port, &lines, &[])?));
            if place <= last_of_quorum {
                for (_, server) in &mut members {
                    server.wait_until_serving()?;
                }
            }
        }
        members.reverse();
        let mut leader = None;
        let mut servers = Vec::new();
        for (place, mut server) in members {
            if server.wait_until_serving()? == "leader" {
                leader = Some(place);
            }
            servers.push(server);
        }
        Ok(Self {
            servers,
            leader,
            _homes: homes,
        })
    }

    /// All of them.
    pub(crate) fn servers(&self) -> Servers {
        Servers {
            hosts: self
                .servers
                .iter()
                .map(|server| server.address().to_string())
                .collect(),
            chroot: String::new(),
        }
    }

    /// Which of how many servers leads, and how many connections each has.
    pub(crate) fn describe(&self) -> String {
        let each: Vec<_> = connections_of_each(self.servers.len())
            .map(|count| count.to_string())
            .collect();
        let leader = self.leader.map_or_else(
            || "nobody leads".to_owned(),
            |place| format!("server {} leads", place + 1),
        );
        format!("{leader}; connections to each: {}", each.join(" + "))
    }

    /// CPU seconds used so far by all of them.
    pub(crate) fn cpu_seconds(&self) -> Result<f64, Error> {
        self.servers.iter().map(Server::cpu_seconds).sum()
    }

    /// MiB that all of them have in memory; pages that they share are counted for each.
    pub(crate) fn rss_mib(&self) -> Result<f64, Error> {
        let bytes = self.servers.iter().map(|server| server.memory("VmRSS"));
        Ok(rate(bytes.sum::<Result<u64, _>>()?, 1024.0 * 1024.0))
    }

    /// Asks all to end, and waits for them.
    pub(crate) fn stop(self) -> Result<(), Error> {
        self.servers.into_iter().try_for_each(Server::stop)
    }
}

/// How many connections go to each of so many servers, if connection N goes to server N modulo
/// that.
fn connections_of_each(servers: usize) -> impl Iterator<Item = usize> {
    let connections = usize::try_from(CONNECTIONS).unwrap_or(usize::MAX);
    (0..servers).map(move |server| (connections + servers - 1 - server) / servers)
}

/// The part of a zoo.cfg that all members have in common; `ports` are a quorum port and an
/// election port of each.
fn ensemble_lines(ports: &[u16]) -> String {
    let mut lines = "initLimit=10\nsyncLimit=5\n".to_owned();
    for (place, ports) in ports.chunks_exact(2).enumerate() {
        // Writing to a string does not fail.
        let _ = writeln!(
            lines,
            "server.{}=127.0.0.1:{}:{}",
            place + 1,
            ports[0],
            ports[1]
        );
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_connections_are_spread_as_evenly_as_can_be() {
        let each = |servers| connections_of_each(servers).collect::<Vec<_>>();
        assert_eq!(each(1), [16]);
        assert_eq!(each(3), [6, 5, 5]);
    }

    #[test]
    fn each_member_is_listed_with_both_its_ports() {
        let lines = ensemble_lines(&[1, 2, 3, 4]);
        assert!(lines.ends_with("server.1=127.0.0.1:1:2\nserver.2=127.0.0.1:3:4\n"));
    }
}
