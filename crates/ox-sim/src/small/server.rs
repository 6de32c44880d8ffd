//! A server: its process, its disk, and what both are told to do.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use ox_proto::{PacketType, QuorumPacket, Zxid};
use ox_replica::{
    AuthSettings, Core, Database, Input, LocalSessions, Mode, Now, Output, ReaperSettings, Settings,
};
use ox_session::ClientId;
use ox_store::{
    Done, MemberSettings, Progress, SnapshotImage, Store, StoreSettings, search, start,
};
use ox_tree::TreeOptions;
use ox_txnlog::{Compression, DataDirs, DirLock, LogConfig, LogCursor, replay};
use ox_zab::{
    DiskDone, DiskRequest, ElectionTiming, Epochs, LeaderSettings, LinkId, Membership,
    ObserverSettings, Peer, ZabSettings,
};

use super::client::Told;
use super::links::Item;
use super::{Event, Place, TICK, World, id};
use crate::disk::SimDisk;
use crate::random::Random;

/// Every record that a leader's state stands for.
pub(super) type Records = BTreeMap<Zxid, Vec<u8>>;

/// What the disk is asked for.
pub(super) enum Task {
    Append(Zxid, Vec<u8>),
    Request(DiskRequest),
}

pub(super) struct Process {
    pub(super) core: Core,
    pub(super) database: Database,
    store: Store,
    dirs: DataDirs,
    _lock: DirLock,
    pub(super) settings: StoreSettings,
    queue: VecDeque<Task>,
    is_busy: bool,
    pub(super) mode: Option<Mode>,
    /// What it has logged behind `base`, durable or not.
    pub(super) log: BTreeMap<Zxid, Vec<u8>>,
    pub(super) base: Zxid,
    /// Up to here its clients may have seen.
    pub(super) shown: Zxid,
    image: Option<SnapshotImage>,
    timer: (i64, u64),
    /// Whose each connection is.
    pub(super) doors: BTreeMap<u32, (usize, u64)>,
}

pub(super) struct Server {
    pub(super) disk: SimDisk,
    pub(super) life: u64,
    pub(super) process: Option<Process>,
    /// What its disk was reported to hold.
    pub(super) durable: BTreeMap<Zxid, Vec<u8>>,
    /// A leader's state stands for everything up to here.
    pub(super) installed: Zxid,
    pub(super) accepted: u32,
    pub(super) entered: Option<u32>,
    cutting: Option<Zxid>,
    is_installing: bool,
    /// Of what the state is that a leader has sent last, and what it stands for.
    received: (Zxid, Records),
    /// Monotonic time minus that of the world, and wall time.
    skew: i64,
    snap_count: u32,
    keep: usize,
    is_ill: bool,
    /// Until then its disk takes its time.
    pub(super) slow_until: i64,
}

impl Server {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            disk: SimDisk::new(),
            life: 0,
            process: None,
            durable: BTreeMap::new(),
            installed: Zxid::ZERO,
            accepted: 0,
            entered: None,
            cutting: None,
            is_installing: false,
            received: (Zxid::ZERO, Records::new()),
            skew: random.between(0, 100_000),
            snap_count: *random.pick(&[6, 20, 60]),
            keep: *random.pick(&[1, 5, 500]),
            is_ill: false,
            slow_until: 0,
        }
    }

    /// What it has logged behind `from`, up to `to`: also what the snapshot that it began with
    /// stands for.
    pub(super) fn entries(&self, from: Zxid, to: Zxid) -> BTreeMap<Zxid, Vec<u8>> {
        let range = (Bound::Excluded(from), Bound::Included(to));
        let process = self.process.as_ref();
        let base = process.map_or(Zxid(i64::MAX), |process| process.base);
        let older = self.durable.range(range);
        let older = older.filter(|(zxid, _)| **zxid <= base);
        let newer = process.into_iter().flat_map(|p| p.log.range(range));
        older
            .chain(newer)
            .map(|(zxid, payload)| (*zxid, payload.clone()))
            .collect()
    }
}

