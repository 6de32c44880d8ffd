//! Whole ensembles in virtual time: elections with messages that are late, lost, or of a connection
//! that is no more, with crashes and with partitions; everything is drawn from one seed.
//!
//! What follows an election is only sketched: a leader with a quorum of followers connected begins
//! an epoch, everybody takes over its history, and it writes until it loses its quorum. Checked at
//! every step: E1, E2, E3 and E5 of quorum.md 16.4; after the faults have ended, E4.

use std::collections::{BTreeMap, BTreeSet};

use ox_proto::{Member, MemberRole};

use super::*;
use crate::contains_quorum;

/// Between two looks at who is connected.
const TICK_MS: i64 = 50;
/// How long a leader waits for its followers, and a follower for its leader.
const INIT_LIMIT_MS: i64 = 2_000;
const CONNECT_MS: i64 = 500;
/// How long there are faults.
const FAULTS_MS: i64 = 60_000;

/// A small generator (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let positive = ((z ^ (z >> 31)) >> 1).cast_signed();
        positive % limit
    }

    fn once_in(&mut self, times: i64) -> bool {
        self.below(times) == 0
    }
}

/// A process, and the disk it leaves behind.
struct Server {
    id: ServerId,
    settings: ElectionSettings,
    /// `None` while it is down.
    election: Option<Election>,
    last_zxid: Zxid,
    epoch: i64,
    /// When its current state began.
    since: i64,
    /// Whether the epoch of its leader, or its own, is established.
    established: bool,
    /// What it began the round with.
    initial: Vote,
    /// All it has been told that a round could rest on: since it looked, and just before.
    heard: Vec<(ServerId, Notification)>,
}

impl Server {
    fn leader(&self) -> Option<ServerId> {
        let election = self.election.as_ref()?;
        match election.state() {
            PeerState::Looking => None,
            PeerState::Following | PeerState::Leading | PeerState::Observing => {
                election.vote().map(|vote| vote.leader)
            }
        }
    }
}

/// One direction between two servers.
#[derive(Default)]
struct Link {
    /// What could not be sent yet, and what was sent last.
    waiting: Option<Notification>,
    last: Option<Notification>,
    /// What is under way, with its time of arrival.
    flying: Vec<(i64, Notification)>,
    /// Of an older connection: arrives at any time or never.
    stray: Vec<(i64, Notification)>,
}

struct World {
    seed: u64,
    random: Random,
    now_ms: i64,
    config: Arc<EnsembleConfig>,
    servers: BTreeMap<ServerId, Server>,
    links: BTreeMap<(ServerId, ServerId), Link>,
    /// Pairs that cannot reach each other.
    cut: BTreeSet<(ServerId, ServerId)>,
    connected: BTreeSet<(ServerId, ServerId)>,
    /// Whether some messages are slow.
    jitter: bool,
    faults: bool,
    next_fault: i64,
    /// Per epoch, who has led it.
    leaders: BTreeMap<i64, ServerId>,
    /// Per round, what a server has elected without any wait, and without anybody gone.
    unanimous: BTreeMap<i64, Vote>,
    elections: usize,
}

impl World {
    fn new(seed: u64, config: EnsembleConfig, timing: ElectionTiming) -> Self {
        let config = Arc::new(config);
        let mut random = Random(seed);
        let mut servers = BTreeMap::new();
        for (&id, member) in &config.members {
            let settings = ElectionSettings {
                server: id,
                role: member.role,
                committed: Arc::clone(&config),
                last_seen: Arc::clone(&config),
                reconfig_enabled: false,
                timing,
            };
            let epoch = random.below(3);
            let server = Server {
                id,
                settings,
                election: None,
                last_zxid: Zxid((epoch << 32) + random.below(3)),
                epoch,
                since: random.below(400),
                established: false,
                initial: Vote::of(&blank()),
                heard: Vec::new(),
            };
            servers.insert(id, server);
        }
        let ids: Vec<_> = servers.keys().copied().collect();
        let pairs = ids
            .iter()
            .flat_map(|&from| ids.iter().map(move |&to| (from, to)));
        let links = pairs.filter(|(from, to)| from != to);
        Self {
            seed,
            random,
            now_ms: 0,
            config,
            links: links.map(|pair| (pair, Link::default())).collect(),
            servers,
            cut: BTreeSet::new(),
            connected: BTreeSet::new(),
            jitter: true,
            faults: false,
            next_fault: 0,
            leaders: BTreeMap::new(),
            unanimous: BTreeMap::new(),
            elections: 0,
        }
    }

