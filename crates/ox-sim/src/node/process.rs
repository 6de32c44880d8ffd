//! One run of a server's process around the production core, as `core_task.rs` and `log_thread.rs`
//! of ox-server drive it.

use ox_proto::{ReconfigRequest, Zxid};
use ox_replica::{
    AuthSettings, Core, Database, DigestAlgorithm, Input, LocalSessions, Mode, Output,
    ReaperSettings, Settings,
};
use ox_store::{Done, Progress, SnapshotImage, Store, StoreSettings, search};
use ox_txnlog::{DataDirs, DirLock, purge};
use ox_zab::{DiskDone, DiskRequest, LinkId};
use ox_zab_net::Members;

use super::doors::{Doors, MAX_FRAME};
use super::links::Links;
use super::operator::{OPERATOR, Operator};
use super::votes::{Votes, server_of};
use super::work::{Job, Work};
use crate::clock::Clock;
use crate::env::Env;
use crate::net::{ConnId, DialResult, Dialer, Piece, Port};
use crate::queue::{Event, Place};

/// Znodes of a snapshot that are read at once.
const CHUNK: usize = 40;

pub(crate) struct Process {
    pub(super) place: Place,
    pub(super) life: u64,
    pub(super) clock: Clock,
    pub(super) core: Core,
    pub(super) database: Database,
    pub(super) store: Store,
    pub(super) settings: StoreSettings,
    pub(super) dirs: DataDirs,
    pub(super) _lock: DirLock,
    pub(super) votes: Votes,
    pub(super) links: Links,
    pub(super) doors: Doors,
    pub(super) operator: Operator,
    pub(super) work: Work,
    pub(super) snapshot: Option<SnapshotImage>,
    pub(super) mode: Option<Mode>,
    pub(super) epoch: u32,
    pub(super) timer: (i64, u64),
    /// Why the process ends.
    pub(super) death: Option<String>,
    /// How slow the disk is.
    pub(crate) slow_until: i64,
}

pub(super) fn core_settings(env: &Env, place: Place) -> Settings {
    let tick = env.setup.tick_ms;
    Settings {
        server: server_of(place),
        tick_ms: tick,
        min_session_timeout_ms: i32::try_from(2 * tick).expect("short"),
        max_session_timeout_ms: i32::try_from(40 * tick).expect("short"),
        tree: super::TREE,
        enforce_quota: false,
        reconfig_enabled: env.setup.reconfig,
        local_sessions: LocalSessions::Off,
        read_only: false,
        leader_serves: true,
        close_session_lists: true,
        max_record: MAX_FRAME,
        auth: AuthSettings {
            digest: Some(DigestAlgorithm::Sha1),
            ..AuthSettings::default()
        },
        reaper: ReaperSettings {
            check_interval_ms: 60_000,
            pause_ms: 6,
            max_never_used_ms: 0,
        },
    }
}

impl Process {
    pub(crate) fn mode(&self) -> Option<Mode> {
        self.mode
    }

