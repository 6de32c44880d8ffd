//! A whole ensemble in one process, joined by messages rather than bytes: cores, stores on simulated
//! disks, links between them, and clients whose histories are checked.
//!
//! One seed decides all of a run. First everything goes wrong, then all is made well, and the
//! ensemble must recover; then the history is judged. Source: reliability.md 3 and 4.

mod client;
mod faults;
mod links;
mod rules;
mod server;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ox_check::{History, Options, ServerLog, Txn, check_all, fingerprint};
use ox_mutant::{Mutant, is_on};
use ox_proto::{
    EnsembleConfig, Member, MemberRole, Notification, PeerState, ServerId, TxnRecord, Zxid,
};
use ox_replica::Mode;

use crate::env::Story;
use crate::random::Random;
use crate::world::Outcome;
use client::Client;
use links::Link;
use rules::Rules;
use server::Server;

/// Milliseconds of a tick.
const TICK: i64 = 100;

/// When the faults end, in virtual milliseconds.
const HEALS: i64 = 6000;

/// When clients have nothing more to ask, and when it is all over.
const QUIET: i64 = 9000;
const END: i64 = 13_000;

/// A server by its place; its id is one more.
type Place = usize;

/// What is due.
enum Event {
    Input(Place, u64, Box<ox_replica::Input>),
    Link(u64, usize),
    Silence(u64, usize),
    Disk(Place, u64),
    Timer(Place, u64, u64),
    Chunk(Place, u64),
    Vote(Place, Place, u64),
    Start(Place),
    Fault,
    Part(Place),
    ToServer(usize, u64, client::Asked),
    ToClient(usize, u64, client::Told),
    Client(usize),
}

struct World {
    seed: u64,
    random: Random,
    now: i64,
    sequence: u64,
    events: BTreeMap<(i64, u64), Event>,
    config: Arc<EnsembleConfig>,
    voters: usize,
    servers: Vec<Server>,
    links: BTreeMap<u64, Link>,
    next_link: u64,
    votes: BTreeMap<(Place, Place), (u64, Notification)>,
    /// Ways that are cut, from one to another.
    cut: BTreeSet<(Place, Place)>,
    clients: Vec<Client>,
    history: History,
    /// What is committed, by whoever was first, and when, if it was seen.
    committed: BTreeMap<Zxid, (Vec<u8>, Option<i64>)>,
    rules: Rules,
    /// How wild it is.
    faults_every: i64,
    disk_delay: i64,
    /// So often a new leader is lost with its epoch.
    strandings: usize,
    /// The first thing that was wrong.
    wrong: Option<String>,
    story: Story,
}

/// Runs a seed, and prints what happens if it is to be told.
pub(crate) fn run(seed: u64, is_told: bool) -> Outcome {
    let mut world = World::new(seed, is_told);
    let failure = world.live().and_then(|()| world.judge()).err();
    Outcome {
        failure,
        hash: world.story.hash(),
        events: world.story.events,
        committed: world.committed.len(),
        epochs: world.rules.epochs(),
        ..Outcome::default()
    }
}

fn id(place: Place) -> ServerId {
    ServerId(i64::try_from(place).unwrap_or(i64::MAX) + 1)
}

fn place(id: ServerId) -> Place {
    usize::try_from(id.0 - 1).unwrap_or(usize::MAX)
}

