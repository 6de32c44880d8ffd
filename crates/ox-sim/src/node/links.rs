//! A server's connections of the quorum port, as `LearnerMesh` of ox-zab-net has them: its decoder,
//! its patience, its attempts to reach a leader.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};

use ox_jute::Jute;
use ox_proto::{PacketType, QuorumPacket, ServerId, Zxid};
use ox_replica::{Database, Input, StateImage};
use ox_store::{LogPieces, ReceivedState, StoreSettings};
use ox_txnlog::DataDirs;
use ox_zab::LinkId;
use ox_zab_net::parts::{Inbound, Snapshot, Step};
use ox_zab_net::{BoxError, SnapshotSink};

use super::votes::place_of;
use crate::clock::Clock;
use crate::env::Env;
use crate::net::{ConnId, DialResult, Dialer, Port};
use crate::queue::{Event, Place};

/// The longest packet that can be an introduction.
const MAX_INTRODUCTION: usize = 256;

/// Znodes of a state that are read at once.
const CHUNK: usize = 200;

/// Attempts to reach a leader, and how long they go on, in microseconds.
const ATTEMPTS: u32 = 5;
const PATIENCE: i64 = 1_000_000;
const FIRST_PAUSE: i64 = 10_000;
const LONGEST_PAUSE: i64 = 100_000;

enum Item {
    Bytes(Vec<u8>),
    State(StateImage),
    Log(Box<LogPieces>),
}

struct PeerLink {
    conn: Option<(ConnId, usize)>,
    inbound: Inbound,
    out: VecDeque<Item>,
    /// In milliseconds of this machine.
    patience_ms: i64,
    /// When it was heard from, or was sent what a source produced.
    heard: i64,
    is_pulling: bool,
    /// The server that is being dialed.
    dialing: Option<Dialing>,
}

struct Dialing {
    server: ServerId,
    port: Port,
    attempts: u32,
    begun: i64,
    pause: i64,
}

/// Takes a leader's state in.
struct Sink(ReceivedState);

impl SnapshotSink for Sink {
    fn feed(&mut self, window: &[u8]) -> Result<(usize, bool), BoxError> {
        Ok(self.0.feed(window)?)
    }
}

pub(crate) struct Links {
    place: Place,
    life: u64,
    clock: Clock,
    settings: StoreSettings,
    dirs: DataDirs,
    init_ms: i64,
    links: BTreeMap<LinkId, PeerLink>,
    by_conn: BTreeMap<ConnId, LinkId>,
    lobby: BTreeMap<ConnId, (Port, Vec<u8>)>,
    next: u64,
    /// This server follows and serves observers.
    pub(crate) serves_observers: bool,
}

impl Links {
    pub(crate) fn new(
        place: Place,
        life: u64,
        clock: Clock,
        settings: StoreSettings,
        dirs: DataDirs,
        init_ms: i64,
    ) -> Self {
        Self {
            place,
            life,
            clock,
            settings,
            dirs,
            init_ms,
            links: BTreeMap::new(),
            by_conn: BTreeMap::new(),
            lobby: BTreeMap::new(),
            next: 0,
            serves_observers: false,
        }
    }

    pub(crate) fn has(&self, conn: ConnId) -> bool {
        self.by_conn.contains_key(&conn) || self.lobby.contains_key(&conn)
    }

    fn add(&mut self, env: &mut Env, inbound: Inbound, dialing: Option<Dialing>) -> LinkId {
        self.next += 1;
        let link = LinkId(self.next);
        let it = PeerLink {
            conn: None,
            inbound,
            out: VecDeque::new(),
            patience_ms: self.init_ms,
            heard: env.now,
            is_pulling: false,
            dialing,
        };
        self.links.insert(link, it);
        link
    }

    /// Begins to connect to a leader, or a follower in its place.
    pub(crate) fn dial(&mut self, env: &mut Env, server: ServerId, port: Port) {
        let sink = Sink(ReceivedState::new(&self.settings));
        let inbound = Inbound::from_leader(self.settings.max_record, Box::new(sink));
        let dialing = Dialing {
            server,
            port,
            attempts: 0,
            begun: env.now,
            pause: FIRST_PAUSE,
        };
        let link = self.add(env, inbound, Some(dialing));
        self.redial(env, link);
    }

    /// Makes an attempt.
    pub(crate) fn redial(&mut self, env: &mut Env, link: LinkId) {
        let (place, life) = (self.place, self.life);
        let Some(it) = self.links.get_mut(&link) else {
            return;
        };
        if let Some(dialing) = &mut it.dialing {
            dialing.attempts += 1;
            let dialer = Dialer::Link { place, life, link };
            let deadline = dialing.begun + self.clock.span(self.init_ms);
            env.dial(
                dialer,
                place,
                place_of(dialing.server),
                dialing.port,
                deadline,
            );
        }
    }