    pub(super) fn jump(&mut self, ms: i64) {
        self.clock.wall_off += ms;
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    pub(crate) fn death(&self) -> Option<&str> {
        self.death.as_deref()
    }

    /// Somebody asks it to change the members.
    pub(super) fn reconfigure(&mut self, env: &mut Env, request: ReconfigRequest) {
        if let Some(input) = self.operator.come(request) {
            env.strike("reconfiguration asked for");
            self.turn(env, vec![input]);
        }
    }

    pub(crate) fn is_at_rest(&self) -> bool {
        self.work.jobs.is_empty()
    }

    /// The core takes in what has come, and all that follows from it is done.
    pub(super) fn turn(&mut self, env: &mut Env, mut inputs: Vec<Input>) {
        loop {
            let now = self.clock.now(env.now);
            for input in inputs.drain(..) {
                self.core.handle(now, input, &mut self.database);
            }
            let mut answers = Vec::new();
            self.perform(env, &mut answers, &mut inputs);
            self.doors.after_turn(env, &mut self.database, &mut inputs);
            inputs.extend(answers.into_iter().map(Input::Peer));
            env.invariants
                .applied(self.place, &self.core, &self.database, self.mode);
            if inputs.is_empty() {
                break;
            }
        }
        self.links.flush(env);
        self.begin_job(env);
        let due = self.clock.at(self.core.poll_timeout()).max(env.now);
        if due != self.timer.0 {
            self.timer = (due, self.timer.1 + 1);
            let (place, life, turn) = (self.place, self.life, self.timer.1);
            env.queue.push(due, Event::Timer { place, life, turn });
        }
    }

    fn perform(
        &mut self,
        env: &mut Env,
        answers: &mut Vec<ox_zab::Input>,
        inputs: &mut Vec<Input>,
    ) {
        let place = self.place;
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Append { zxid, payload } => {
                    env.invariants.appended(place, zxid, payload);
                    self.work.append(zxid, payload);
                }
                Output::Send {
                    client: OPERATOR, ..
                } => inputs.push(self.operator.go()),
                Output::Established {
                    client: OPERATOR,
                    session,
                    ..
                } => {
                    env.operators.insert(session);
                    inputs.extend(self.operator.established());
                }
                Output::Close { client: OPERATOR } => inputs.push(self.operator.go()),
                Output::Release { client: OPERATOR } => self.operator.released(),
                Output::Send {
                    client,
                    frames,
                    answers,
                } => self.doors.send(client, frames, answers.is_some()),
                Output::Established {
                    client,
                    session,
                    frame,
                    ..
                } => self.doors.established(client, session, frame),
                Output::Close { client } => self.doors.close(client),
                Output::Release { client } => self.doors.release(client),
                Output::Mode { mode, epoch } => {
                    env.story
                        .tell(env.now, || format!("{place} is {mode:?} in {epoch}"));
                    self.links.serves_observers = env.setup.masters && mode == Some(Mode::Follower);
                    (self.mode, self.epoch) = (mode, epoch);
                    env.invariants.mode(place, mode, epoch);
                }
                Output::State { link, begin, image } => {
                    env.strike("state sent whole");
                    self.links.send_state(link, &begin, image);
                }
                Output::Peer(output) => match output {
                    ox_zab::Output::Disk(request) => self.work.request(request),
                    ox_zab::Output::Notify { to, notification } => {
                        self.votes.send(env, to, &notification, answers);
                    }
                    ox_zab::Output::DialPeers => self.votes.connect_all(env),
                    ox_zab::Output::Members {
                        committed,
                        last_seen,
                    } => {
                        env.invariants.activated(place, &committed);
                        env.story.tell(env.now, || {
                            let (now, then) = (committed.version, last_seen.version);
                            format!("{place} goes by configuration {now:x}, {then:x} is seen")
                        });
                        self.votes.set_members(Members {
                            committed,
                            last_seen: Some(last_seen),
                        });
                    }
                    ox_zab::Output::Dial { server } => self.links.dial(env, server, Port::Quorum),
                    ox_zab::Output::DialMaster { server } => {
                        self.links.dial(env, server, Port::Observers);
                    }
                    ox_zab::Output::Send { link, packet } => {
                        if self.links.is_learners(link) == Some(true) {
                            env.invariants.learner_sends(place, &packet);
                        }
                        self.links.send(link, &packet);
                    }
                    ox_zab::Output::SendLog { link, after, to } => {
                        env.strike("log sent from the disk");
                        self.links.send_log(link, after, to);
                    }
                    ox_zab::Output::ReadTimeout { link, after_ms } => {
                        self.links.set_patience(env, link, after_ms);
                    }
                    ox_zab::Output::Close { link } => {
                        self.links.close(env, link);
                    }
                    ox_zab::Output::Search { link, zxid, to } => {
                        let found = search(&self.dirs, &self.settings, zxid, to);
                        let (life, at) = (self.life, env.now + env.net.latency());
                        let found = Event::Found {
                            place,
                            life,
                            link,
                            found,
                        };
                        env.queue.push(at, found);
                    }
                    other => unreachable!("the core keeps it: {other:?}"),
                },
            }
        }
    }

    /// Lets the disk begin with the next thing.
    fn begin_job(&mut self, env: &mut Env) {
        if self.work.is_busy || self.work.jobs.is_empty() {
            return;
        }
        self.work.is_busy = true;
        let (least, most) = env.setup.disk;
        let mut takes = env.disk.between(least, most);
        if env.now < self.slow_until {
            takes += env.disk.between(0, 1_500_000);
        }
        let (place, life) = (self.place, self.life);
        env.queue.push(env.now + takes, Event::Disk { place, life });
    }

    /// The disk does the oldest thing it was asked for.
    pub(super) fn disk(&mut self, env: &mut Env) {
        self.work.is_busy = false;
        let Some(job) = self.work.jobs.pop_front() else {
            return;
        };
        let (place, life) = (self.place, self.life);
        let done = match job {
            Job::Records(records) => {
                self.work.batches += 1;
                let batches = self.work.batches;
                let idle = Event::Idle {
                    place,
                    life,
                    batches,
                };
                env.queue.push(env.now + self.clock.span(1000), idle);
                self.write(env, &records)
            }
            Job::Request(request) => self.request(env, request),
        };
        match done {
            Ok(input) => self.turn(env, vec![input]),
            Err(error) => self.death = Some(error),
        }
    }

    fn write(&mut self, env: &mut Env, records: &[(Zxid, Vec<u8>)]) -> Result<Input, String> {
        for (zxid, payload) in records {
            self.store.append(*zxid, payload).map_err(chain)?;
        }
        self.store.sync().map_err(chain)?;
        let last = records.last().expect("no batch is empty").0;
        env.invariants.flushed(self.place, last);
        if self.store.begins_anew(records.len()).map_err(chain)?
            && self.snapshot.is_none()
            && self.core.peer().leader().is_some()
        {
            self.snapshot = Some(SnapshotImage::begin(
                &self.dirs,
                self.settings.compression,
                &self.database,
            ));
            env.strike("snapshot begun");
            self.snapshot_later(env);
        }
        Ok(Input::Flushed(last))
    }

    fn request(&mut self, env: &mut Env, request: DiskRequest) -> Result<Input, String> {
        if Store::changes_history(&request) {
            self.snapshot = None;
        }
        let synced = match request {
            DiskRequest::Truncate { to, .. } => env.invariants.cuts(self.place, to),
            _ => Zxid::ZERO,
        };
        let done = self
            .store
            .perform(request, &&self.database)
            .map_err(chain)?;
        let did = match &done {
            Done::Done(did) | Done::Reloaded(did, _) => *did,
        };
        env.story
            .tell(env.now, || format!("{} disk: {did:?}", self.place));
        if did == DiskDone::NotTruncated {
            env.invariants.flushed(self.place, synced);
        }
        env.invariants.disk_done(self.place, did, &self.database);
        Ok(match done {
            Done::Done(done) => Input::Peer(ox_zab::Input::Done(done)),
            Done::Reloaded(done, state) => Input::Reloaded { done, state },
        })
    }

    pub(super) fn idle(&mut self, batches: u64) {
        if self.work.batches == batches
            && !self.work.is_busy
            && let Err(error) = self.store.idle()
        {
            self.death = Some(chain(error));
        }
    }

    fn snapshot_later(&self, env: &mut Env) {
        let (place, life) = (self.place, self.life);
        let at = env.now + env.disk.between(1000, 20_000);
        env.queue.push(at, Event::Snapshot { place, life });
    }

    /// A snapshot that is being taken goes on.
    pub(super) fn snapshot(&mut self, env: &mut Env) {
        let Some(mut image) = self.snapshot.take() else {
            return;
        };
        let result = match image.write() {
            Ok(()) => match image.read(&self.database, CHUNK) {
                Progress::More => {
                    self.snapshot = Some(image);
                    return self.snapshot_later(env);
                }
                Progress::Whole => image.finish().map(drop),
                Progress::Replaced => Ok(()),
            },
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            let text = chain(error);
            // For lack of space the log goes on.
            if !text.contains("no storage space") {
                self.death = Some(text);
            }
        }
    }

    pub(super) fn purge(&mut self) {
        if self.snapshot.is_none() && self.work.jobs.is_empty() {
            // What cannot be deleted stays.
            let _ = purge(&self.dirs, 3);
        }
    }

    pub(super) fn timer(&mut self, env: &mut Env, turn: u64) {
        if self.timer.1 == turn {
            self.timer.0 = i64::MAX;
            let mut inputs: Vec<Input> = self.doors.touches().collect();
            let delivered = self.votes.delivered();
            inputs.push(Input::Timeout { delivered });
            self.turn(env, inputs);
        }
    }

    pub(super) fn accepted(&mut self, env: &mut Env, conn: ConnId, port: Port, machine: usize) {
        match port {
            Port::Client => {
                self.doors.accepted(conn, machine);
                let (place, life) = (self.place, self.life);
                let at = env.now + self.clock.span(10_000);
                env.queue.push(at, Event::Sessionless { place, life, conn });
            }
            Port::Election => self.votes.accepted(conn),
            Port::Quorum | Port::Observers => self.links.accepted(conn, port),
        }
    }

    /// Whether it listens at a port.
    pub(crate) fn listens(&self, port: Port) -> bool {
        match port {
            Port::Client | Port::Quorum | Port::Election => true,
            Port::Observers => self.links.serves_observers,
        }
    }

    pub(super) fn dialed(&mut self, env: &mut Env, dialer: Dialer, result: DialResult) {
        let mut inputs = Vec::new();
        match dialer {
            Dialer::Election { server, .. } => {
                let mut votes = Vec::new();
                self.votes.dialed(env, server, result, &mut votes);
                inputs.extend(votes.into_iter().map(Input::Peer));
            }
            Dialer::Link { link, .. } => self.links.dialed(env, link, result, &mut inputs),
            Dialer::Client { .. } => {}
        }
        self.turn(env, inputs);
    }

    pub(super) fn redial(&mut self, env: &mut Env, link: LinkId) {
        self.links.redial(env, link);
    }

    pub(super) fn silence(&mut self, env: &mut Env, link: LinkId) {
        let mut inputs = Vec::new();
        self.links.silence(env, link, &mut inputs);
        if !inputs.is_empty() {
            self.turn(env, inputs);
        }
    }

    pub(super) fn sessionless(&mut self, env: &mut Env, conn: ConnId) {
        if self.doors.is_sessionless(conn) {
            let mut inputs = Vec::new();
            self.doors.ended(env, conn, &mut inputs);
            self.turn(env, inputs);
        }
    }

    pub(super) fn pull(&mut self, env: &mut Env, link: LinkId) {
        let mut inputs = Vec::new();
        self.links.pull(env, link, &self.database, &mut inputs);
        if !inputs.is_empty() {
            self.turn(env, inputs);
        }
    }

    pub(super) fn found(&mut self, env: &mut Env, link: LinkId, found: ox_zab::LogSearch) {
        self.turn(env, vec![Input::Peer(ox_zab::Input::Found { link, found })]);
    }

    /// Something arrives at one of its connections.
    pub(super) fn arrived(&mut self, env: &mut Env, conn: ConnId, piece: Piece) {
        let mut inputs = Vec::new();
        let mut votes = Vec::new();
        if self.doors.has(conn) {
            match piece {
                Piece::Bytes(bytes) => {
                    let database = &mut self.database;
                    self.doors.arrived(env, conn, &bytes, database, &mut inputs);
                }
                Piece::End | Piece::Reset => self.doors.ended(env, conn, &mut inputs),
            }
        } else if self.votes.has(conn) {
            match piece {
                Piece::Bytes(bytes) => self.votes.arrived(env, conn, &bytes, &mut votes),
                Piece::End | Piece::Reset => self.votes.ended(env, conn, true, &mut votes),
            }
        } else if self.links.has(conn) {
            // The leader may ask for them.
            inputs.extend(self.doors.touches());
            match piece {
                Piece::Bytes(bytes) => self.links.arrived(env, conn, &bytes, &mut inputs),
                Piece::End | Piece::Reset => self.links.ended(env, conn, &mut inputs),
            }
        }
        inputs.extend(votes.into_iter().map(Input::Peer));
        if !inputs.is_empty() {
            self.turn(env, inputs);
        }
    }
}

/// An error and all that caused it.
pub(super) fn chain(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
