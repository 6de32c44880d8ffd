//! A Java follower that serves an observer, played again with ours in its place: it must send both
//! its leader and its observer the very packets that Java sent. Pings aside, which come by time and
//! carry what the server beside this crate knows.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use ox_jute::Jute;
use ox_proto::{
    EnsembleConfig, MemberRole, Notification, PacketType, PeerState, QuorumPacket, ServerId, Zxid,
};
use ox_zab::{
    DiskDone, DiskRequest, ElectionTiming, Epochs, History, Input, LeaderSettings, LinkId,
    Membership, ObserverSettings, Output, Peer, ZabSettings,
};

const FOLLOWER: ServerId = ServerId(1);
const LEADER: ServerId = ServerId(2);

/// The connection to the leader, and the one of the observer.
const UP: LinkId = LinkId(1);
const DOWN: LinkId = LinkId(2);

/// One direction of a connection.
struct Stream {
    bytes: Vec<u8>,
    /// How far it has been played.
    at: usize,
}

impl Stream {
    fn read(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let text = std::fs::read_to_string(folder.join(format!("{name}.hex"))).unwrap();
        let bytes = hex::decode(text.replace('\n', "")).unwrap();
        Self { bytes, at: 0 }
    }

    /// The packets from where it stands up to a byte.
    fn up_to(&mut self, end: usize) -> Vec<QuorumPacket> {
        let packets = packets(&self.bytes[self.at..end]);
        self.at = end;
        packets
    }
}

fn packets(mut bytes: &[u8]) -> Vec<QuorumPacket> {
    let mut packets = Vec::new();
    while !bytes.is_empty() {
        let (packet, length) = QuorumPacket::parse(bytes, 1 << 20).unwrap().unwrap();
        packets.push(packet);
        bytes = &bytes[length..];
    }
    packets
}

fn encoded(packets: &[QuorumPacket]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for packet in packets {
        if packet.r#type != PacketType::Ping {
            packet.encode(&mut bytes);
        }
    }
    bytes
}

/// Our server in the place of the follower.
struct Follower {
    peer: Peer,
    /// What the leader and the observer say.
    leader: Stream,
    observer: Stream,
    /// What it has sent them.
    sent_up: Vec<QuorumPacket>,
    sent_down: Vec<QuorumPacket>,
    states: usize,
}

impl Follower {
    /// It has elected the leader and is connected to it.
    fn connected() -> Self {
        let leader = Stream::read("008-learner-1-to-2.s2c");
        let text = packets(&leader.bytes[44..199])[0].data.clone().unwrap();
        let config = EnsembleConfig::parse(std::str::from_utf8(&text).unwrap()).unwrap();
        let config = Arc::new(config);
        let settings = ZabSettings {
            reconfig: None,
            own: FOLLOWER,
            tick_ms: 1000,
            init_limit: 10,
            sync_limit: 5,
            // Java's had a log that did not reach back to the beginning.
            force_snapshot_sync: true,
            leader: LeaderSettings::default(),
            observers: ObserverSettings {
                master_limit: Some(1 << 20),
                ..ObserverSettings::default()
            },
            max_record: 1 << 20,
        };
        let membership = Membership {
            proposed: None,
            role: MemberRole::Participant,
            config,
            epochs: Epochs {
                accepted: 0,
                current: Some(0),
            },
            timing: ElectionTiming::default(),
        };
        let mut follower = Self {
            peer: Peer::member(settings, membership, History::new(Zxid::ZERO, 500)),
            leader,
            observer: Stream::read("016-learner-4-to-om.c2s"),
            sent_up: Vec::new(),
            sent_down: Vec::new(),
            states: 0,
        };
        follower.peer.start(0);
        let notification = Notification {
            state: Some(PeerState::Looking),
            leader: LEADER,
            zxid: Zxid::ZERO,
            election_epoch: 1,
            peer_epoch: 0,
            version: Notification::VERSION,
            config: None,
        };
        let from = LEADER;
        follower.input(Input::Notification { from, notification });
        let (server, link) = (LEADER, Some(UP));
        follower.input(Input::Dialed { server, link });
        follower
    }

    fn input(&mut self, input: Input) {
        self.peer.handle(0, input);
        self.perform();
    }

    fn perform(&mut self) {
        while let Some(output) = self.peer.poll_output() {
            match output {
                Output::Send { link: UP, packet } => self.sent_up.push(packet),
                Output::Send { link: DOWN, packet } => self.sent_down.push(packet),
                Output::SendState { link: DOWN } => self.states += 1,
                Output::Append { record, .. } => {
                    self.peer.handle(0, Input::Flushed(record.header.zxid));
                }
                Output::Disk(request) => {
                    let done = match request {
                        DiskRequest::AcceptEpoch(epoch) => DiskDone::EpochAccepted(epoch),
                        DiskRequest::AnnounceEpoch(epoch) => DiskDone::EpochAnnounced(epoch),
                        DiskRequest::EnterEpoch(epoch) => DiskDone::EpochEntered(epoch),
                        other => panic!("nothing calls for {other:?}"),
                    };
                    self.peer.handle(0, Input::Done(done));
                }
                _ => {}
            }
        }
    }

    /// The leader has sent what its stream holds up to a byte.
    fn leader(&mut self, end: usize) {
        for packet in self.leader.up_to(end) {
            self.input(Input::Received { link: UP, packet });
        }
    }

    /// The observer has.
    fn observer(&mut self, end: usize) {
        for packet in self.observer.up_to(end) {
            self.input(Input::Received { link: DOWN, packet });
        }
    }

    /// The follower's own client has asked for what stands there in its stream.
    fn client(&mut self, place: Range<usize>) {
        let stream = Stream::read("008-learner-1-to-2.c2s");
        for packet in packets(&stream.bytes[place]) {
            self.peer.send_to_leader(0, packet);
        }
        self.perform();
    }
}

#[test]
fn leader_and_observer_are_sent_what_java_sent_them() {
    let mut follower = Follower::connected();
    follower.leader(219);
    follower.client(124..164);
    follower.leader(327);
    follower.client(184..281);
    follower.leader(454);

    follower.input(Input::AcceptedObserver { link: DOWN });
    follower.observer(104);
    assert_eq!(follower.states, 1);

    // A session of the observer's, a write and a sync.
    follower.observer(184);
    follower.leader(602);
    follower.observer(281);
    follower.leader(749);
    follower.observer(341);
    follower.leader(769);
    // A write of the follower's own client.
    follower.client(642..739);
    follower.leader(896);
    // The session of that client moves to the observer.
    follower.observer(445);
    follower.leader(965);

    follower.input(Input::Closed { link: DOWN });
    follower.leader(1373);

    let up = Stream::read("008-learner-1-to-2.c2s").up_to(1299);
    assert_eq!(
        hex::encode(encoded(&follower.sent_up)),
        hex::encode(encoded(&up))
    );
    let mut down = Stream::read("016-learner-4-to-om.s2c");
    let mut expected = down.up_to(44);
    // The state stands here, which is no packet.
    down.at = 714;
    expected.extend(down.up_to(1360));
    assert_eq!(
        hex::encode(encoded(&follower.sent_down)),
        hex::encode(encoded(&expected))
    );
}
