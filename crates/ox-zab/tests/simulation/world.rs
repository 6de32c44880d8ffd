//! Servers, the network between them and their disks, in virtual time.

mod faults;
mod links;
mod model;
mod plan;
mod process;
mod show;
mod storage;

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
use crate::votes::Votes;
use model::Action;
pub(crate) use model::Bound;
use plan::{Fault, Plan};
use show::{show, show_packet, show_vote};

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

#[derive(Clone, Debug)]
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

#[derive(Clone)]
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
    /// How often one has dialed another.
    dials: BTreeMap<(Place, Place), u64>,
    /// Requests that leaders were handed meanwhile.
    requests: Vec<Place>,
    proposals: u64,
    checks: Checks,
    elected: Votes,
    is_traced: bool,
    /// Every order in which things can happen is tried, so nothing takes its time.
    is_exhaustive: bool,
    /// What was done there so far.
    path: Vec<Action>,
    /// Who comes back only when the others have come to rest.
    late: BTreeSet<Place>,
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
        let mut world = Self::of(seed, plan, random);
        world.is_traced = traced;
        world.note(|world| format!("{:?}", world.plan));
        for place in 0..world.servers.len() {
            let at = world.random.between(0, 300);
            world.schedule(at, Event::Restart { place });
        }
        world.schedule(world.plan.fault_every, Event::Fault);
        world.schedule(world.plan.load_every, Event::Load);
        world
    }

    /// Servers that have never run.
    fn of(seed: u64, plan: Plan, random: Random) -> Self {
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
        Self {
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
            dials: BTreeMap::new(),
            requests: Vec::new(),
            proposals: 0,
            checks: Checks::new(plan.voters),
            elected: Votes::default(),
            is_traced: false,
            is_exhaustive: false,
            path: Vec::new(),
            late: BTreeSet::new(),
            plan,
        }
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
        let last = self.servers[leader].disk.newest();
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
        if self.is_exhaustive {
            panic!("{what}\nafter {:?}\n{}", self.path, self.story());
        }
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
        let takes_time = matches!(event, Event::Timer { .. } | Event::Silence { .. });
        let delay = if takes_time || !self.is_exhaustive {
            delay
        } else {
            0
        };
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
        self.happen(event);
    }

    fn happen(&mut self, event: Event) {
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
}