/// What a core wants, by value.
enum Out {
    Append(Zxid, Vec<u8>),
    Tell(ClientId, Told),
    Establish(ClientId, i64, Vec<u8>),
    Release(ClientId),
    Peer(ox_zab::Output),
    State(LinkId, Vec<u8>, Zxid),
    Mode(Option<Mode>, u32),
}

const TREE: TreeOptions = TreeOptions {
    extended_types: false,
    emulate_353_ttl: false,
    digest: true,
};

impl World {
    fn clock(&self, place: Place) -> Now {
        Now {
            monotonic_ms: self.now + self.servers[place].skew,
            wall_ms: 1_700_000_000_000 + self.now,
        }
    }

    pub(super) fn start(&mut self, place: Place) {
        if self.servers[place].process.is_some() {
            return;
        }
        match self.try_start(place) {
            Ok(()) => self.tell_votes(place),
            Err(_) if self.servers[place].is_ill || self.servers[place].disk.is_dead() => {
                let power = self.random.percent(50);
                self.crash(place, power);
            }
            Err(text) => self.ensure(Err(format!("{place} cannot start: {text}"))),
        }
    }

    fn store_settings(&self, place: Place) -> StoreSettings {
        let server = &self.servers[place];
        StoreSettings {
            log: LogConfig {
                preallocate: 4096,
                ..LogConfig::default()
            },
            compression: Compression::None,
            tree: TREE,
            max_record: 1 << 20,
            trust_empty: false,
            member: Some(MemberSettings {
                commit_log_count: server.keep,
                snapshot_size_factor: Some(0.33),
                begins_empty: true,
                repairs: false,
            }),
            snapshot_every_txns: server.snap_count,
            snapshot_every_bytes: None,
            hash_seed: self.seed,
        }
    }

    fn try_start(&mut self, place: Place) -> Result<(), String> {
        let text = |error: &dyn std::error::Error| crate::one_disk::chain(error);
        let settings = self.store_settings(place);
        let disk = Arc::new(self.servers[place].disk.clone());
        let folder = Path::new("/data");
        let dirs = DataDirs::open_on(disk, folder, folder, true).map_err(|e| text(&e))?;
        let lock = dirs.lock().map_err(|e| text(&e))?;
        let started = start(&dirs, &settings).map_err(|e| text(&e))?;
        let base = started.snapshot.unwrap_or(Zxid::ZERO);
        let mut log = BTreeMap::new();
        replay(
            &dirs,
            base,
            &ox_txnlog::ReplayOptions::default(),
            &mut |payload, record, _| {
                log.insert(record.header.zxid, payload.to_vec());
                Ok(())
            },
        )
        .map_err(|e| text(&e))?;
        let epochs = started.epochs.expect("a member");
        let found = started.state.tree.last_zxid();
        self.tell_story(|| format!("{place} starts with {found}, {epochs:?}"));
        self.check_found(place, found, base, &log, epochs.accepted.unwrap_or(0))?;
        let database = Database::new(started.state, 1);
        if started.wants_snapshot {
            let mut image = SnapshotImage::begin(&dirs, settings.compression, &database);
            image.read(&database, usize::MAX);
            image.finish().map_err(|e| text(&e))?;
        }
        let server = &self.servers[place];
        if server.is_installing && base == server.received.0 {
            // The state was installed, although nobody heard of it any more.
            self.installed(place, base);
        }
        let server = &mut self.servers[place];
        server.durable.retain(|zxid, _| *zxid <= base);
        server
            .durable
            .extend(log.iter().map(|(zxid, payload)| (*zxid, payload.clone())));
        (server.accepted, server.entered) = (epochs.accepted.unwrap_or(0), epochs.current);
        (server.cutting, server.is_installing) = (None, false);
        let store = Store::new(&dirs, settings.clone(), self.random.next());
        let mut database = database;
        let membership = Membership {
            role: self.config.members[&id(place)].role,
            config: Arc::clone(&self.config),
            epochs: Epochs {
                accepted: epochs.accepted.unwrap_or(0),
                current: epochs.current,
            },
            timing: ElectionTiming {
                min_notification_interval_ms: 20,
                max_notification_interval_ms: 320,
                finalize_wait_ms: 20,
            },
        };
        let zab = ZabSettings {
            own: id(place),
            tick_ms: TICK,
            init_limit: 10,
            sync_limit: 5,
            force_snapshot_sync: false,
            leader: LeaderSettings::default(),
            observers: ObserverSettings::default(),
            max_record: 1 << 20,
        };
        let peer = Peer::member(zab, membership, started.history);
        let now = self.clock(place);
        let core = Core::new(core_settings(place), peer, &mut database, self.seed, now);
        self.servers[place].process = Some(Process {
            core,
            database,
            store,
            dirs,
            _lock: lock,
            settings,
            queue: VecDeque::new(),
            is_busy: false,
            mode: None,
            log,
            base,
            shown: Zxid::ZERO,
            image: None,
            timer: (i64::MAX, 0),
            doors: BTreeMap::new(),
        });
        self.drain(place);
        Ok(())
    }

