//! How connections come to their sessions, and what is left of them when they end.
//!
//! Invariants: a session has one connection of this server at most; a connection is known until it
//! has ended and nothing of it is on its way any more. Source: `ZooKeeperServer.java`;
//! client-protocol.md chapter 2.

use std::sync::Arc;

use ox_jute::{Jute, end_frame, start_frame};
use ox_mutant::{Mutant, is_on};
use ox_proto::{ConnectRequest, ConnectResponse, Id, SessionId, Txn, TxnRecord, Zxid};
use ox_session::{ClientId, first_session_id, password};
use subtle::ConstantTimeEq as _;

use crate::core::{Core, Now, Origin, Stage};
use crate::database::Database;
use crate::lane::Lane;
use crate::settings::Settings;

/// A connection, as the core knows it.
#[derive(Debug)]
pub(crate) struct Client {
    /// `None` until the session is there.
    pub(crate) session: Option<SessionId>,
    /// As negotiated, in milliseconds.
    pub(crate) timeout_ms: i32,
    pub(crate) lane: Lane,
    /// Whether its session is being made or looked for.
    pub(crate) connecting: bool,
    /// It has ended, but its writes are on their way.
    pub(crate) gone: bool,
}

impl Core {
    pub(crate) fn connect(
        &mut self,
        now: Now,
        database: &mut Database,
        client: ClientId,
        ids: Arc<[Id]>,
        request: &ConnectRequest,
    ) {
        database.identify(client, ids);
        let timeout_ms = request.timeout_ms.clamp(
            self.settings.min_session_timeout_ms,
            self.settings.max_session_timeout_ms,
        );
        let state = Client {
            session: None,
            timeout_ms,
            lane: Lane::default(),
            connecting: false,
            gone: false,
        };
        self.clients.insert(client, state);
        let is_served = match self.stage {
            Stage::Idle => false,
            Stage::Leading(_) => self.settings.leader_serves,
            Stage::Learning(_) => true,
            Stage::ReadOnly(_) => {
                request.read_only == Some(true)
                    && !database.sessions.contains_key(&request.session_id)
            }
        };
        if !is_served {
            self.effects.close(client);
            return;
        }
        let last = database.tree.last_zxid();
        if request.last_zxid_seen > last && !is_on(Mutant::M20) {
            tracing::warn!(
                session = %request.session_id,
                "Refusing session request for client as it has seen zxid {} our last zxid is \
                 {last} client must try another server",
                request.last_zxid_seen,
            );
            self.effects.close(client);
            return;
        }
        match request.session_id {
            SessionId::NONE => {
                let session = self.next_session;
                self.next_session = following(session);
                self.new_session(now, database, client, session, request.read_only);
            }
            session => {
                // Any other connection of the session goes first, whatever the password turns
                // out to be.
                self.detach(session);
                let given = request.password.as_deref().unwrap_or_default();
                if password(session)[..].ct_eq(given).into() {
                    self.reattach(now, client, session, timeout_ms, request.read_only);
                } else {
                    self.refuse(client, session, request.read_only);
                }
            }
        }
    }

    fn detach(&mut self, session: SessionId) {
        if let Some(other) = self.attached.remove(&session) {
            tracing::info!(session = %session, "session is taken over by a new connection");
            self.end(other);
        }
    }

    /// Closes a connection behind all that it was sent. Nothing more is answered to it, whatever
    /// of it is on its way.
    pub(crate) fn end(&mut self, client: ClientId) {
        self.effects.close(client);
        if let Some(session) = self.client(client).session.take()
            && self.attached.get(&session) == Some(&client)
        {
            self.attached.remove(&session);
        }
    }

    /// Tells a client that its session is over.
    pub(crate) fn refuse(&mut self, client: ClientId, session: SessionId, read_only: Option<bool>) {
        tracing::info!(session = %session, "refusing a session that has expired");
        let response = ConnectResponse::refused(self.says_read_only(read_only));
        self.effects.send(client, |out| write_frame(out, &response));
        self.effects.close(client);
    }

    /// Gives a connection its session; `created` is the last zxid applied if it is a new one.
    pub(crate) fn establish(
        &mut self,
        client: ClientId,
        session: SessionId,
        read_only: Option<bool>,
        created: Option<Zxid>,
    ) {
        // Whoever guesses the id of a session that is only being made has taken it already.
        self.detach(session);
        let state = self.client(client);
        state.session = Some(session);
        let timeout_ms = state.timeout_ms;
        self.attached.insert(session, client);
        let response = ConnectResponse {
            protocol_version: 0,
            timeout_ms,
            session_id: session,
            password: password(session),
            read_only: self.says_read_only(read_only),
        };
        self.effects
            .establish(client, session, timeout_ms, created, |out| {
                write_frame(out, &response)
            });
    }