impl World {
    fn new(seed: u64, is_told: bool) -> Self {
        let mut random = Random::stream(seed, 0x05a11);
        let voters = *random.pick(&[3, 3, 3, 5]);
        let observers = *random.pick(&[0, 0, 1]);
        let members = (0..voters + observers).map(|place| {
            let member = Member {
                role: match place < voters {
                    true => MemberRole::Participant,
                    false => MemberRole::Observer,
                },
                addresses: Vec::new(),
                client: None,
            };
            (id(place), member)
        });
        let config = EnsembleConfig {
            members: members.collect(),
            ..EnsembleConfig::default()
        };
        let servers = (0..voters + observers).map(|_| Server::new(&mut random));
        let servers: Vec<_> = servers.collect();
        let clients = (0..random.between(2, 4)).map(|_| Client::new(&mut random));
        let clients: Vec<_> = clients.collect();
        Self {
            seed,
            now: 0,
            sequence: 0,
            events: BTreeMap::new(),
            config: Arc::new(config),
            voters,
            servers,
            links: BTreeMap::new(),
            next_link: 1,
            votes: BTreeMap::new(),
            cut: BTreeSet::new(),
            clients,
            history: History::new(),
            committed: BTreeMap::new(),
            rules: Rules::new(voters),
            faults_every: *random.pick(&[100, 300, 300, 700, 2000]),
            disk_delay: *random.pick(&[1, 3, 10, 40]),
            strandings: 0,
            wrong: None,
            story: Story::new(is_told),
            random,
        }
    }

    fn schedule(&mut self, delay: i64, event: Event) {
        self.sequence += 1;
        self.events
            .insert((self.now + delay.max(0), self.sequence), event);
    }

    fn latency(&mut self) -> i64 {
        match self.random.below(30) {
            0 => self.random.between(5, 60),
            _ => self.random.between(0, 4),
        }
    }

    /// Something that a person who replays the seed wants to see.
    fn tell_story(&self, text: impl FnOnce() -> String) {
        self.story.tell(self.now * 1000, text);
    }

    /// Notes the first thing that is wrong.
    fn ensure(&mut self, check: Result<(), String>) {
        if let Err(text) = check {
            let now = self.now;
            self.wrong
                .get_or_insert_with(|| format!("at {now} ms: {text}"));
        }
    }

