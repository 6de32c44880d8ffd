//! One whole server without sockets or disk: requests in, transactions, answers and events out.
//!
//! Invariants: a write is answered after its transaction is committed, and it commits only after
//! the quorum's disks, our own among them, have it; transactions are applied in zxid order; one
//! client's answers leave in the order of its requests; no client is served by a server that has
//! no leader. Source: `ZooKeeperServer.java`, `QuorumPeer.java`, `FinalRequestProcessor.java`;
//! client-protocol.md chapters 2 and 11, quorum.md chapter 10.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ox_mutant::{Mutant, is_on};
use ox_proto::{Acl, ConnectRequest, ErrorCode, Id, SessionId, Txn, TxnRecord, Zxid};
use ox_session::{AclOf, ClientId, Trigger};
use ox_tree::{ChangeKind, Outcome};
use ox_zab::{DiskDone, LinkId, Peer, Role};

use crate::connecting::{Client, first_session};
use crate::database::Database;
use crate::events::Effects;
pub use crate::events::{Answers, Output};
use crate::leading::Leading;
use crate::learning::Learning;
use crate::local::Local;
use crate::mode::Mode;
use crate::read::{Reader, ends_connection};
use crate::read_only::ReadOnly;
use crate::reconfig::{config_in, config_of};
use crate::reply;
use crate::request::ClientRequest;
use crate::settings::Settings;
use crate::state::State;

/// The two clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Never goes back, in milliseconds; sessions expire by it.
    pub monotonic_ms: i64,
    /// Milliseconds since 1970; goes into transactions.
    pub wall_ms: i64,
}

/// What can happen to a server.
#[derive(Debug)]
pub enum Input {
    /// A connection has sent its first packet.
    Connect {
        /// A name for the connection that no other has before its `Release`.
        client: ClientId,
        /// The identities it starts with.
        ids: Arc<[Id]>,
        /// The packet.
        request: ConnectRequest,
    },
    /// A connection with a session has sent requests.
    Requests {
        /// The connection.
        client: ClientId,
        /// In the order they came.
        requests: Vec<ClientRequest>,
    },
    /// A connection has ended. Its session goes on.
    Disconnected {
        /// The connection.
        client: ClientId,
    },
    /// A session was heard from by way of a read that did not come here.
    Touched {
        /// Whose read it was.
        session: SessionId,
        /// When, by the clock of [`Now::monotonic_ms`]; not after the time of this input.
        at_ms: i64,
    },
    /// Every transaction up to and including this zxid is on stable storage.
    Flushed(Zxid),
    /// Something for this server as a member of its ensemble.
    Peer(ox_zab::Input),
    /// The leader's whole state has come.
    State {
        /// The connection it came by.
        link: LinkId,
        /// What it is.
        state: Box<State>,
    },
    /// The state was read anew from the disk, which is what was asked.
    Reloaded {
        /// What was asked.
        done: DiskDone,
        /// What it is.
        state: Box<State>,
    },
    /// The time that `poll_timeout` asked for has come.
    Timeout {
        /// Whether votes that were sent have left, to some servers at least.
        delivered: bool,
    },
}

/// An entry of the log that is not applied yet.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) record: TxnRecord,
    /// On a leader; a learner finds it out by session and cxid.
    pub(crate) origin: Option<Origin>,
}

/// Where a proposal came from, and so where its outcome goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin {
    Connect {
        client: ClientId,
        read_only: Option<bool>,
    },
    Request {
        client: ClientId,
        answers: Answers,
        /// What to answer if it fails, where only this server knows why it must.
        error: Option<ErrorCode>,
    },
    /// A local session becomes one that all servers know.
    Upgrade,
}

/// What a server does with requests, by its role.
#[derive(Debug)]
pub(crate) enum Stage {
    /// It has no leader, and serves no client.
    Idle,
    Leading(Box<Leading>),
    Learning(Box<Learning>),
    /// It has no leader, and serves reads.
    ReadOnly(ReadOnly),
}

impl Stage {
    /// The sessions that no other server knows, where there may be any.
    pub(crate) fn local(&self) -> Option<&Local> {
        match self {
            Self::Idle => None,
            Self::Leading(leading) => leading.local.as_ref(),
            Self::Learning(learning) => learning.local.as_ref(),
            Self::ReadOnly(read_only) => read_only.local.as_ref(),
        }
    }

