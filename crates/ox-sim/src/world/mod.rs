//! A whole ensemble with its clients in virtual time.

mod faults;
mod finish;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ox_check::History;
use ox_mutant::{Mutant, is_on};
use ox_proto::{EnsembleConfig, MemberRole};
use ox_replica::Mode;

use crate::client::Client;
use crate::env::{Env, Story, member};
use crate::invariants::Invariants;
use crate::net::{Delays, DialResult, Dialer, Net, Owner, Piece};
use crate::node::{Node, server_of};
use crate::plan::{Mode as NodeMode, Op, Plan};
use crate::queue::{Event, Queue, concerned};
use crate::random::Random;

/// No run needs more; one that does turns in circles.
const MAX_EVENTS: u64 = 3_000_000;

/// From the healing on, until all is well again: in microseconds for each millisecond of the
/// longest pause between votes, and of the time that a synchronization may take.
const BOUND_VOTES: i64 = 2000;
const BOUND_SYNC: i64 = 6000;

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What was wrong, if anything was.
    pub failure: Option<String>,
    /// The hash of all that has happened.
    pub hash: u64,
    /// How many things have happened.
    pub events: u64,
    /// Virtual microseconds from the end of the faults until all was well.
    pub healed_in: i64,
    /// Operations answered without an error, and writes among them.
    pub acknowledged: u64,
    /// Writes among them.
    pub writes: u64,
    /// Transactions committed.
    pub committed: usize,
    /// Epochs in which somebody has led.
    pub epochs: usize,
    /// How often each kind of fault, and some rare things, have really happened.
    pub struck: BTreeMap<String, u64>,
}

pub(crate) struct World {
    plan: Plan,
    env: Env,
    nodes: Vec<Node>,
    clients: Vec<Client>,
    /// The first of the clients that come when all is well.
    probes: usize,
    history: History,
    is_healing: bool,
    /// Since when there is a leader that has a successor.
    late_since: Option<i64>,
    /// Half of what was committed is left out of the record.
    is_canary: bool,
    /// For what faults choose when they strike.
    choice: Random,
}

impl World {
    pub(crate) fn new(plan: Plan, is_told: bool) -> Self {
        let seed = plan.seed;
        let setup = plan.setup.clone();
        let servers = setup.servers();
        let delays = Delays {
            least: setup.latency.0,
            most: setup.latency.1,
            late: setup.late,
            chopped: setup.chopped,
        };
        let initial = Arc::new(config(setup.voters, setup.observers));
        let mut env = Env {
            now: 0,
            queue: Queue::default(),
            net: Net::new(delays, Random::stream(seed, 11)),
            disk: Random::stream(seed, 12),
            config: Arc::clone(&initial),
            invariants: Invariants::new(&initial, servers),
            operators: BTreeSet::new(),
            story: Story::new(is_told),
            struck: BTreeMap::new(),
            setup,
        };
        let mut choice = Random::stream(seed, 13);
        let mut nodes: Vec<Node> = (0..servers)
            .map(|place| Node::new(place, plan.setup.drifts[place]))
            .collect();
        for node in &mut nodes {
            node.prepare(env.setup.autocreate, &env.initial(node.place));
            let at = choice.between(0, 300_000);
            node.start_at(&mut env, at);
        }
        let timeouts = plan.setup.clients.iter().copied();
        let probe = i32::try_from(plan.setup.tick_ms * 20).expect("short");
        let timeouts: Vec<i32> = timeouts
            .chain(std::iter::repeat_n(probe, servers))
            .collect();
        let probes = plan.setup.clients.len();
        let mut clients = Vec::new();
        for (index, timeout) in timeouts.into_iter().enumerate() {
            let concern = 100 + u64::try_from(index).expect("few clients");
            let random = Random::stream(seed, concern);
            clients.push(Client::new(index, servers, timeout, random));
            if index < probes {
                let at = choice.between(300_000, 1_000_000);
                let event = Event::Client {
                    client: index,
                    turn: 0,
                };
                env.queue.push(at, event);
            }
        }
        for (number, timing) in plan.ops.iter().enumerate() {
            env.queue.push(timing.at, Event::Operation { number });
        }
        for (number, timed) in plan.faults.iter().enumerate() {
            env.queue.push(timed.at, Event::Fault { number });
            env.queue.push(timed.until, Event::FaultEnds { number });
        }
        Self {
            plan,
            env,
            nodes,
            clients,
            probes,
            history: History::new(),
            is_healing: false,
            late_since: None,
            is_canary: is_on(Mutant::C00),
            choice,
        }
    }

