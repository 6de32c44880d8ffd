//! Several cores, joined by what they have for each other: packets go by value, disks sync when told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use ox_jute::Jute;
use ox_proto::{
    EnsembleConfig, Member, MemberRole, OpCode, PacketType, QuorumPacket, ServerId, SessionId, Zxid,
};
use ox_replica::{Input, Mode, Settings, Work};
use ox_zab::{DiskDone, DiskRequest, ElectionTiming, Epochs, LinkId, Membership, Output};

use crate::server::{Server, Wanted, body_of, create, settings};

/// One of the members, by its server id.
pub(crate) type Sid = usize;

/// The members, what is between them, and what they have said since they were last asked.
pub(crate) struct Ensemble {
    members: Vec<Server>,
    /// Whether each is there for the others, and its disk syncs at once.
    reachable: Vec<bool>,
    disk_syncs: Vec<bool>,
    /// On their way, in order.
    packets: VecDeque<(Sid, Input)>,
    /// Members that get nothing for the moment.
    deaf: BTreeSet<Sid>,
    /// Whose each end of a link is, and the other end.
    ends: BTreeMap<LinkId, (Sid, LinkId)>,
    next_link: u64,
    /// How long an end bears silence, and when something came last, in milliseconds.
    patience: BTreeMap<LinkId, (i64, i64)>,
    disks: Vec<VecDeque<Task>>,
    said: Vec<String>,
}

/// Where a member is.
pub(crate) fn member_line(sid: i64) -> String {
    format!("h{sid}:1:2")
}

enum Task {
    Append(Zxid),
    Request(DiskRequest),
}

impl Ensemble {
    /// So many voters and observers, the voter with the highest id leading.
    pub(crate) fn new(voters: usize, observers: usize) -> Self {
        Self::with(voters, observers, settings())
    }

    /// The same with other settings.
    pub(crate) fn with(voters: usize, observers: usize, settings: Settings) -> Self {
        let mut ensemble = Self::not_started(voters, observers, &settings);
        ensemble.settle();
        ensemble.wait(100);
        let mut modes = vec![Mode::Follower; voters - 1];
        modes.push(Mode::Leader);
        modes.extend(vec![Mode::Observer; observers]);
        assert_eq!(
            ensemble.modes(),
            modes.into_iter().map(Some).collect::<Vec<_>>()
        );
        ensemble.said.clear();
        ensemble
    }

    /// The only member of three that is there.
    pub(crate) fn lonely(settings: Settings) -> Self {
        let mut ensemble = Self::not_started(3, 0, &settings);
        ensemble.reachable = vec![true, false, false];
        ensemble.settle();
        ensemble
    }

    fn not_started(voters: usize, observers: usize, settings: &Settings) -> Self {
        let count = voters + observers;
        let role = |sid| match sid <= voters {
            true => MemberRole::Participant,
            false => MemberRole::Observer,
        };
        let ids = || (1..=count).zip((1..).map(ServerId));
        let config = Arc::new(EnsembleConfig {
            members: ids()
                .map(|(sid, id)| {
                    let member = Member {
                        role: role(sid),
                        ..Member::parse(id, &member_line(id.0)).expect("a member")
                    };
                    (id, member)
                })
                .collect(),
            ..EnsembleConfig::default()
        });
        let members = ids().map(|(sid, server)| {
            let membership = Membership {
                proposed: None,
                role: role(sid),
                config: Arc::clone(&config),
                epochs: Epochs {
                    accepted: 0,
                    current: Some(0),
                },
                timing: ElectionTiming::default(),
            };
            let settings = Settings {
                server,
                ..settings.clone()
            };
            Server::member(settings, membership)
        });
        let mut ensemble = Self {
            members: members.collect(),
            reachable: vec![true; count],
            disk_syncs: vec![true; count],
            packets: VecDeque::new(),
            deaf: BTreeSet::new(),
            ends: BTreeMap::new(),
            next_link: 0,
            patience: BTreeMap::new(),
            disks: std::iter::repeat_with(VecDeque::new).take(count).collect(),
            said: Vec::new(),
        };
        for sid in 1..=count {
            ensemble.take_up(sid);
        }
        ensemble
    }

