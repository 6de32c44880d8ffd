//! Servers, the network between them and their disks, in virtual time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use ox_proto::{
    EnsembleConfig, ErrorTxn, LearnerInfo, Member, MemberRole, Notification, OpCode, PacketType,
    PeerAddress, PeerState, QuorumPacket, ServerId, SessionId, Txn, TxnHeader, TxnRecord, Zxid,
};
use ox_zab::{
    DiskDone, DiskRequest, ElectionTiming, Entry, Epochs, History, Input, LeaderSettings, LinkId,
    LogSearch, Membership, ObserverSettings, Output, Peer, Role, ZabSettings,
};

use crate::checks::{Check, Checks};
use crate::disk::{Disk, DiskOp, Snapshot};
use crate::network::{Item, Link, Place};
use crate::random::Random;

/// No simulated run needs more; one that does turns in circles.
const MAX_EVENTS: u64 = 400_000;

const TICK_MS: i64 = 200;
const SYNC_LIMIT: i64 = 5;

#[derive(Clone, Debug)]
enum Event {
    Timer {
        place: Place,
        life: u64,
        turn: u64,
    },
    Disk {
        place: Place,
        life: u64,
    },
    Deliver {
        link: LinkId,
        side: usize,
    },
    Vote {
        from: Place,
        to: Place,
        number: u64,
        notification: Notification,
    },
    Dial {
        place: Place,
        life: u64,
        target: Place,
        /// At the port for observers.
        by_master: bool,
        fails: bool,
    },
    Silence {
        link: LinkId,
        side: usize,
    },
    Silenced {
        place: Place,
        server: Place,
        life: u64,
    },
    Found {
        place: Place,
        life: u64,
        link: LinkId,
        found: LogSearch,
    },
    Restart {
        place: Place,
    },
    Rejoin {
        from: Place,
        to: Place,
    },
    Crash {
        place: Place,
    },
    Join,
    Fault,
    Load,
}

/// What may happen in a run, and how the ensemble is made.
#[derive(Clone, Debug)]
struct Plan {
    voters: usize,
    observers: usize,
    latency: i64,
    disk: i64,
    keep: usize,
    force_snapshot_sync: bool,
    /// Followers serve observers, and hold so many bytes for one.
    master_limit: Option<usize>,
    losses: usize,
    faults: Vec<Fault>,
    fault_every: i64,
    load_every: i64,
    /// When the faults stop.
    quiet_at: i64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Crash,
    CrashAll,
    Reset,
    Cut,
    SlowDisk,
    StaleVote,
    Pause,
    Stranger,
    Wipe,
    LoseLeader,
    Compact,
}

impl Plan {
    fn draw(random: &mut Random) -> Self {
        let all = [
            Fault::Crash,
            Fault::CrashAll,
            Fault::Reset,
            Fault::Cut,
            Fault::SlowDisk,
            Fault::StaleVote,
            Fault::Pause,
            Fault::Stranger,
            Fault::LoseLeader,
            Fault::Compact,
        ];
        let mut faults: Vec<_> = all.into_iter().filter(|_| random.chance(60)).collect();
        if random.chance(10) {
            faults.push(Fault::Wipe);
        }
        Self {
            voters: [3, 3, 3, 4, 5, 5][random.below(6)],
            observers: random.below(2),
            latency: [3, 10, 30][random.below(3)],
            disk: [2, 5, 40][random.below(3)],
            keep: [0, 2, 6, 1000][random.below(4)],
            force_snapshot_sync: random.chance(15),
            master_limit: [None, Some(100), Some(1 << 20)][random.below(3)],
            losses: [0, 5, 30][random.below(3)],
            faults,
            fault_every: [100, 400, 1500][random.below(3)],
            load_every: [5, 30, 200][random.below(3)],
            quiet_at: random.between(5_000, 20_000),
        }
    }
}

struct Server {
    place: Place,
    /// Which run of its process.
    life: u64,
    peer: Option<Peer>,
    disk: Disk,
    is_disk_busy: bool,
    slow_until: i64,
    paused_until: i64,
    database: Snapshot,
    /// In the log and not applied.
    pending: VecDeque<Entry>,
    serves: Option<(Role, u32)>,
    /// When each voter was heard from on a link that leads here.
    heard: BTreeMap<Place, i64>,
    timer: (i64, u64),
}

pub(crate) struct World {
    seed: u64,
    plan: Plan,
    random: Random,
    now: i64,
    events: BTreeMap<(i64, u64), Event>,
    numbers: u64,
    done: u64,
    config: Arc<EnsembleConfig>,
    servers: Vec<Server>,
    links: BTreeMap<LinkId, Link>,
    /// From, to.
    cuts: BTreeSet<(Place, Place)>,
    votes: BTreeMap<(Place, Place), (u64, Notification)>,
    heard_votes: BTreeMap<(Place, Place), u64>,
    /// Requests that leaders were handed meanwhile.
    requests: Vec<Place>,
    proposals: u64,
    checks: Checks,
    is_traced: bool,
}

fn id(place: Place) -> ServerId {
    ServerId(i64::try_from(place).unwrap() + 1)
}

fn place(server: ServerId) -> Place {
    usize::try_from(server.0 - 1).unwrap()
}

