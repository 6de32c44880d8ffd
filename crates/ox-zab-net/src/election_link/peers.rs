//! What the mesh knows of each server: its connection, the message that waits for it, the attempt
//! to reach it.
//!
//! Invariant: of each server there is at most one connection and one attempt, and the connection
//! that is kept was dialed by the larger id. Servers that no configuration names are bounded in
//! number. No IO; the caller dials and closes. Source: `QuorumCnxManager.java`; quorum.md 2.1, 2.3.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ox_proto::{Endpoint, EnsembleConfig, InitialMessage, ServerId};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// So many servers that no configuration names are kept at once: joiners, and whoever claims to be
/// one.
const MAX_STRANGERS: usize = 64;

/// A server that was told to dial has done so after this time, if it is there.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// The id with which observers of old introduced themselves.
const OBSERVER_ID: ServerId = ServerId(i64::MAX);

/// Where to dial a server: one group of addresses after the other, those of a group at once.
pub type Candidates = Vec<Vec<Endpoint>>;

/// The configurations that say where servers are.
#[derive(Clone, Debug)]
pub struct Members {
    /// The last one that was activated.
    pub committed: Arc<EnsembleConfig>,
    /// The last one that was proposed, if it is another.
    pub last_seen: Option<Arc<EnsembleConfig>>,
}

impl Members {
    fn addresses(&self, server: ServerId) -> Candidates {
        let mut candidates: Candidates = Vec::new();
        for config in [Some(&self.committed), self.last_seen.as_ref()] {
            let Some(member) = config.and_then(|config| config.members.get(&server)) else {
                continue;
            };
            let addresses = member.addresses.iter().map(|address| address.election());
            let addresses: Vec<_> = addresses.collect();
            if !candidates.contains(&addresses) {
                candidates.push(addresses);
            }
        }
        candidates
    }

    fn contain(&self, server: ServerId) -> bool {
        [Some(&self.committed), self.last_seen.as_ref()]
            .into_iter()
            .flatten()
            .any(|config| config.members.contains_key(&server))
    }
}

/// What to do with a connection whose initial message has been read.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the one to keep.
    Keep(ServerId),
    /// Close it and dial, if there are addresses: the smaller id must not be the dialer.
    DialBack(ServerId, Option<Candidates>),
    /// It says it is this server.
    Own,
    /// No room for another server that is in no configuration.
    Stranger(ServerId),
}

/// One server.
#[derive(Debug, Default)]
struct Peer {
    /// The newest message, if it has not begun to be sent.
    waiting: Option<Bytes>,
    /// The last message that began to be sent. A new connection begins with it.
    last: Option<Bytes>,
    connection: Option<Connection>,
    /// An attempt to connect is under way.
    dialing: bool,
    /// When it was last told to dial.
    told_at: Option<Instant>,
    /// Where the server asked to be dialed while an attempt was under way already.
    dial_next: Option<Candidates>,
}

#[derive(Debug)]
struct Connection {
    /// Tells connections to one server apart.
    number: u64,
    /// Told of each message that begins to wait.
    wake: Arc<Notify>,
    /// Cancelled when another connection takes its place.
    replaced: CancellationToken,
}

/// A connection's end of what [`Peers`] keeps of it.
#[derive(Debug)]
pub struct Registered {
    /// Whom it is with.
    pub server: ServerId,
    /// Tells connections to one server apart.
    pub number: u64,
    /// Told of each message that begins to wait.
    pub wake: Arc<Notify>,
    /// Cancelled when another connection takes its place.
    pub replaced: CancellationToken,
    /// To be sent before all others.
    pub again: Option<Bytes>,
}

/// All servers.
#[derive(Debug)]
pub struct Peers {
    own: ServerId,
    members: Members,
    peers: BTreeMap<ServerId, Peer>,
    /// The number of the next connection.
    next_number: u64,
    /// The id for the next observer that has none.
    next_observer: i64,
}

impl Peers {
    /// Nobody is connected yet.
    pub fn new(own: ServerId, members: Members) -> Self {
        Self {
            own,
            members,
            peers: BTreeMap::new(),
            next_number: 0,
            next_observer: -1,
        }
    }

    /// Where this server says it can be dialed.
    pub fn own_addresses(&self) -> Vec<Endpoint> {
        let candidates = self.members.addresses(self.own);
        candidates.into_iter().next().unwrap_or_default()
    }

    /// Whether some configuration names a server.
    pub fn is_member(&self, server: ServerId) -> bool {
        self.members.contain(server)
    }

