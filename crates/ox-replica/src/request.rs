//! A client's packet on its way through the server.

use std::sync::Arc;

use bytes::Bytes;
use ox_jute::{DecodeError, Decoder};
use ox_proto::{ErrorCode, Id, OpCode, Request, Xid};

/// A request, with what must be remembered until it is answered.
#[derive(Clone, Debug)]
pub struct ClientRequest {
    /// The client's number for it.
    pub xid: Xid,
    /// What was asked; `Error` where the number means nothing.
    pub op: OpCode,
    /// What is to be done.
    pub work: Work,
    /// The identities that the connection had when the packet was read.
    pub ids: Arc<[Id]>,
    /// When it was read, in the driver's own unit; comes back with the answer.
    pub received: i64,
    /// Length of its packet in bytes.
    pub size: usize,
    /// The record behind the header, where it may have to be forwarded to a leader.
    pub body: Option<Bytes>,
}

/// What a packet comes to.
#[derive(Clone, Debug)]
pub enum Work {
    /// A request that could be decoded.
    Request(Request),
    /// A write that Java fails only after it has drawn a zxid: a multi that cannot be decoded, or a
    /// path that is null. It draws one here too.
    Undecodable(ErrorCode),
    /// Refused by the connection; the answer keeps its place among the others.
    Refused(Refusal),
}

/// An answer that needs no look at the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub error: ErrorCode,
    /// The zxid in the header; `None` is the last one applied.
    pub zxid: Option<i64>,
    /// Whether the connection ends with it.
    pub close: bool,
}

impl ClientRequest {
    /// The same request, to be answered with an error when its turn comes.
    pub(crate) fn refused(self, error: ErrorCode) -> Self {
        let refusal = Refusal {
            error,
            zxid: None,
            close: false,
        };
        Self {
            work: Work::Refused(refusal),
            ..self
        }
    }
}

impl Work {
    /// What stands behind a request's header, of the operation that the header names.
    pub fn decode(op: Option<OpCode>, input: &mut Decoder<'_>) -> Self {
        let refused = |error, zxid, close| Self::Refused(Refusal { error, zxid, close });
        let Some((op, decoded)) = op.and_then(|op| Some((op, Request::decode(op, input)?))) else {
            return refused(ErrorCode::Unimplemented, Some(-1), true);
        };
        match decoded {
            Ok(request) => Self::Request(request),
            Err(error) => {
                tracing::debug!(%error, "bad {} request", op.name());
                error_of_txn(op, error).map_or(
                    refused(ErrorCode::MarshallingError, None, false),
                    Self::Undecodable,
                )
            }
        }
    }

    /// The znode that it is about; `None` where there is none, or more than one.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Request(request) => request.path(),
            Self::Undecodable(_) | Self::Refused(_) => None,
        }
    }

    /// True for what goes through the log, and so waits for a commit.
    pub fn is_write(&self) -> bool {
        match self {
            Self::Request(request) => is_write(request),
            Self::Undecodable(_) => true,
            Self::Refused(_) => false,
        }
    }

    /// True for the last request of a session.
    pub(crate) fn closes_session(&self) -> bool {
        matches!(self, Self::Request(Request::CloseSession))
    }

    /// True for what a learner cannot answer by itself.
    pub fn goes_to_leader(&self) -> bool {
        matches!(self, Self::Request(Request::Sync(_))) || self.is_write()
    }

    /// True for reads that leave or take watches, and so need the database whole.
    pub fn changes_watches(&self) -> bool {
        match self {
            Self::Request(request) => match request {
                Request::Exists(read)
                | Request::GetData(read)
                | Request::GetChildren(read)
                | Request::GetChildren2(read) => read.watch,
                Request::RemoveWatches(_) | Request::SetWatches(_) | Request::AddWatch(_) => true,
                _ => false,
            },
            Self::Undecodable(_) | Self::Refused(_) => false,
        }
    }
}

/// The error of an undecodable write that Java notices only once it has a zxid.
fn error_of_txn(op: OpCode, error: DecodeError) -> Option<ErrorCode> {
    match (op, error) {
        (OpCode::Multi, _)
        | (
            OpCode::Create
            | OpCode::Create2
            | OpCode::CreateContainer
            | OpCode::CreateTtl
            | OpCode::Delete,
            DecodeError::Null,
        ) => Some(ErrorCode::MarshallingError),
        // These two check their path before anything else.
        (OpCode::SetData | OpCode::SetAcl, DecodeError::Null) => Some(ErrorCode::BadArguments),
        _ => None,
    }
}

/// True for requests that become transactions.
pub(crate) fn is_write(request: &Request) -> bool {
    matches!(
        request,
        Request::Create(_)
            | Request::Delete(_)
            | Request::SetData(_)
            | Request::SetAcl(_)
            | Request::Multi(_)
            | Request::Reconfig(_)
            | Request::CloseSession
    )
}