    pub(crate) fn member(&self, sid: Sid) -> &Server {
        &self.members[sid - 1]
    }

    /// What each is to its clients.
    pub(crate) fn modes(&self) -> Vec<Option<Mode>> {
        self.members.iter().map(|member| member.mode).collect()
    }

    /// Lets one do something; nothing of what comes of it reaches the others yet.
    pub(crate) fn on<T>(&mut self, sid: Sid, act: impl FnOnce(&mut Server) -> T) -> T {
        let done = act(&mut self.members[sid - 1]);
        self.take_up(sid);
        done
    }

    /// Lets one do something, and all that comes of it happen.
    pub(crate) fn do_on<T>(&mut self, sid: Sid, act: impl FnOnce(&mut Server) -> T) -> T {
        let done = self.on(sid, act);
        self.settle();
        done
    }

    /// Connects a client with a new session, and says nothing of it.
    #[track_caller]
    pub(crate) fn connect(&mut self, sid: Sid, client: u32) -> SessionId {
        self.do_on(sid, |s| s.ask_to_connect(client, SessionId::NONE, &[]));
        self.expect(&[&format!("{sid}/{client}: session")]);
        let slot = usize::try_from(client).expect("small");
        self.member(sid).sessions[slot]
    }

    /// A client asks for a new session; the answer may be long in coming.
    pub(crate) fn connect_later(&mut self, sid: Sid, client: u32) {
        self.do_on(sid, |s| s.ask_to_connect(client, SessionId::NONE, &[]));
    }

    /// What was said since the last time.
    pub(crate) fn take_said(&mut self) -> Vec<String> {
        std::mem::take(&mut self.said)
    }

    /// What was said since the last time, and nothing else.
    #[track_caller]
    pub(crate) fn expect(&mut self, lines: &[&str]) {
        assert_eq!(std::mem::take(&mut self.said), lines);
    }

    /// A member gets nothing until it is let hear again; what is sent to it waits.
    pub(crate) fn make_deaf(&mut self, sid: Sid) {
        self.deaf.insert(sid);
    }

    pub(crate) fn let_hear(&mut self, sid: Sid) {
        self.deaf.remove(&sid);
        self.settle();
    }

    /// Whether the disk of a member syncs at once.
    pub(crate) fn set_disk(&mut self, sid: Sid, syncs: bool) {
        self.disk_syncs[sid - 1] = syncs;
        self.settle();
    }

    /// A member that gets nothing learns only that its connections have ended.
    pub(crate) fn let_only_hear_of_the_end(&mut self, sid: Sid) {
        let is_end = |(to, input): &(Sid, Input)| {
            *to == sid && matches!(input, Input::Peer(ox_zab::Input::Closed { .. }))
        };
        while let Some(place) = self.packets.iter().position(is_end) {
            let (to, input) = self.packets.remove(place).expect("found");
            self.on(to, |s| s.handle(input));
        }
    }

    /// The leader gets a check as a learner of old forwards it.
    pub(crate) fn forward_check(
        &mut self,
        from: Sid,
        session: SessionId,
        path: &str,
        version: i32,
    ) {
        let mut body = Vec::new();
        path.to_owned().encode(&mut body);
        version.encode(&mut body);
        self.forward(from, session, OpCode::Check, &body);
    }

    /// The leader gets a create of any session that a learner may have.
    pub(crate) fn forward_create(&mut self, from: Sid, session: SessionId, path: &str) {
        let body = body_of(&Work::Request(create(path))).expect("a body");
        self.forward(from, session, OpCode::Create, &body);
    }