    fn ids(&self) -> Vec<ServerId> {
        self.servers.keys().copied().collect()
    }

    fn is_up(&self, id: ServerId) -> bool {
        self.servers[&id].election.is_some()
    }

    fn reach(&self, from: ServerId, to: ServerId) -> bool {
        self.is_up(from) && self.is_up(to) && !self.cut.contains(&pair(from, to))
    }

    /// Everything that happens at the next moment at which something does.
    fn step(&mut self) {
        self.now_ms = self.next_moment();
        if self.faults && self.now_ms >= self.next_fault {
            self.next_fault = self.now_ms + self.random.below(1_400);
            self.fault();
        }
        for id in self.ids() {
            let server = &self.servers[&id];
            if server.election.is_none() && server.since <= self.now_ms {
                self.start(id);
            }
            self.deliver_to(id);
            self.fire_timer(id);
        }
        if self.now_ms % TICK_MS == 0 {
            for id in self.ids() {
                self.tick(id);
            }
        }
    }

    fn next_moment(&self) -> i64 {
        let mut next = self.now_ms / TICK_MS * TICK_MS + TICK_MS;
        for server in self.servers.values() {
            let timer = match &server.election {
                None => Some(server.since),
                Some(election) => election.poll_timeout(),
            };
            next = next.min(timer.unwrap_or(i64::MAX));
        }
        for link in self.links.values() {
            let arrivals = link.flying.first().into_iter().chain(&link.stray);
            next = arrivals.fold(next, |next, (at, _)| next.min(*at));
        }
        next.max(self.now_ms + 1)
    }

    fn start(&mut self, id: ServerId) {
        let server = self.servers.get_mut(&id).unwrap();
        server.election = Some(Election::new(server.settings.clone()));
        server.heard.clear();
        self.look(id);
    }

    fn look(&mut self, id: ServerId) {
        let now_ms = self.now_ms;
        let server = self.servers.get_mut(&id).unwrap();
        server.since = now_ms;
        server.established = false;
        let election = server.election.as_mut().unwrap();
        server.initial = election.initial_vote(server.last_zxid, server.epoch);
        election.look(now_ms, server.last_zxid, server.epoch);
        self.perform(id, false);
    }

    fn perform(&mut self, id: ServerId, by_votes: bool) {
        loop {
            let server = self.servers.get_mut(&id).unwrap();
            let Some(output) = server.election.as_mut().unwrap().poll_output() else {
                return;
            };
            match output {
                ElectionOutput::Send { to, notification } => {
                    self.check_sent(id, to, &notification);
                    self.send(id, to, notification);
                }
                ElectionOutput::Elected {
                    leader,
                    state,
                    vote,
                } => {
                    self.check_elected(id, leader, state, &vote);
                    if by_votes {
                        self.check_unanimous(id, &vote);
                    }
                    let server = self.servers.get_mut(&id).unwrap();
                    server.since = self.now_ms;
                    server.heard.clear();
                    self.elections += 1;
                }
                ElectionOutput::DialAll => {
                    for to in self.ids() {
                        let waiting = |link: &Link| link.waiting.is_some();
                        let waits = self.links.get(&(id, to)).is_some_and(waiting);
                        if waits && self.reach(id, to) && self.connected.insert(pair(id, to)) {
                            self.send_waiting(to, id);
                            self.send_waiting(id, to);
                        }
                    }
                }
                ElectionOutput::AdoptConfig(_) => panic!("seed {}", self.seed),
            }
        }
    }

    /// Over the connection that there is, or over a new one if the other can be reached.
    fn send(&mut self, from: ServerId, to: ServerId, notification: Notification) {
        let link = self.links.get_mut(&(from, to)).unwrap();
        link.waiting = Some(notification);
        if self.reach(from, to) {
            if self.connected.insert(pair(from, to)) {
                self.send_waiting(to, from);
            }
            self.send_waiting(from, to);
        }
    }

