//! What all parts of a world share: time, the queue, the network, the checks, the story.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ox_proto::{
    ClientAddress, EnsembleConfig, Member, MemberRole, PeerAddress, QuorumPacket, SessionId,
};
use ox_zab::LinkId;

use crate::invariants::Invariants;
use crate::net::{ConnId, Dial, Dialer, Net, Piece, Port};
use crate::node::server_of;
use crate::plan::Setup;
use crate::queue::{Event, Place, Queue};
use crate::random::Random;

/// The hash of all that has happened, and the lines of it where they are wanted.
pub(crate) struct Story {
    hash: u64,
    pub(crate) is_told: bool,
    pub(crate) events: u64,
}

impl Story {
    pub(crate) fn new(is_told: bool) -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            is_told,
            events: 0,
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// Something that must come out alike in every run.
    pub(crate) fn mix(&mut self, number: u64) {
        self.hash = (self.hash ^ number)
            .wrapping_mul(0x0100_0000_01b3)
            .rotate_left(29);
    }

    pub(crate) fn mix_bytes(&mut self, bytes: &[u8]) {
        self.mix(ox_check::fingerprint(bytes));
    }

    #[expect(clippy::print_stdout, reason = "the story is for a person to read")]
    pub(crate) fn tell(&self, now: i64, text: impl FnOnce() -> String) {
        if self.is_told {
            println!("{:>12.3} {}", now as f64 / 1000.0, text());
        }
    }

    pub(crate) fn packet(&self, now: i64, place: Place, link: LinkId, packet: &QuorumPacket) {
        self.tell(now, || {
            format!(
                "{place} < link {} {:?} {}",
                link.0, packet.r#type, packet.zxid
            )
        });
    }
}

/// What is shared.
pub(crate) struct Env {
    pub(crate) now: i64,
    pub(crate) queue: Queue,
    pub(crate) net: Net,
    /// How long disks take, and what crashes leave.
    pub(crate) disk: Random,
    pub(crate) setup: Setup,
    /// Who belongs to the ensemble in the beginning.
    pub(crate) config: Arc<EnsembleConfig>,
    pub(crate) invariants: Invariants,
    /// The sessions of those who changed the members.
    pub(crate) operators: BTreeSet<SessionId>,
    pub(crate) story: Story,
    /// How often each kind of fault has really struck.
    pub(crate) struck: BTreeMap<&'static str, u64>,
}

impl Env {
    pub(crate) fn send(&mut self, conn: ConnId, side: usize, bytes: Vec<u8>) {
        self.story.mix_bytes(&bytes);
        self.net
            .send(self.now, conn, side, Piece::Bytes(bytes), &mut self.queue);
    }

    pub(crate) fn close(&mut self, conn: ConnId, side: usize) {
        self.net.close(self.now, conn, side, &mut self.queue);
    }

    /// Begins an attempt to connect.
    pub(crate) fn dial(
        &mut self,
        dialer: Dialer,
        from: usize,
        to: Place,
        port: Port,
        deadline: i64,
    ) {
        let dial = self.net.dials.insert(Dial {
            dialer,
            from,
            to,
            port,
            deadline,
            pause: 200_000,
            result: None,
        });
        let at = self.now + self.net.latency();
        self.queue.push(at, Event::Dial { dial });
    }

    /// What a server is told before it starts for the first time: one that is to join knows itself too.
    pub(crate) fn initial(&self, place: Place) -> Arc<EnsembleConfig> {
        let own = server_of(place);
        if self.config.members.contains_key(&own) {
            return Arc::clone(&self.config);
        }
        let mut config = EnsembleConfig::clone(&self.config);
        config
            .members
            .insert(own, member(place, MemberRole::Participant));
        Arc::new(config)
    }

    pub(crate) fn strike(&mut self, what: &'static str) {
        *self.struck.entry(what).or_default() += 1;
    }
}

/// What a server is known by.
pub(crate) fn member(place: Place, role: MemberRole) -> Member {
    let port = 2000 + 10 * u16::try_from(place).expect("few servers");
    let host = format!("10.0.0.{}", place + 1);
    Member {
        role,
        addresses: vec![PeerAddress {
            host: host.clone(),
            quorum_port: port,
            election_port: port + 1,
        }],
        client: Some(ClientAddress {
            host,
            port: port + 2,
        }),
    }
}