    /// The same, to be changed.
    pub(crate) fn local_mut(&mut self) -> Option<&mut Local> {
        match self {
            Self::Idle => None,
            Self::Leading(leading) => leading.local.as_mut(),
            Self::Learning(learning) => learning.local.as_mut(),
            Self::ReadOnly(read_only) => read_only.local.as_mut(),
        }
    }
}

/// The sessions that this server watches over, by the time at which they would expire, in
/// monotonic milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrackedSessions {
    /// Those that all servers know. `None` on a server that does not lead.
    pub global: Option<BTreeMap<i64, Vec<SessionId>>>,
    /// Those that no other server knows. `None` where there are none of that kind.
    pub local: Option<BTreeMap<i64, Vec<SessionId>>>,
}

/// The server's one writer.
#[derive(Debug)]
pub struct Core {
    pub(crate) settings: Settings,
    pub(crate) peer: Peer,
    pub(crate) stage: Stage,
    /// Since when this server elects, in monotonic milliseconds.
    pub(crate) electing_since: Option<i64>,
    /// What stands in the log and is not applied, oldest first.
    pub(crate) pending: VecDeque<Pending>,
    pub(crate) next_session: SessionId,
    pub(crate) clients: HashMap<ClientId, Client, FixedState>,
    /// The connection that each session has at the moment.
    pub(crate) attached: BTreeMap<SessionId, ClientId>,
    pub(crate) effects: Effects,
    /// The record that was encoded last.
    pub(crate) payload: Vec<u8>,
    pub(crate) hash_seed: u64,
}

impl Core {
    /// How much memory is kept for encoding records.
    pub(crate) const KEPT_CAPACITY: usize = 1 << 20;

    /// A server on `database`, which holds all that is on disk. `peer` is its part in the
    /// ensemble: [`Peer::alone`] serves at once, a member when it has a leader.
    pub fn new(
        settings: Settings,
        peer: Peer,
        database: &mut Database,
        hash_seed: u64,
        now: Now,
    ) -> Self {
        let mut core = Self {
            peer,
            stage: Stage::Idle,
            electing_since: None,
            pending: VecDeque::new(),
            next_session: first_session(&settings, database, now),
            clients: HashMap::with_hasher(FixedState::with_seed(hash_seed)),
            attached: BTreeMap::new(),
            effects: Effects::default(),
            payload: Vec::new(),
            hash_seed,
            settings,
        };
        // Whatever became of the files beside it.
        if let Some(config) = config_in(&database.tree) {
            core.peer.recall_config(config);
        }
        core.peer.start(now.monotonic_ms);
        core.pump(now, database);
        core
    }

    /// Takes one event in.
    pub fn handle(&mut self, now: Now, input: Input, database: &mut Database) {
        match input {
            Input::Connect {
                client,
                ids,
                request,
            } => self.connect(now, database, client, ids, &request),
            Input::Requests { client, requests } => {
                self.requests(now, database, client, requests);
            }
            Input::Disconnected { client } => self.disconnected(database, client),
            Input::Touched { session, at_ms } => {
                let then = Now {
                    monotonic_ms: at_ms,
                    ..now
                };
                self.touched(then, session);
            }
            Input::Flushed(zxid) => {
                self.warm(database, zxid);
                self.peer
                    .handle(now.monotonic_ms, ox_zab::Input::Flushed(zxid));
            }
            Input::Peer(input) => self.peer.handle(now.monotonic_ms, input),
            Input::State { link, state } => {
                self.replace(database, *state);
                self.peer
                    .handle(now.monotonic_ms, ox_zab::Input::Replaced { link });
            }
            Input::Reloaded { done, state } => {
                self.replace(database, *state);
                self.peer
                    .handle(now.monotonic_ms, ox_zab::Input::Done(done));
            }
            Input::Timeout { delivered } => self.timeout(now, database, delivered),
        }
        self.pump(now, database);
    }