    /// L1 and L12: what was durable is found again.
    fn check_found(
        &self,
        place: Place,
        found: Zxid,
        base: Zxid,
        log: &BTreeMap<Zxid, Vec<u8>>,
        accepted: u32,
    ) -> Result<(), String> {
        let server = &self.servers[place];
        if server.is_installing {
            return Ok(());
        }
        let cut = server.cutting.unwrap_or(Zxid(i64::MAX));
        for (zxid, payload) in &server.durable {
            let there = *zxid <= base || log.get(zxid) == Some(payload);
            if *zxid <= cut && !there {
                return Err(format!(
                    "L12: finds {found}, and not {zxid}, which was durable"
                ));
            }
        }
        match server.accepted <= accepted {
            true => Ok(()),
            false => Err(format!("L1: accepted {accepted}, was {}", server.accepted)),
        }
    }

    /// The process ends; with the power, or without.
    pub(super) fn crash(&mut self, place: Place, power: bool) {
        self.tell_story(|| {
            format!(
                "{place} ends, {}",
                if power { "without power" } else { "killed" }
            )
        });
        let server = &mut self.servers[place];
        server.life += 1;
        server.disk.next_process();
        let process = server.process.take();
        if power || server.disk.is_dead() {
            server.disk.power_cut(&mut self.random);
        }
        server.disk.heal();
        server.is_ill = false;
        for (client, conn) in process
            .into_iter()
            .flat_map(|process| process.doors.into_values())
        {
            self.tell(client, conn, Told::Closed);
        }
        self.lose_all_of(place);
        for other in 0..self.servers.len() {
            self.votes.remove(&(place, other));
            let life = self.servers[other].life;
            let delay = self.latency();
            let silenced = ox_zab::Input::Silenced { server: id(place) };
            self.peer_in(delay, other, life, silenced);
        }
        let delay = self.random.between(20, 800);
        self.schedule(delay, Event::Start(place));
    }

    pub(super) fn make_ill(&mut self, place: Place, fault: crate::disk::DiskFault) {
        let server = &mut self.servers[place];
        server.is_ill = true;
        server.disk.set(fault, &mut self.random);
    }

    fn failed(&mut self, place: Place, error: &dyn std::error::Error) {
        let server = &self.servers[place];
        if !server.is_ill && !server.disk.is_dead() {
            let text = crate::one_disk::chain(error);
            self.ensure(Err(format!(
                "the disk of {place}, which is well, fails: {text}"
            )));
        }
        let power = self.random.percent(50);
        self.crash(place, power);
    }

    pub(super) fn input_in(&mut self, place: Place, life: u64, input: Input) {
        let now = self.clock(place);
        let server = &mut self.servers[place];
        if server.life != life {
            return;
        }
        if let Some(process) = &mut server.process {
            process.core.handle(now, input, &mut process.database);
            self.drain(place);
        }
    }

