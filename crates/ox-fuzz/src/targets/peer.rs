//! A member of an ensemble whose peers say anything, in any order.
//!
//! The input is a script: a byte for what happens, and bytes for its numbers, which are small so
//! that they meet each other. The driver keeps to its side: the disk does things in order, a state
//! comes only behind a SNAP. Whatever the peers say, the member commits in order.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use ox_proto::{
    EnsembleConfig, ErrorTxn, LearnerInfo, Member, MemberRole, Notification, OpCode, PacketType,
    PeerAddress, PeerState, QuorumPacket, ReconfigRules, ServerId, SessionId, Txn, TxnHeader,
    TxnRecord, Zxid,
};
use ox_zab::{
    DiskDone, DiskRequest, ElectionTiming, Epochs, History, Input, LeaderSettings, LinkId,
    LogSearch, Membership, ObserverSettings, Output, Peer, ZabSettings,
};

use super::MAX_RECORD;
use crate::engine::Target;

pub(super) const TARGET: Target = Target {
    name: "peer",
    run,
    memory: (2 << 20, 4096),
    longest: 2048,
    words: &[
        // Votes of both others for us, or for another; what a learner and a leader say first.
        b"\0\x03\0\x02\0\x01\0\0\x01\0\x02\0\x01\0",
        b"\0\x03\0\x03\0\x01\0\0\x03\0\x03\0\x01\0",
        b"\x01\x02\x0a\0\0\x01\x01",
        b"\x02\x10\x01\x00\0",
        b"\x02\x11\x01\x00\0",
        b"\x02\x0c\x01\x01\0\x02\x09\x01\x00\0\x02\x0b\x01\x00\0",
        b"\x02\x01\x01\x01\x03",
        b"\x02\x02\x01\x01\0",
        b"\x02\x03\x01\x01\0",
        b"\x07\x09",
    ],
    short: 3000,
};

const OWN: i64 = 2;
const VOTERS: i64 = 3;

/// Packets of a leader and of a learner, by the second byte.
const TYPES: [i32; 20] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 99,
];

fn run(bytes: &[u8]) {
    let mut driver = Driver::new(bytes);
    while let Some(what) = driver.byte() {
        driver.happen(what);
    }
}

/// What the disk has been asked for and has not done.
enum Disk {
    Append(Zxid),
    Request(DiskRequest),
}

struct Driver<'a> {
    script: &'a [u8],
    peer: Peer,
    now: i64,
    links: Vec<LinkId>,
    /// Links that we dialed, by which a leader speaks.
    dialed: Vec<LinkId>,
    next_link: u64,
    disk: VecDeque<Disk>,
    /// Answers to outputs, given when the peer has nothing more to say.
    answers: VecDeque<Input>,
    /// The link on which a state is due, behind the SNAP that was the last packet.
    state_due: Option<LinkId>,
    committed: Zxid,
    serves: bool,
}

impl<'a> Driver<'a> {
    fn new(script: &'a [u8]) -> Self {
        let mut driver = Self {
            script,
            peer: member(),
            now: 0,
            links: Vec::new(),
            dialed: Vec::new(),
            next_link: 0,
            disk: VecDeque::new(),
            answers: VecDeque::new(),
            state_due: None,
            committed: Zxid::ZERO,
            serves: false,
        };
        driver.peer.start(0);
        driver.perform();
        driver
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.script.split_first()?;
        self.script = rest;
        Some(*first)
    }

    fn number(&mut self) -> i64 {
        i64::from(self.byte().unwrap_or_default())
    }

    /// Small, or at an extreme.
    fn zxid(&mut self) -> Zxid {
        let (epoch, counter) = (self.number(), self.number());
        match (epoch, counter) {
            (255, counter) => Zxid(-counter),
            (254, counter) => Zxid(i64::MAX - counter),
            (epoch, 255) => Zxid((epoch << 32) + 0xffff_ffff),
            (epoch, counter) => Zxid((epoch << 32) + counter),
        }
    }