    fn forward(&mut self, from: Sid, session: SessionId, op: OpCode, body: &[u8]) {
        let mut data = Vec::new();
        session.encode(&mut data);
        99.encode(&mut data);
        op.code().encode(&mut data);
        data.extend_from_slice(body);
        let mut packet = QuorumPacket::with_data(PacketType::Request, QuorumPacket::NO_ZXID, data);
        packet.authinfo = Some(Vec::new().into());
        let of_it = self.ends.values().find(|(owner, _)| *owner == from);
        let (_, link) = *of_it.expect("a learner has a connection");
        let (to, _) = self.ends[&link];
        self.send(to, ox_zab::Input::Received { link, packet });
        self.settle();
    }

    /// Takes a member away from the others, or brings it back.
    pub(crate) fn set_reachable(&mut self, sid: Sid, reachable: bool) {
        self.reachable[sid - 1] = reachable;
        if reachable {
            return;
        }
        let own = self.ends.iter().filter(|(_, (owner, _))| *owner == sid);
        let cut: Vec<_> = own.map(|(end, _)| *end).collect();
        for end in cut {
            self.cut(end);
        }
        let server = ServerId(i64::try_from(sid).expect("small"));
        for other in (1..=self.members.len()).filter(|other| *other != sid) {
            self.send(other, ox_zab::Input::Silenced { server });
        }
        self.settle();
    }

    /// Lets time go by for all.
    pub(crate) fn wait(&mut self, ms: i64) {
        self.settle();
        let end = self.members[0].now() + ms;
        loop {
            let due = (1..=self.members.len()).map(|sid| (self.due(sid), sid));
            let (at, sid) = due.min().expect("a member");
            let ends = self.patience.iter();
            let ends = ends.map(|(end, (patience, heard))| (heard.saturating_add(*patience), *end));
            let silent = ends.min().filter(|(silent_at, _)| *silent_at < at);
            let at = silent.map_or(at, |(silent_at, _)| silent_at);
            let now = self.members[0].now();
            let by = at.clamp(now, end) - now;
            for member in &mut self.members {
                member.go_on(by);
            }
            if at > end {
                return;
            }
            if let Some((_, end)) = silent {
                self.cut(end);
                self.settle();
            } else {
                self.do_on(sid, |s| s.handle(Input::Timeout { delivered: true }));
            }
        }
    }

    fn due(&self, sid: Sid) -> i64 {
        self.member(sid).core.poll_timeout()
    }

    /// Lets everything happen that waits for nothing.
    pub(crate) fn settle(&mut self) {
        loop {
            let hears = |(to, _): &(Sid, Input)| !self.deaf.contains(to);
            if let Some(place) = self.packets.iter().position(hears) {
                let (to, input) = self.packets.remove(place).expect("found");
                self.on(to, |s| s.handle(input));
            } else if !(1..=self.members.len()).any(|sid| self.write(sid)) {
                return;
            }
        }
    }

    /// Does what a disk was asked next. False if there is nothing, or it does not sync.
    fn write(&mut self, sid: Sid) -> bool {
        if !self.disk_syncs[sid - 1] {
            return false;
        }
        let Some(task) = self.disks[sid - 1].pop_front() else {
            return false;
        };
        let input = match task {
            Task::Append(zxid) => Input::Flushed(zxid),
            Task::Request(request) => self.request(sid, request),
        };
        self.on(sid, |s| s.handle(input));
        true
    }