    /// What waits; if there is nothing, what was sent last is sent again.
    fn send_waiting(&mut self, from: ServerId, to: ServerId) {
        let slow = self.jitter && self.random.once_in(10);
        let delay = 1 + self.random.below(if slow { 150 } else { 4 });
        let link = self.links.get_mut(&(from, to)).unwrap();
        if let Some(notification) = link.waiting.take().or_else(|| link.last.clone()) {
            let earliest = link.flying.last().map_or(0, |(at, _)| *at);
            link.last = Some(notification.clone());
            link.flying
                .push((earliest.max(self.now_ms + delay), notification));
        }
    }

    fn deliver_to(&mut self, id: ServerId) {
        let now_ms = self.now_ms;
        for from in self.ids() {
            let Some(link) = self.links.get_mut(&(from, id)) else {
                continue;
            };
            let due = |(at, _): &mut (i64, Notification)| *at <= now_ms;
            let mut arrived: Vec<_> = link.stray.extract_if(.., due).collect();
            arrived.extend(link.flying.extract_if(.., due));
            for (_, notification) in arrived {
                let server = self.servers.get_mut(&id).unwrap();
                let Some(election) = &mut server.election else {
                    continue;
                };
                let by_votes = notification.state == Some(PeerState::Looking);
                server.heard.push((from, notification.clone()));
                election.handle(now_ms, from, &notification);
                self.perform(id, by_votes);
            }
        }
    }

    fn fire_timer(&mut self, id: ServerId) {
        let now_ms = self.now_ms;
        let others = self.ids().into_iter().filter(|&to| to != id);
        let delivered = others
            .map(|to| &self.links[&(id, to)])
            .any(|link| link.waiting.is_none());
        let server = self.servers.get_mut(&id).unwrap();
        let Some(election) = &mut server.election else {
            return;
        };
        if election.poll_timeout().is_some_and(|at| at <= now_ms) {
            election.timeout(now_ms, delivered);
            self.perform(id, false);
        }
    }

    /// The rest of a server: what it does with its leader, or as one.
    fn tick(&mut self, id: ServerId) {
        let Some(leader) = self.servers[&id].leader() else {
            return;
        };
        match leader == id {
            true => self.lead(id),
            false => self.follow(id, leader),
        }
    }

    fn followers(&self, leader: ServerId) -> Vec<ServerId> {
        let follows = |id: &ServerId| self.servers[id].leader() == Some(leader);
        let ids = self.ids().into_iter();
        ids.filter(|id| *id == leader || follows(id) && self.reach(*id, leader))
            .collect()
    }

    fn lead(&mut self, id: ServerId) {
        let mut followers = self.followers(id);
        let (last_zxid, epoch) = (self.servers[&id].last_zxid, self.servers[&id].epoch);
        // Whoever has more history than its leader leaves it.
        if !self.servers[&id].established {
            followers.retain(|follower| {
                let server = &self.servers[follower];
                (server.epoch, server.last_zxid) <= (epoch, last_zxid)
            });
        }
        let quorum = contains_quorum(&self.config, &followers.iter().copied().collect());
        let server = &self.servers[&id];
        match (quorum, server.established) {
            (true, true) => self.write(id, &followers),
            (true, false) => self.establish(id, &followers),
            (false, true) => self.look(id),
            (false, false) if self.now_ms - server.since > INIT_LIMIT_MS => self.look(id),
            (false, false) => {}
        }
    }

    fn establish(&mut self, id: ServerId, followers: &[ServerId]) {
        // How an epoch is agreed upon is not what is looked at here.
        let epoch = self
            .leaders
            .last_key_value()
            .map_or(3, |(last, _)| last + 1);
        self.leaders.insert(epoch, id);
        for &follower in followers {
            self.join(follower, id, epoch);
        }
    }

    /// Takes over the history of a leader of an epoch.
    fn join(&mut self, follower: ServerId, leader: ServerId, epoch: i64) {
        let last_zxid = self.servers[&leader].last_zxid;
        let server = self.servers.get_mut(&follower).unwrap();
        server.epoch = epoch;
        server.last_zxid = last_zxid;
        server.established = true;
        server.election.as_mut().unwrap().established(epoch);
    }

