//! What only a leader does: it prepares transactions, expires sessions, and collects containers.
//!
//! Invariants: a request fails if its session has moved to another server than the one it comes
//! by; nothing is prepared for a session that is closing; whatever gets a zxid is proposed, so no
//! zxid is left out or used twice, undecodable requests included. Source:
//! `LeaderZooKeeperServer.java`, `LeaderSessionTracker.java`, `PrepRequestProcessor.java`;
//! client-protocol.md chapter 11, quorum.md 6.6 and 10.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use ox_jute::{Decoder, Jute};
use ox_mutant::{Mutant, is_on};
use ox_proto::{
    CheckVersionRequest, CreateSessionTxn, ErrorCode, ErrorTxn, Id, OpCode, PacketType,
    QuorumPacket, Request, ServerId, SessionId, Txn, TxnHeader, TxnRecord, Zxid,
};
use ox_session::{ClientId, SessionTracker, first_session_id};
use ox_zab::LinkId;

use crate::core::{Core, Now, Origin, Stage, answers_to};
use crate::database::Database;
use crate::local::{Local, Upgrade};
use crate::prep::{Context, Prep};
use crate::reaper::Reaper;
use crate::request::{ClientRequest, Work, is_write};
use crate::settings::Settings;

/// The state of a leader.
#[derive(Debug)]
pub(crate) struct Leading {
    /// Sessions of our own clients that no other server knows.
    pub(crate) local: Option<Local>,
    pub(crate) prep: Prep,
    pub(crate) tracker: SessionTracker,
    reaper: Reaper,
    /// The learners by which sessions are connected; those not listed are our own clients', or
    /// not known to be connected.
    owners: BTreeMap<SessionId, LinkId>,
    /// Learners' syncs that wait until this zxid is committed.
    syncs: VecDeque<(Zxid, LinkId)>,
}

impl Leading {
    /// Begins on `database`. Every session starts with its full timeout.
    pub(crate) fn new(settings: &Settings, database: &Database, hash_seed: u64, now: Now) -> Self {
        let mut tracker = SessionTracker::new(settings.tick_ms);
        let sessions = database.sessions.iter();
        for (&session, &timeout_ms) in sessions.filter(|_| !is_on(Mutant::S06)) {
            tracker.open(session, timeout_ms, now.monotonic_ms);
        }
        Self {
            local: Local::new(settings),
            prep: Prep::new(&database.tree, hash_seed, settings),
            tracker,
            reaper: Reaper::new(settings.reaper, now.monotonic_ms),
            owners: BTreeMap::new(),
            syncs: VecDeque::new(),
        }
    }

    pub(crate) fn poll_timeout(&self) -> i64 {
        let reaper = self.reaper.poll_timeout();
        self.tracker
            .next_expiry()
            .map_or(reaper, |expiry| expiry.min(reaper))
    }

    /// How many syncs of learners wait for a commit.
    pub(crate) fn pending_syncs(&self) -> usize {
        self.syncs.len()
    }

    /// A session of one of our own clients was heard from. False if it is over or closing.
    pub(crate) fn hear(&mut self, session: SessionId, now: Now) -> bool {
        if is_on(Mutant::S07) {
            return self.tracker.is_open(session);
        }
        let local = self.local.as_mut();
        local.is_some_and(|local| local.touch(session, None, now))
            || self.tracker.touch(session, None, now.monotonic_ms)
    }

    /// One of our own clients takes a session up. False if it is over.
    pub(crate) fn take_up(&mut self, session: SessionId, timeout_ms: i32, now: Now) -> bool {
        let is_open = self
            .tracker
            .touch(session, Some(timeout_ms), now.monotonic_ms)
            || is_on(Mutant::S03);
        if is_open {
            self.owners.remove(&session);
        }
        is_open
    }

    /// The session is over.
    pub(crate) fn closed(&mut self, session: SessionId) {
        self.tracker.remove(session);
        self.owners.remove(&session);
    }

