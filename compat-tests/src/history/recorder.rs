//! What clients ask and are told, written down as the checks of `ox-check` want it.
//!
//! Invariant: a request is noted before it is sent, an answer or event after it has come, so that
//! the order of the notes is one that the clients have seen.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use ox_check::{
    Answer, ConnectionId, CreateMode, EventKind, OpId, Outcome, Request, SetWatches, Time, open_acl,
};

use crate::wire::{Event, Fields, Record, Reply, op};

/// A record that all clients of a run share.
#[derive(Debug)]
pub struct Recorder {
    begun: Instant,
    servers: Vec<SocketAddr>,
    history: Mutex<ox_check::History>,
}

impl Recorder {
    /// An empty one, of a run with these servers.
    pub fn new(servers: &[SocketAddr]) -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            servers: servers.to_vec(),
            history: Mutex::default(),
        })
    }

    /// All that has been written down so far.
    pub fn history(&self) -> ox_check::History {
        self.lock().clone()
    }

    /// Milliseconds since the beginning.
    pub(crate) fn now(&self) -> Time {
        Time::try_from(self.begun.elapsed().as_millis()).expect("not that long ago")
    }

    /// A session has been granted on a connection to a server.
    pub(crate) fn connected(&self, session: i64, server: SocketAddr, timeout: i32) -> ConnectionId {
        let number = self.servers.iter().position(|known| *known == server);
        let number = number.expect("a server of the run") + 1;
        let number = u64::try_from(number).expect("a small number");
        let mut history = self.lock();
        history.connected(session, number, Time::from(timeout), self.now())
    }

    pub(crate) fn disconnected(&self, connection: ConnectionId) {
        self.lock().disconnected(connection, self.now());
    }

    pub(crate) fn invoke(
        &self,
        connection: ConnectionId,
        xid: i32,
        opcode: i32,
        body: &Fields,
    ) -> OpId {
        let request = request(opcode, &mut Record(&body.0));
        self.lock().invoke(connection, xid, request, self.now())
    }

    pub(crate) fn returned(&self, operation: OpId, opcode: i32, reply: &Reply) {
        let outcome = match reply.error {
            0 => Outcome::Ok(answer(opcode, &mut Record(&reply.body))),
            error => Outcome::Error(error),
        };
        let mut history = self.lock();
        history.returned(operation, self.now(), reply.zxid, outcome);
    }

    pub(crate) fn event(&self, connection: ConnectionId, event: &Event) {
        let kind = match event.kind {
            1 => EventKind::Created,
            2 => EventKind::Deleted,
            3 => EventKind::DataChanged,
            4 => EventKind::ChildrenChanged,
            other => panic!("event of kind {other}"),
        };
        let zxid = Some(event.zxid).filter(|zxid| *zxid > 0);
        let mut history = self.lock();
        history.event(connection, kind, event.path.as_str(), zxid, self.now());
    }

    fn lock(&self) -> MutexGuard<'_, ox_check::History> {
        self.history
            .lock()
            .expect("nobody panics while holding this lock")
    }
}

/// The request in a body; only of those that the load sends.
fn request(opcode: i32, body: &mut Record<'_>) -> Request {
    let path = |body: &mut Record<'_>| body.string().into();
    match opcode {
        op::CREATE => Request::Create {
            path: path(body),
            data: body.buffer().map(Into::into),
            acl: {
                body.acl();
                open_acl()
            },
            mode: match body.int() {
                0 => CreateMode::Persistent,
                1 => CreateMode::Ephemeral,
                other => panic!("create with flags {other}"),
            },
        },
        op::DELETE => Request::Delete {
            path: path(body),
            version: body.int(),
        },
        op::SET_DATA => Request::SetData {
            path: path(body),
            data: body.buffer().map(Into::into),
            version: body.int(),
        },
        op::GET_DATA => Request::GetData {
            path: path(body),
            watch: body.boolean(),
        },
        op::SYNC => Request::Sync { path: path(body) },
        op::MULTI => {
            let mut parts = Vec::new();
            while let Some(opcode) = multi_header(body) {
                parts.push(request(opcode, body));
            }
            Request::Multi(parts)
        }
        op::SET_WATCHES => Request::SetWatches(Box::new(SetWatches {
            relative_zxid: body.long(),
            data: body.strings().into_iter().map(Into::into).collect(),
            ..SetWatches::default()
        })),
        op::CLOSE_SESSION => Request::CloseSession,
        other => panic!("the load does not send {other}"),
    }
}

/// What an answer without an error says.
fn answer(opcode: i32, body: &mut Record<'_>) -> Answer {
    match opcode {
        op::CREATE => Answer::Path(body.string().into()),
        op::SET_DATA => Answer::Stat(body.stat()),
        op::GET_DATA => {
            let data = body.buffer().map(Into::into);
            Answer::Data(data, body.stat())
        }
        op::MULTI => {
            let mut outcomes = Vec::new();
            while let Some(opcode) = multi_header(body) {
                outcomes.push(match opcode {
                    -1 => Outcome::Error(body.int()),
                    opcode => Outcome::Ok(answer(opcode, body)),
                });
            }
            Answer::Multi(outcomes)
        }
        _ => Answer::Done,
    }
}

/// The opcode of the next part; none at the end.
fn multi_header(body: &mut Record<'_>) -> Option<i32> {
    let (opcode, done, _error) = (body.int(), body.boolean(), body.int());
    (!done).then_some(opcode)
}