impl World {
    pub(crate) fn new(seed: u64, traced: bool) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::draw(&mut random);
        let member = |place| {
            let port = 2000 + 10 * u16::try_from(place).unwrap();
            let member = Member {
                role: match place < plan.voters {
                    true => MemberRole::Participant,
                    false => MemberRole::Observer,
                },
                addresses: vec![PeerAddress {
                    host: "127.0.0.1".to_owned(),
                    quorum_port: port,
                    election_port: port + 1,
                }],
                client: None,
            };
            (id(place), member)
        };
        let count = plan.voters + plan.observers;
        let config = EnsembleConfig {
            members: (0..count).map(member).collect(),
            ..EnsembleConfig::default()
        };
        let server = |place| Server {
            place,
            life: 0,
            peer: None,
            disk: Disk {
                current: Some(0),
                ..Disk::default()
            },
            is_disk_busy: false,
            slow_until: 0,
            paused_until: 0,
            database: Snapshot::default(),
            pending: VecDeque::new(),
            serves: None,
            heard: BTreeMap::new(),
            timer: (i64::MAX, 0),
        };
        let mut world = Self {
            seed,
            random,
            now: 0,
            events: BTreeMap::new(),
            numbers: 0,
            done: 0,
            config: Arc::new(config),
            servers: (0..count).map(server).collect(),
            links: BTreeMap::new(),
            cuts: BTreeSet::new(),
            votes: BTreeMap::new(),
            heard_votes: BTreeMap::new(),
            requests: Vec::new(),
            proposals: 0,
            checks: Checks::new(plan.voters),
            is_traced: traced,
            plan,
        };
        world.note(|world| format!("{:?}", world.plan));
        for place in 0..count {
            let at = world.random.between(0, 300);
            world.schedule(at, Event::Restart { place });
        }
        world.schedule(world.plan.fault_every, Event::Fault);
        world.schedule(world.plan.load_every, Event::Load);
        world
    }

    /// Runs until the faults have stopped and all is well again; or fails.
    pub(crate) fn run(&mut self) {
        while self.now < self.plan.quiet_at {
            self.step();
        }
        self.quiet();
        let deadline = self.now + 40_000;
        let mut proposed = None;
        loop {
            if self.now > deadline {
                let story = self.story();
                self.fail(&format!("E4: not well again; {story}"));
            }
            self.step();
            match proposed {
                None => {
                    if let Some(leader) = self.healthy() {
                        for _ in 0..3 {
                            self.propose(leader);
                        }
                        proposed = Some(leader);
                    }
                }
                Some(leader) => {
                    if self.healthy().is_none() {
                        proposed = None;
                    } else if self.is_level(leader) {
                        return;
                    }
                }
            }
        }
    }

    pub(crate) fn events(&self) -> u64 {
        self.done
    }

    /// How long it took until all was well again, in milliseconds.
    pub(crate) fn healed_in(&self) -> i64 {
        self.now - self.plan.quiet_at
    }

    fn story(&self) -> String {
        let tell = |server: &Server| {
            let state = server.peer.as_ref().map(Peer::state);
            format!(
                "{}: {state:?} serves {:?}, epochs {} {:?}, disk {} database {}",
                server.place,
                server.serves,
                server.disk.accepted,
                server.disk.current,
                server.disk.last(),
                server.database.newest(),
            )
        };
        let all: Vec<_> = self.servers.iter().map(tell).collect();
        all.join("; ")
    }

    /// The leader, if there is one and all others serve under it, but for those that have promised
    /// to a later epoch: they wait for one.
    fn healthy(&self) -> Option<Place> {
        let leader = self
            .servers
            .iter()
            .find(|server| matches!(server.serves, Some((Role::Leading, _))))?;
        let (_, epoch) = leader.serves?;
        let well = |server: &Server| {
            server.serves.is_some_and(|(_, its)| its == epoch) || server.disk.accepted > epoch
        };
        self.servers.iter().all(well).then_some(leader.place)
    }

    /// Whether everything that the leader has proposed is applied everywhere.
    fn is_level(&self, leader: Place) -> bool {
        let last = self.servers[leader].disk.last();
        let well = |server: &Server| {
            server.serves.is_none() || server.database.newest() == last && server.pending.is_empty()
        };
        self.servers[leader].pending.is_empty() && self.servers.iter().all(well)
    }

    fn quiet(&mut self) {
        self.note(|_| "the faults stop".to_owned());
        self.plan.losses = 0;
        self.plan.latency = self.plan.latency.min(10);
        self.cuts.clear();
        for place in 0..self.servers.len() {
            self.servers[place].slow_until = 0;
            if self.servers[place].peer.is_none() {
                self.schedule(1, Event::Restart { place });
            }
        }
    }

    fn note(&mut self, text: impl FnOnce(&Self) -> String) {
        if self.is_traced {
            let line = format!("{:>7} {}", self.now, text(self));
            println!("{line}");
        }
    }

    #[track_caller]
    fn fail(&self, what: &str) -> ! {
        panic!(
            "seed {}, at {} ms: {what}\nto see all of it: \
             OX_SEED={} cargo test -p ox-zab --test simulation one_seed -- --ignored --nocapture",
            self.seed, self.now, self.seed
        );
    }

    #[track_caller]
    fn check(&self, check: Check) {
        if let Err(what) = check {
            self.fail(&what);
        }
    }

    fn schedule(&mut self, delay: i64, event: Event) {
        self.numbers += 1;
        self.events.insert((self.now + delay, self.numbers), event);
    }

    fn latency(&mut self) -> i64 {
        self.random.between(1, self.plan.latency)
    }

    fn step(&mut self) {
        let ((at, _), event) = self.events.pop_first().expect("a world never stops");
        self.now = at;
        self.done += 1;
        if self.done > MAX_EVENTS {
            let story = self.story();
            self.fail(&format!("it turns in circles; {story}"));
        }
        if let Some(place) = self.concerned(&event)
            && let until = self.servers[place].paused_until
            && self.now < until
        {
            return self.schedule(until - self.now, event);
        }
        match event {
            Event::Timer { place, life, turn } => {
                let server = &mut self.servers[place];
                if server.life == life && server.timer.1 == turn {
                    server.timer.0 = i64::MAX;
                    let delivered = self.random.chance(90);
                    self.input(place, Input::Timeout { delivered });
                    self.is_heard(place);
                }
            }
            Event::Disk { place, life } => {
                if self.servers[place].life == life {
                    self.disk(place);
                }
            }
            Event::Deliver { link, side } => self.deliver(link, side),
            Event::Vote {
                from,
                to,
                number,
                notification,
            } => self.vote(from, to, number, notification),
            Event::Dial {
                place,
                life,
                target,
                by_master,
                fails,
            } => {
                if self.servers[place].life == life {
                    self.dial(place, target, by_master, fails);
                }
            }
            Event::Silence { link, side } => self.silence(link, side),
            Event::Silenced {
                place,
                server,
                life,
            } => {
                if self.servers[server].life == life {
                    self.input(place, Input::Silenced { server: id(server) });
                }
            }
            Event::Found {
                place,
                life,
                link,
                found,
            } => {
                if self.servers[place].life == life {
                    self.input(place, Input::Found { link, found });
                }
            }
            Event::Restart { place } => self.start(place),
            Event::Rejoin { from, to } => {
                if let Some((number, notification)) = self.votes.get(&(from, to)).cloned() {
                    self.send_vote(from, to, number, notification);
                }
            }
            Event::Crash { place } => {
                if self.now < self.plan.quiet_at {
                    self.crash(place);
                }
            }
            Event::Join => self.join(),
            Event::Fault => self.fault(),
            Event::Load => self.load(),
        }
        for leader in std::mem::take(&mut self.requests) {
            self.propose(leader);
        }
    }

    /// P9: an epoch is above all that those have accepted who had told this leader by then.
    fn is_new(&self, place: Place, epoch: u32) {
        let peer = self.servers[place].peer.as_ref();
        if peer.is_none_or(|peer| peer.state() != PeerState::Leading) {
            return;
        }
        for link in self.links.values() {
            let is_there = link.ends[1].place == place && !link.ends[1].is_over;
            if is_there && link.accepted.is_some_and(|accepted| epoch <= accepted) {
                self.fail(&format!(
                    "P9: {place} chooses {epoch}, {:?} is accepted",
                    link.accepted
                ));
            }
        }
    }

    /// P8: who leads hears from a quorum.
    fn is_heard(&self, place: Place) {
        let server = &self.servers[place];
        let Some((Role::Leading, _)) = server.serves else {
            return;
        };
        // Who was stopped first takes in what has come meanwhile.
        if self.now < server.paused_until + TICK_MS {
            return;
        }
        let patience = (SYNC_LIMIT + 2) * TICK_MS;
        let is_near = |other: &Place| {
            *other == place || self.now - server.heard.get(other).unwrap_or(&0) <= patience
        };
        if (0..self.plan.voters).filter(is_near).count() <= self.plan.voters / 2 {
            self.fail(&format!("P8: {place} leads and hears from no quorum"));
        }
    }

    /// Whose process must be running for this to happen.
    fn concerned(&self, event: &Event) -> Option<Place> {
        match *event {
            Event::Timer { place, .. }
            | Event::Disk { place, .. }
            | Event::Dial { place, .. }
            | Event::Silenced { place, .. }
            | Event::Found { place, .. } => Some(place),
            Event::Vote { to, .. } => Some(to),
            Event::Deliver { link, side } | Event::Silence { link, side } => {
                let place = self.links.get(&link)?.ends[side].place;
                (place < self.servers.len()).then_some(place)
            }
            Event::Restart { .. }
            | Event::Rejoin { .. }
            | Event::Crash { .. }
            | Event::Join
            | Event::Fault
            | Event::Load => None,
        }
    }

    fn start(&mut self, place: Place) {
        let server = &mut self.servers[place];
        if server.peer.is_some() {
            return;
        }
        server.life += 1;
        let (state, epoch) = match (server.disk.load(), server.disk.recovered_epoch()) {
            (Ok(state), Ok(epoch)) => (state, epoch),
            failed => self.fail(&format!("{place} cannot start: {failed:?}")),
        };
        server.disk.current = epoch;
        let mut history = History::new(server.disk.snapshot.zxid, self.plan.keep);
        for entry in &server.disk.log {
            history.recovered(entry.zxid, &entry.payload);
        }
        server.database = state;
        let settings = ZabSettings {
            own: id(place),
            tick_ms: TICK_MS,
            init_limit: 10,
            sync_limit: SYNC_LIMIT,
            force_snapshot_sync: self.plan.force_snapshot_sync,
            leader: LeaderSettings::default(),
            observers: ObserverSettings {
                master_limit: self.plan.master_limit,
                reconnect_delay_ms: 100,
                election_delay_ms: 200,
                seed: self.seed + server.life,
            },
            max_record: 1000,
        };
        let membership = Membership {
            role: self.config.members[&id(place)].role,
            config: Arc::clone(&self.config),
            epochs: Epochs {
                accepted: server.disk.accepted,
                current: epoch,
            },
            timing: ElectionTiming {
                min_notification_interval_ms: 100,
                max_notification_interval_ms: 1600,
                finalize_wait_ms: 60,
            },
        };
        let mut peer = Peer::member(settings, membership, history);
        peer.start(self.now);
        self.servers[place].peer = Some(peer);
        self.note(|world| {
            let disk = &world.servers[place].disk;
            let (accepted, current) = (disk.accepted, disk.current);
            format!("{place} starts: {accepted} {current:?} {}", disk.last())
        });
        self.drain(place);
    }

    fn crash(&mut self, place: Place) {
        if self.servers[place].peer.take().is_none() {
            return;
        }
        let under_way = self.servers[place].disk.queue.len();
        let survives = self.random.below(under_way + 1);
        self.note(|_| format!("{place} crashes, {survives} of {under_way} reach its disk"));
        for _ in 0..survives {
            self.perform(place, 1);
        }
        let server = &mut self.servers[place];
        server.disk.queue.clear();
        server.is_disk_busy = false;
        server.pending.clear();
        server.serves = None;
        server.timer.0 = i64::MAX;
        server.paused_until = 0;
        server.life += 1;
        let life = server.life;
        self.checks.hidden(place);
        let tells = self.random.chance(80);
        let links: Vec<_> = self.links.keys().copied().collect();
        for link in links {
            let ends = &self.links[&link].ends;
            if ends.iter().any(|end| end.place == place && !end.is_over) {
                let side = self.links[&link].side(place);
                self.lose(link, side, tells);
            }
        }
        for other in 0..self.servers.len() {
            self.votes.remove(&(place, other));
            if other != place && tells {
                let delay = self.latency();
                let silenced = Event::Silenced {
                    place: other,
                    server: place,
                    life,
                };
                self.schedule(delay, silenced);
            }
        }
    }

    /// An end of a link is lost, and some of what it has sent last.
    fn lose(&mut self, link: LinkId, side: usize, tells: bool) {
        let Some(it) = self.links.get_mut(&link) else {
            return;
        };
        it.ends[side].is_over = true;
        let lane = &mut it.ends[1 - side].lane;
        lane.items.truncate(self.random.below(lane.items.len() + 1));
        if tells {
            self.push(link, 1 - side, Item::End);
        }
    }

    fn input(&mut self, place: Place, input: Input) {
        let Some(peer) = &mut self.servers[place].peer else {
            return;
        };
        let is_shown = matches!(input, Input::Received { .. } | Input::Notification { .. });
        if self.is_traced && !is_shown {
            println!("{:>7} {place} < {input:?}", self.now);
        }
        let check = match input {
            Input::Flushed(zxid) => {
                self.checks.flushed(place, zxid);
                Ok(())
            }
            Input::Done(DiskDone::EpochAccepted(epoch)) if peer.state() == PeerState::Leading => {
                self.checks.leads(place, epoch)
            }
            _ => Ok(()),
        };
        peer.handle(self.now, input);
        self.check(check);
        self.drain(place);
    }

    fn drain(&mut self, place: Place) {
        while let Some(output) = self.servers[place]
            .peer
            .as_mut()
            .and_then(Peer::poll_output)
        {
            self.output(place, output);
        }
        let server = &mut self.servers[place];
        let Some(peer) = &server.peer else {
            return;
        };
        let at = peer.poll_timeout();
        if at != server.timer.0 {
            server.timer = (at, server.timer.1 + 1);
            if at != i64::MAX {
                let (life, turn) = (server.life, server.timer.1);
                let delay = (at - self.now).max(0);
                self.schedule(delay, Event::Timer { place, life, turn });
            }
        }
    }

    fn output(&mut self, place: Place, output: Output) {
        let life = self.servers[place].life;
        if self.is_traced {
            println!("{:>7} {place} > {}", self.now, show(&output));
        }
        match output {
            Output::Notify { to, notification } => {
                self.numbers += 1;
                let number = self.numbers;
                let to = self::place(to);
                self.votes
                    .insert((place, to), (number, notification.clone()));
                if !self.random.chance(self.plan.losses) {
                    self.send_vote(place, to, number, notification);
                }
            }
            Output::DialPeers => {}
            Output::Dial { server } => self.begin_dial(place, server, false),
            Output::DialMaster { server } => self.begin_dial(place, server, true),
            Output::Send { link, packet } => self.send(place, link, packet),
            Output::SendLog { link, after, to } => {
                let disk = &self.servers[place].disk;
                if after < disk.snapshot.zxid {
                    // It has been purged meanwhile.
                    return self.reset(link);
                }
                let log = &disk.log;
                let wanted = log
                    .iter()
                    .filter(|entry| after < entry.zxid && entry.zxid <= to);
                for entry in wanted.cloned().collect::<Vec<_>>() {
                    let Entry { zxid, payload } = entry;
                    let proposal = QuorumPacket::with_data(PacketType::Proposal, zxid, payload);
                    self.send(place, link, proposal);
                    self.send(place, link, QuorumPacket::bare(PacketType::Commit, zxid));
                }
            }
            Output::SendState { link } => {
                self.perhaps_lose_early_leader(place);
                if let Some(it) = self.links.get(&link) {
                    let side = it.side(place);
                    self.push(link, 1 - side, Item::State);
                }
            }
            Output::ReadTimeout { link, after_ms } => {
                let now = self.now;
                let Some(it) = self.links.get_mut(&link) else {
                    return;
                };
                let side = it.side(place);
                let end = &mut it.ends[side];
                end.patience = Some(after_ms);
                end.heard = now;
                // One that waits for a longer time already would come too late.
                end.is_watched = true;
                self.schedule(after_ms, Event::Silence { link, side });
            }
            Output::Close { link } => {
                if let Some(it) = self.links.get_mut(&link) {
                    let side = it.side(place);
                    it.ends[side].is_over = true;
                    self.push(link, 1 - side, Item::End);
                }
            }
            Output::Search { link, zxid, to } => {
                let server = &self.servers[place];
                let mut found = server.disk.search(zxid);
                assert!(zxid < to, "what memory holds is not searched for");
                if self.random.chance(20) {
                    found = LogSearch::Unusable;
                }
                let delay = self.latency();
                let found = Event::Found {
                    place,
                    life,
                    link,
                    found,
                };
                self.schedule(delay, found);
            }
            Output::Append { record, payload } => {
                let zxid = record.header.zxid;
                let entry = Entry { zxid, payload };
                self.servers[place].pending.push_back(entry.clone());
                self.ask_disk(place, DiskOp::Append(entry));
            }
            Output::Disk(DiskRequest::Install) => {
                let state = self.servers[place].database.clone();
                self.ask_disk(place, DiskOp::Install(state));
            }
            Output::Disk(request) => {
                if let DiskRequest::AcceptEpoch(epoch) = request {
                    self.is_new(place, epoch);
                }
                self.ask_disk(place, DiskOp::Request(request));
            }
            Output::Forget { after } => {
                self.servers[place]
                    .pending
                    .retain(|entry| entry.zxid <= after);
            }
            Output::Commit(zxid) => self.commit(place, zxid),
            Output::Apply { record } => {
                let mut payload = Vec::new();
                record.encode(&mut payload);
                let entry = Entry {
                    zxid: record.header.zxid,
                    payload: payload.into(),
                };
                let database = &mut self.servers[place].database;
                let added = database.add(&entry);
                database.zxid = database.zxid.max(entry.zxid);
                self.check(added);
            }
            Output::Serve { role, epoch } => {
                let server = &mut self.servers[place];
                server.serves = Some((role, epoch));
                server.heard = (0..self.plan.voters)
                    .map(|place| (place, self.now))
                    .collect();
                let check = match role {
                    Role::Leading => {
                        let database = &mut server.database;
                        database.zxid = database.zxid.max(Zxid::new(epoch, 0));
                        self.checks.established(place, epoch, database)
                    }
                    Role::Following | Role::Observing => self.checks.shown(place, &server.database),
                };
                self.check(check);
            }
            Output::Retire => {
                self.servers[place].serves = None;
                self.checks.hidden(place);
            }
            Output::Request { .. } => self.requests.push(place),
            Output::Pinged { zxid } => {
                let packet = QuorumPacket::with_data(PacketType::Ping, zxid, Bytes::new());
                let now = self.now;
                if let Some(peer) = &mut self.servers[place].peer {
                    peer.send_to_leader(now, packet);
                }
            }
            Output::Revalidate { .. }
            | Output::Touched { .. }
            | Output::LearnerGone { .. }
            | Output::Synced
            | Output::Revalidated { .. } => {}
        }
    }

    fn commit(&mut self, place: Place, zxid: Zxid) {
        let server = &mut self.servers[place];
        let entry = server.pending.pop_front();
        let Some(entry) = entry.filter(|entry| entry.zxid == zxid) else {
            self.fail(&format!("I5: {place} commits {zxid} out of order"));
        };
        if !server.disk.holds(zxid) {
            self.fail(&format!(
                "L5: {place} commits {zxid} before its own disk holds it"
            ));
        }
        let added = server.database.add(&entry);
        server.database.zxid = server.database.zxid.max(zxid);
        self.check(added);
        if let Some((Role::Leading, _)) = self.servers[place].serves {
            let disks = self.servers.iter().map(|server| &server.disk);
            self.check(self.checks.committed(place, zxid, disks));
        }
        let check = self.checks.applied(place, &self.servers[place].database);
        self.check(check);
    }

    fn propose(&mut self, place: Place) {
        let server = &mut self.servers[place];
        let (Some((Role::Leading, _)), Some(peer)) = (server.serves, &mut server.peer) else {
            return;
        };
        let Some(zxid) = peer.next_zxid() else {
            return;
        };
        self.proposals += 1;
        let record = TxnRecord {
            header: TxnHeader {
                client_id: SessionId(i64::try_from(self.proposals).unwrap()),
                cxid: 0,
                zxid,
                time: self.now,
                op: OpCode::Error,
            },
            txn: Txn::Error(ErrorTxn { err: -101 }),
            digest: None,
        };
        let mut payload = Vec::new();
        record.encode(&mut payload);
        let payload = Bytes::from(payload);
        let check = self.checks.proposed(place, zxid, payload.clone());
        self.check(check);
        let entry = Entry {
            zxid,
            payload: payload.clone(),
        };
        self.servers[place].pending.push_back(entry.clone());
        self.ask_disk(place, DiskOp::Append(entry));
        let now = self.now;
        if let Some(peer) = &mut self.servers[place].peer {
            peer.propose(now, zxid, payload);
        }
        self.drain(place);
    }

    fn ask_disk(&mut self, place: Place, op: DiskOp) {
        self.servers[place].disk.queue.push_back(op);
        if !self.servers[place].is_disk_busy {
            self.servers[place].is_disk_busy = true;
            self.schedule_disk(place);
        }
    }

    fn schedule_disk(&mut self, place: Place) {
        let server = &self.servers[place];
        let most = match self.now < server.slow_until {
            true => 1500,
            false => self.plan.disk,
        };
        let life = server.life;
        let delay = self.random.between(1, most);
        self.schedule(delay, Event::Disk { place, life });
    }

    fn perform(&mut self, place: Place, batch: usize) -> Input {
        let disk = &mut self.servers[place].disk;
        let cuts = matches!(
            disk.queue.front(),
            Some(DiskOp::Install(_) | DiskOp::Request(DiskRequest::Truncate { .. }))
        );
        let before = cuts.then(|| disk.clone());
        let done = match disk.perform(batch) {
            Ok(done) => done,
            Err(what) => self.fail(&format!("L4: {place}: {what}")),
        };
        if let Some(before) = before {
            let disks = self.servers.iter().map(|server| &server.disk);
            self.check(self.checks.cut(place, &before, disks));
        }
        let check = self.checks.disk(place, &self.servers[place].disk);
        self.check(check);
        done
    }

    fn disk(&mut self, place: Place) {
        let batch = 1 + self.random.below(8);
        let reloads = matches!(
            self.servers[place].disk.queue.front(),
            Some(DiskOp::Request(
                DiskRequest::Reload | DiskRequest::Truncate { reload: true, .. }
            ))
        );
        let done = self.perform(place, batch);
        let server = &mut self.servers[place];
        if reloads && !matches!(done, Input::Done(DiskDone::NotTruncated)) {
            match server.disk.load() {
                Ok(state) => server.database = state,
                Err(what) => self.fail(&what),
            }
            server.pending.clear();
        }
        match self.servers[place].disk.queue.is_empty() {
            true => self.servers[place].is_disk_busy = false,
            false => self.schedule_disk(place),
        }
        self.input(place, done);
    }

    fn send(&mut self, place: Place, link: LinkId, packet: QuorumPacket) {
        let Some(it) = self.links.get_mut(&link) else {
            return;
        };
        let side = it.side(place);
        let server = &self.servers[place];
        let check = match side {
            0 => self
                .checks
                .learner_sends(place, &server.disk, it.epoch, &packet),
            _ => {
                if packet.r#type == PacketType::LeaderInfo {
                    it.epoch = Some(packet.zxid.epoch());
                }
                let (disk, state) = (&server.disk, &server.database);
                let serves = match it.by_master {
                    true => server.serves.map(|(_, epoch)| epoch),
                    false => None,
                };
                let (epoch, end) = (it.epoch, &mut it.ends[0]);
                self.checks
                    .leader_sends(place, disk, state, (epoch, serves), end, &packet)
            }
        };
        self.check(check);
        self.push(link, 1 - side, Item::Packet(packet));
    }

    /// Sends something to an end.
    fn push(&mut self, link: LinkId, side: usize, item: Item) {
        let Some(it) = self.links.get_mut(&link) else {
            return;
        };
        let lane = &mut it.ends[side].lane;
        lane.items.push_back(item);
        if !lane.is_moving {
            lane.is_moving = true;
            let delay = self.latency();
            self.schedule(delay, Event::Deliver { link, side });
        }
    }

    fn deliver(&mut self, link: LinkId, side: usize) {
        let Some(it) = self.links.get_mut(&link) else {
            return;
        };
        let (from, to) = (it.ends[1 - side].place, it.ends[side].place);
        if self.cuts.contains(&(from, to)) {
            return self.schedule(20, Event::Deliver { link, side });
        }
        let sender_over = it.ends[1 - side].is_over;
        let end = &mut it.ends[side];
        let Some(item) = end.lane.items.pop_front() else {
            end.lane.is_moving = false;
            if it.is_over() {
                self.links.remove(&link);
            }
            return;
        };
        let mut next_in = self.random.between(0, 1);
        if !end.is_over && to < self.servers.len() {
            end.heard = self.now;
            match item {
                Item::Packet(packet) => {
                    if packet.r#type == PacketType::Snap {
                        end.snap = packet.zxid;
                    }
                    if self.is_traced {
                        let packet = show_packet(&packet);
                        println!("{:>7} {to} < {} {packet}", self.now, link.0);
                    }
                    if side == 1 {
                        self.servers[to].heard.insert(from, self.now);
                    }
                    let peer = self.servers[to].peer.as_ref();
                    let leads = peer.is_some_and(|peer| peer.state() == PeerState::Leading);
                    let introduces = packet.r#type == PacketType::FollowerInfo;
                    if leads && introduces && from < self.plan.voters {
                        it.accepted = Some(packet.zxid.epoch());
                    }
                    self.input(to, Input::Received { link, packet });
                }
                // What is not the leader any more may not have the state that it had.
                Item::State if sender_over => {
                    end.lane.items.clear();
                    end.lane.items.push_back(Item::End);
                }
                Item::State => {
                    let state = self.servers[from].database.clone();
                    end.lane.items.push_front(Item::Taken(state));
                    next_in = self.random.between(1, 5 * self.plan.latency);
                }
                Item::Taken(mut state) => {
                    state.zxid = end.snap;
                    let server = &mut self.servers[to];
                    server.database = state;
                    server.pending.clear();
                    self.input(to, Input::Replaced { link });
                }
                Item::End => {
                    end.is_over = true;
                    self.input(to, Input::Closed { link });
                }
            }
        } else if matches!(item, Item::End) {
            end.is_over = true;
        }
        self.schedule(next_in, Event::Deliver { link, side });
    }

    /// Perhaps an end has not been heard from for too long.
    fn silence(&mut self, link: LinkId, side: usize) {
        let Some(it) = self.links.get_mut(&link) else {
            return;
        };
        let end = &mut it.ends[side];
        let Some(patience) = end.patience.filter(|_| !end.is_over) else {
            return;
        };
        let due = end.heard + patience;
        if self.now < due {
            return self.schedule(due - self.now, Event::Silence { link, side });
        }
        let place = end.place;
        end.is_over = true;
        self.push(link, 1 - side, Item::End);
        self.input(place, Input::Closed { link });
    }

    fn begin_dial(&mut self, place: Place, server: ServerId, by_master: bool) {
        let fails = self.random.chance(self.plan.losses / 3);
        let delay = self.latency() + if fails { 300 } else { 0 };
        let dial = Event::Dial {
            place,
            life: self.servers[place].life,
            target: self::place(server),
            by_master,
            fails,
        };
        self.schedule(delay, dial);
    }

    fn dial(&mut self, place: Place, target: Place, by_master: bool, fails: bool) {
        let cut = self.cuts.contains(&(place, target)) || self.cuts.contains(&(target, place));
        let dialed = |link| Input::Dialed {
            server: id(target),
            link,
        };
        if fails || cut || self.servers[target].peer.is_none() {
            if cut && !fails {
                let life = self.servers[place].life;
                let again = Event::Dial {
                    place,
                    life,
                    target,
                    by_master,
                    fails: true,
                };
                return self.schedule(500, again);
            }
            return self.input(place, dialed(None));
        }
        let link = self.connect(place, target, by_master);
        self.input(place, dialed(Some(link)));
    }

    fn connect(&mut self, dialer: Place, target: Place, by_master: bool) -> LinkId {
        self.numbers += 1;
        let link = LinkId(self.numbers);
        let it = Link {
            by_master,
            ..Link::new(dialer, target, self.now)
        };
        self.links.insert(link, it);
        let accepted = match by_master {
            true => Input::AcceptedObserver { link },
            false => Input::Accepted { link },
        };
        self.input(target, accepted);
        link
    }

    fn send_vote(&mut self, from: Place, to: Place, number: u64, notification: Notification) {
        let delay = self.latency();
        let vote = Event::Vote {
            from,
            to,
            number,
            notification,
        };
        self.schedule(delay, vote);
    }

    fn vote(&mut self, from: Place, to: Place, number: u64, notification: Notification) {
        let heard = self.heard_votes.entry((from, to)).or_default();
        if number < *heard || self.cuts.contains(&(from, to)) {
            return;
        }
        *heard = number;
        if self.is_traced {
            let vote = show_vote(&notification);
            println!("{:>7} {to} < vote of {from}: {vote}", self.now);
        }
        let from = id(from);
        self.input(to, Input::Notification { from, notification });
    }

    fn load(&mut self) {
        if self.now < self.plan.quiet_at {
            self.schedule(self.plan.load_every, Event::Load);
        }
        let place = self.random.below(self.servers.len());
        match self.servers[place].serves {
            Some((Role::Leading, _)) => {
                for _ in 0..=self.random.below(3) {
                    self.propose(place);
                }
            }
            Some((Role::Following | Role::Observing, _)) => {
                let request = QuorumPacket::with_data(
                    PacketType::Request,
                    QuorumPacket::NO_ZXID,
                    Bytes::from_static(b"a request"),
                );
                let now = self.now;
                if let Some(peer) = &mut self.servers[place].peer {
                    peer.send_to_leader(now, request);
                }
                self.drain(place);
            }
            None => {}
        }
    }

    fn fault(&mut self) {
        if self.plan.quiet_at <= self.now {
            return;
        }
        let delay = self.random.between(1, 2 * self.plan.fault_every);
        self.schedule(delay, Event::Fault);
        if self.plan.faults.is_empty() {
            return;
        }
        let fault = self.plan.faults[self.random.below(self.plan.faults.len())];
        let place = self.random.below(self.servers.len());
        let long = self.random.between(50, 3000);
        match fault {
            Fault::Crash => {
                self.crash(place);
                self.schedule(long, Event::Restart { place });
            }
            Fault::CrashAll => {
                if self.random.chance(20) {
                    for place in 0..self.servers.len() {
                        self.crash(place);
                        let delay = self.random.between(1, 1000);
                        self.schedule(delay, Event::Restart { place });
                    }
                }
            }
            Fault::Wipe => self.wipe(place),
            Fault::Reset => {
                let links: Vec<_> = self.links.keys().copied().collect();
                if !links.is_empty() {
                    let link = links[self.random.below(links.len())];
                    self.reset(link);
                }
            }
            Fault::Cut => self.cut(place),
            Fault::SlowDisk => self.servers[place].slow_until = self.now + long,
            Fault::StaleVote => {
                let other = self.random.below(self.servers.len());
                let last = self.votes.get(&(place, other)).cloned();
                if let Some((_, notification)) = last {
                    let delay = self.random.between(1, 1000);
                    // It passes for a new one.
                    self.numbers += 1;
                    let vote = Event::Vote {
                        from: place,
                        to: other,
                        number: self.numbers,
                        notification,
                    };
                    self.schedule(delay, vote);
                }
            }
            Fault::Pause => {
                self.pause(place, long);
            }
            Fault::Stranger => self.stranger(place),
            Fault::LoseLeader => self.lose_leader(),
            Fault::Compact => self.compact(place),
        }
    }

    fn reset(&mut self, link: LinkId) {
        self.note(|_| format!("link {} is reset", link.0));
        for side in [0, 1] {
            let Some(it) = self.links.get_mut(&link) else {
                return;
            };
            let lane = &mut it.ends[side].lane;
            lane.items.truncate(self.random.below(lane.items.len() + 1));
            self.push(link, side, Item::End);
        }
    }

    /// Cuts a server off from some, one way or both.
    fn cut(&mut self, place: Place) {
        if self.random.chance(50) {
            self.join();
            return;
        }
        for other in 0..self.servers.len() {
            if other != place && self.random.chance(60) {
                self.note(|_| format!("{place} and {other} are cut off"));
                self.cuts.insert((place, other));
                if self.random.chance(80) {
                    self.cuts.insert((other, place));
                }
            }
        }
    }

    fn pause(&mut self, place: Place, length: i64) {
        self.note(|_| format!("{place} stops for {length}"));
        let until = &mut self.servers[place].paused_until;
        *until = (*until).max(self.now + length);
    }

    /// A leader goes on while hardly anybody hears it, and goes down or is cut off for a while: what
    /// it has proposed last is in few logs.
    fn lose_leader(&mut self) {
        let leads = |server: &&Server| matches!(server.serves, Some((Role::Leading, _)));
        let Some(place) = self.servers.iter().find(leads).map(|server| server.place) else {
            return;
        };
        self.note(|_| format!("{place} leads and is to be lost"));
        for other in 0..self.servers.len() {
            if other != place && self.random.chance(70) {
                self.cuts.insert((place, other));
                self.cuts.insert((other, place));
            }
        }
        for _ in 0..=self.random.below(5) {
            self.propose(place);
        }
        let soon = self.random.between(1, 200);
        match self.random.chance(70) {
            true => self.schedule(soon, Event::Crash { place }),
            false => self.pause(place, 10 * soon),
        }
        let later = self.random.between(500, 4000);
        self.schedule(later, Event::Restart { place });
        if self.random.chance(80) {
            self.schedule(soon + 1, Event::Join);
        }
    }

    /// One that is not established is lost while it sends its state, with a tail in it that perhaps
    /// nobody else has.
    fn perhaps_lose_early_leader(&mut self, place: Place) {
        let has_fault = self.plan.faults.contains(&Fault::LoseLeader);
        let is_early = has_fault && self.servers[place].serves.is_none();
        if is_early && self.random.chance(20) {
            // Whoever has got it whole may be away while others elect.
            let learner = self.random.below(self.servers.len());
            for place in [place, learner] {
                let soon = self.random.between(1, 10 * self.plan.latency);
                self.schedule(soon, Event::Crash { place });
                let later = self.random.between(500, 4000);
                self.schedule(soon + later, Event::Restart { place });
            }
        }
    }

    fn join(&mut self) {
        self.note(|_| "all are connected again".to_owned());
        self.cuts.clear();
        for from in 0..self.servers.len() {
            for to in 0..self.servers.len() {
                self.schedule(5, Event::Rejoin { from, to });
            }
        }
    }

    /// A server takes a snapshot of all that it has applied, and no older one is kept.
    fn compact(&mut self, place: Place) {
        let server = &mut self.servers[place];
        let is_at_rest = server.serves.is_some() && server.disk.queue.is_empty();
        let (disk, database) = (&mut server.disk, &server.database);
        if is_at_rest && disk.last() <= database.zxid && disk.holds_all(database) {
            disk.snapshot = database.clone();
            disk.log.clear();
            self.note(|_| format!("{place} takes a snapshot"));
        }
    }

    /// A server comes back with an empty disk that says so.
    fn wipe(&mut self, place: Place) {
        let lacks = |server: &Server| server.disk.current.is_none();
        if self.servers.iter().any(lacks) {
            return;
        }
        self.crash(place);
        self.note(|_| format!("{place} loses its disk"));
        let server = &mut self.servers[place];
        self.checks.wipe(place, &server.disk);
        server.disk = Disk {
            accepted: server.disk.accepted,
            ..Disk::default()
        };
        self.schedule(100, Event::Restart { place });
    }

    /// Someone who is no member talks to a quorum port.
    fn stranger(&mut self, target: Place) {
        if self.servers[target].peer.is_none() {
            return;
        }
        let stranger = self.servers.len();
        let by_master = self.plan.master_limit.is_some() && self.random.chance(30);
        let link = self.connect(stranger, target, by_master);
        let epochs = [0, 1, 7, 0x7fff_fffe, 0x7fff_ffff, u32::MAX];
        for _ in 0..self.random.below(5) {
            let epoch = epochs[self.random.below(epochs.len())];
            let counter = u32::try_from(self.random.below(9)).unwrap();
            let zxid = Zxid::new(epoch, counter);
            let info = LearnerInfo {
                server: ServerId([0, 77, -1][self.random.below(3)]),
                protocol_version: LearnerInfo::PROTOCOL,
                config_version: 0,
            };
            let newest = self.servers[target].disk.last();
            let packet = match self.random.below(6) {
                0 | 1 => {
                    let kinds = [PacketType::FollowerInfo, PacketType::ObserverInfo];
                    QuorumPacket::with_data(kinds[self.random.below(2)], zxid, info.to_bytes())
                }
                2 => QuorumPacket::with_data(PacketType::AckEpoch, zxid, vec![0, 0, 0, 9]),
                3 => QuorumPacket::bare(PacketType::Ack, Zxid(newest.0 + 1)),
                4 => QuorumPacket::bare(PacketType::Ack, zxid),
                _ => QuorumPacket::with_data(PacketType::Ping, zxid, Bytes::new()),
            };
            self.push(link, 1, Item::Packet(packet));
        }
        if self.random.chance(70) {
            self.push(link, 1, Item::End);
        }
    }
}

fn show(output: &Output) -> String {
    match output {
        Output::Notify { to, notification } => {
            format!("vote to {}: {}", place(*to), show_vote(notification))
        }
        Output::Send { link, packet } => format!("{} {}", link.0, show_packet(packet)),
        Output::Append { record, .. } => format!("append {}", record.header.zxid),
        Output::Apply { record } => format!("apply {}", record.header.zxid),
        Output::Dial { server } => format!("dial {}", place(*server)),
        other => format!("{other:?}"),
    }
}

fn show_packet(packet: &QuorumPacket) -> String {
    let data = packet.data.as_deref().filter(|data| data.len() < 9);
    format!("{:?} {} {data:?}", packet.r#type, packet.zxid)
}

fn show_vote(vote: &Notification) -> String {
    format!(
        "{:?} {} {} r{} e{}",
        vote.state,
        vote.leader.0.saturating_sub(1),
        vote.zxid,
        vote.election_epoch,
        vote.peer_epoch
    )
}