    /// The newest followers may miss some of it.
    fn write(&mut self, id: ServerId, followers: &[ServerId]) {
        let epoch = self.servers[&id].epoch;
        for &follower in followers {
            if !self.servers[&follower].established {
                self.join(follower, id, epoch);
            }
        }
        let newest = self.servers[&id].last_zxid.0.max(epoch << 32) + 1;
        for &follower in followers {
            let server = self.servers.get_mut(&follower).unwrap();
            if server.established && (follower == id || !self.random.once_in(4)) {
                server.last_zxid = Zxid(newest);
            }
        }
    }

    fn follow(&mut self, id: ServerId, leader: ServerId) {
        let leads = self.reach(id, leader) && self.servers[&leader].leader() == Some(leader);
        let server = &self.servers[&id];
        let newer = leads
            && !server.established
            && !self.servers[&leader].established
            && (server.epoch, server.last_zxid)
                > (self.servers[&leader].epoch, self.servers[&leader].last_zxid);
        let other = leads && server.established && self.servers[&leader].epoch != server.epoch;
        let waited = self.now_ms - server.since;
        let lost = match leads {
            true => waited > INIT_LIMIT_MS && !server.established,
            false => server.established || waited > CONNECT_MS,
        };
        if lost || newer || other {
            self.look(id);
        }
    }

    fn any_server(&mut self) -> ServerId {
        let ids = self.ids();
        let place = self.random.below(ids.len().try_into().unwrap());
        ids[usize::try_from(place).unwrap()]
    }

    fn fault(&mut self) {
        let (id, other) = (self.any_server(), self.any_server());
        match self.random.below(4) {
            0 | 1 => self.crash(id),
            2 if id != other => {
                self.cut.insert(pair(id, other));
                self.disconnect(id, other);
            }
            _ => self.cut.clear(),
        }
    }

    /// It comes back after a while, or at once.
    fn crash(&mut self, id: ServerId) {
        let server = self.servers.get_mut(&id).unwrap();
        if server.election.take().is_none() {
            return;
        }
        let down = if self.random.once_in(2) { 5 } else { 3_000 };
        server.since = self.now_ms + 1 + self.random.below(down);
        for other in self.ids() {
            if other != id {
                self.disconnect(id, other);
                let link = self.links.get_mut(&(id, other)).unwrap();
                (link.waiting, link.last) = (None, None);
                self.notice_end(other, id);
            }
        }
    }

    /// Not everybody sees why a connection has ended.
    fn notice_end(&mut self, id: ServerId, ended: ServerId) {
        let noticed = !self.random.once_in(3);
        let server = self.servers.get_mut(&id).unwrap();
        if let Some(election) = server.election.as_mut().filter(|_| noticed) {
            election.closed(self.now_ms, ended);
            self.perform(id, false);
        }
    }

    fn disconnect(&mut self, one: ServerId, other: ServerId) {
        self.connected.remove(&pair(one, other));
        for pair in [(one, other), (other, one)] {
            let link = self.links.get_mut(&pair).unwrap();
            for (_, notification) in std::mem::take(&mut link.flying) {
                if self.random.once_in(2) {
                    link.stray
                        .push((self.now_ms + self.random.below(1_000), notification));
                }
            }
        }
    }

    /// E2, at its root: nobody tells a voter less than it began with.
    fn check_sent(&self, id: ServerId, to: ServerId, notification: &Notification) {
        let elects = notification.state == Some(PeerState::Looking) && self.config.is_voter(to);
        if elects && self.electable(id) {
            let vote = Vote::of(notification);
            let initial = &self.servers[&id].initial;
            assert!(
                vote.rank() >= initial.rank(),
                "seed {}: {vote:?}",
                self.seed
            );
        }
    }

    fn electable(&self, id: ServerId) -> bool {
        self.config.is_voter(id) && self.config.weight(id) > 0
    }

