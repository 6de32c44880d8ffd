//! Who changes the members of the ensemble: a client of its own at some server, for one request.
//!
//! It is not in the record that the checks judge: what it asks for changes nothing that others read. Its
//! sessions are known, so that nobody else is looked for who asked.

use std::sync::Arc;

use bytes::Bytes;
use ox_jute::Jute;
use ox_proto::{ConnectRequest, Id, OpCode, ReconfigRequest, Request, SessionId, Xid, Zxid};
use ox_replica::{ClientRequest, Input, Work};
use ox_session::ClientId;

/// The name of its connection; the doors give out small ones.
pub(super) const OPERATOR: ClientId = ClientId(u32::MAX);

#[derive(Default)]
pub(super) struct Operator {
    /// What it has come to ask, until it has.
    request: Option<ReconfigRequest>,
    is_here: bool,
}

impl Operator {
    /// Comes to this server, unless it is here already.
    pub(super) fn come(&mut self, request: ReconfigRequest) -> Option<Input> {
        if self.is_here {
            return None;
        }
        (self.request, self.is_here) = (Some(request), true);
        Some(Input::Connect {
            client: OPERATOR,
            ids: ids(),
            request: ConnectRequest {
                protocol_version: 0,
                last_zxid_seen: Zxid::ZERO,
                timeout_ms: 0,
                session_id: SessionId::NONE,
                password: None,
                read_only: None,
            },
        })
    }

    /// It has a session, and asks.
    pub(super) fn established(&mut self) -> Option<Input> {
        let request = self.request.take()?;
        let mut body = Vec::new();
        request.encode(&mut body);
        let request = ClientRequest {
            xid: Xid(1),
            op: OpCode::Reconfig,
            work: Work::Request(Request::Reconfig(request)),
            ids: ids(),
            received: 0,
            size: body.len(),
            body: Some(Bytes::from(body)),
        };
        Some(Input::Requests {
            client: OPERATOR,
            requests: vec![request],
        })
    }

    /// It has its answer, or is turned away, and goes.
    pub(super) fn go(&self) -> Input {
        Input::Disconnected { client: OPERATOR }
    }

    /// It is forgotten here.
    pub(super) fn released(&mut self) {
        *self = Self::default();
    }
}

fn ids() -> Arc<[Id]> {
    let id = Id {
        scheme: "super".to_owned(),
        id: String::new(),
    };
    [id].into()
}
