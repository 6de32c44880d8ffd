//! Members joined by their inputs and outputs: no sockets, disks that are done at once, time that
//! passes when nothing else can happen.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use ox_proto::{
    EnsembleConfig, ErrorTxn, Id, MemberRole, OpCode, PacketType, PeerAddress, PeerState,
    QuorumPacket, ReconfigRules, ServerId, SessionId, SetDataTxn, Txn, TxnHeader, TxnRecord, Zxid,
};
use ox_zab::{
    DiskDone, DiskRequest, ElectionTiming, Epochs, History, Input, LinkId, LogSearch, Membership,
    Output, Peer, Role, ZabSettings,
};

/// How long a connection that cannot be made is tried for.
const DIAL_MS: i64 = 1000;

/// What is on its way to a server.
enum Event {
    Input(Input),
    /// The state of another server, behind a SNAP.
    State {
        link: LinkId,
        applied: Vec<Zxid>,
    },
}

/// A server, and what its driver keeps.
pub(crate) struct Server {
    pub(crate) peer: Peer,
    /// As which it serves, and in which epoch.
    pub(crate) role: Option<(Role, u32)>,
    /// What its database has applied.
    pub(crate) applied: Vec<Zxid>,
    /// The zxid of the newest SNAP that it was sent.
    snap: Zxid,
    /// How often a sync has come through for its own clients.
    pub(crate) synced: usize,
    /// Answers to its own clients' revalidations.
    pub(crate) revalidated: Vec<Bytes>,
    /// Requests that came from its learners, as a leader.
    pub(crate) requests: Vec<(Bytes, Vec<Id>)>,
    /// What pings have told it.
    pub(crate) touched: Vec<u8>,
    /// How often it has begun to elect, in a round of its own.
    pub(crate) elections: usize,
    /// Its disk does nothing more.
    disk_hangs: bool,
    /// What it was asked for meanwhile.
    left: Vec<DiskRequest>,
}

/// One end of a connection: whose, and its name there.
type End = (ServerId, LinkId);

/// Servers and what lies between them.
pub(crate) struct World {
    pub(crate) now: i64,
    pub(crate) servers: BTreeMap<ServerId, Server>,
    due: VecDeque<(ServerId, Event)>,
    later: BTreeMap<(i64, u64), (ServerId, Event)>,
    ends: BTreeMap<End, End>,
    next: u64,
    /// Syncs that wait for [`World::answer_sync`].
    syncs: VecDeque<(ServerId, LinkId)>,
    /// Who cannot dial whom.
    pub(crate) cut: BTreeSet<(ServerId, ServerId)>,
    /// What has come to ends that are no servers.
    received: BTreeMap<End, Vec<QuorumPacket>>,
    closed: BTreeSet<End>,
}

/// The end of a hand-made learner.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hand(End);