    pub(super) fn timer(&mut self, place: Place, life: u64, turn: u64) {
        let server = &self.servers[place];
        let is_due = server
            .process
            .as_ref()
            .is_some_and(|process| process.timer.1 == turn);
        if server.life == life && is_due {
            self.input_in(place, life, Input::Timeout { delivered: true });
        }
    }

    fn drain(&mut self, place: Place) {
        let Some(process) = &mut self.servers[place].process else {
            return;
        };
        let Process { core, database, .. } = process;
        let mut outs = Vec::new();
        while let Some(output) = core.poll_output() {
            outs.push(match output {
                Output::Append { zxid, payload } => Out::Append(zxid, payload.to_vec()),
                Output::Send { client, frames, .. } => {
                    Out::Tell(client, Told::Frames(frames.to_vec()))
                }
                Output::Established {
                    client,
                    session,
                    frame,
                    ..
                } => Out::Establish(client, session.0, frame.to_vec()),
                Output::Close { client } => Out::Tell(client, Told::Closed),
                Output::Release { client } => Out::Release(client),
                Output::Peer(output) => Out::Peer(output),
                Output::State {
                    link,
                    mut begin,
                    mut image,
                } => {
                    while image.goes_on() && image.append(database, 100, &mut begin) {}
                    Out::State(link, begin, database.tree.last_zxid())
                }
                Output::Mode { mode, epoch } => Out::Mode(mode, epoch),
            });
        }
        for out in outs {
            self.perform(place, out);
        }
        self.applied(place);
        let Some(process) = &mut self.servers[place].process else {
            return;
        };
        let (at, state) = (process.core.poll_timeout(), process.core.peer().state());
        let turn = process.timer.1 + 1;
        let is_new = process.timer.0 != at || at <= self.now;
        if is_new {
            process.timer = (at, turn);
        }
        let check = self.rules.state(place, state);
        self.ensure(check);
        if is_new && at != i64::MAX {
            let (delay, life) = (
                at - self.clock(place).monotonic_ms,
                self.servers[place].life,
            );
            self.schedule(delay, Event::Timer(place, life, turn));
        }
    }

    fn perform(&mut self, place: Place, out: Out) {
        let Some(process) = &mut self.servers[place].process else {
            return;
        };
        match out {
            Out::Append(zxid, payload) => {
                process.log.insert(zxid, payload.clone());
                process.queue.push_back(Task::Append(zxid, payload));
                self.wake_disk(place);
            }
            Out::Tell(client, told) => {
                let Some(&(client, conn)) = process.doors.get(&client.0) else {
                    return;
                };
                if matches!(told, Told::Closed) {
                    self.cease(client, conn);
                }
                self.tell(client, conn, told);
            }
            Out::Establish(client, session, frame) => {
                let Some(&(client, conn)) = process.doors.get(&client.0) else {
                    return;
                };
                self.grant(place, client, conn, session);
                self.tell(client, conn, Told::Established(frame));
            }
            Out::Release(client) => {
                process.doors.remove(&client.0);
            }
            Out::State(link, bytes, last) => {
                let records = self.servers[place].entries(Zxid::ZERO, last);
                self.send(place, link, Item::State(bytes, records));
            }
            Out::Mode(mode, epoch) => {
                process.mode = mode;
                self.tell_story(|| format!("{place} is {mode:?} in {epoch}"));
                if mode == Some(Mode::Leader) {
                    let check = self.rules.established(place, epoch);
                    self.ensure(check);
                }
            }
            Out::Peer(output) => self.perform_peer(place, output),
        }
    }