    fn happen(&mut self, what: u8) {
        if let Some(link) = self.state_due.take() {
            // What follows a SNAP is the state, or the end of the connection.
            let input = match what & 1 {
                0 => Input::Replaced { link },
                _ => self.closed(link),
            };
            return self.handle(input);
        }
        match what % 10 {
            0 => {
                let input = self.vote();
                self.handle(input);
            }
            1 => {
                let link = self.new_link();
                self.handle(Input::Accepted { link });
            }
            2 => self.packet(),
            3 => {
                if let Some(link) = self.some_link() {
                    let input = self.closed(link);
                    self.handle(input);
                }
            }
            4 => {
                let due = self.peer.poll_timeout();
                if due < i64::MAX {
                    self.now = due.max(self.now);
                    let delivered = what < 128;
                    self.handle(Input::Timeout { delivered });
                }
            }
            5 => {
                let server = ServerId(self.number() % 5);
                self.handle(Input::Silenced { server });
            }
            6 => self.disk_does(1),
            7 => self.disk_does(usize::MAX),
            8 => {
                self.now += self.number() * 100;
            }
            _ => {
                if let Some(zxid) = self.peer.next_zxid().filter(|_| self.serves) {
                    // What a leader proposes it logs itself.
                    self.disk.push_back(Disk::Append(zxid));
                    self.peer.propose(self.now, zxid, payload(zxid));
                    self.perform();
                }
            }
        }
    }

    fn vote(&mut self) -> Input {
        let from = ServerId(self.number() % 5);
        let state = PeerState::from_code(self.byte().map_or(0, |code| i32::from(code % 5)));
        let leader = match self.number() {
            255 => ServerId(i64::MIN),
            leader => ServerId(leader % 5),
        };
        let extreme = |number: i64| match number {
            255 => -1,
            254 => i64::MIN,
            253 => i64::MAX,
            number => number,
        };
        let (zxid, epoch, round) = (self.zxid(), self.number(), self.number());
        let notification = Notification {
            state,
            leader,
            zxid,
            election_epoch: extreme(round),
            peer_epoch: extreme(epoch),
            version: 2,
            config: None,
        };
        Input::Notification { from, notification }
    }

