//! What only a learner does: it forwards its clients' writes to the leader and waits for them to
//! come back as transactions.
//!
//! Invariants: a client's requests are forwarded in their order; the outcome of a write is found
//! by session and cxid, as no reply comes for it; a session is heard of at the leader at least
//! once per ping. Source: `FollowerRequestProcessor.java`, `CommitProcessor.java`,
//! `LearnerSessionTracker.java`; quorum.md 5.7, 5.8 and chapter 10.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ox_jute::{Decoder, Jute};
use ox_mutant::{Mutant, is_on};
use ox_proto::{
    ErrorCode, Id, OpCode, PacketType, QuorumPacket, Request, SessionId, Txn, TxnRecord, Zxid,
};
use ox_session::ClientId;

use crate::core::{Core, Now, Origin, Stage, answers_to};
use crate::database::Database;
use crate::local::{Local, Upgrade};
use crate::outcome_of::may_be_outcome_of;
use crate::request::{ClientRequest, Work};
use crate::settings::Settings;

/// The state of a learner.
#[derive(Debug)]
pub(crate) struct Learning {
    /// Sessions that the leader does not know.
    pub(crate) local: Option<Local>,
    /// Forwarded requests whose transactions have not come back, by session, oldest first.
    forwarded: BTreeMap<SessionId, VecDeque<Forwarded>>,
    /// How many there are.
    count: usize,
    /// Syncs that the leader has not answered, oldest first.
    syncs: VecDeque<(ClientId, ClientRequest)>,
    /// Sessions that clients want to take up, in the order in which the leader was asked.
    revalidations: VecDeque<Revalidation>,
    /// The sessions heard from since the last ping, with their timeouts.
    touched: BTreeMap<SessionId, i32>,
}

#[derive(Debug)]
struct Forwarded {
    cxid: i32,
    /// `None` is a session, new or new to the others.
    request: Option<Request>,
    origin: Origin,
}

#[derive(Debug)]
struct Revalidation {
    client: ClientId,
    session: SessionId,
    read_only: Option<bool>,
}

impl Learning {
    /// A learner of which no client has asked anything.
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            local: Local::new(settings),
            forwarded: BTreeMap::new(),
            count: 0,
            syncs: VecDeque::new(),
            revalidations: VecDeque::new(),
            touched: BTreeMap::new(),
        }
    }

    /// How much the leader has not answered.
    pub(crate) fn in_flight(&self) -> usize {
        self.count + self.syncs.len() + self.revalidations.len()
    }

    /// A session was heard from.
    pub(crate) fn touch(&mut self, session: SessionId, timeout_ms: i32) {
        self.touched.insert(session, timeout_ms);
    }

    /// The session is over: what it has asked for since comes to nothing.
    pub(crate) fn closed(&mut self, session: SessionId) {
        self.touched.remove(&session);
    }

    fn push(&mut self, session: SessionId, forwarded: Forwarded) {
        self.count += 1;
        self.forwarded
            .entry(session)
            .or_default()
            .push_back(forwarded);
    }

    /// Where this transaction was asked for, if that was here.
    pub(crate) fn take_origin(&mut self, record: &TxnRecord) -> Option<Origin> {
        let session = record.header.client_id;
        let waiting = self.forwarded.get_mut(&session)?;
        let is_this = |first: &mut Forwarded| {
            first.cxid == record.header.cxid
                && match &first.request {
                    None => matches!(record.txn, Txn::CreateSession(_)),
                    Some(request) => may_be_outcome_of(&record.txn, request),
                }
        };
        let Forwarded { origin, .. } = waiting.pop_front_if(is_this)?;
        if waiting.is_empty() {
            self.forwarded.remove(&session);
        }
        self.count -= 1;
        Some(origin)
    }
}

impl Core {
    fn learning(&mut self) -> &mut Learning {
        match &mut self.stage {
            Stage::Learning(learning) => learning,
            stage => panic!("not learning: {stage:?}"),
        }
    }

    fn send_request(
        &mut self,
        now: Now,
        session: SessionId,
        cxid: i32,
        op: OpCode,
        body: &[u8],
        ids: Option<&Arc<[Id]>>,
    ) {
        let mut data = Vec::with_capacity(16 + body.len());
        session.encode(&mut data);
        cxid.encode(&mut data);
        op.code().encode(&mut data);
        data.extend_from_slice(body);
        let mut packet = QuorumPacket::with_data(PacketType::Request, QuorumPacket::NO_ZXID, data);
        packet.authinfo = ids.cloned();
        self.peer.send_to_leader(now.monotonic_ms, packet);
    }

    /// A client wants a new session.
    pub(crate) fn forward_create_session(
        &mut self,
        now: Now,
        session: SessionId,
        timeout_ms: i32,
        origin: Origin,
    ) {
        let forwarded = Forwarded {
            cxid: 0,
            request: None,
            origin,
        };
        self.learning().push(session, forwarded);
        let body = timeout_ms.to_be_bytes();
        self.send_request(now, session, 0, OpCode::CreateSession, &body, None);
    }

