//! What a client asks for.
//!
//! Decoding checks the shape only: nulls where a value is needed, lengths, the kinds of operation
//! that may stand in a multi. Source: `zookeeper.jute`; client-protocol.md 4.2 and chapter 5.

use bytes::Bytes;
use ox_jute::{DecodeError, Decoder, Jute, records};

use crate::reply::MultiHeader;
use crate::{OpCode, RawAcl, Xid};

records! {
    /// Begins every packet of a client but the first; `type` is an [`OpCode`].
    RequestHeader { xid: Xid, r#type: i32 }

    /// create, create2 and createContainer; `flags` is a [`CreateMode`].
    CreateRequest { path: String, data: Option<Bytes>, acl: Option<Vec<RawAcl>>, flags: i32 }

    /// createTTL; `ttl` in milliseconds.
    CreateTtlRequest {
        path: String,
        data: Option<Bytes>,
        acl: Option<Vec<RawAcl>>,
        flags: i32,
        ttl: i64,
    }

    /// Deletes a childless znode if `version` matches; -1 matches any version.
    DeleteRequest { path: String, version: i32 }

    /// exists, getData, getChildren and getChildren2; `watch` leaves a one-shot watch behind.
    ReadRequest { path: String, watch: bool }

    /// getACL and getAllChildrenNumber.
    PathRequest { path: String }

    /// Replaces a znode's data if `version` matches; -1 matches any version.
    SetDataRequest { path: String, data: Option<Bytes>, version: i32 }

    /// Replaces a znode's acl if `version` matches its aversion; -1 matches any version.
    SetAclRequest { path: String, acl: Option<Vec<RawAcl>>, version: i32 }

    /// The path is echoed, whatever it is.
    SyncRequest { path: Option<String> }

    /// Fails the multi it stands in unless `version` matches.
    CheckVersionRequest { path: String, version: i32 }

    /// Changes the members: by `new_members`, or by the two lists before it.
    ReconfigRequest {
        joining_servers: Option<String>,
        leaving_servers: Option<String>,
        new_members: Option<String>,
        current_config_id: i64,
    }

    /// checkWatches and removeWatches; `type` is a [`WatcherType`](crate::WatcherType).
    WatchesRequest { path: String, r#type: i32 }

    /// Leaves a watch that stays; `mode` is an [`AddWatchMode`](crate::AddWatchMode).
    AddWatchRequest { path: Option<String>, mode: i32 }

    /// Leaves watches again; whatever changed after `relative_zxid` is told at once.
    SetWatches {
        relative_zxid: i64,
        data_watches: Vec<String>,
        exist_watches: Vec<String>,
        child_watches: Vec<String>,
    }

    /// As [`SetWatches`], with persistent ones.
    SetWatches2 {
        relative_zxid: i64,
        data_watches: Vec<String>,
        exist_watches: Vec<String>,
        child_watches: Vec<String>,
        persistent_watches: Vec<String>,
        persistent_recursive_watches: Vec<String>,
    }

    /// Adds an identity to the connection.
    AuthPacket { r#type: i32, scheme: Option<String>, auth: Option<Bytes> }

    /// One step of a SASL exchange.
    SaslRequest { token: Option<Bytes> }

    /// Lists the session's own ephemerals whose paths begin with `prefix_path`, as plain text.
    GetEphemeralsRequest { prefix_path: Option<String> }
}

/// The kinds of znode, as the flags of a create.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CreateMode {
    /// Stays until it is deleted.
    Persistent,
    /// Goes when its session ends.
    Ephemeral,
    /// Persistent, with a number appended.
    PersistentSequential,
    /// Ephemeral, with a number appended.
    EphemeralSequential,
    /// Goes when its last child has gone.
    Container,
    /// Goes when it has not changed for its time to live.
    PersistentWithTtl,
    /// As that, with a number appended.
    PersistentSequentialWithTtl,
}

impl CreateMode {
    /// The number on the wire.
    pub fn flags(self) -> i32 {
        match self {
            Self::Persistent => 0,
            Self::Ephemeral => 1,
            Self::PersistentSequential => 2,
            Self::EphemeralSequential => 3,
            Self::Container => 4,
            Self::PersistentWithTtl => 5,
            Self::PersistentSequentialWithTtl => 6,
        }
    }

    /// The meaning of a number on the wire.
    pub fn from_flags(flags: i32) -> Option<Self> {
        Some(match flags {
            0 => Self::Persistent,
            1 => Self::Ephemeral,
            2 => Self::PersistentSequential,
            3 => Self::EphemeralSequential,
            4 => Self::Container,
            5 => Self::PersistentWithTtl,
            6 => Self::PersistentSequentialWithTtl,
            _ => return None,
        })
    }

    /// True where a number is appended to the name.
    pub fn is_sequential(self) -> bool {
        matches!(
            self,
            Self::PersistentSequential
                | Self::EphemeralSequential
                | Self::PersistentSequentialWithTtl
        )
    }

    /// True where the znode goes with its session.
    pub fn is_ephemeral(self) -> bool {
        matches!(self, Self::Ephemeral | Self::EphemeralSequential)
    }

    /// True where a time to live is needed.
    pub fn is_ttl(self) -> bool {
        matches!(
            self,
            Self::PersistentWithTtl | Self::PersistentSequentialWithTtl
        )
    }
}

/// Any of the four creates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create {
    /// Create, Create2, CreateContainer or CreateTtl: it decides the answer's form too.
    pub op: OpCode,
    /// The path asked for, without a sequence number.
    pub path: String,
    /// The data; null differs from empty.
    pub data: Option<Bytes>,
    /// The acl as the client sent it.
    pub acl: Option<Vec<RawAcl>>,
    /// A [`CreateMode`], unchecked.
    pub flags: i32,
    /// Time to live in milliseconds; -1 where the operation carries none.
    pub ttl: i64,
}

impl Create {
    fn new(op: OpCode, request: CreateRequest) -> Self {
        let CreateRequest {
            path,
            data,
            acl,
            flags,
        } = request;
        Self {
            op,
            path,
            data,
            acl,
            flags,
            ttl: -1,
        }
    }

    fn with_ttl(op: OpCode, request: CreateTtlRequest) -> Self {
        let CreateTtlRequest {
            path,
            data,
            acl,
            flags,
            ttl,
        } = request;
        Self {
            op,
            path,
            data,
            acl,
            flags,
            ttl,
        }
    }

    /// Appends the record of its operation.
    fn encode(&self, out: &mut Vec<u8>) {
        self.path.encode(out);
        self.data.encode(out);
        self.acl.encode(out);
        self.flags.encode(out);
        if self.op == OpCode::CreateTtl {
            self.ttl.encode(out);
        }
    }
}

/// An operation within a multi or a multiRead.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each variant is named after the operation it stands for"
)]
pub enum MultiOp {
    Create(Create),
    Delete(DeleteRequest),
    SetData(SetDataRequest),
    Check(CheckVersionRequest),
    GetData(ReadRequest),
    GetChildren(ReadRequest),
}