    /// Whether a session may write by way of a learner, or of ourselves, who are `own`.
    fn check(
        &self,
        session: SessionId,
        by: Option<LinkId>,
        own: ServerId,
    ) -> Result<(), ErrorCode> {
        match &self.local {
            Some(_) if self.tracker.timeout(session).is_some() => self.check_global(session, by),
            // It may be local elsewhere: who has given it out tells its number.
            Some(local) if local.contains(session) || !is_of(session, own) => Ok(()),
            Some(_) | None => self.check_global(session, by),
        }
    }

    /// The same for what only a session can have that all servers know.
    fn check_global(&self, session: SessionId, by: Option<LinkId>) -> Result<(), ErrorCode> {
        if !self.tracker.is_open(session) && !is_on(Mutant::S04) {
            return Err(ErrorCode::SessionExpired);
        }
        match self.owners.get(&session).copied() == by || is_on(Mutant::S05) {
            true => Ok(()),
            false => Err(ErrorCode::SessionMoved),
        }
    }
}

/// Whether a session was given out by this server, as far as its id can tell.
fn is_of(session: SessionId, server: ServerId) -> bool {
    first_session_id(server, 0).0 >> 56 == session.0 >> 56
}

/// A request that a learner has forwarded.
struct Forwarded<'a> {
    session: SessionId,
    cxid: i32,
    op: i32,
    body: Decoder<'a>,
}

impl<'a> Forwarded<'a> {
    /// What is read from the body shares memory with `data`: both are used up soon.
    fn parse(data: &'a Bytes, max_length: usize) -> Option<Self> {
        let mut input = Decoder::sharing(data).with_limit(max_length);
        Some(Self {
            session: SessionId(input.long().ok()?),
            cxid: input.int().ok()?,
            op: input.int().ok()?,
            body: input,
        })
    }
}

impl Core {
    pub(crate) fn leading(&mut self) -> &mut Leading {
        match &mut self.stage {
            Stage::Leading(leading) => leading,
            stage => panic!("not leading: {stage:?}"),
        }
    }

    /// Ephemerals whose session is unknown are deleted by a transaction.
    pub(crate) fn close_orphans(&mut self, now: Now, database: &Database) {
        let owners: BTreeSet<_> = database.tree.sessions_with_ephemerals().collect();
        let orphans = owners
            .into_iter()
            .filter(|owner| !database.sessions.contains_key(owner));
        for orphan in orphans {
            tracing::info!(session = %orphan, "deleting the ephemerals of a session that is gone");
            self.close_session(now, database, orphan, 0, None);
        }
    }

    /// Makes a new session.
    pub(crate) fn open_session(
        &mut self,
        now: Now,
        database: &Database,
        session: SessionId,
        timeout_ms: i32,
        origin: Option<Origin>,
    ) {
        self.leading()
            .tracker
            .open(session, timeout_ms, now.monotonic_ms);
        self.propose(now, database, session, 0, &[], origin, |_, _| {
            Ok(Txn::CreateSession(CreateSessionTxn { timeout_ms }))
        });
    }

    /// A write of one of our own clients.
    pub(crate) fn write(
        &mut self,
        now: Now,
        database: &Database,
        client: ClientId,
        session: SessionId,
        request: ClientRequest,
    ) {
        let answers = answers_to(&request);
        let ClientRequest { xid, work, ids, .. } = request;
        let origin = Some(Origin::Request {
            client,
            answers,
            error: None,
        });
        self.client(client).lane.push_write();
        if let Work::Request(Request::Reconfig(request)) = &work {
            let own = self.settings.server;
            let allowed = self.leading().check(session, None, own);
            let (cxid, ids) = (xid.0, &ids);
            self.reconfig(now, database, session, cxid, ids, origin, allowed, request);
            return;
        }
        if let Work::Request(Request::CloseSession) = work {
            self.leading().tracker.begin_close(session);
            self.close_session(now, database, session, xid.0, origin);
            return;
        }
        let upgrade = match &work {
            Work::Request(write) => self.upgrade_for(session, write),
            Work::Undecodable(_) | Work::Refused(_) => Upgrade::NotNeeded,
        };
        if let Upgrade::First(timeout_ms) = upgrade {
            self.open_session(now, database, session, timeout_ms, None);
        }
        let own = self.settings.server;
        let allowed = self.leading().check(session, None, own);
        let ephemerals = match upgrade {
            Upgrade::NotNeeded | Upgrade::First(_) => Ok(()),
            Upgrade::Refused => Err(ErrorCode::EphemeralOnLocalSession),
        };
        self.propose(now, database, session, xid.0, &ids, origin, |prep, cx| {
            allowed?;
            let cx = Context { ephemerals, ..cx };
            match work {
                Work::Request(request) => prepare(prep, cx, request),
                Work::Undecodable(error) => Err(error),
                Work::Refused(_) => unreachable!("a refusal waits like a read"),
            }
        });
    }