    fn live(&mut self) -> Result<(), String> {
        for place in 0..self.servers.len() {
            self.schedule(0, Event::Start(place));
        }
        for client in 0..self.clients.len() {
            let delay = self.random.between(300, 800);
            self.schedule(delay, Event::Client(client));
        }
        self.schedule(500, Event::Fault);
        let mut is_well = false;
        while let Some(((at, _), event)) = self.events.pop_first() {
            if END < at {
                break;
            }
            if !is_well && HEALS <= at {
                is_well = true;
                self.now = HEALS;
                self.heal();
            }
            self.now = at;
            self.story.events += 1;
            self.story.mix(at.unsigned_abs());
            self.happen(event);
            if let Some(text) = self.wrong.take() {
                return Err(text);
            }
            if 2_000_000 < self.story.events {
                return Err("turns in circles".to_owned());
            }
        }
        self.is_well()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Input(place, life, input) => self.input_in(place, life, *input),
            Event::Link(link, side) => self.deliver(link, side),
            Event::Silence(link, side) => self.silence(link, side),
            Event::Disk(place, life) => self.disk(place, life),
            Event::Timer(place, life, turn) => self.timer(place, life, turn),
            Event::Chunk(place, life) => self.chunk(place, life),
            Event::Vote(from, to, number) => self.vote(from, to, number),
            Event::Start(place) => self.start(place),
            Event::Fault => self.fault(),
            Event::Part(place) => self.part(place),
            Event::ToServer(client, conn, asked) => self.reach_server(client, conn, asked),
            Event::ToClient(client, conn, told) => self.reach_client(client, conn, told),
            Event::Client(client) => self.client_acts(client),
        }
    }

    /// In the end all serve, and hold the same.
    fn is_well(&mut self) -> Result<(), String> {
        let mut leaders = 0;
        let mut digests = BTreeSet::new();
        for (place, server) in self.servers.iter().enumerate() {
            let Some(process) = &server.process else {
                return Err(format!("liveness: {place} does not run"));
            };
            let Some(mode) = process.mode else {
                let state = process.core.peer().state();
                return Err(format!("liveness: {place} serves nobody, it is {state:?}"));
            };
            leaders += usize::from(mode == Mode::Leader);
            let tree = &process.database.tree;
            digests.insert((tree.last_zxid(), tree.digest()));
        }
        if leaders != 1 {
            return Err(format!("liveness: {leaders} leaders"));
        }
        if digests.len() != 1 {
            return Err(format!("P17: {digests:?} in the end"));
        }
        let waits = self.clients.iter().position(Client::waits);
        match waits {
            Some(client) => Err(format!("liveness: client {client} waits for an answer")),
            None => Ok(()),
        }
    }

    /// A server has applied up to `last`.
    fn applied(&mut self, place: Place) {
        // What it holds before it serves may still be taken back.
        let process = self.servers[place].process.as_mut();
        let Some(process) = process.filter(|process| process.mode.is_some()) else {
            return;
        };
        let (from, to) = (process.shown, process.database.tree.last_zxid());
        if to <= from {
            process.shown = to;
            return;
        }
        process.shown = to;
        if to.counter() != 0 {
            self.history.digest(
                u64::try_from(place).unwrap_or(0),
                to.0,
                process.database.tree.digest(),
            );
        }
        let news = self.servers[place].entries(from, to);
        for (zxid, payload) in news {
            if !self.committed.contains_key(&zxid) {
                let holders = self.servers.iter().take(self.voters);
                let holders = holders.filter(|server| {
                    zxid <= server.installed || server.durable.get(&zxid) == Some(&payload)
                });
                let holders = holders.count();
                let text = || format!("P5: {place} applies {zxid}, on {holders} disks");
                let is_quorum = self.voters / 2 < holders;
                self.ensure(is_quorum.then_some(()).ok_or_else(text));
            }
            let now = self.now;
            if !self.committed.contains_key(&zxid) {
                self.tell_story(|| {
                    let record = TxnRecord::decode(&payload, 1 << 20);
                    format!(
                        "{place} applies {zxid}: {:?}",
                        record.map(|record| record.txn)
                    )
                });
            }
            let known = self
                .committed
                .entry(zxid)
                .or_insert((payload.clone(), Some(now)));
            let same = known.0 == payload;
            let text = || format!("I2: {place} applies another {zxid} than others");
            self.ensure(same.then_some(()).ok_or_else(text));
        }
    }

    fn judge(&mut self) -> Result<(), String> {
        let mut history = std::mem::take(&mut self.history);
        // What was passed over by a server that took a whole state, another has in its log.
        for server in &self.servers {
            let Some(process) = &server.process else {
                continue;
            };
            for (zxid, payload) in server.entries(Zxid::ZERO, process.shown) {
                self.committed.entry(zxid).or_insert((payload, None));
            }
        }
        for (payload, _) in self.committed.values() {
            self.story.mix_bytes(payload);
        }
        for (count, (payload, at)) in self.committed.values().enumerate() {
            if is_on(Mutant::C00) && count % 2 == 1 {
                continue;
            }
            let record = TxnRecord::decode(payload, 1 << 20).map_err(|e| e.to_string())?;
            history.txn(Txn {
                zxid: record.header.zxid.0,
                session: record.header.client_id.0,
                cxid: record.header.cxid,
                time: record.header.time,
                at: *at,
                fingerprint: fingerprint(payload),
                change: words::change(&record.txn),
            });
        }
        for (place, server) in self.servers.iter().enumerate() {
            let Some(process) = &server.process else {
                continue;
            };
            let entries = process.log.iter();
            history.server_log(ServerLog {
                server: u64::try_from(place).unwrap_or(0),
                covered: process.base.0,
                entries: entries
                    .map(|(zxid, payload)| (zxid.0, fingerprint(payload)))
                    .collect(),
                applied: process.database.tree.last_zxid().0,
            });
        }
        history.unstable(0, HEALS + 2000);
        history.ended(self.now);
        let options = Options {
            session_tolerance: 1,
            session_bound: Some(2000),
            settled: true,
            ..Options::default()
        };
        let report = check_all(&history, &options);
        match report.is_ok() {
            true => Ok(()),
            false => Err(report.to_string()),
        }
    }

    fn state(&self, place: Place) -> Option<PeerState> {
        let process = self.servers[place].process.as_ref()?;
        Some(process.core.peer().state())
    }
}