    /// The hosts that a server is known by: those of the configurations, and only for a server that
    /// is in none those that it was dialed at. Where it says that it is proves nothing.
    pub fn hosts(&self, server: ServerId, dialed: &[Endpoint]) -> Vec<String> {
        let configured = self.members.addresses(server).concat();
        let endpoints = match configured.is_empty() {
            true => dialed,
            false => &configured,
        };
        endpoints
            .iter()
            .map(|endpoint| endpoint.host.clone())
            .collect()
    }

    /// Changes where servers are. Connections stay; of those that left, only connections do.
    pub fn set_members(&mut self, members: Members) {
        self.members = members;
        let members = &self.members;
        self.peers.retain(|&server, peer| {
            members.contain(server) || peer.connection.is_some() || peer.dialing
        });
    }

    /// Puts a message in the place of the one that waits. Addresses if the server has to be dialed
    /// for it.
    pub fn put(&mut self, to: ServerId, message: Bytes) -> Option<Candidates> {
        if !self.peers.contains_key(&to) && !self.members.contain(to) {
            // Nowhere to dial it, and it may never come.
            return None;
        }
        let peer = self.peers.entry(to).or_default();
        peer.waiting = Some(message);
        if let Some(connection) = &peer.connection {
            connection.wake.notify_one();
        }
        self.begin_dial(to, None)
    }

    /// The servers to dial so that each that was ever written to has a connection.
    pub fn connect_all(&mut self) -> Vec<(ServerId, Candidates)> {
        let servers: Vec<ServerId> = self.peers.keys().copied().collect();
        let dials = servers.into_iter().filter_map(|server| {
            let candidates = self.begin_dial(server, None)?;
            Some((server, candidates))
        });
        dials.collect()
    }

    /// True if nothing waits for at least one of the servers that were ever written to.
    pub fn delivered(&self) -> bool {
        self.peers.values().any(|peer| peer.waiting.is_none())
    }

    /// Begins an attempt unless there is a connection, or an attempt already, or no address.
    fn begin_dial(&mut self, server: ServerId, at: Option<Candidates>) -> Option<Candidates> {
        let peer = self.peers.entry(server).or_default();
        if peer.connection.is_some() {
            return None;
        }
        if peer.dialing {
            peer.dial_next = at.or(peer.dial_next.take());
            return None;
        }
        let candidates = at.unwrap_or_else(|| self.members.addresses(server));
        peer.dialing = !candidates.is_empty();
        peer.dialing.then_some(candidates)
    }

    /// An attempt ended without a connection to keep. Addresses for another one, if the server has
    /// asked for it meanwhile.
    pub fn dial_failed(&mut self, server: ServerId) -> Option<Candidates> {
        let peer = self.peers.get_mut(&server)?;
        let next = peer.dial_next.take();
        peer.dialing = next.is_some();
        self.forget_stranger(server);
        next
    }

    /// Decides on a connection that was accepted.
    pub fn arrived(&mut self, message: InitialMessage) -> Verdict {
        let InitialMessage {
            mut server,
            addresses,
        } = message;
        if server == OBSERVER_ID {
            server = ServerId(self.next_observer);
            self.next_observer -= 1;
        }
        if server == self.own {
            return Verdict::Own;
        }
        if !self.has_room_for(server) {
            return Verdict::Stranger(server);
        }
        if self.own < server {
            return Verdict::Keep(server);
        }
        // This server may still believe in a connection that is lost on the other side.
        let peer = self.peers.entry(server).or_default();
        if let Some(connection) = peer.connection.take() {
            connection.replaced.cancel();
        }
        let at = (!addresses.is_empty()).then(|| vec![addresses]);
        let candidates = self.begin_dial(server, at);
        self.forget_stranger(server);
        Verdict::DialBack(server, candidates)
    }

    fn has_room_for(&self, server: ServerId) -> bool {
        if self.peers.contains_key(&server) || self.members.contain(server) {
            return true;
        }
        let strangers = self
            .peers
            .keys()
            .filter(|&&peer| !self.members.contain(peer));
        strangers.count() < MAX_STRANGERS
    }

    /// Whether a server is a member to which there is no connection.
    pub fn is_unconnected(&self, server: ServerId) -> bool {
        let peer = self.peers.get(&server);
        self.members.contain(server) && peer.is_none_or(|peer| peer.connection.is_none())
    }

    /// A new connection to keep, in the place of any other to this server.
    pub fn register(&mut self, server: ServerId, dialed: bool) -> Registered {
        let peer = self.peers.entry(server).or_default();
        if dialed {
            peer.dialing = false;
            peer.dial_next = None;
        }
        let connection = Connection {
            number: self.next_number,
            wake: Arc::new(Notify::new()),
            replaced: CancellationToken::new(),
        };
        self.next_number += 1;
        let registered = Registered {
            server,
            number: connection.number,
            wake: Arc::clone(&connection.wake),
            replaced: connection.replaced.clone(),
            again: peer.last.clone().filter(|_| peer.waiting.is_none()),
        };
        if let Some(other) = peer.connection.replace(connection) {
            other.replaced.cancel();
        }
        registered
    }