    fn request(&mut self, sid: Sid, request: DiskRequest) -> Input {
        let done = match request {
            DiskRequest::AcceptEpoch(epoch) => DiskDone::EpochAccepted(epoch),
            DiskRequest::AnnounceEpoch(epoch) => DiskDone::EpochAnnounced(epoch),
            DiskRequest::EnterEpoch(epoch) => DiskDone::EpochEntered(epoch),
            DiskRequest::NoteConfig(_) | DiskRequest::EnterConfig(_) => DiskDone::ConfigKept,
            DiskRequest::Truncate { to, reload } => {
                let state = Box::new(self.members[sid - 1].cut_log(to));
                let last = state.tree.last_zxid();
                let done = DiskDone::Truncated { last };
                if reload {
                    return Input::Reloaded { done, state };
                }
                done
            }
            DiskRequest::Install | DiskRequest::Reload => {
                panic!("no learner here lacks so much")
            }
        };
        Input::Peer(ox_zab::Input::Done(done))
    }

    /// Hears what a member has said, and passes on what it wants.
    fn take_up(&mut self, sid: Sid) {
        let member = &mut self.members[sid - 1];
        self.said.extend(member.take_said());
        let wanted = std::mem::take(&mut member.wanted);
        for wanted in wanted {
            match wanted {
                Wanted::Append(zxid) => self.disks[sid - 1].push_back(Task::Append(zxid)),
                Wanted::Peer(output) => self.perform(sid, output),
            }
        }
    }

    fn perform(&mut self, from: Sid, output: Output) {
        let own = ServerId(i64::try_from(from).expect("small"));
        match output {
            Output::Notify { to, notification } => {
                let to = usize::try_from(to.0).expect("a member");
                if self.reachable[from - 1] && self.reachable[to - 1] {
                    let input = ox_zab::Input::Notification {
                        from: own,
                        notification,
                    };
                    self.send(to, input);
                }
            }
            Output::Dial { server } => {
                let to = usize::try_from(server.0).expect("a member");
                let link = (self.reachable[from - 1] && self.reachable[to - 1])
                    .then(|| self.link(from, to));
                if let Some((_, theirs)) = link {
                    self.send(to, ox_zab::Input::Accepted { link: theirs });
                }
                let link = link.map(|(ours, _)| ours);
                self.send(from, ox_zab::Input::Dialed { server, link });
            }
            Output::Send { link, packet } => {
                if let Some(&(_, link)) = self.ends.get(&link)
                    && let Some(&(to, _)) = self.ends.get(&link)
                {
                    let now = self.members[0].now();
                    if let Some((_, heard)) = self.patience.get_mut(&link) {
                        *heard = now;
                    }
                    self.send(to, ox_zab::Input::Received { link, packet });
                }
            }
            Output::Close { link } => {
                self.patience.remove(&link);
                if let Some((_, other)) = self.ends.remove(&link) {
                    self.close(other);
                }
            }
            Output::Disk(request) => self.disks[from - 1].push_back(Task::Request(request)),
            Output::ReadTimeout { link, after_ms } => {
                if self.ends.contains_key(&link) {
                    self.patience
                        .insert(link, (after_ms, self.members[0].now()));
                }
            }
            Output::DialPeers | Output::Members { .. } => {}
            other => panic!("these members do not {other:?}"),
        }
    }

    /// Both ends of a new connection.
    fn link(&mut self, from: Sid, to: Sid) -> (LinkId, LinkId) {
        let (ours, theirs) = (LinkId(self.next_link), LinkId(self.next_link + 1));
        self.next_link += 2;
        self.ends.insert(ours, (from, theirs));
        self.ends.insert(theirs, (to, ours));
        (ours, theirs)
    }

    /// Ends a connection for both.
    fn cut(&mut self, end: LinkId) {
        let other = self.ends.get(&end).map(|(_, other)| *other);
        self.close(end);
        if let Some(other) = other {
            self.close(other);
        }
    }

    /// Tells the member at this end that the connection has ended, unless it knows.
    fn close(&mut self, link: LinkId) {
        self.patience.remove(&link);
        if let Some((owner, _)) = self.ends.remove(&link) {
            self.send(owner, ox_zab::Input::Closed { link });
        }
    }

    fn send(&mut self, to: Sid, input: ox_zab::Input) {
        self.packets.push_back((to, Input::Peer(input)));
    }
}