    /// An attempt is over.
    pub(crate) fn dialed(
        &mut self,
        env: &mut Env,
        link: LinkId,
        result: DialResult,
        inputs: &mut Vec<Input>,
    ) {
        let (place, life) = (self.place, self.life);
        let Some(it) = self.links.get_mut(&link) else {
            if let DialResult::Connected(conn) = result {
                env.close(conn, 0);
            }
            return;
        };
        let Some(dialing) = &mut it.dialing else {
            return;
        };
        let server = dialing.server;
        if let DialResult::Connected(conn) = result {
            it.dialing = None;
            it.conn = Some((conn, 0));
            it.heard = env.now;
            self.by_conn.insert(conn, link);
            self.watch(env, link);
            inputs.push(Input::Peer(ox_zab::Input::Dialed {
                server,
                link: Some(link),
            }));
            return;
        }
        let next = env.now + dialing.pause;
        let is_enough = ATTEMPTS <= dialing.attempts && dialing.begun + PATIENCE < next;
        let deadline = dialing.begun + self.clock.span(self.init_ms);
        if is_enough || deadline <= next {
            self.links.remove(&link);
            inputs.push(Input::Peer(ox_zab::Input::Dialed { server, link: None }));
            return;
        }
        dialing.pause = (2 * dialing.pause).min(LONGEST_PAUSE);
        env.queue.push(next, Event::Redial { place, life, link });
    }

    pub(crate) fn accepted(&mut self, conn: ConnId, port: Port) {
        self.lobby.insert(conn, (port, Vec::new()));
    }

    /// Sees to it that the link's silence is noticed.
    fn watch(&self, env: &mut Env, link: LinkId) {
        let (place, life) = (self.place, self.life);
        if let Some(it) = self.links.get(&link) {
            let at = it.heard + self.clock.span(it.patience_ms);
            env.queue.push(at, Event::Silence { place, life, link });
        }
    }

    /// Perhaps it was silent for too long.
    pub(crate) fn silence(&mut self, env: &mut Env, link: LinkId, inputs: &mut Vec<Input>) {
        let Some(it) = self.links.get(&link) else {
            return;
        };
        let due = it.heard + self.clock.span(it.patience_ms);
        match env.now < due {
            true => self.watch(env, link),
            false => self.end(env, link, inputs),
        }
    }

    pub(crate) fn set_patience(&mut self, env: &mut Env, link: LinkId, after_ms: i64) {
        if let Some(it) = self.links.get_mut(&link) {
            it.patience_ms = after_ms;
            if it.conn.is_some() {
                self.watch(env, link);
            }
        }
    }

    /// A link is over, and the core is told.
    fn end(&mut self, env: &mut Env, link: LinkId, inputs: &mut Vec<Input>) {
        if self.close(env, link) {
            inputs.push(Input::Peer(ox_zab::Input::Closed { link }));
        }
    }

    /// The core wants a link closed. What was queued goes out or not.
    pub(crate) fn close(&mut self, env: &mut Env, link: LinkId) -> bool {
        if env.net.random.percent(50) {
            self.flush_one(env, link);
        }
        let Some(it) = self.links.remove(&link) else {
            return false;
        };
        if let Some((conn, side)) = it.conn {
            self.by_conn.remove(&conn);
            env.close(conn, side);
        }
        true
    }

    /// The connection is over.
    pub(crate) fn ended(&mut self, env: &mut Env, conn: ConnId, inputs: &mut Vec<Input>) {
        if self.lobby.remove(&conn).is_some() {
            return env.close(conn, 1);
        }
        if let Some(&link) = self.by_conn.get(&conn) {
            self.end(env, link, inputs);
        }
    }

    /// Bytes have come.
    pub(crate) fn arrived(
        &mut self,
        env: &mut Env,
        conn: ConnId,
        bytes: &[u8],
        inputs: &mut Vec<Input>,
    ) {
        if let Some((port, read)) = self.lobby.get_mut(&conn) {
            read.extend_from_slice(bytes);
            let port = *port;
            return self.introduced(env, conn, port, inputs);
        }
        let Some(&link) = self.by_conn.get(&conn) else {
            return;
        };
        if let Some(it) = self.links.get_mut(&link) {
            it.heard = env.now;
            it.inbound.buffer().extend_from_slice(bytes);
        }
        self.take_in(env, link, inputs);
    }