    /// A larger id has been told to dial.
    pub fn left_to_dial(&mut self, server: ServerId, now: Instant) {
        if let Some(peer) = self.peers.get_mut(&server) {
            peer.told_at = Some(now);
        }
    }

    /// A connection has ended; it may have been replaced before. True if it was a member's only one
    /// and there is no reason to expect another.
    pub fn ended(&mut self, server: ServerId, number: u64, now: Instant) -> bool {
        let Some(peer) = self.peers.get_mut(&server) else {
            return false;
        };
        let ended = peer
            .connection
            .take_if(|connection| connection.number == number);
        // When two dial each other at once, the larger id ends what it has dialed already and, as
        // it was told to, dials again.
        let told = |at| now.saturating_duration_since(at) < ANSWER_TIME;
        let expects_other = peer.dialing || peer.told_at.is_some_and(told);
        self.forget_stranger(server);
        ended.is_some() && !expects_other && self.members.contain(server)
    }

    /// The message to send next on a connection; none for one that was replaced.
    pub fn take(&mut self, server: ServerId, number: u64) -> Option<Bytes> {
        let peer = self.peers.get_mut(&server)?;
        let connection = peer.connection.as_ref()?;
        if connection.number != number {
            return None;
        }
        let message = peer.waiting.take()?;
        peer.last = Some(message.clone());
        Some(message)
    }

