//! Sessions that no other server knows.
//!
//! Invariant: no transaction tells of such a session. It is made and closed without one, and the
//! moment that it is upgraded it is here no more. It ends with the role of its server, so it cannot
//! be taken up elsewhere. Source: `LocalSessionTracker.java`, `UpgradeableSessionTracker.java`,
//! `QuorumZooKeeperServer.checkUpgradeSession`; client-protocol.md 11.5, quorum.md 10.4.

use std::collections::BTreeMap;

use ox_proto::{Create, CreateMode, ErrorCode, MultiOp, OpCode, Request, SessionId};
use ox_session::{ClientId, SessionTracker};

use crate::core::{Core, Now};
use crate::database::Database;
use crate::request::{ClientRequest, Refusal, Work};
use crate::settings::{LocalSessions, Settings};

/// The sessions of one role.
#[derive(Debug)]
pub(crate) struct Local(SessionTracker);

impl Local {
    /// None yet; `None` where sessions are known to all servers.
    pub(crate) fn new(settings: &Settings) -> Option<Self> {
        match settings.local_sessions {
            LocalSessions::Off => None,
            LocalSessions::On | LocalSessions::Upgrading => {
                Some(Self(SessionTracker::new(settings.tick_ms)))
            }
        }
    }

    /// Makes a session.
    pub(crate) fn open(&mut self, session: SessionId, timeout_ms: i32, now: Now) {
        self.0.open(session, timeout_ms, now.monotonic_ms);
    }

    /// A session was heard from, perhaps with another timeout. False if it is not here.
    pub(crate) fn touch(&mut self, session: SessionId, timeout_ms: Option<i32>, now: Now) -> bool {
        self.0.touch(session, timeout_ms, now.monotonic_ms)
    }

    /// Whether a session is here.
    pub(crate) fn contains(&self, session: SessionId) -> bool {
        self.0.is_open(session)
    }

    /// Lets go of a session, and tells its timeout in milliseconds. `None` if it is not here.
    pub(crate) fn take(&mut self, session: SessionId) -> Option<i32> {
        let timeout_ms = self.0.timeout(session)?;
        self.0.remove(session);
        Some(timeout_ms)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Lets go of the sessions that have been silent for too long.
    fn expire(&mut self, now: Now) -> Vec<SessionId> {
        let expired = self.0.expire(now.monotonic_ms);
        for session in &expired {
            self.0.remove(*session);
        }
        expired
    }

    /// When a session may expire, in monotonic milliseconds.
    pub(crate) fn poll_timeout(&self) -> i64 {
        self.0.next_expiry().unwrap_or(i64::MAX)
    }

    /// Who expires when, in monotonic milliseconds.
    pub(crate) fn dump(&self) -> BTreeMap<i64, Vec<SessionId>> {
        self.0.dump()
    }
}

/// How a request goes with the session that it comes from.
pub(crate) enum Upgrade {
    /// Nothing in the way.
    NotNeeded,
    /// All servers must come to know the session first; it has this timeout in milliseconds.
    First(i32),
    /// What it asks for cannot be had, as the session stays local.
    Refused,
}

impl Core {
    /// Whether a session is known to this server alone.
    pub(crate) fn is_local(&self, session: SessionId) -> bool {
        let local = self.stage.local();
        local.is_some_and(|local| local.contains(session))
    }

    /// Finds out whether a write needs more of a session than it is, and takes the session out of
    /// the local ones if it is to become more.
    pub(crate) fn upgrade_for(&mut self, session: SessionId, write: &Request) -> Upgrade {
        if !self.is_local(session) || !makes_ephemerals(write) {
            return Upgrade::NotNeeded;
        }
        let taken = match self.settings.local_sessions {
            LocalSessions::Off | LocalSessions::On => None,
            LocalSessions::Upgrading => self.stage.local_mut().and_then(|l| l.take(session)),
        };
        match taken {
            Some(timeout_ms) => {
                tracing::info!(session = %session, "Upgrading session");
                Upgrade::First(timeout_ms)
            }
            None => Upgrade::Refused,
        }
    }

    /// A client closes its local session: no transaction, but an answer in its place.
    pub(crate) fn close_local(
        &mut self,
        database: &mut Database,
        client: ClientId,
        session: SessionId,
        request: ClientRequest,
    ) {
        if let Some(local) = self.stage.local_mut() {
            local.take(session);
        }
        let done = Refusal {
            error: ErrorCode::Ok,
            zxid: None,
            close: true,
        };
        let request = ClientRequest {
            work: Work::Refused(done),
            ..request
        };
        self.answer_in_turn(database, client, session, request);
    }

    /// Ends the local sessions that have been silent for too long.
    pub(crate) fn expire_local(&mut self, now: Now) {
        let Some(local) = self.stage.local_mut() else {
            return;
        };
        for session in local.expire(now) {
            tracing::info!("Expiring local session {session}");
            if let Some(client) = self.attached.remove(&session) {
                self.end(client);
            }
        }
    }
}

fn makes_ephemerals(write: &Request) -> bool {
    match write {
        Request::Create(create) => is_ephemeral(create),
        Request::Multi(ops) => ops
            .iter()
            .any(|op| matches!(op, MultiOp::Create(create) if is_ephemeral(create))),
        _ => false,
    }
}

/// Containers and znodes with a time to live belong to no session.
fn is_ephemeral(create: &Create) -> bool {
    let belongs = matches!(create.op, OpCode::Create | OpCode::Create2);
    belongs && CreateMode::from_flags(create.flags).is_some_and(CreateMode::is_ephemeral)
}