    fn check_elected(&self, id: ServerId, leader: ServerId, state: PeerState, vote: &Vote) {
        let seed = self.seed;
        let server = &self.servers[&id];
        assert!(self.electable(leader), "seed {seed}: E5: {leader:?}");
        let role = match server.settings.role {
            _ if leader == id => PeerState::Leading,
            MemberRole::Participant => PeerState::Following,
            MemberRole::Observer => PeerState::Observing,
        };
        assert_eq!(state, role, "seed {seed}");
        let mut equal = BTreeSet::new();
        for (from, told) in &server.heard {
            // Servers that follow us already may have another zxid or epoch in mind.
            let follows = leader == id && told.state == Some(PeerState::Following);
            if Vote::of(told) == *vote || follows && told.leader == id {
                equal.insert(*from);
            }
        }
        if server.initial.rank() == vote.rank() {
            equal.insert(id);
        }
        let leads = |(from, told): &(ServerId, Notification)| {
            *from == leader && told.state == Some(PeerState::Leading)
        };
        let told_so = server.heard.iter().any(leads);
        if leader != id && !told_so {
            // It votes for what it has proposed.
            equal.insert(id);
        }
        let quorum = contains_quorum(&self.config, &equal);
        assert!(
            quorum || leader != id && told_so,
            "seed {seed}: E1 or E3: {id:?} {vote:?} {equal:?}"
        );
    }

    /// Whoever has not waited while nobody was gone has found what the others find like that.
    fn check_unanimous(&mut self, id: ServerId, vote: &Vote) {
        let server = &self.servers[&id];
        let all = self
            .config
            .voters()
            .filter(|&voter| self.electable(voter))
            .all(|voter| {
                voter == id
                    || server.heard.iter().any(|(from, told)| {
                        *from == voter
                            && told.state == Some(PeerState::Looking)
                            && told.election_epoch == vote.election_epoch
                    })
            });
        if all && !self.faults && self.now_ms < FAULTS_MS {
            let first = *self.unanimous.entry(vote.election_epoch).or_insert(*vote);
            assert_eq!(first, *vote, "seed {}", self.seed);
        }
    }

    /// Everybody that is up has the same established leader.
    fn settled(&self) -> bool {
        let mut leaders = self.servers.values().map(|server| {
            let established = server.established && server.election.is_some();
            server.leader().filter(|_| established)
        });
        let first = leaders.next().flatten();
        first.is_some() && leaders.all(|leader| leader == first)
    }

    #[track_caller]
    fn settles_within(&mut self, bound_ms: i64) -> i64 {
        let begin = self.now_ms;
        while !self.settled() {
            self.step();
            let states: Vec<_> = self
                .servers
                .values()
                .map(|server| (server.id, server.leader()))
                .collect();
            let waited = self.now_ms - begin;
            assert!(waited < bound_ms, "seed {}: E4: {states:?}", self.seed);
        }
        self.now_ms - begin
    }

    /// Everybody is up and reached from now on.
    fn heal(&mut self) {
        self.faults = false;
        self.cut.clear();
        for id in self.ids() {
            let server = self.servers.get_mut(&id).unwrap();
            if server.election.is_none() {
                server.since = self.now_ms;
            }
        }
    }
}

fn pair(one: ServerId, other: ServerId) -> (ServerId, ServerId) {
    (one.min(other), one.max(other))
}

fn blank() -> Notification {
    Notification {
        state: None,
        leader: Vote::NOBODY,
        zxid: Zxid::ZERO,
        election_epoch: 0,
        peer_epoch: 0,
        version: 2,
        config: None,
    }
}

fn ensemble(voters: i64, observers: i64) -> EnsembleConfig {
    let mut config = EnsembleConfig::default();
    for id in 1..=voters + observers {
        let role = if id > voters { ":observer" } else { "" };
        let member = Member::parse(ServerId(id), &format!("h:1:2{role}")).unwrap();
        config.members.insert(ServerId(id), member);
    }
    config
}

/// The sizes in turn; the last has groups, and a member without weight.
fn drawn(seed: u64) -> EnsembleConfig {
    match seed % 6 {
        0 => ensemble(3, 0),
        1 => ensemble(5, 0),
        2 => ensemble(3, 1),
        3 => ensemble(4, 0),
        4 => ensemble(2, 0),
        _ => {
            let mut config = ensemble(7, 1);
            for (group, members) in [(1, [1, 2].as_slice()), (2, &[3, 4]), (3, &[5, 6, 7])] {
                config
                    .groups
                    .insert(group, members.iter().copied().map(ServerId).collect());
            }
            config.weights.insert(ServerId(7), 0);
            config
        }
    }
}