impl MultiOp {
    /// True for the operations of a multiRead.
    pub fn is_read(&self) -> bool {
        matches!(self, Self::GetData(_) | Self::GetChildren(_))
    }

    /// The opcode that its result carries.
    pub fn op(&self) -> OpCode {
        match self {
            Self::Create(create) => create.op,
            Self::Delete(_) => OpCode::Delete,
            Self::SetData(_) => OpCode::SetData,
            Self::Check(_) => OpCode::Check,
            Self::GetData(_) => OpCode::GetData,
            Self::GetChildren(_) => OpCode::GetChildren,
        }
    }

    /// Appends a whole request body: the operations and the end mark.
    pub fn encode_all(ops: &[Self], out: &mut Vec<u8>) {
        for op in ops {
            MultiHeader {
                r#type: op.op().code(),
                done: false,
                err: -1,
            }
            .encode(out);
            match op {
                Self::Create(create) => create.encode(out),
                Self::Delete(request) => request.encode(out),
                Self::SetData(request) => request.encode(out),
                Self::Check(request) => request.encode(out),
                Self::GetData(request) | Self::GetChildren(request) => request.encode(out),
            }
        }
        MultiHeader::END.encode(out);
    }

    /// Reads a whole request body. Reads and writes do not mix.
    pub fn decode_all(input: &mut Decoder<'_>) -> Result<Vec<Self>, DecodeError> {
        let mut ops: Vec<Self> = Vec::new();
        loop {
            // Nothing but `done` ends the list; `err` means nothing here.
            let header = MultiHeader::decode(input)?;
            if header.done {
                return Ok(ops);
            }
            let op = Self::decode(header.r#type, input)?;
            if ops
                .first()
                .is_some_and(|first| first.is_read() != op.is_read())
            {
                return Err(DecodeError::Value(header.r#type));
            }
            ops.push(op);
        }
    }

    fn decode(code: i32, input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(match OpCode::from_code(code) {
            Some(OpCode::Create) => Self::Create(decode_create(OpCode::Create, input)?),
            Some(OpCode::Create2) => Self::Create(decode_create(OpCode::Create2, input)?),
            Some(OpCode::CreateContainer) => {
                Self::Create(decode_create(OpCode::CreateContainer, input)?)
            }
            Some(OpCode::CreateTtl) => Self::Create(decode_create_ttl(input)?),
            Some(OpCode::Delete) => Self::Delete(Jute::decode(input)?),
            Some(OpCode::SetData) => Self::SetData(Jute::decode(input)?),
            Some(OpCode::Check) => Self::Check(Jute::decode(input)?),
            Some(OpCode::GetData) => Self::GetData(Jute::decode(input)?),
            Some(OpCode::GetChildren) => Self::GetChildren(Jute::decode(input)?),
            _ => return Err(DecodeError::Value(code)),
        })
    }
}

/// Within a multi the flags decide what is made; Java 3.9 refuses flags it does not know, flags of
/// TTL nodes without a time to live, and a null acl while it decodes (client-protocol.md 5.2).
fn decode_create(op: OpCode, input: &mut Decoder<'_>) -> Result<Create, DecodeError> {
    let create = Create::new(op, Jute::decode(input)?);
    if create.acl.is_none() {
        return Err(DecodeError::Null);
    }
    let op = match CreateMode::from_flags(create.flags) {
        None => return Err(DecodeError::Value(create.flags)),
        Some(mode) if mode.is_ttl() => return Err(DecodeError::Value(create.flags)),
        Some(CreateMode::Container) => OpCode::CreateContainer,
        Some(_) => op,
    };
    Ok(Create { op, ..create })
}

/// Flags it does not know stay with a createTTL, to be refused with the others of its kind.
fn decode_create_ttl(input: &mut Decoder<'_>) -> Result<Create, DecodeError> {
    let create = Create::with_ttl(OpCode::CreateTtl, Jute::decode(input)?);
    Ok(match CreateMode::from_flags(create.flags) {
        Some(CreateMode::Container) => Create {
            op: OpCode::CreateContainer,
            ttl: -1,
            ..create
        },
        Some(mode) if !mode.is_ttl() => Create {
            op: OpCode::Create,
            ttl: -1,
            ..create
        },
        Some(_) | None => create,
    })
}

/// A request, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each variant is named after its operation, which says it"
)]
pub enum Request {
    Create(Create),
    Delete(DeleteRequest),
    SetData(SetDataRequest),
    SetAcl(SetAclRequest),
    Multi(Vec<MultiOp>),
    Reconfig(ReconfigRequest),
    CloseSession,
    Exists(ReadRequest),
    GetData(ReadRequest),
    GetAcl(PathRequest),
    GetChildren(ReadRequest),
    GetChildren2(ReadRequest),
    GetAllChildrenNumber(PathRequest),
    GetEphemerals(GetEphemeralsRequest),
    MultiRead(Vec<MultiOp>),
    Sync(SyncRequest),
    Ping,
    CheckWatches(WatchesRequest),
    RemoveWatches(WatchesRequest),
    SetWatches(SetWatches2),
    AddWatch(AddWatchRequest),
    WhoAmI,
}

impl Request {
    /// The znode that it is about; `None` where there is none, or more than one.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Create(request) => Some(&request.path),
            Self::Delete(request) => Some(&request.path),
            Self::SetData(request) => Some(&request.path),
            Self::SetAcl(request) => Some(&request.path),
            Self::Exists(request)
            | Self::GetData(request)
            | Self::GetChildren(request)
            | Self::GetChildren2(request) => Some(&request.path),
            Self::GetAcl(request) | Self::GetAllChildrenNumber(request) => Some(&request.path),
            Self::CheckWatches(request) | Self::RemoveWatches(request) => Some(&request.path),
            Self::Sync(request) => request.path.as_deref(),
            Self::AddWatch(request) => request.path.as_deref(),
            Self::Multi(_)
            | Self::Reconfig(_)
            | Self::CloseSession
            | Self::GetEphemerals(_)
            | Self::MultiRead(_)
            | Self::Ping
            | Self::SetWatches(_)
            | Self::WhoAmI => None,
        }
    }

    /// Reads the body of `op`. `None` means that clients may not send this operation, or that it
    /// belongs to the connection and not to the pipeline (auth and sasl).
    pub fn decode(op: OpCode, input: &mut Decoder<'_>) -> Option<Result<Self, DecodeError>> {
        Some(match op {
            OpCode::Create | OpCode::Create2 | OpCode::CreateContainer => {
                CreateRequest::decode(input).map(|request| Self::Create(Create::new(op, request)))
            }
            OpCode::CreateTtl => CreateTtlRequest::decode(input)
                .map(|request| Self::Create(Create::with_ttl(op, request))),
            OpCode::Delete => Jute::decode(input).map(Self::Delete),
            OpCode::SetData => Jute::decode(input).map(Self::SetData),
            OpCode::SetAcl => Jute::decode(input).map(Self::SetAcl),
            OpCode::Multi => decode_multi(input).map(Self::Multi),
            OpCode::Reconfig => Jute::decode(input).map(Self::Reconfig),
            OpCode::CloseSession => Ok(Self::CloseSession),
            OpCode::Exists => Jute::decode(input).map(Self::Exists),
            OpCode::GetData => Jute::decode(input).map(Self::GetData),
            OpCode::GetAcl => Jute::decode(input).map(Self::GetAcl),
            OpCode::GetChildren => Jute::decode(input).map(Self::GetChildren),
            OpCode::GetChildren2 => Jute::decode(input).map(Self::GetChildren2),
            OpCode::GetAllChildrenNumber => Jute::decode(input).map(Self::GetAllChildrenNumber),
            OpCode::GetEphemerals => Jute::decode(input).map(Self::GetEphemerals),
            OpCode::MultiRead => MultiOp::decode_all(input).map(Self::MultiRead),
            OpCode::Sync => Jute::decode(input).map(Self::Sync),
            OpCode::Ping => Ok(Self::Ping),
            OpCode::CheckWatches => Jute::decode(input).map(Self::CheckWatches),
            OpCode::RemoveWatches => Jute::decode(input).map(Self::RemoveWatches),
            OpCode::SetWatches => {
                SetWatches::decode(input).map(|request| Self::SetWatches(request.into()))
            }
            OpCode::SetWatches2 => Jute::decode(input).map(Self::SetWatches),
            OpCode::AddWatch => Jute::decode(input).map(Self::AddWatch),
            OpCode::WhoAmI => Ok(Self::WhoAmI),
            OpCode::CreateSession
            | OpCode::Error
            | OpCode::Notification
            | OpCode::Check
            | OpCode::DeleteContainer
            | OpCode::Auth
            | OpCode::Sasl => return None,
        })
    }
}