    /// Of a server that is in no configuration nothing is kept but its connection.
    fn forget_stranger(&mut self, server: ServerId) {
        if self.members.contain(server) {
            return;
        }
        let idle = |peer: &Peer| peer.connection.is_none() && !peer.dialing;
        if self.peers.get(&server).is_some_and(idle) {
            self.peers.remove(&server);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: ServerId = ServerId(5);
    const SMALLER: ServerId = ServerId(2);
    const LARGER: ServerId = ServerId(7);
    const STRANGER: ServerId = ServerId(3);

    fn peers() -> Peers {
        let text = "server.2=two:1:2\nserver.5=own:1:2|own2:1:2\nserver.7=seven:1:2";
        Peers::new(OWN, members(text, None))
    }

    fn members(committed: &str, last_seen: Option<&str>) -> Members {
        let config = |text| Arc::new(EnsembleConfig::parse(text).unwrap());
        Members {
            committed: config(committed),
            last_seen: last_seen.map(config),
        }
    }

    fn at(host: &str, port: u16) -> Candidates {
        vec![vec![Endpoint::new(host, port)]]
    }

    fn message(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn initial(server: ServerId, addresses: &[Endpoint]) -> InitialMessage {
        InitialMessage {
            server,
            addresses: addresses.to_vec(),
        }
    }

    #[test]
    fn each_send_dials_until_there_is_a_connection_but_only_once_at_a_time() {
        let mut peers = peers();
        assert_eq!(peers.put(LARGER, message("a")), Some(at("seven", 2)));
        assert_eq!(peers.put(LARGER, message("b")), None);
        assert_eq!(peers.dial_failed(LARGER), None);
        assert_eq!(peers.put(LARGER, message("c")), Some(at("seven", 2)));
        peers.register(LARGER, true);
        assert_eq!(peers.put(LARGER, message("d")), None);
        assert_eq!(peers.connect_all(), []);
    }

    #[test]
    fn only_the_newest_message_waits_and_the_last_one_is_sent_again() {
        let mut peers = peers();
        peers.put(SMALLER, message("a"));
        peers.put(SMALLER, message("b"));
        let first = peers.register(SMALLER, true);
        assert_eq!(first.again, None);
        assert_eq!(peers.take(SMALLER, first.number), Some(message("b")));
        assert_eq!(peers.take(SMALLER, first.number), None);
        let second = peers.register(SMALLER, true);
        assert!(first.replaced.is_cancelled());
        assert_eq!(second.again, Some(message("b")));
        peers.put(SMALLER, message("c"));
        assert_eq!(peers.take(SMALLER, first.number), None);
        let third = peers.register(SMALLER, true);
        assert_eq!(third.again, None);
        assert!(!peers.ended(SMALLER, second.number, Instant::now()));
        assert_eq!(peers.take(SMALLER, third.number), Some(message("c")));
        assert!(peers.ended(SMALLER, third.number, Instant::now()));
    }

    #[test]
    fn who_was_told_to_dial_is_not_gone_when_it_ends_what_it_has_dialed_before() {
        let mut peers = peers();
        let told = Instant::now();
        peers.put(LARGER, message("a"));
        // The two have dialed each other at the same time.
        let first = peers.register(LARGER, false);
        assert!(!peers.ended(LARGER, first.number, told));
        peers.left_to_dial(LARGER, told);
        peers.dial_failed(LARGER);
        let second = peers.register(LARGER, false);
        assert!(!peers.ended(LARGER, second.number, told + ANSWER_TIME / 2));
        let third = peers.register(LARGER, false);
        assert!(peers.ended(LARGER, third.number, told + ANSWER_TIME));
    }

    #[test]
    fn something_is_delivered_when_one_queue_is_empty() {
        let mut peers = peers();
        assert!(!peers.delivered());
        peers.put(SMALLER, message("a"));
        peers.put(LARGER, message("a"));
        assert!(!peers.delivered());
        let connection = peers.register(LARGER, true);
        peers.take(LARGER, connection.number);
        assert!(peers.delivered());
    }

    #[test]
    fn a_smaller_id_is_dialed_back_where_it_says_and_else_by_the_configuration() {
        let mut peers = peers();
        let connection = peers.register(SMALLER, true);
        let here = Endpoint::new("here", 9);
        assert_eq!(
            peers.arrived(initial(SMALLER, std::slice::from_ref(&here))),
            Verdict::DialBack(SMALLER, Some(at("here", 9)))
        );
        assert!(connection.replaced.is_cancelled());
        peers.dial_failed(SMALLER);
        assert_eq!(
            peers.arrived(initial(SMALLER, &[])),
            Verdict::DialBack(SMALLER, Some(at("two", 2)))
        );
        // The attempt under way is not given up, but its successor goes where it was asked to.
        assert_eq!(
            peers.arrived(initial(SMALLER, &[here])),
            Verdict::DialBack(SMALLER, None)
        );
        assert_eq!(peers.dial_failed(SMALLER), Some(at("here", 9)));
        assert_eq!(peers.dial_failed(SMALLER), None);
    }

    #[test]
    fn a_larger_id_is_kept_and_the_own_one_is_not() {
        let mut peers = peers();
        assert_eq!(peers.arrived(initial(LARGER, &[])), Verdict::Keep(LARGER));
        assert_eq!(peers.arrived(initial(OWN, &[])), Verdict::Own);
        assert_eq!(
            peers.arrived(initial(OBSERVER_ID, &[Endpoint::new("o", 1)])),
            Verdict::DialBack(ServerId(-1), Some(at("o", 1)))
        );
    }

    #[test]
    fn a_server_is_known_by_what_is_configured_and_not_by_what_it_says() {
        let peers = peers();
        let said = [Endpoint::new("elsewhere", 9)];
        assert_eq!(peers.hosts(LARGER, &said), ["seven"]);
        assert_eq!(peers.hosts(OWN, &[]), ["own", "own2"]);
        assert_eq!(peers.hosts(STRANGER, &said), ["elsewhere"]);
    }

    #[test]
    fn strangers_are_reachable_and_bounded_and_forgotten() {
        let mut peers = peers();
        assert_eq!(peers.put(STRANGER, message("a")), None);
        assert!(peers.peers.is_empty());
        assert_eq!(
            peers.arrived(initial(STRANGER, &[])),
            Verdict::DialBack(STRANGER, None)
        );
        assert!(peers.peers.is_empty());
        let many = i64::try_from(MAX_STRANGERS).unwrap();
        let mut last = None;
        for server in 100..100 + many {
            assert_eq!(
                peers.arrived(initial(ServerId(server), &[])),
                Verdict::Keep(ServerId(server))
            );
            last = Some(peers.register(ServerId(server), false));
        }
        let next = ServerId(1000);
        assert_eq!(peers.arrived(initial(next, &[])), Verdict::Stranger(next));
        assert_eq!(peers.arrived(initial(LARGER, &[])), Verdict::Keep(LARGER));
        let last = last.unwrap();
        assert!(!peers.ended(last.server, last.number, Instant::now()));
        assert_eq!(peers.arrived(initial(next, &[])), Verdict::Keep(next));
    }

    #[test]
    fn addresses_come_from_the_committed_configuration_and_then_from_the_last_seen() {
        let mut peers = peers();
        assert_eq!(
            peers.own_addresses(),
            [Endpoint::new("own", 2), Endpoint::new("own2", 2)]
        );
        peers.put(LARGER, message("a"));
        peers.dial_failed(LARGER);
        peers.set_members(members(
            "server.2=two:1:2",
            Some("server.2=new:1:2\nserver.3=three:1:2"),
        ));
        assert_eq!(
            peers.put(SMALLER, message("a")),
            Some([at("two", 2), at("new", 2)].concat())
        );
        assert_eq!(peers.put(STRANGER, message("a")), Some(at("three", 2)));
        assert_eq!(peers.connect_all(), []);
        assert!(!peers.peers.contains_key(&LARGER));
    }
}