    /// The next effect, in order. Each may be performed the moment it is seen.
    pub fn poll_output(&mut self) -> Option<Output<'_>> {
        self.effects.poll()
    }

    /// When [`Input::Timeout`] is due, in monotonic milliseconds.
    pub fn poll_timeout(&self) -> i64 {
        let role = match &self.stage {
            Stage::Leading(leading) => leading.poll_timeout(),
            Stage::Idle | Stage::Learning(_) | Stage::ReadOnly(_) => i64::MAX,
        };
        let local = self.stage.local().map_or(i64::MAX, Local::poll_timeout);
        let peer = self.peer.poll_timeout();
        role.min(local).min(peer).min(self.read_only_from())
    }

    /// How many requests are on their way: transactions that wait for the quorum, or what a
    /// learner has forwarded.
    pub fn outstanding(&self) -> usize {
        match &self.stage {
            Stage::Idle | Stage::ReadOnly(_) => 0,
            Stage::Leading(_) => self.peer.outstanding(),
            Stage::Learning(learning) => learning.in_flight(),
        }
    }

    /// How many sessions no other server knows.
    pub fn local_sessions(&self) -> usize {
        self.stage.local().map_or(0, Local::len)
    }

    /// How many syncs of learners wait for a commit.
    pub fn pending_syncs(&self) -> usize {
        match &self.stage {
            Stage::Leading(leading) => leading.pending_syncs(),
            Stage::Idle | Stage::Learning(_) | Stage::ReadOnly(_) => 0,
        }
    }

    /// This server's part in the ensemble.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The sessions that this server watches over.
    pub fn tracked_sessions(&self) -> TrackedSessions {
        TrackedSessions {
            global: match &self.stage {
                Stage::Leading(leading) => Some(leading.tracker.dump()),
                Stage::Idle | Stage::Learning(_) | Stage::ReadOnly(_) => None,
            },
            local: self.stage.local().map(Local::dump),
        }
    }

    /// Makes the znodes ready that are about to be looked up, if all up to `zxid` commits.
    fn warm(&self, database: &Database, zxid: Zxid) {
        let pending = self
            .pending
            .iter()
            .map(|pending| &pending.record)
            .take_while(|record| record.header.zxid <= zxid);
        database
            .tree
            .warm(pending.filter_map(|record| record.txn.path()));
    }

    /// Does what the ensemble's part of this server wants done.
    fn pump(&mut self, now: Now, database: &mut Database) {
        self.end_read_only(database);
        while let Some(output) = self.peer.poll_output() {
            match output {
                ox_zab::Output::Commit(zxid) => self.commit(now, database, zxid),
                ox_zab::Output::Append { record, payload } => {
                    self.effects.append(record.header.zxid, &payload);
                    self.pending.push_back(Pending {
                        record: *record,
                        origin: None,
                    });
                }
                ox_zab::Output::Forget { after } => {
                    self.pending
                        .retain(|pending| pending.record.header.zxid <= after);
                }
                ox_zab::Output::Apply { record } => self.apply_behind_state(database, &record),
                ox_zab::Output::Serve { role, epoch } => self.serve(now, database, role, epoch),
                ox_zab::Output::SendState { link } => self.effects.state(link, database),
                ox_zab::Output::Retire => self.retire(database),
                ox_zab::Output::Request { link, data, ids } => {
                    self.learner_request(now, database, link, &data, &ids);
                }
                ox_zab::Output::Revalidate { link, data } => self.revalidate(now, link, &data),
                ox_zab::Output::Touched { data } => self.learner_touches(now, &data),
                ox_zab::Output::LearnerGone { link } => self.learner_gone(link),
                ox_zab::Output::Synced => self.synced(database),
                ox_zab::Output::Revalidated { data } => self.revalidated(&data),
                ox_zab::Output::Pinged { zxid } => self.pinged(now, zxid),
                other @ (ox_zab::Output::Notify { .. }
                | ox_zab::Output::DialPeers
                | ox_zab::Output::Dial { .. }
                | ox_zab::Output::DialMaster { .. }
                | ox_zab::Output::Send { .. }
                | ox_zab::Output::SendLog { .. }
                | ox_zab::Output::ReadTimeout { .. }
                | ox_zab::Output::Close { .. }
                | ox_zab::Output::Members { .. }
                | ox_zab::Output::Search { .. }
                | ox_zab::Output::Disk(_)) => self.effects.peer(other),
            }
        }
        self.watch_election(now);
    }

    /// Begins to serve clients.
    fn serve(&mut self, now: Now, database: &mut Database, role: Role, epoch: u32) {
        let mode = match self.peer.is_alone() {
            true => Mode::Standalone,
            false => Mode::of_member(role),
        };
        self.begin(now, database, mode, epoch);
        self.stage = match role {
            Role::Leading => {
                if !self.peer.is_alone() {
                    // Every server of this epoch says so of itself, and no older one can.
                    database.tree.set_last_zxid(Zxid::new(epoch, 0));
                }
                let leading = Leading::new(&self.settings, database, self.hash_seed, now);
                Stage::Leading(Box::new(leading))
            }
            Role::Following | Role::Observing => {
                Stage::Learning(Box::new(Learning::new(&self.settings)))
            }
        };
        if role == Role::Leading {
            self.close_orphans(now, database);
        }
    }

    /// What every role begins with.
    pub(crate) fn begin(&mut self, now: Now, database: &mut Database, mode: Mode, epoch: u32) {
        assert!(
            matches!(self.stage, Stage::Idle),
            "one role begins within another"
        );
        self.effects.mode(Some(mode), epoch);
        self.set_config(now, database);
        // A leader may have told us of sessions that we have given out, and our disk has not.
        let first = first_session(&self.settings, database, now);
        self.next_session = self.next_session.max(first);
    }

    /// What a member shows of the ensemble is what it knows by itself, not what a leader or a
    /// snapshot says.
    fn set_config(&self, now: Now, database: &mut Database) {
        if !self.peer.is_alone() {
            let config = self.peer.config();
            let (text, version) = (config.to_string(), Zxid(config.version));
            database.tree.set_config(&text, version, now.wall_ms);
        }
    }

    /// Ends every client's connection: whatever they have asked for may or may not come to pass.
    pub(crate) fn retire(&mut self, database: &mut Database) {
        self.effects.mode(None, 0);
        self.stage = Stage::Idle;
        self.attached.clear();
        for pending in &mut self.pending {
            pending.origin = None;
        }
        let mut done = Vec::new();
        for (&id, client) in &mut self.clients {
            // What it has sent and is still on its way here is not for the next role.
            client.session = None;
            client.lane.clear();
            client.connecting = false;
            database.watches.remove_client(id);
            match client.gone {
                true => done.push(id),
                false => self.effects.close(id),
            }
        }
        for id in done {
            self.release_if_done(id);
        }
    }

    /// Another state stands in place of all that was applied, and of all that was not.
    fn replace(&mut self, database: &mut Database, state: State) {
        self.pending.clear();
        database.replace(state);
    }

    fn touched(&mut self, now: Now, session: SessionId) {
        match &mut self.stage {
            Stage::Idle => {}
            Stage::Leading(leading) => {
                leading.hear(session, now);
            }
            Stage::ReadOnly(ReadOnly { local }) => {
                if let Some(local) = local {
                    local.touch(session, None, now);
                }
            }
            Stage::Learning(learning) => {
                let local = learning.local.as_mut();
                let is_local = local.is_some_and(|local| local.touch(session, None, now));
                if !is_local
                    && let Some(client) = self.attached.get(&session)
                    && let Some(client) = self.clients.get(client)
                {
                    learning.touch(session, client.timeout_ms);
                }
            }
        }
    }

    /// Notes that a session was heard from by a request. False if nothing more is answered to it,
    /// which only a leader knows: it is closing, and its end closes the connection.
    fn hear(&mut self, now: Now, session: SessionId) -> bool {
        match &mut self.stage {
            Stage::Idle => false,
            Stage::Leading(leading) => leading.hear(session, now),
            Stage::Learning(_) | Stage::ReadOnly(_) => {
                self.touched(now, session);
                true
            }
        }
    }

    fn requests(
        &mut self,
        now: Now,
        database: &mut Database,
        client: ClientId,
        requests: Vec<ClientRequest>,
    ) {
        let Some(state) = self.clients.get(&client) else {
            return;
        };
        let Some(session) = state.session else {
            return;
        };
        let paths = requests.iter().filter_map(|request| request.work.path());
        database.tree.warm(paths);
        for request in requests {
            if !self.hear(now, session) {
                return;
            }
            if request.work.closes_session() && self.is_local(session) {
                return self.close_local(database, client, session, request);
            }
            match self.stage {
                Stage::Leading(_) if request.work.is_write() => {
                    self.write(now, database, client, session, request);
                }
                Stage::Learning(_) if request.work.goes_to_leader() => {
                    self.forward(now, database, client, session, request);
                }
                Stage::ReadOnly(_) if request.work.goes_to_leader() => {
                    let request = request.refused(ErrorCode::NotReadOnly);
                    self.answer_in_turn(database, client, session, request);
                }
                Stage::Idle | Stage::Leading(_) | Stage::Learning(_) | Stage::ReadOnly(_) => {
                    self.answer_in_turn(database, client, session, request);
                }
            }
        }
    }

    /// Answers what does not go through the log, behind this client's writes before it.
    pub(crate) fn answer_in_turn(
        &mut self,
        database: &mut Database,
        client: ClientId,
        session: SessionId,
        request: ClientRequest,
    ) {
        if self.client(client).lane.is_empty() || is_on(Mutant::R02) {
            self.answer(database, client, session, &request);
        } else {
            self.client(client).lane.push_read(request);
        }
    }

    /// Applies a transaction: events first, then the answer, then the reads that waited for it.
    fn commit(&mut self, now: Now, database: &mut Database, zxid: Zxid) {
        let Pending { record, origin } = self.pending.pop_front().expect("it is in the log");
        assert_eq!(record.header.zxid, zxid, "commit order");
        let events_begin = self.effects.len();
        let outcome = self.apply(database, &record);
        let events = events_begin..self.effects.len();
        self.keep_sessions(database, &record);
        let session = record.header.client_id;
        let origin = match &mut self.stage {
            Stage::Idle | Stage::ReadOnly(_) => None,
            Stage::Leading(_) => origin,
            Stage::Learning(learning) => learning.take_origin(&record),
        };
        match origin {
            Some(Origin::Connect { client, read_only }) => {
                self.connected(client, &record, read_only);
            }
            Some(Origin::Request {
                client,
                answers,
                error,
            }) => {
                let state = self.client(client);
                state.lane.committed();
                let is_open = state.session.is_some();
                let has_moved = has_moved(&outcome);
                if is_open && !has_moved {
                    let write = |out: &mut Vec<u8>| match (&record.txn, error) {
                        (Txn::Error(_), Some(error)) => {
                            reply::header(out, answers.xid, zxid, error);
                        }
                        (txn, _) => reply::outcome(out, answers.xid, zxid, txn, &outcome),
                    };
                    self.effects.answer(client, answers, write);
                }
                // A session that lives elsewhere by now is none of this connection's.
                if is_open && (has_moved || matches!(record.txn, Txn::CloseSession(_))) {
                    self.end(client);
                }
                self.answer_waiting(database, client);
            }
            Some(Origin::Upgrade) | None => {}
        }
        if matches!(record.txn, Txn::CloseSession(_))
            && let Some(client) = self.attached.remove(&session)
        {
            self.end(client);
        }
        if is_on(Mutant::M21) {
            self.effects.delay(events);
        }
        self.after_commit(now, zxid);
    }

    /// A committed transaction behind a state that was sent whole.
    fn apply_behind_state(&mut self, database: &mut Database, record: &TxnRecord) {
        if record.header.zxid <= database.tree.last_zxid() {
            return;
        }
        self.apply(database, record);
        self.keep_sessions(database, record);
    }

    fn keep_sessions(&mut self, database: &mut Database, record: &TxnRecord) {
        let session = record.header.client_id;
        match &record.txn {
            Txn::CreateSession(txn) => {
                database.sessions.insert(session, txn.timeout_ms);
                // Each learner tells the leader of it.
                if let Stage::Learning(learning) = &mut self.stage {
                    learning.touch(session, txn.timeout_ms);
                }
            }
            Txn::CloseSession(_) => {
                database.sessions.remove(&session);
                match &mut self.stage {
                    Stage::Idle | Stage::ReadOnly(_) => {}
                    Stage::Leading(leading) => leading.closed(session),
                    Stage::Learning(learning) => learning.closed(session),
                }
            }
            _ => {}
        }
    }

    fn apply(&mut self, database: &mut Database, record: &TxnRecord) -> Outcome {
        let zxid = record.header.zxid;
        let Database {
            tree,
            watches,
            digests,
            identities,
            ..
        } = database;
        let Self {
            effects,
            settings,
            stage,
            ..
        } = self;
        let outcome = tree.apply(&record.header, &record.txn, &mut |change| {
            let trigger = match change.kind {
                ChangeKind::Created => Trigger::Created,
                ChangeKind::Deleted => Trigger::Deleted,
                ChangeKind::DataChanged => Trigger::DataChanged,
            };
            watches.fire(trigger, change.path, &mut |client, event, path, acl_of| {
                let acl = match acl_of {
                    AclOf::Node => change.acl,
                    AclOf::Parent => change.parent_acl,
                };
                let may_hear = identities
                    .get(&client)
                    .is_some_and(|ids| settings.auth.permits(acl, Acl::READ, ids));
                if may_hear {
                    effects.event(client, zxid, event, path);
                }
            });
        });
        digests.note(zxid, tree.digest());
        let prepared_here = match stage {
            Stage::Leading(leading) => {
                leading.prep.applied(zxid);
                true
            }
            Stage::Idle | Stage::Learning(_) | Stage::ReadOnly(_) => false,
        };
        if let Some(digest) = &record.digest
            && digest.tree_digest != tree.digest()
        {
            tracing::error!(
                zxid = %zxid,
                "Digests are not matching. Value is Zxid. Expected {:#x}, the tree has {:#x}",
                digest.tree_digest,
                tree.digest(),
            );
            debug_assert!(
                !prepared_here,
                "the digest prepared is the digest applied: {record:?}"
            );
        }
        outcome
    }

    /// Answers the reads that stood behind a write, up to the next one.
    pub(crate) fn answer_waiting(&mut self, database: &mut Database, client: ClientId) {
        while let Some(request) = self.client(client).lane.pop_read() {
            let state = self.client(client);
            if let (false, Some(session)) = (state.gone, state.session) {
                self.answer(database, client, session, &request);
            }
        }
        self.release_if_done(client);
    }

    pub(crate) fn answer(
        &mut self,
        database: &mut Database,
        client: ClientId,
        session: SessionId,
        request: &ClientRequest,
    ) {
        let reader = Reader {
            client,
            session,
            auth: &self.settings.auth,
        };
        let answers = answers_to(request);
        self.effects.answer(client, answers, |out| {
            database.answer_and_watch(reader, request, out);
        });
        if ends_connection(request) {
            self.end(client);
        }
    }

    fn timeout(&mut self, now: Now, database: &mut Database, delivered: bool) {
        if self.peer.poll_timeout() <= now.monotonic_ms {
            let input = ox_zab::Input::Timeout { delivered };
            self.peer.handle(now.monotonic_ms, input);
        }
        self.expire_local(now);
        if let Stage::Leading(_) = &self.stage {
            self.expire(now, database);
            self.reap(now, database);
        }
        self.watch_election(now);
        self.serve_reads_if_due(now, database);
    }

    /// Hands a record that stands in `payload` to the quorum and to our own log.
    pub(crate) fn broadcast(&mut self, now: Now, record: TxnRecord, origin: Option<Origin>) {
        let zxid = record.header.zxid;
        let shared = match self.peer.is_alone() {
            // Nobody else is sent it.
            true => Bytes::new(),
            false => Bytes::copy_from_slice(&self.payload),
        };
        match config_of(&record.txn) {
            None => self.peer.propose(now.monotonic_ms, zxid, shared),
            Some(config) => {
                let now = now.monotonic_ms;
                self.peer.propose_reconfig(now, zxid, shared, config);
            }
        }
        self.effects.append(zxid, &self.payload);
        self.payload.shrink_to(Self::KEPT_CAPACITY);
        self.pending.push_back(Pending { record, origin });
    }
}

/// Whether a request, or a part of it, has failed because its session lives elsewhere.
fn has_moved(outcome: &Outcome) -> bool {
    outcome.error == ErrorCode::SessionMoved || outcome.subs.iter().any(has_moved)
}

/// What goes back with the answer to a request.
pub(crate) fn answers_to(request: &ClientRequest) -> Answers {
    Answers {
        op: request.op,
        xid: request.xid,
        received: request.received,
        write: request.work.is_write(),
    }
}