    fn packet(&mut self) {
        let r#type = TYPES[usize::from(self.byte().unwrap_or_default()) % TYPES.len()];
        let r#type = PacketType::from_code(r#type);
        let Some(link) = self.some_link() else {
            return;
        };
        let zxid = self.zxid();
        let data = self.data(zxid);
        let mut packet = QuorumPacket::bare(r#type, zxid);
        packet.data = data;
        let is_state = r#type == PacketType::Snap && self.dialed.contains(&link);
        self.handle(Input::Received { link, packet });
        if is_state && self.links.contains(&link) {
            self.state_due = Some(link);
        }
    }

    fn data(&mut self, zxid: Zxid) -> Option<Bytes> {
        Some(match self.number() % 6 {
            0 => return None,
            1 => {
                let info = LearnerInfo {
                    server: ServerId(self.number() % 5),
                    protocol_version: LearnerInfo::PROTOCOL,
                    config_version: 0,
                };
                info.to_bytes().into()
            }
            2 => {
                let epoch = self.byte().unwrap_or_default();
                Bytes::copy_from_slice(&[0, 0, 0, epoch])
            }
            3 => payload(zxid),
            4 => Bytes::copy_from_slice(&LearnerInfo::PROTOCOL.to_be_bytes()),
            _ => {
                let count = usize::try_from(self.number() % 64).unwrap_or(0);
                let (data, rest) = self.script.split_at(count.min(self.script.len()));
                self.script = rest;
                Bytes::copy_from_slice(data)
            }
        })
    }

    fn new_link(&mut self) -> LinkId {
        self.next_link += 1;
        let link = LinkId(self.next_link);
        self.links.push(link);
        link
    }

    fn some_link(&mut self) -> Option<LinkId> {
        let number = usize::try_from(self.number()).unwrap_or(0);
        let count = self.links.len();
        (0 < count).then(|| self.links[number % count])
    }

    fn closed(&mut self, link: LinkId) -> Input {
        self.links.retain(|other| *other != link);
        Input::Closed { link }
    }

    fn disk_does(&mut self, most: usize) {
        for _ in 0..most {
            let Some(next) = self.disk.pop_front() else {
                return;
            };
            self.handle(match next {
                Disk::Append(zxid) => Input::Flushed(zxid),
                Disk::Request(request) => Input::Done(done(request, &self.peer)),
            });
        }
    }

    fn handle(&mut self, input: Input) {
        self.peer.handle(self.now, input);
        self.perform();
        while let Some(answer) = self.answers.pop_front() {
            self.peer.handle(self.now, answer);
            self.perform();
        }
    }

    fn perform(&mut self) {
        while let Some(output) = self.peer.poll_output() {
            match output {
                Output::Dial { server } | Output::DialMaster { server } => {
                    let link = self.new_link();
                    self.dialed.push(link);
                    let link = Some(link);
                    self.answers.push_back(Input::Dialed { server, link });
                }
                Output::Search { link, .. } => {
                    let found = LogSearch::Unusable;
                    self.answers.push_back(Input::Found { link, found });
                }
                Output::Close { link } => {
                    self.links.retain(|other| *other != link);
                    self.answers.retain(|answer| {
                        !matches!(answer, Input::Found { link: other, .. } if *other == link)
                    });
                }
                Output::Append { record, .. } => {
                    self.disk.push_back(Disk::Append(record.header.zxid));
                }
                Output::Disk(request) => {
                    if !matches!(
                        request,
                        DiskRequest::AcceptEpoch(_)
                            | DiskRequest::AnnounceEpoch(_)
                            | DiskRequest::EnterEpoch(_)
                            | DiskRequest::NoteConfig(_)
                            | DiskRequest::EnterConfig(_)
                    ) {
                        // The database is another one from here on.
                        self.committed = Zxid::ZERO;
                    }
                    self.disk.push_back(Disk::Request(request));
                }
                Output::Commit(zxid) => {
                    assert!(self.committed < zxid, "{zxid} behind {}", self.committed);
                    self.committed = zxid;
                }
                Output::Serve { role, .. } => self.serves = role == ox_zab::Role::Leading,
                Output::Retire => self.serves = false,
                _ => {}
            }
        }
    }
}

fn done(request: DiskRequest, peer: &Peer) -> DiskDone {
    match request {
        DiskRequest::AcceptEpoch(epoch) => DiskDone::EpochAccepted(epoch),
        DiskRequest::AnnounceEpoch(epoch) => DiskDone::EpochAnnounced(epoch),
        DiskRequest::EnterEpoch(epoch) => DiskDone::EpochEntered(epoch),
        DiskRequest::Truncate { to, .. } => DiskDone::Truncated { last: to },
        DiskRequest::NoteConfig(_) | DiskRequest::EnterConfig(_) => DiskDone::ConfigKept,
        DiskRequest::Install => DiskDone::Installed {
            last: peer.history().last(),
        },
        DiskRequest::Reload => DiskDone::Reloaded {
            last: peer.history().last(),
        },
    }
}

fn member() -> Peer {
    let member = |id: i64| Member {
        role: match id <= VOTERS {
            true => MemberRole::Participant,
            false => MemberRole::Observer,
        },
        addresses: vec![PeerAddress {
            host: "127.0.0.1".to_owned(),
            quorum_port: 1,
            election_port: 2,
        }],
        client: None,
    };
    let members = (1..=VOTERS + 1).map(|id| (ServerId(id), member(id)));
    let config = Arc::new(EnsembleConfig {
        members: members.collect(),
        ..EnsembleConfig::default()
    });
    let settings = ZabSettings {
        reconfig: Some(ReconfigRules {
            standalone_enabled: false,
            several_addresses: false,
        }),
        own: ServerId(OWN),
        tick_ms: 1000,
        init_limit: 10,
        sync_limit: 5,
        force_snapshot_sync: false,
        leader: LeaderSettings::default(),
        observers: ObserverSettings::default(),
        max_record: MAX_RECORD,
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
    Peer::member(settings, membership, History::new(Zxid::ZERO, 500))
}

/// A transaction that changes nothing.
fn payload(zxid: Zxid) -> Bytes {
    let record = TxnRecord {
        header: TxnHeader {
            client_id: SessionId(1),
            cxid: 0,
            zxid,
            time: 0,
            op: OpCode::Error,
        },
        txn: Txn::Error(ErrorTxn { err: -101 }),
        digest: None,
    };
    let mut payload = Vec::new();
    record.encode(&mut payload);
    payload.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the script leads to: the last zxid committed, and the state.
    #[track_caller]
    fn check(script: &[u8], committed: i64, state: PeerState) {
        let mut driver = Driver::new(script);
        while let Some(what) = driver.byte() {
            driver.happen(what);
        }
        let found = (driver.committed.0, driver.peer.state());
        assert_eq!(found, (committed, state));
    }

    #[test]
    fn the_corpus_leads_far() {
        let leads = include_bytes!("../../corpus/peer/leads");
        check(leads, (1 << 32) + 2, PeerState::Leading);
        let follows = include_bytes!("../../corpus/peer/follows");
        check(follows, (1 << 32) + 2, PeerState::Following);
    }
}