    /// Its record is to be wrong.
    pub(crate) fn into_canary(mut self) -> Self {
        self.is_canary = true;
        self
    }

    /// Runs to the end, or to the first thing that is wrong.
    pub(crate) fn run(mut self) -> Outcome {
        let failure = self.run_all().err();
        let mut struck: BTreeMap<String, u64> = BTreeMap::new();
        for (what, count) in &self.env.struck {
            *struck.entry((*what).to_owned()).or_default() += count;
        }
        for node in &self.nodes {
            for (what, count) in node.disk.struck() {
                *struck.entry(what.to_owned()).or_default() += count;
            }
        }
        *struck.entry("pieces held back".to_owned()).or_default() += self.env.net.held;
        *struck.entry("connections reset".to_owned()).or_default() += self.env.net.resets;
        *struck.entry("sessions expired".to_owned()).or_default() += self
            .clients
            .iter()
            .map(|client| client.expired)
            .sum::<u64>();
        Outcome {
            failure,
            hash: self.env.story.hash(),
            events: self.env.story.events,
            healed_in: (self.env.now - self.plan.healing.at).max(0),
            acknowledged: self.clients.iter().map(|client| client.acknowledged).sum(),
            writes: self.clients.iter().map(|client| client.writes).sum(),
            committed: self.env.invariants.delivered().count(),
            epochs: self.env.invariants.epochs(),
            struck,
        }
    }

    fn run_all(&mut self) -> Result<(), String> {
        let end = self.plan.healing.at;
        while self.env.queue.next_at().is_some_and(|at| at < end) {
            self.step()?;
        }
        self.env.now = end;
        self.heal();
        let setup = &self.plan.setup;
        let bound = BOUND_VOTES * setup.max_notification_ms.max(4000)
            + BOUND_SYNC * setup.init_limit * setup.tick_ms;
        let mut asked = false;
        while !(asked && self.is_well()) {
            if !asked && self.has_leader() {
                asked = true;
                self.ask_probes();
            }
            if self.env.now > end + bound {
                return Err(format!(
                    "E4: not well again after {bound} us; {}",
                    self.state()
                ));
            }
            self.step()?;
        }
        self.finish()
    }

    /// One thing happens.
    fn step(&mut self) -> Result<(), String> {
        let Some((at, event)) = self.env.queue.pop() else {
            return Err("nothing happens any more".to_owned());
        };
        self.env.now = at.max(self.env.now);
        self.env.story.events += 1;
        if self.env.story.events > MAX_EVENTS {
            return Err(format!("it turns in circles; {}", self.state()));
        }
        self.env.story.mix(u64::try_from(at).unwrap_or(0));
        self.happen(event);
        self.note_late_leaders();
        match self.env.invariants.failure() {
            Some(what) => Err(format!("at {} us: {what}", self.env.now)),
            None => Ok(()),
        }
    }