    /// What stands at the end of a connect response: nothing for clients of old.
    fn says_read_only(&self, asked: Option<bool>) -> Option<bool> {
        asked.map(|_| matches!(self.stage, Stage::ReadOnly(_)))
    }

    fn new_session(
        &mut self,
        now: Now,
        database: &Database,
        client: ClientId,
        session: SessionId,
        read_only: Option<bool>,
    ) {
        let timeout_ms = self.client(client).timeout_ms;
        if let Some(local) = self.stage.local_mut() {
            local.open(session, timeout_ms, now);
            let last = database.tree.last_zxid();
            self.establish(client, session, read_only, Some(last));
            return;
        }
        let origin = Origin::Connect { client, read_only };
        match self.stage {
            Stage::Idle => {}
            Stage::Leading(_) => {
                self.client(client).connecting = true;
                self.open_session(now, database, session, timeout_ms, Some(origin));
            }
            Stage::Learning(_) => {
                self.client(client).connecting = true;
                self.forward_create_session(now, session, timeout_ms, origin);
            }
            // A new session is a write. Java says so with a header in place of a response, and
            // leaves the connection open.
            Stage::ReadOnly(_) => self.effects.close(client),
        }
    }

    fn reattach(
        &mut self,
        now: Now,
        client: ClientId,
        session: SessionId,
        timeout_ms: i32,
        read_only: Option<bool>,
    ) {
        if let Some(local) = self.stage.local_mut()
            && local.touch(session, Some(timeout_ms), now)
        {
            self.establish(client, session, read_only, None);
            return;
        }
        match &mut self.stage {
            Stage::Idle => {}
            Stage::Leading(leading) => {
                if leading.take_up(session, timeout_ms, now) {
                    self.establish(client, session, read_only, None);
                } else {
                    self.refuse(client, session, read_only);
                }
            }
            Stage::Learning(_) => {
                self.ask_to_revalidate(now, client, session, timeout_ms, read_only);
            }
            Stage::ReadOnly(_) => self.reattach_read_only(client, session, read_only),
        }
    }

    /// A session has been created for a connection, which may have ended meanwhile.
    pub(crate) fn connected(
        &mut self,
        client: ClientId,
        record: &TxnRecord,
        read_only: Option<bool>,
    ) {
        let session = record.header.client_id;
        self.client(client).connecting = false;
        if self.client(client).gone {
            self.release_if_done(client);
        } else if let Txn::CreateSession(txn) = &record.txn {
            self.client(client).timeout_ms = txn.timeout_ms;
            self.establish(client, session, read_only, Some(record.header.zxid));
        }
    }

    pub(crate) fn disconnected(&mut self, database: &mut Database, client: ClientId) {
        database.watches.remove_client(client);
        database.identities.remove(&client);
        let Some(state) = self.clients.get_mut(&client) else {
            self.effects.release(client);
            return;
        };
        state.gone = true;
        if let Some(session) = state.session
            && self.attached.get(&session) == Some(&client)
        {
            self.attached.remove(&session);
        }
        self.release_if_done(client);
    }

    pub(crate) fn release_if_done(&mut self, client: ClientId) {
        let state = self.client(client);
        if state.gone && !state.connecting && state.lane.is_empty() {
            self.clients.remove(&client);
            self.effects.release(client);
        }
    }

    pub(crate) fn client(&mut self, client: ClientId) -> &mut Client {
        self.clients
            .get_mut(&client)
            .expect("a connection is known until its release")
    }
}

fn write_frame(out: &mut Vec<u8>, response: &ConnectResponse) {
    let start = start_frame(out);
    response.encode(out);
    end_frame(out, start);
}

/// How far ids go on behind those in use where the clock has gone back: farther than one run of a
/// server has given out, for those of sessions that are over are known to nobody.
const SKIPPED: i64 = 1 << 32;

/// Ids go on from the clock, and never back into those that are in use.
pub(crate) fn first_session(settings: &Settings, database: &Database, now: Now) -> SessionId {
    let start = first_session_id(settings.server, now.wall_ms);
    let same_server = |id: &SessionId| id.0 >> 56 == start.0 >> 56;
    let newest = database.sessions.keys().copied().filter(same_server).max();
    match newest {
        Some(newest) if start <= newest => following(SessionId(newest.0.wrapping_add(SKIPPED))),
        Some(_) | None => start,
    }
}

/// The next session id; the owner of all containers is no session.
fn following(session: SessionId) -> SessionId {
    match session.0.wrapping_add(1) {
        i64::MIN => SessionId(i64::MIN + 1),
        next => SessionId(next),
    }
}