    fn perform_peer(&mut self, place: Place, output: ox_zab::Output) {
        match output {
            ox_zab::Output::Notify { to, notification } => self.notify(place, to, notification),
            ox_zab::Output::Dial { server } => self.dial(place, server, false),
            ox_zab::Output::DialMaster { server } => self.dial(place, server, true),
            ox_zab::Output::Send { link, packet } => self.send(place, link, Item::Packet(packet)),
            ox_zab::Output::SendLog { link, after, to } => self.send_log(place, link, after, to),
            ox_zab::Output::ReadTimeout { link, after_ms } => self.patience(place, link, after_ms),
            ox_zab::Output::Close { link } => self.close(place, link),
            ox_zab::Output::Search { link, zxid, to } => {
                let (delay, life) = (self.latency(), self.servers[place].life);
                if let Some(process) = &self.servers[place].process {
                    let found = search(&process.dirs, &process.settings, zxid, to);
                    let found = ox_zab::Input::Found { link, found };
                    self.peer_in(delay, place, life, found);
                }
            }
            ox_zab::Output::Disk(request) => {
                if let Some(process) = &mut self.servers[place].process {
                    process.queue.push_back(Task::Request(request));
                }
                self.wake_disk(place);
            }
            _ => {}
        }
    }

    fn send_log(&mut self, place: Place, link: LinkId, after: Zxid, to: Zxid) {
        let mut packets = Vec::new();
        if let Some(process) = &self.servers[place].process
            && let Ok(Some(mut cursor)) = LogCursor::open(&process.dirs, after, 1 << 20)
        {
            while let Ok(Some((zxid, payload))) = cursor.next_record() {
                if after < zxid && zxid <= to {
                    let payload = Bytes::copy_from_slice(payload);
                    packets.push(QuorumPacket::with_data(PacketType::Proposal, zxid, payload));
                    packets.push(QuorumPacket::bare(PacketType::Commit, zxid));
                }
            }
        }
        for packet in packets {
            self.send(place, link, Item::Packet(packet));
        }
    }

    /// A disk holds a leader's state in the place of all it held.
    fn installed(&mut self, place: Place, last: Zxid) {
        let server = &mut self.servers[place];
        let (sent, records) = std::mem::take(&mut server.received);
        (server.installed, server.durable) = (last, records);
        let text = || format!("{place} installs {last}, and was sent {sent}");
        self.ensure((sent == last).then_some(()).ok_or_else(text));
    }

    /// A leader's state of `zxid` has taken the place of the database.
    pub(super) fn replaced(&mut self, place: Place, zxid: Zxid, records: Records) {
        self.servers[place].received = (zxid, records);
        if let Some(process) = &mut self.servers[place].process {
            process.image = None;
        }
    }

    fn wake_disk(&mut self, place: Place) {
        let delay = match self.now < self.servers[place].slow_until {
            true => self.random.between(50, 400),
            false => self.random.between(0, self.disk_delay),
        };
        let server = &mut self.servers[place];
        let life = server.life;
        if let Some(process) = &mut server.process
            && !process.is_busy
            && !process.queue.is_empty()
        {
            process.is_busy = true;
            self.schedule(delay, Event::Disk(place, life));
        }
    }

    /// The disk does what it was asked for.
    pub(super) fn disk(&mut self, place: Place, life: u64) {
        let server = &mut self.servers[place];
        if server.life != life {
            return;
        }
        let Some(process) = &mut server.process else {
            return;
        };
        process.is_busy = false;
        let mut batch = Vec::new();
        while let Some(Task::Append(..)) = process.queue.front() {
            if let Some(Task::Append(zxid, payload)) = process.queue.pop_front() {
                batch.push((zxid, payload));
            }
        }
        let written = if let Some((last, _)) = batch.last() {
            let last = *last;
            self.write(place, batch).map(|()| Input::Flushed(last))
        } else {
            match self.servers[place]
                .process
                .as_mut()
                .and_then(|p| p.queue.pop_front())
            {
                Some(Task::Request(request)) => self.request(place, request),
                _ => return,
            }
        };
        if let Ok(Input::Peer(ox_zab::Input::Done(DiskDone::EpochAccepted(_)))) = &written {
            self.accepted_epoch(place);
        }
        match written {
            Ok(input) => self.input_in(place, life, input),
            Err(error) => return self.failed(place, &*error),
        }
        self.wake_disk(place);
    }