    /// A client's request that only the leader can decide.
    pub(crate) fn forward(
        &mut self,
        now: Now,
        database: &mut Database,
        client: ClientId,
        session: SessionId,
        request: ClientRequest,
    ) {
        let (xid, op) = (request.xid, request.op);
        let body = request.body.clone().unwrap_or_default();
        let answers = answers_to(&request);
        match request.work {
            // A Java leader would be stopped by it for good (quorum.md 6.5).
            Work::Undecodable(error) => {
                self.answer_in_turn(database, client, session, request.refused(error));
            }
            Work::Request(Request::Sync(_)) if is_on(Mutant::R03) => {
                self.answer_in_turn(database, client, session, request);
            }
            Work::Request(Request::Sync(_)) => {
                self.client(client).lane.push_write();
                let ids = Arc::clone(&request.ids);
                self.learning().syncs.push_back((client, request));
                self.send_request(now, session, xid.0, op, &body, Some(&ids));
            }
            Work::Request(write) => {
                let body = match write {
                    Request::CloseSession => &[][..],
                    _ => &body,
                };
                let error = self.upgrade_at_leader(now, session, &write);
                self.client(client).lane.push_write();
                let forwarded = Forwarded {
                    cxid: xid.0,
                    request: Some(write),
                    origin: Origin::Request {
                        client,
                        answers,
                        error,
                    },
                };
                self.learning().push(session, forwarded);
                self.send_request(now, session, xid.0, op, body, Some(&request.ids));
            }
            Work::Refused(_) => unreachable!("a refusal waits like a read"),
        }
    }

    /// Has the leader make a local session known to all if a write needs that. Answers what the
    /// client is told in place of the leader's refusal of one whose session stays local.
    fn upgrade_at_leader(
        &mut self,
        now: Now,
        session: SessionId,
        write: &Request,
    ) -> Option<ErrorCode> {
        match self.upgrade_for(session, write) {
            Upgrade::NotNeeded => None,
            // As Java does, which has the leader refuse the parts of a multi.
            Upgrade::Refused if matches!(write, Request::Multi(_)) => None,
            Upgrade::Refused => Some(ErrorCode::EphemeralOnLocalSession),
            Upgrade::First(timeout_ms) => {
                self.forward_create_session(now, session, timeout_ms, Origin::Upgrade);
                None
            }
        }
    }

    /// The oldest sync has come through, behind every commit before it.
    pub(crate) fn synced(&mut self, database: &mut Database) {
        let Stage::Learning(learning) = &mut self.stage else {
            return;
        };
        let Some((client, request)) = learning.syncs.pop_front() else {
            tracing::warn!("Not expecting a sync.");
            return;
        };
        self.client(client).lane.committed();
        let state = self.client(client);
        if let (false, Some(session)) = (state.gone, state.session) {
            self.answer(database, client, session, &request);
        }
        self.answer_waiting(database, client);
    }

    /// A client wants to take up a session: only the leader knows whether it is there.
    pub(crate) fn ask_to_revalidate(
        &mut self,
        now: Now,
        client: ClientId,
        session: SessionId,
        timeout_ms: i32,
        read_only: Option<bool>,
    ) {
        self.client(client).connecting = true;
        self.learning().revalidations.push_back(Revalidation {
            client,
            session,
            read_only,
        });
        let mut data = Vec::with_capacity(12);
        session.encode(&mut data);
        timeout_ms.encode(&mut data);
        let packet = QuorumPacket::with_data(PacketType::Revalidate, QuorumPacket::NO_ZXID, data);
        self.peer.send_to_leader(now.monotonic_ms, packet);
    }

    /// The leader knows whether a session is there.
    pub(crate) fn revalidated(&mut self, data: &[u8]) {
        let mut input = Decoder::new(data);
        let (Ok(session), Ok(is_valid)) = (input.long(), input.boolean()) else {
            tracing::warn!(
                "ignoring an answer of {} bytes to a revalidation",
                data.len()
            );
            return;
        };
        let session = SessionId(session);
        let Stage::Learning(learning) = &mut self.stage else {
            return;
        };
        let asked = learning
            .revalidations
            .iter()
            .position(|asked| asked.session == session);
        let Some(Revalidation {
            client, read_only, ..
        }) = asked.and_then(|place| learning.revalidations.remove(place))
        else {
            tracing::warn!(session = %session, "nobody has asked for this session");
            return;
        };
        let state = self.client(client);
        state.connecting = false;
        if state.gone {
            self.release_if_done(client);
        } else if is_valid {
            self.establish(client, session, read_only, None);
        } else {
            self.refuse(client, session, read_only);
        }
    }

    /// The leader wants to know which sessions were heard from.
    pub(crate) fn pinged(&mut self, now: Now, zxid: Zxid) {
        let Stage::Learning(learning) = &mut self.stage else {
            // Before it serves a learner has none; the leader does not ask it.
            return;
        };
        let touched = std::mem::take(&mut learning.touched);
        let mut data = Vec::with_capacity(12 * touched.len());
        for (session, timeout_ms) in touched {
            session.encode(&mut data);
            timeout_ms.encode(&mut data);
        }
        let packet = QuorumPacket::with_data(PacketType::Ping, zxid, data);
        self.peer.send_to_leader(now.monotonic_ms, packet);
    }
}