    pub(crate) fn close_session(
        &mut self,
        now: Now,
        database: &Database,
        session: SessionId,
        cxid: i32,
        origin: Option<Origin>,
    ) {
        self.propose(now, database, session, cxid, &[], origin, |prep, cx| {
            Ok(prep.close_session(cx))
        });
    }

    /// Makes the next transaction and hands it to the quorum. A request that fails is a
    /// transaction too, so that its answer keeps its place.
    #[expect(
        clippy::too_many_arguments,
        reason = "these are the parts of a transaction"
    )]
    pub(crate) fn propose(
        &mut self,
        now: Now,
        database: &Database,
        session: SessionId,
        cxid: i32,
        ids: &[Id],
        origin: Option<Origin>,
        make: impl FnOnce(&mut Prep, Context<'_>) -> Result<Txn, ErrorCode>,
    ) {
        let Some(zxid) = self.peer.next_zxid() else {
            // The ensemble begins a new epoch; clients ask again.
            self.peer.roll_over(now.monotonic_ms);
            return;
        };
        let time = now.wall_ms;
        let cx = Context {
            tree: &database.tree,
            zxid,
            time,
            session,
            ids,
            ephemerals: Ok(()),
        };
        let prep = &mut self.leading().prep;
        prep.begin();
        let txn = make(prep, cx).unwrap_or_else(|error| Txn::Error(ErrorTxn { err: error.code() }));
        let err = ErrorCode::MarshallingError.code();
        let zxid = match is_on(Mutant::M29) && matches!(&txn, Txn::Error(txn) if txn.err == err) {
            true => self.peer.last_proposed(),
            false => zxid,
        };
        let header = TxnHeader {
            client_id: session,
            cxid,
            zxid,
            time,
            op: txn.op(),
        };
        self.hand_over(now, header, txn, origin);
    }

    fn hand_over(&mut self, now: Now, header: TxnHeader, txn: Txn, origin: Option<Origin>) {
        let mut record = self.record(header, txn);
        // A Java server writes such a record, and fails to read it back at its next start.
        if self.payload.len() > self.settings.max_record {
            tracing::warn!(
                session = %header.client_id,
                zxid = %header.zxid,
                "refusing a request whose transaction would take {} bytes",
                self.payload.len(),
            );
            self.leading().prep.roll_back();
            let err = ErrorCode::MarshallingError.code();
            record = self.record(header, Txn::Error(ErrorTxn { err }));
        }
        self.broadcast(now, record, origin);
    }

    /// The record of a transaction, encoded into `payload`.
    fn record(&mut self, header: TxnHeader, txn: Txn) -> TxnRecord {
        let digest = match txn {
            Txn::Error(_) => None,
            _ => self.leading().prep.digest(),
        };
        let op = txn.op();
        let header = TxnHeader { op, ..header };
        let record = TxnRecord {
            header,
            txn,
            digest,
        };
        self.payload.clear();
        record.encode(&mut self.payload);
        record
    }

    /// Closes the sessions that have been silent for too long.
    pub(crate) fn expire(&mut self, now: Now, database: &Database) {
        for session in self.leading().tracker.expire(now.monotonic_ms) {
            let timeout_ms = self.leading().tracker.timeout(session).unwrap_or_default();
            tracing::info!("Expiring session {session}, timeout of {timeout_ms}ms exceeded");
            self.close_session(now, database, session, 0, None);
            if !matches!(self.stage, Stage::Leading(_)) {
                return;
            }
        }
    }

    /// Deletes containers that are empty and TTL nodes whose time is over.
    pub(crate) fn reap(&mut self, now: Now, database: &Database) {
        while let Stage::Leading(leading) = &mut self.stage
            && let Some(path) = leading
                .reaper
                .poll(now.monotonic_ms, now.wall_ms, &database.tree)
        {
            self.collect(now, database, &path);
        }
    }

    /// Deletes what the reaper found, if it is still to go.
    fn collect(&mut self, now: Now, database: &Database, path: &str) {
        let Some(zxid) = self.peer.next_zxid() else {
            return;
        };
        let (session, time) = (SessionId::NONE, now.wall_ms);
        let cx = Context {
            tree: &database.tree,
            zxid,
            time,
            session,
            ids: &[],
            ephemerals: Ok(()),
        };
        let prep = &mut self.leading().prep;
        prep.begin();
        if let Some(txn) = prep.delete_container(cx, path) {
            tracing::info!("Attempting to delete candidate container: {path}");
            let header = TxnHeader {
                client_id: session,
                cxid: 0,
                zxid,
                time,
                op: txn.op(),
            };
            self.hand_over(now, header, txn, None);
        }
    }

    /// A learner's client asks for something.
    pub(crate) fn learner_request(
        &mut self,
        now: Now,
        database: &Database,
        link: LinkId,
        data: &Bytes,
        ids: &[Id],
    ) {
        if !matches!(self.stage, Stage::Leading(_)) {
            return;
        }
        let Some(Forwarded {
            session,
            cxid,
            op,
            mut body,
        }) = Forwarded::parse(data, self.settings.max_record)
        else {
            tracing::warn!("ignoring a forwarded request of {} bytes", data.len());
            return;
        };
        let op = OpCode::from_code(op);
        match op {
            Some(OpCode::Sync) => self.learner_sync(now, link),
            Some(OpCode::CreateSession) => {
                let Ok(timeout_ms) = body.int() else {
                    tracing::warn!("ignoring a session without a timeout");
                    return;
                };
                self.leading().owners.insert(session, link);
                self.open_session(now, database, session, timeout_ms, None);
            }
            // Whoever has it may close it (quorum.md 5.8).
            Some(OpCode::CloseSession) => {
                self.leading().tracker.begin_close(session);
                self.close_session(now, database, session, cxid, None);
            }
            // No log may hold a check that stands alone (storage.md 4.1).
            Some(OpCode::Check) => {
                let own = self.settings.server;
                let allowed = self.leading().check(session, Some(link), own);
                let check = CheckVersionRequest::decode(&mut body);
                self.propose(now, database, session, cxid, ids, None, |prep, cx| {
                    allowed?;
                    let check = check.map_err(|_| ErrorCode::MarshallingError)?;
                    prep.check(cx, check)?;
                    Err(ErrorCode::Unimplemented)
                });
            }
            _ => {
                let own = self.settings.server;
                let leading = self.leading();
                let allowed = leading.check(session, Some(link), own);
                // A session that is not known to all may not have them.
                let ephemerals = match leading.local {
                    Some(_) => leading.check_global(session, Some(link)),
                    None => Ok(()),
                };
                let request = op.and_then(|op| Request::decode(op, &mut body));
                if let Some(Ok(Request::Reconfig(request))) = &request {
                    self.reconfig(now, database, session, cxid, ids, None, allowed, request);
                    return;
                }
                self.propose(now, database, session, cxid, ids, None, |prep, cx| {
                    allowed?;
                    let cx = Context { ephemerals, ..cx };
                    match request {
                        Some(Ok(request)) if is_write(&request) => prepare(prep, cx, request),
                        Some(Err(_)) => Err(ErrorCode::MarshallingError),
                        Some(Ok(_)) | None => Err(ErrorCode::Unimplemented),
                    }
                });
            }
        }
    }

    /// A learner's client wants all that is proposed so far to be applied there.
    fn learner_sync(&mut self, now: Now, link: LinkId) {
        if self.peer.outstanding() == 0 {
            let packet = sync_answer();
            self.peer.send_to_learner(now.monotonic_ms, link, packet);
        } else {
            let last = self.peer.last_proposed();
            self.leading().syncs.push_back((last, link));
        }
    }

    /// A transaction has been applied, and told to the learners. The next may have been told too,
    /// but has not left: what a client has asked for behind its sync is not answered before it.
    pub(crate) fn after_commit(&mut self, now: Now, zxid: Zxid) {
        while let Stage::Leading(leading) = &mut self.stage
            && let Some((_, link)) = leading.syncs.pop_front_if(|(last, _)| *last <= zxid)
        {
            let packet = sync_answer();
            self.peer
                .send_next_to_learner(now.monotonic_ms, link, packet);
        }
    }

    /// A client has come to a learner with its session.
    pub(crate) fn revalidate(&mut self, now: Now, link: LinkId, data: &[u8]) {
        let mut input = Decoder::new(data);
        let (Ok(session), Ok(timeout_ms)) = (input.long(), input.int()) else {
            tracing::warn!("ignoring a revalidation of {} bytes", data.len());
            return;
        };
        let Stage::Leading(leading) = &mut self.stage else {
            return;
        };
        let session = SessionId(session);
        let is_open = leading
            .tracker
            .touch(session, Some(timeout_ms), now.monotonic_ms)
            || is_on(Mutant::S03);
        if is_open {
            leading.owners.insert(session, link);
        }
        let mut answer = session.0.to_be_bytes().to_vec();
        answer.push(is_open.into());
        let packet = QuorumPacket::with_data(PacketType::Revalidate, QuorumPacket::NO_ZXID, answer);
        self.peer.send_to_learner(now.monotonic_ms, link, packet);
    }

    /// A learner tells which sessions it has heard from. To a follower its observers do, and it
    /// tells the leader in turn.
    pub(crate) fn learner_touches(&mut self, now: Now, data: &Bytes) {
        let mut input = Decoder::new(data);
        while let (Ok(session), Ok(timeout_ms)) = (input.long(), input.int()) {
            let session = SessionId(session);
            match &mut self.stage {
                Stage::Idle | Stage::ReadOnly(_) => {}
                Stage::Leading(_) if is_on(Mutant::S02) => {}
                Stage::Leading(leading) => {
                    let tracker = &mut leading.tracker;
                    tracker.touch(session, Some(timeout_ms), now.monotonic_ms);
                }
                Stage::Learning(learning) => learning.touch(session, timeout_ms),
            }
        }
    }

    /// A learner's syncs wait for nobody any more.
    pub(crate) fn learner_gone(&mut self, link: LinkId) {
        if let Stage::Leading(leading) = &mut self.stage {
            leading.syncs.retain(|(_, waiting)| *waiting != link);
        }
    }
}