/// Voters 1 to `voters`, and so many observers behind them.
pub(crate) fn config(voters: i64, observers: i64) -> Arc<EnsembleConfig> {
    let member = |id: i64| ox_proto::Member {
        role: match id <= voters {
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
    let members = (1..=voters + observers).map(|id| (ServerId(id), member(id)));
    Arc::new(EnsembleConfig {
        members: members.collect(),
        ..EnsembleConfig::default()
    })
}

/// Ticks of a second; ten of them to begin, five to be silent.
pub(crate) fn settings(own: i64) -> ZabSettings {
    ZabSettings {
        reconfig: None,
        own: ServerId(own),
        tick_ms: 1000,
        init_limit: 10,
        sync_limit: 5,
        force_snapshot_sync: false,
        leader: ox_zab::LeaderSettings::default(),
        observers: ox_zab::ObserverSettings::default(),
        max_record: 1 << 20,
    }
}

/// The same where the members may change.
pub(crate) fn changeable(own: i64) -> ZabSettings {
    ZabSettings {
        reconfig: Some(ReconfigRules {
            standalone_enabled: false,
            several_addresses: false,
        }),
        ..settings(own)
    }
}

/// A member with an empty disk. Who is in no configuration is on its way into one.
pub(crate) fn member(settings: ZabSettings, config: &Arc<EnsembleConfig>) -> Peer {
    let own = config.members.get(&settings.own);
    let membership = Membership {
        proposed: None,
        role: own.map_or(MemberRole::Participant, |own| own.role),
        config: Arc::clone(config),
        epochs: Epochs {
            accepted: 0,
            current: Some(0),
        },
        timing: ElectionTiming::default(),
    };
    Peer::member(settings, membership, History::new(Zxid::ZERO, 500))
}

/// A transaction that changes nothing.
pub(crate) fn record(zxid: Zxid, session: i64, cxid: i32) -> (Box<TxnRecord>, Bytes) {
    let record = TxnRecord {
        header: TxnHeader {
            client_id: SessionId(session),
            cxid,
            zxid,
            time: 0,
            op: OpCode::Error,
        },
        txn: Txn::Error(ErrorTxn { err: -101 }),
        digest: None,
    };
    let mut payload = Vec::new();
    record.encode(&mut payload);
    (Box::new(record), payload.into())
}

impl World {
    /// Members that have not begun.
    pub(crate) fn new(peers: impl IntoIterator<Item = (i64, Peer)>) -> Self {
        let mut world = Self {
            now: 0,
            servers: BTreeMap::new(),
            due: VecDeque::new(),
            later: BTreeMap::new(),
            ends: BTreeMap::new(),
            next: 1,
            syncs: VecDeque::new(),
            cut: BTreeSet::new(),
            received: BTreeMap::new(),
            closed: BTreeSet::new(),
        };
        for (id, peer) in peers {
            world.add(id, peer);
        }
        world
    }

    /// One more member that has not begun.
    pub(crate) fn add(&mut self, id: i64, peer: Peer) {
        let server = Server {
            peer,
            role: None,
            applied: Vec::new(),
            snap: Zxid::ZERO,
            synced: 0,
            revalidated: Vec::new(),
            requests: Vec::new(),
            touched: Vec::new(),
            elections: 0,
            disk_hangs: false,
            left: Vec::new(),
        };
        self.servers.insert(ServerId(id), server);
    }

    pub(crate) fn start(&mut self, server: i64) {
        let now = self.now;
        self.server(server).peer.start(now);
        self.perform(ServerId(server));
    }

    pub(crate) fn server(&mut self, server: i64) -> &mut Server {
        self.servers.get_mut(&ServerId(server)).unwrap()
    }

    /// Who leads, and is established.
    pub(crate) fn leader(&self) -> Option<ServerId> {
        let mut leading = self
            .servers
            .iter()
            .filter(|(_, server)| matches!(server.role, Some((Role::Leading, _))));
        let (&leader, _) = leading.next()?;
        assert!(leading.next().is_none(), "two lead");
        Some(leader)
    }

    /// A server's disk does nothing more.
    pub(crate) fn hang_disk(&mut self, server: i64) {
        self.server(server).disk_hangs = true;
    }

    /// The log of a disk that hangs is done after all.
    pub(crate) fn flush(&mut self, server: i64) {
        let last = self.server(server).peer.history().last();
        self.input(ServerId(server), Input::Flushed(last));
        self.settle();
    }

    /// A disk that hung is well again.
    pub(crate) fn heal_disk(&mut self, server: i64) {
        let healed = self.server(server);
        healed.disk_hangs = false;
        let done: Vec<_> = std::mem::take(&mut healed.left)
            .into_iter()
            .map(|request| healed.done(request))
            .collect();
        for done in done {
            self.input(ServerId(server), Input::Done(done));
        }
        self.flush(server);
    }

    /// Lets things happen until `goal` is reached, for so many milliseconds at most.
    #[track_caller]
    pub(crate) fn run_until(&mut self, within_ms: i64, goal: impl Fn(&mut Self) -> bool) {
        let end = self.now + within_ms;
        self.settle();
        while !goal(self) {
            assert!(self.now < end, "not within {within_ms} ms");
            self.pass(end);
        }
    }

    /// Lets things happen for so many milliseconds.
    pub(crate) fn run(&mut self, for_ms: i64) {
        let end = self.now + for_ms;
        self.settle();
        while self.now < end {
            self.pass(end);
        }
    }

    /// Goes on to the next moment at which something happens.
    fn pass(&mut self, end: i64) {
        let timeouts = self.servers.values().map(|s| s.peer.poll_timeout());
        let arrivals = self.later.keys().map(|&(at, _)| at);
        let next = timeouts.chain(arrivals).min().unwrap_or(end);
        self.now = next.clamp(self.now, end);
        while let Some(entry) = self.later.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            self.due.push_back(entry.remove());
        }
        let due: Vec<_> = self
            .servers
            .iter()
            .filter(|(_, server)| server.peer.poll_timeout() <= self.now)
            .map(|(&id, _)| id)
            .collect();
        for server in due {
            self.input(server, Input::Timeout { delivered: true });
        }
        self.settle();
    }

    /// Delivers what is on its way.
    pub(crate) fn settle(&mut self) {
        while let Some((to, event)) = self.due.pop_front() {
            self.take(to, event);
        }
    }

    fn take(&mut self, to: ServerId, event: Event) {
        let now = self.now;
        let server = self.servers.get_mut(&to).unwrap();
        match event {
            Event::Input(input) => {
                if let Input::Received { packet, .. } = &input
                    && packet.r#type == PacketType::Snap
                {
                    server.snap = packet.zxid;
                }
                server.peer.handle(now, input);
            }
            Event::State { link, applied } => {
                server.applied = applied;
                server.peer.handle(now, Input::Replaced { link });
            }
        }
        self.perform(to);
    }

    /// Something happens to a server.
    pub(crate) fn input(&mut self, server: ServerId, input: Input) {
        self.take(server, Event::Input(input));
    }

    /// A server stops answering and closes its connections.
    pub(crate) fn kill(&mut self, server: i64) {
        let gone = ServerId(server);
        self.servers.remove(&gone);
        self.due.retain(|(to, _)| *to != gone);
        self.later.retain(|_, (to, _)| *to != gone);
        let links: Vec<_> = self
            .ends
            .keys()
            .filter(|(at, _)| *at == gone)
            .copied()
            .collect();
        for end in links {
            self.end(end);
        }
        let others: Vec<_> = self.servers.keys().copied().collect();
        for other in others {
            self.due
                .push_back((other, Event::Input(Input::Silenced { server: gone })));
        }
        self.settle();
    }

    /// The leader proposes something for a client.
    pub(crate) fn propose(&mut self, session: i64, cxid: i32) -> Zxid {
        let (leader, zxid) = self.next_proposal();
        let (_, payload) = record(zxid, session, cxid);
        let now = self.now;
        self.server(leader.0).peer.propose(now, zxid, payload);
        self.proposed(leader, zxid)
    }

    /// The leader proposes another configuration, the version of which is its zxid.
    pub(crate) fn propose_reconfig(&mut self, mut config: EnsembleConfig) -> Zxid {
        let (leader, zxid) = self.next_proposal();
        config.version = zxid.0;
        let (mut record, _) = record(zxid, 1, 1);
        record.header.op = OpCode::Reconfig;
        record.txn = Txn::Reconfig(SetDataTxn {
            path: "/zookeeper/config".to_owned(),
            data: Some(config.to_string().into()),
            version: -1,
        });
        let mut payload = Vec::new();
        record.encode(&mut payload);
        let (now, peer) = (self.now, &mut self.server(leader.0).peer);
        peer.propose_reconfig(now, zxid, payload.into(), config);
        self.proposed(leader, zxid)
    }

    fn next_proposal(&self) -> (ServerId, Zxid) {
        let leader = self.leader().unwrap();
        (leader, self.servers[&leader].peer.next_zxid().unwrap())
    }

    fn proposed(&mut self, leader: ServerId, zxid: Zxid) -> Zxid {
        self.due
            .push_back((leader, Event::Input(Input::Flushed(zxid))));
        self.perform(leader);
        zxid
    }

    /// A hand-made observer connects to a server, at its observer master port or else at its quorum
    /// port.
    pub(crate) fn visit(&mut self, server: i64, by_master: bool) -> Hand {
        self.next += 1;
        let stranger = ServerId(1000 + i64::try_from(self.next).unwrap());
        let (near, link) = self.connect(stranger, ServerId(server));
        self.input(
            ServerId(server),
            match by_master {
                true => Input::AcceptedObserver { link },
                false => Input::Accepted { link },
            },
        );
        Hand((stranger, near))
    }

    /// What a hand-made learner says.
    pub(crate) fn say(&mut self, hand: Hand, packet: QuorumPacket) {
        self.send(hand.0, packet);
        self.settle();
    }

    /// What it has been sent since it was asked last.
    pub(crate) fn heard(&mut self, hand: Hand) -> Vec<QuorumPacket> {
        self.received.remove(&hand.0).unwrap_or_default()
    }

    pub(crate) fn is_closed(&self, hand: Hand) -> bool {
        self.closed.contains(&hand.0)
    }

    /// A server's own client asks the leader something.
    pub(crate) fn ask(&mut self, server: i64, packet: QuorumPacket) {
        let now = self.now;
        self.server(server).peer.send_to_leader(now, packet);
        self.perform(ServerId(server));
    }

    /// To whom a server is connected.
    pub(crate) fn connected_to(&self, server: i64) -> Vec<i64> {
        let own = self
            .ends
            .iter()
            .filter(|((at, _), _)| *at == ServerId(server));
        own.map(|(_, (to, _))| to.0).collect()
    }

    fn end(&mut self, from: End) {
        let Some(to) = self.ends.remove(&from) else {
            return;
        };
        self.ends.remove(&to);
        match self.servers.contains_key(&to.0) {
            true => {
                let link = to.1;
                self.due
                    .push_back((to.0, Event::Input(Input::Closed { link })));
            }
            false => {
                self.closed.insert(to);
            }
        }
    }

    fn next_link(&mut self) -> LinkId {
        self.next += 1;
        LinkId(self.next)
    }

    fn connect(&mut self, from: ServerId, to: ServerId) -> (LinkId, LinkId) {
        let (near, far) = (self.next_link(), self.next_link());
        self.ends.insert((from, near), (to, far));
        self.ends.insert((to, far), (from, near));
        (near, far)
    }

    fn perform(&mut self, id: ServerId) {
        while let Some(server) = self.servers.get_mut(&id)
            && let Some(output) = server.peer.poll_output()
        {
            self.do_one(id, output);
        }
    }

    fn later(&mut self, server: ServerId, at: i64, input: Input) {
        self.next += 1;
        self.later
            .insert((at, self.next), (server, Event::Input(input)));
    }

    fn do_one(&mut self, id: ServerId, output: Output) {
        let now = self.now;
        let server = self.servers.get_mut(&id).unwrap();
        let reply = |input| (id, Event::Input(input));
        match output {
            Output::Notify { to, notification } => {
                let own = notification.leader == id;
                if own && notification.state == Some(PeerState::Looking) {
                    server.elections += 1;
                }
                if self.servers.contains_key(&to) {
                    let from = id;
                    let input = Input::Notification { from, notification };
                    self.due.push_back((to, Event::Input(input)));
                }
            }
            Output::Dial { server: to } => self.dial(id, to, |link| Input::Accepted { link }),
            Output::DialMaster { server: to } => {
                self.dial(id, to, |link| Input::AcceptedObserver { link });
            }
            Output::Send { link, packet } => self.send((id, link), packet),
            Output::SendState { link } => {
                let applied = server.applied.clone();
                if let Some(&(to, link)) = self.ends.get(&(id, link))
                    && self.servers.contains_key(&to)
                {
                    self.due.push_back((to, Event::State { link, applied }));
                }
            }
            Output::Search { link, .. } => {
                let found = LogSearch::Unusable;
                self.due.push_back(reply(Input::Found { link, found }));
            }
            Output::Close { link } => self.end((id, link)),
            Output::Append { record, .. } => {
                let zxid = record.header.zxid;
                if !server.disk_hangs {
                    self.due.push_back(reply(Input::Flushed(zxid)));
                }
            }
            Output::Disk(request) if !server.disk_hangs => {
                let done = server.done(request);
                self.due.push_back(reply(Input::Done(done)));
            }
            Output::Disk(request) => server.left.push(request),
            Output::Commit(zxid) => server.applied.push(zxid),
            Output::Apply { record } => {
                let zxid = record.header.zxid;
                if server.applied.last().is_none_or(|&last| last < zxid) {
                    server.applied.push(zxid);
                }
            }
            Output::Serve { role, epoch } => server.role = Some((role, epoch)),
            Output::Retire => server.role = None,
            Output::Request { link, data, ids } => {
                server.requests.push((Bytes::clone(&data), ids.to_vec()));
                self.answer_request(id, link, &data);
            }
            Output::Revalidate { link, data } => {
                let answer = [&data[..8], &[1]].concat();
                let zxid = QuorumPacket::NO_ZXID;
                let packet = QuorumPacket::with_data(PacketType::Revalidate, zxid, answer);
                server.peer.send_to_learner(now, link, packet);
            }
            Output::Touched { data } => server.touched.extend_from_slice(&data),
            Output::Pinged { zxid } => {
                let touched = std::mem::take(&mut server.touched);
                let packet = QuorumPacket::with_data(PacketType::Ping, zxid, touched);
                server.peer.send_to_leader(now, packet);
            }
            Output::Synced => server.synced += 1,
            Output::Revalidated { data } => server.revalidated.push(data),
            Output::SendLog { .. } => panic!("nothing is found on these disks"),
            Output::DialPeers
            | Output::Members { .. }
            | Output::ReadTimeout { .. }
            | Output::Forget { .. }
            | Output::LearnerGone { .. } => {}
        }
    }

    fn dial(&mut self, id: ServerId, to: ServerId, accepted: impl Fn(LinkId) -> Input) {
        if self.cut.contains(&(id, to)) || !self.servers.contains_key(&to) {
            let link = None;
            self.later(id, self.now + DIAL_MS, Input::Dialed { server: to, link });
            return;
        }
        let (near, far) = self.connect(id, to);
        self.due.push_back((to, Event::Input(accepted(far))));
        let link = Some(near);
        let dialed = Input::Dialed { server: to, link };
        self.due.push_back((id, Event::Input(dialed)));
    }

    fn send(&mut self, from: End, packet: QuorumPacket) {
        let Some(&(to, link)) = self.ends.get(&from) else {
            return;
        };
        match self.servers.contains_key(&to) {
            true => {
                let input = Input::Received { link, packet };
                self.due.push_back((to, Event::Input(input)));
            }
            false => self.received.entry((to, link)).or_default().push(packet),
        }
    }

    /// What a leader does with a request: a sync waits, anything else becomes a transaction.
    fn answer_request(&mut self, leader: ServerId, link: LinkId, data: &[u8]) {
        let session = i64::from_be_bytes(data[..8].try_into().unwrap());
        let cxid = i32::from_be_bytes(data[8..12].try_into().unwrap());
        let op = i32::from_be_bytes(data[12..16].try_into().unwrap());
        if op == OpCode::Sync.code() {
            self.syncs.push_back((leader, link));
        } else {
            self.propose(session, cxid);
        }
    }

    /// The leader answers the oldest sync.
    pub(crate) fn answer_sync(&mut self) {
        let (leader, link) = self.syncs.pop_front().unwrap();
        let now = self.now;
        let packet = QuorumPacket::bare(PacketType::Sync, Zxid::ZERO);
        let peer = &mut self.servers.get_mut(&leader).unwrap().peer;
        peer.send_to_learner(now, link, packet);
        self.perform(leader);
        self.settle();
    }
}

impl Server {
    fn done(&mut self, request: DiskRequest) -> DiskDone {
        match request {
            DiskRequest::AcceptEpoch(epoch) => DiskDone::EpochAccepted(epoch),
            DiskRequest::AnnounceEpoch(epoch) => DiskDone::EpochAnnounced(epoch),
            DiskRequest::EnterEpoch(epoch) => DiskDone::EpochEntered(epoch),
            DiskRequest::Truncate { to, .. } => {
                self.applied.retain(|&zxid| zxid <= to);
                DiskDone::Truncated { last: to }
            }
            DiskRequest::Install => {
                let last = self.applied.last().copied().unwrap_or(Zxid::ZERO);
                DiskDone::Installed {
                    last: last.max(self.snap),
                }
            }
            DiskRequest::NoteConfig(_) | DiskRequest::EnterConfig(_) => DiskDone::ConfigKept,
            DiskRequest::Reload => DiskDone::Reloaded {
                last: self.peer.history().last(),
            },
        }
    }
}