    fn write(
        &mut self,
        place: Place,
        batch: Vec<(Zxid, Vec<u8>)>,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let server = &mut self.servers[place];
        let process = server.process.as_mut().expect("it runs");
        for (zxid, payload) in &batch {
            process.store.append(*zxid, payload)?;
        }
        process.store.sync()?;
        let records = batch.len();
        server.durable.extend(batch);
        if process.store.begins_anew(records)? && process.mode.is_some() && process.image.is_none()
        {
            let (dirs, compression) = (&process.dirs, process.settings.compression);
            process.image = Some(SnapshotImage::begin(dirs, compression, &process.database));
            let (delay, life) = (self.random.between(0, 20), server.life);
            self.schedule(delay, Event::Chunk(place, life));
        }
        Ok(())
    }

    fn request(
        &mut self,
        place: Place,
        request: DiskRequest,
    ) -> Result<Input, Box<dyn std::error::Error>> {
        let server = &mut self.servers[place];
        let process = server.process.as_mut().expect("it runs");
        if Store::changes_history(request) {
            process.image = None;
        }
        match request {
            DiskRequest::Truncate { to, .. } => server.cutting = Some(to),
            DiskRequest::Install => server.is_installing = true,
            _ => {}
        }
        let done = process.store.perform(request, &&process.database)?;
        let kind = match &done {
            Done::Done(done) | Done::Reloaded(done, _) => *done,
        };
        self.story
            .tell(self.now * 1000, || format!("{place} disk: {kind:?}"));
        match kind {
            DiskDone::EpochAccepted(epoch) => {
                let before = std::mem::replace(&mut server.accepted, epoch);
                if epoch < before {
                    let text = format!("L1: {place} accepts {epoch} after {before}");
                    self.wrong.get_or_insert(text);
                }
            }
            DiskDone::EpochEntered(epoch) => server.entered = Some(epoch),
            DiskDone::Truncated { last } => {
                process.log.retain(|zxid, _| *zxid <= last);
                server.durable.retain(|zxid, _| *zxid <= last);
            }
            DiskDone::Installed { last } => {
                process.log.clear();
                process.base = last;
                self.installed(place, last);
            }
            _ => {}
        }
        let server = &mut self.servers[place];
        (server.cutting, server.is_installing) = (None, false);
        Ok(match done {
            Done::Done(done) => Input::Peer(ox_zab::Input::Done(done)),
            Done::Reloaded(done, state) => Input::Reloaded { done, state },
        })
    }

    /// A snapshot goes on.
    pub(super) fn chunk(&mut self, place: Place, life: u64) {
        let znodes = self.random.below(5) + 1;
        let server = &mut self.servers[place];
        if server.life != life {
            return;
        }
        let Some(process) = &mut server.process else {
            return;
        };
        let Some(mut image) = process.image.take() else {
            return;
        };
        let progress = image.read(&process.database, znodes);
        let written = match progress {
            Progress::More => image.write().map(|()| process.image = Some(image)),
            Progress::Whole => image.finish().map(drop),
            Progress::Replaced => Ok(()),
        };
        if let Err(error) = written {
            return self.failed(place, &error);
        }
        let delay = self.random.between(0, 20);
        self.schedule(delay, Event::Chunk(place, life));
    }
}

fn core_settings(place: Place) -> Settings {
    Settings {
        server: id(place),
        tick_ms: TICK,
        min_session_timeout_ms: 200,
        max_session_timeout_ms: 5000,
        tree: TREE,
        enforce_quota: true,
        reconfig_enabled: false,
        local_sessions: LocalSessions::Off,
        read_only: false,
        leader_serves: true,
        close_session_lists: true,
        max_record: 1 << 20,
        auth: AuthSettings::default(),
        reaper: ReaperSettings {
            check_interval_ms: 60_000,
            pause_ms: 6,
            max_never_used_ms: 0,
        },
    }
}