fn prepare(prep: &mut Prep, cx: Context<'_>, request: Request) -> Result<Txn, ErrorCode> {
    match request {
        Request::Create(create) => prep.create(cx, create),
        Request::Delete(request) => prep.delete(cx, request),
        Request::SetData(request) => prep.set_data(cx, request),
        Request::SetAcl(request) => prep.set_acl(cx, request),
        Request::Multi(ops) => prep.multi(cx, ops),
        Request::CloseSession => Ok(prep.close_session(cx)),
        Request::Reconfig(_)
        | Request::Exists(_)
        | Request::GetData(_)
        | Request::GetAcl(_)
        | Request::GetChildren(_)
        | Request::GetChildren2(_)
        | Request::GetAllChildrenNumber(_)
        | Request::GetEphemerals(_)
        | Request::MultiRead(_)
        | Request::Sync(_)
        | Request::Ping
        | Request::CheckWatches(_)
        | Request::RemoveWatches(_)
        | Request::SetWatches(_)
        | Request::AddWatch(_)
        | Request::WhoAmI => unreachable!("not prepared here: {request:?}"),
    }
}

/// Tells a learner that its oldest sync has come through.
fn sync_answer() -> QuorumPacket {
    QuorumPacket::bare(PacketType::Sync, Zxid::ZERO)
}