    fn introduced(&mut self, env: &mut Env, conn: ConnId, port: Port, inputs: &mut Vec<Input>) {
        let read = &self.lobby[&conn].1;
        let first = &read[..read.len().min(MAX_INTRODUCTION)];
        let packet =
            QuorumPacket::parse(first, MAX_INTRODUCTION).map(|it| it.map(|(it, _)| it.r#type));
        match packet {
            Ok(Some(PacketType::FollowerInfo | PacketType::ObserverInfo)) => {}
            Ok(None) if read.len() < MAX_INTRODUCTION => return,
            Ok(_) | Err(_) => {
                self.lobby.remove(&conn);
                return env.close(conn, 1);
            }
        }
        let (_, read) = self.lobby.remove(&conn).expect("it was there");
        let inbound = Inbound::from_learner(self.settings.max_record, read);
        let link = self.add(env, inbound, None);
        if let Some(it) = self.links.get_mut(&link) {
            it.conn = Some((conn, 1));
        }
        self.by_conn.insert(conn, link);
        self.watch(env, link);
        inputs.push(Input::Peer(match port {
            Port::Observers => ox_zab::Input::AcceptedObserver { link },
            Port::Quorum | Port::Client | Port::Election => ox_zab::Input::Accepted { link },
        }));
        self.take_in(env, link, inputs);
    }

    fn take_in(&mut self, env: &mut Env, link: LinkId, inputs: &mut Vec<Input>) {
        loop {
            let Some(it) = self.links.get_mut(&link) else {
                return;
            };
            match it.inbound.step() {
                Ok(Step::More) => return,
                Ok(Step::Packets(packets)) => {
                    for packet in packets {
                        env.story.packet(env.now, self.place, link, &packet);
                        inputs.push(Input::Peer(ox_zab::Input::Received { link, packet }));
                    }
                }
                Ok(Step::Snapshot(Snapshot { zxid, sink })) => {
                    let sink: Box<dyn Any> = sink;
                    let sink = sink.downcast::<Sink>().expect("all sinks are of this type");
                    match sink.0.finish(zxid) {
                        Ok(state) => inputs.push(Input::State { link, state }),
                        Err(_) => return self.end(env, link, inputs),
                    }
                }
                Err(_) => return self.end(env, link, inputs),
            }
        }
    }

    pub(crate) fn send(&mut self, link: LinkId, packet: &QuorumPacket) {
        self.append(link, |out| packet.encode(out));
    }

    fn append(&mut self, link: LinkId, encode: impl FnOnce(&mut Vec<u8>)) {
        let Some(it) = self.links.get_mut(&link) else {
            return;
        };
        if !matches!(it.out.back(), Some(Item::Bytes(_))) {
            it.out.push_back(Item::Bytes(Vec::new()));
        }
        if let Some(Item::Bytes(bytes)) = it.out.back_mut() {
            encode(bytes);
        }
    }

    pub(crate) fn send_log(&mut self, link: LinkId, after: Zxid, to: Zxid) {
        let pieces = LogPieces::new(&self.dirs, self.settings.max_record, after, to);
        if let Some(it) = self.links.get_mut(&link) {
            it.out.push_back(Item::Log(Box::new(pieces)));
        }
    }

    pub(crate) fn send_state(&mut self, link: LinkId, begin: &[u8], image: StateImage) {
        self.append(link, |out| out.extend_from_slice(begin));
        if image.goes_on()
            && let Some(it) = self.links.get_mut(&link)
        {
            it.out.push_back(Item::State(image));
        }
    }

    /// Lets what was queued go out.
    pub(crate) fn flush(&mut self, env: &mut Env) {
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        for link in links {
            self.flush_one(env, link);
        }
    }

    fn flush_one(&mut self, env: &mut Env, link: LinkId) {
        let (place, life) = (self.place, self.life);
        let Some(it) = self.links.get_mut(&link) else {
            return;
        };
        let Some((conn, side)) = it.conn else {
            return;
        };
        if it.is_pulling {
            return;
        }
        while let Some(Item::Bytes(_)) = it.out.front() {
            if let Some(Item::Bytes(bytes)) = it.out.pop_front()
                && !bytes.is_empty()
            {
                env.send(conn, side, bytes);
            }
        }
        if !it.out.is_empty() {
            it.is_pulling = true;
            let at = env.now + env.net.latency();
            env.queue.push(at, Event::Pull { place, life, link });
        }
    }

    /// The next piece of a state or of the log is read and sent.
    pub(crate) fn pull(
        &mut self,
        env: &mut Env,
        link: LinkId,
        database: &Database,
        inputs: &mut Vec<Input>,
    ) {
        let (place, life) = (self.place, self.life);
        let Some(it) = self.links.get_mut(&link) else {
            return;
        };
        let mut out = Vec::new();
        let goes_on = match it.out.front_mut() {
            Some(Item::State(image)) => match image.append(database, CHUNK, &mut out) {
                true => Ok(image.goes_on()),
                false => Err(()),
            },
            Some(Item::Log(pieces)) => pieces.append(&mut out).map_err(|_| ()),
            Some(Item::Bytes(_)) | None => Ok(false),
        };
        it.heard = env.now;
        if let Some((conn, side)) = it.conn
            && !out.is_empty()
        {
            env.send(conn, side, out);
        }
        match goes_on {
            Ok(true) => {
                let at = env.now + env.net.latency();
                env.queue.push(at, Event::Pull { place, life, link });
            }
            Ok(false) => {
                it.out.pop_front();
                it.is_pulling = false;
                self.flush_one(env, link);
            }
            Err(()) => self.end(env, link, inputs),
        }
    }

    /// Whose end of a link this is, for those who watch: true for a learner's.
    pub(crate) fn is_learners(&self, link: LinkId) -> Option<bool> {
        let it = self.links.get(&link)?;
        it.conn.map(|(_, side)| side == 0)
    }
}