#[test]
fn faults_break_no_invariant_and_when_they_end_one_leader_is_agreed_upon() {
    let mut elections = 0;
    for seed in 0..90 {
        let timing = ElectionTiming {
            max_notification_interval_ms: if seed % 2 == 0 { 60_000 } else { 1_600 },
            ..ElectionTiming::default()
        };
        let mut world = World::new(seed, drawn(seed), timing);
        world.faults = true;
        while world.now_ms < FAULTS_MS {
            world.step();
        }
        world.heal();
        let bound = 2 * timing.max_notification_interval_ms + 3 * INIT_LIMIT_MS;
        world.settles_within(bound);
        elections += world.elections;
    }
    assert!(elections > 1_000, "{elections}");
}

#[test]
fn whoever_leaves_out_the_wait_finds_the_same_leader() {
    let mut without_wait = 0;
    for seed in 0..300 {
        let mut world = World::new(seed, drawn(seed), ElectionTiming::default());
        world.settles_within(4 * INIT_LIMIT_MS);
        without_wait += world.unanimous.len();
    }
    assert!(without_wait > 100, "{without_wait}");
}

/// What a client waits for when the leader's process ends, detection and the rest of the road apart.
#[test]
fn after_a_leader_has_ended_the_others_agree_in_some_round_trips() {
    let mut waits = Vec::new();
    for seed in 0..100 {
        let mut world = World::new(seed, ensemble(3, 0), ElectionTiming::default());
        world.jitter = false;
        world.settles_within(3 * INIT_LIMIT_MS);
        let leader = *world.leaders.last_key_value().unwrap().1;
        let server = world.servers.get_mut(&leader).unwrap();
        server.election = None;
        server.since = i64::MAX;
        let begin = world.now_ms;
        for id in world.ids().into_iter().filter(|id| *id != leader) {
            world.disconnect(leader, id);
            let election = world
                .servers
                .get_mut(&id)
                .unwrap()
                .election
                .as_mut()
                .unwrap();
            election.closed(begin, leader);
            world.look(id);
        }
        while world
            .servers
            .values()
            .filter(|server| server.leader().is_some())
            .count()
            < 2
        {
            world.step();
        }
        waits.push(world.now_ms - begin);
    }
    // A message is under way for at most 4 ms.
    assert!(waits.iter().all(|wait| *wait <= 12), "{waits:?}");
}

#[test]
fn no_notification_does_harm() {
    let mut random = Random(7);
    let text = Bytes::from(ensemble(4, 1).to_string().replace("version=0", "version=9"));
    let settings = ElectionSettings {
        server: ServerId(2),
        role: MemberRole::Participant,
        committed: Arc::new(ensemble(3, 1)),
        last_seen: Arc::new(ensemble(3, 1)),
        reconfig_enabled: true,
        timing: ElectionTiming::default(),
    };
    for _ in 0..300 {
        let mut election = Election::new(settings.clone());
        for step in 0..100 {
            let mut drawn = || match random.below(4) {
                0 => i64::MIN,
                1 => i64::MAX,
                _ => random.below(7) - 1,
            };
            let notification = Notification {
                state: PeerState::from_code((drawn() & 3).try_into().unwrap()),
                leader: ServerId(drawn()),
                zxid: Zxid(drawn()),
                election_epoch: drawn(),
                peer_epoch: drawn(),
                version: 2,
                config: (drawn() == 5).then(|| text.slice(..text.len() * step / 99)),
            };
            let from = ServerId(drawn());
            election.handle(i64::try_from(step).unwrap(), from, &notification);
            match random.below(8) {
                0 => election.look(0, notification.zxid, notification.peer_epoch),
                1 => election.closed(0, from),
                2 => election.timeout(election.poll_timeout().unwrap_or(0), true),
                3 => election.established(notification.peer_epoch),
                4 => election.designate(notification.leader, notification.zxid),
                _ => {}
            }
            let outputs = std::iter::from_fn(|| election.poll_output()).count();
            assert!(outputs <= 40, "{outputs}");
        }
    }
}