    /// Notes since when, and how long, a server takes itself for the leader although there has been
    /// a later one: it may answer a sync then (ZOOKEEPER-1675).
    fn note_late_leaders(&mut self) {
        let newest = self.env.invariants.newest_epoch();
        let is_late = |node: &Node| {
            let process = node.process.as_ref();
            process.is_some_and(|process| {
                process.mode() == Some(Mode::Leader) && process.epoch() < newest
            })
        };
        match (self.late_since, self.nodes.iter().any(is_late)) {
            (None, true) => self.late_since = Some(self.env.now),
            (Some(since), false) => {
                self.history.unstable(since, self.env.now);
                self.late_since = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }

    fn happen(&mut self, event: Event) {
        let place = concerned(&event).or_else(|| self.receiver(&event));
        if let Some(place) = place
            && let until = self.nodes[place].paused_until
            && self.env.now < until
        {
            return self.env.queue.push(until, event);
        }
        match event {
            Event::Deliver { conn, side } => self.deliver(conn, side),
            Event::Dial { dial } => self.dial(dial),
            Event::Dialed { dial } => self.dialed(dial),
            Event::Start { place, life } => {
                if self.nodes[place].life == life {
                    self.nodes[place].start(&mut self.env);
                }
            }
            Event::Client { client, turn } => {
                self.clients[client].timer(&mut self.env, &mut self.history, turn);
            }
            Event::Operation { number } => {
                let timing = &self.plan.ops[number];
                let op = timing.op.clone();
                self.clients[timing.client].ask(&mut self.env, &mut self.history, op);
            }
            Event::Fault { number } => self.strike(number),
            Event::FaultEnds { number } => self.end_fault(number),
            other => {
                if let Some(place) = place {
                    self.nodes[place].handle(&mut self.env, other);
                }
            }
        }
    }

    /// Whose process takes in what arrives.
    fn receiver(&self, event: &Event) -> Option<usize> {
        match event {
            Event::Deliver { conn, side } => match self.env.net.conn(*conn)?.sides[*side].owner {
                Owner::Server { place, .. } => Some(place),
                Owner::Client { .. } => None,
            },
            _ => None,
        }
    }

    fn deliver(&mut self, conn: crate::net::ConnId, side: usize) {
        let env = &mut self.env;
        let Some(piece) = env.net.arrive(env.now, conn, side, &mut env.queue) else {
            return;
        };
        let Some(it) = env.net.conn(conn) else {
            return;
        };
        let to = &it.sides[side];
        let (owner, machine, is_open) = (to.owner, to.machine, to.is_open);
        let is_there = is_open
            && match owner {
                Owner::Server { place, .. } => self.nodes[place].owner() == owner,
                Owner::Client { .. } => true,
            };
        if !is_there {
            // Where a process was, the system answers for it; where no power is, nobody does.
            let answers = self.nodes.get(machine).is_none_or(|node| node.is_powered);
            let is_data = matches!(piece, Piece::Bytes(_));
            if answers && is_data && it.sides[1 - side].is_open {
                env.net
                    .send(env.now, conn, side, Piece::Reset, &mut env.queue);
            }
            env.net.forget(conn);
            return;
        }
        match owner {
            Owner::Server { place, .. } => self.nodes[place].arrived(env, conn, piece),
            Owner::Client { client } => {
                self.clients[client].arrived(env, &mut self.history, conn, piece);
            }
        }
    }

    /// A dialer's packet arrives, or gets lost.
    fn dial(&mut self, number: usize) {
        let env = &mut self.env;
        let Some(dial) = env.net.dials.get(number) else {
            return;
        };
        let (from, to, port) = (dial.from, dial.to, dial.port);
        let (pause, deadline, dialer) = (dial.pause, dial.deadline, dial.dialer);
        let node = &self.nodes[to];
        let is_lost =
            env.net.is_cut(from, to, port) || env.net.is_cut(to, from, port) || !node.is_powered;
        if is_lost {
            let next = env.now + pause;
            if deadline <= next {
                env.net.dials[number].result = Some(DialResult::TimedOut);
                return env.queue.push(deadline, Event::Dialed { dial: number });
            }
            env.net.dials[number].pause = (2 * pause).min(2_000_000);
            return env.queue.push(next, Event::Dial { dial: number });
        }
        let back = env.now + env.net.latency();
        let listens = node
            .process
            .as_ref()
            .is_some_and(|process| process.listens(port));
        let result = match listens {
            false => DialResult::Refused,
            true => {
                let owner = owner_of(dialer);
                let acceptor = (node.owner(), to);
                let conn = env.net.connect(env.now, port, (owner, from), acceptor);
                env.net.not_before(conn, 0, back);
                self.nodes[to].accepted(env, conn, port, from);
                DialResult::Connected(conn)
            }
        };
        env.net.dials[number].result = Some(result);
        env.queue.push(back, Event::Dialed { dial: number });
    }

    fn dialed(&mut self, number: usize) {
        let env = &mut self.env;
        let Some(dial) = env.net.dials.get(number) else {
            return;
        };
        let (dialer, result) = (dial.dialer, dial.result.unwrap_or(DialResult::TimedOut));
        if let Owner::Server { place, .. } = owner_of(dialer)
            && let until = self.nodes[place].paused_until
            && env.now < until
        {
            return env.queue.push(until, Event::Dialed { dial: number });
        }
        env.net.dials.remove(number);
        match owner_of(dialer) {
            owner @ Owner::Server { place, .. } => {
                if self.nodes[place].owner() == owner {
                    self.nodes[place].dialed(env, dialer, result);
                }
            }
            Owner::Client { client } => {
                let Dialer::Client { turn, .. } = dialer else {
                    return;
                };
                self.clients[client].dialed(env, &mut self.history, turn, result);
            }
        }
    }

    fn state(&self) -> String {
        let tell = |node: &Node| match &node.process {
            None => format!(
                "{}: down{}",
                node.place,
                node.refuses.as_deref().unwrap_or_default()
            ),
            Some(process) => format!(
                "{}: {:?} {:?} epoch {} at {} {:?}",
                node.place,
                process.core().peer().state(),
                process.mode(),
                process.epoch(),
                process.database().tree.last_zxid(),
                process.core().peer().epochs(),
            ),
        };
        let nodes: Vec<String> = self.nodes.iter().map(tell).collect();
        let busy: Vec<usize> = (0..self.clients.len())
            .filter(|client| !self.clients[*client].is_at_rest())
            .collect();
        format!(
            "core {:?}; {}; clients that wait: {busy:?}",
            self.plan.healing.core,
            nodes.join("; ")
        )
    }

    /// Whether all that are to be well serve under one leader.
    fn has_leader(&self) -> bool {
        let mut epochs = Vec::new();
        let mut leaders = 0;
        for &place in &self.plan.healing.core {
            if self.nodes[place].refuses.is_some() {
                continue;
            }
            let Some(process) = &self.nodes[place].process else {
                return false;
            };
            match process.mode() {
                None | Some(Mode::ReadOnly) => return false,
                Some(Mode::Leader) => leaders += 1,
                Some(_) => {}
            }
            epochs.push(process.epoch());
        }
        epochs.dedup();
        leaders == 1 && epochs.len() == 1
    }

    /// Clients come to each server that is well, and write.
    fn ask_probes(&mut self) {
        for place in self.plan.healing.core.clone() {
            if self.nodes[place].refuses.is_some() {
                continue;
            }
            let client = self.probes + place;
            self.clients[client].only = Some(place);
            let event = Event::Client { client, turn: 0 };
            self.env.queue.push(self.env.now, event);
            for number in 0..3 {
                let op = Op::Create {
                    path: format!("/p{place}-"),
                    data: format!("{number}"),
                    mode: NodeMode::PersistentSequential,
                };
                self.clients[client].ask(&mut self.env, &mut self.history, op);
            }
        }
    }

    /// Whether everything that was asked is done, and all servers agree.
    fn is_well(&self) -> bool {
        if !self.has_leader() || !self.clients.iter().all(Client::is_at_rest) {
            return false;
        }
        let mut last = None;
        for &place in &self.plan.healing.core {
            let Some(process) = &self.nodes[place].process else {
                continue;
            };
            let tree = &process.database().tree;
            let now = (tree.last_zxid(), tree.digest());
            let has_more = self.env.invariants.has_behind(place, now.0);
            if has_more || !process.is_at_rest() || *last.get_or_insert(now) != now {
                return false;
            }
        }
        true
    }
}

fn owner_of(dialer: Dialer) -> Owner {
    match dialer {
        Dialer::Client { client, .. } => Owner::Client { client },
        Dialer::Election { place, life, .. } | Dialer::Link { place, life, .. } => {
            Owner::Server { place, life }
        }
    }
}

fn config(voters: usize, observers: usize) -> EnsembleConfig {
    let role = |place: usize| match place < voters {
        true => MemberRole::Participant,
        false => MemberRole::Observer,
    };
    let members =
        (0..voters + observers).map(|place| (server_of(place), member(place, role(place))));
    EnsembleConfig {
        members: members.collect(),
        ..EnsembleConfig::default()
    }
}