fn decode_multi(input: &mut Decoder<'_>) -> Result<Vec<MultiOp>, DecodeError> {
    let ops = MultiOp::decode_all(input)?;
    match ops.first() {
        Some(first) if first.is_read() => Err(DecodeError::Value(first.op().code())),
        _ => Ok(ops),
    }
}

impl From<SetWatches> for SetWatches2 {
    fn from(request: SetWatches) -> Self {
        Self {
            relative_zxid: request.relative_zxid,
            data_watches: request.data_watches,
            exist_watches: request.exist_watches,
            child_watches: request.child_watches,
            persistent_watches: Vec::new(),
            persistent_recursive_watches: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Acl;

    fn create(op: OpCode, flags: i32, ttl: i64) -> Create {
        let acl = Some(vec![Acl::world(31).into()]);
        Create {
            op,
            path: "/m".into(),
            data: None,
            acl,
            flags,
            ttl,
        }
    }

    #[track_caller]
    fn check_multi(ops: &[MultiOp], decoded: Result<&[MultiOp], DecodeError>) {
        let mut bytes = Vec::new();
        MultiOp::encode_all(ops, &mut bytes);
        let read = MultiOp::decode_all(&mut Decoder::new(&bytes));
        assert_eq!(read.as_deref(), decoded.as_ref().copied());
    }

    /// One create within a multi: what is sent, and what it counts as.
    #[track_caller]
    fn check_create(sent: Create, effective: Result<Create, DecodeError>) {
        let effective = effective.map(|create| [MultiOp::Create(create)]);
        check_multi(
            &[MultiOp::Create(sent)],
            effective.as_ref().map(|ops| &ops[..]).map_err(|e| *e),
        );
    }

    #[test]
    fn flags_decide_what_a_create_within_a_multi_makes() {
        use OpCode::{Create as C, Create2 as C2, CreateContainer as CC, CreateTtl as CT};
        for op in [C, C2, CC] {
            check_create(create(op, 4, -1), Ok(create(CC, 4, -1)));
            check_create(create(op, 3, -1), Ok(create(op, 3, -1)));
            check_create(create(op, 5, -1), Err(DecodeError::Value(5)));
            check_create(create(op, 9, -1), Err(DecodeError::Value(9)));
            check_create(
                Create {
                    acl: None,
                    ..create(op, 0, -1)
                },
                Err(DecodeError::Null),
            );
        }
        check_create(create(CT, 0, 9), Ok(create(C, 0, -1)));
        check_create(create(CT, 4, 9), Ok(create(CC, 4, -1)));
        check_create(create(CT, 6, 9), Ok(create(CT, 6, 9)));
        check_create(create(CT, 7, 9), Ok(create(CT, 7, 9)));
        check_create(
            Create {
                acl: None,
                ..create(CT, 5, 9)
            },
            Ok(Create {
                acl: None,
                ..create(CT, 5, 9)
            }),
        );
    }

    #[test]
    fn reads_and_writes_do_not_mix() {
        let read = MultiOp::GetData(ReadRequest {
            path: "/a".into(),
            watch: true,
        });
        let write = MultiOp::Delete(DeleteRequest {
            path: "/a".into(),
            version: 1,
        });
        check_multi(&[], Ok(&[]));
        check_multi(
            &[read.clone(), read.clone()],
            Ok(&[read.clone(), read.clone()]),
        );
        check_multi(&[read.clone(), write.clone()], Err(DecodeError::Value(2)));
        check_multi(&[write, read], Err(DecodeError::Value(4)));
    }

    #[test]
    fn only_done_ends_a_multi() {
        let bytes = [0, 0, 0, 5, 1, 0, 0, 0, 7];
        assert_eq!(MultiOp::decode_all(&mut Decoder::new(&bytes)), Ok(vec![]));
        assert_eq!(
            MultiOp::decode_all(&mut Decoder::new(&[])),
            Err(DecodeError::End)
        );
    }

    #[test]
    fn operations_of_the_server_are_not_for_clients() {
        for op in [
            OpCode::CreateSession,
            OpCode::DeleteContainer,
            OpCode::Check,
            OpCode::Error,
        ] {
            assert_eq!(Request::decode(op, &mut Decoder::new(&[0; 64])), None);
        }
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(
            code in -12..110,
            bytes in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            if let Some(op) = OpCode::from_code(code) {
                let _ = Request::decode(op, &mut Decoder::new(&bytes));
            }
        }
    }
}
