//! Transactions, as they stand in the log and go from leader to follower.
//!
//! Source: `org.apache.zookeeper.server.util.SerializeUtils`; storage.md chapter 4.

use bytes::Bytes;
use ox_jute::{DecodeError, Decoder, Jute, records};

use crate::{Acl, OpCode, SessionId, Zxid};

records! {
    /// Makes a znode. `parent_cversion` is the parent's new stored cversion; -1 means one more
    /// than it has.
    CreateTxn {
        path: String,
        data: Option<Bytes>,
        acl: Vec<Acl>,
        ephemeral: bool,
        parent_cversion: i32,
    }

    /// Makes a container.
    CreateContainerTxn { path: String, data: Option<Bytes>, acl: Vec<Acl>, parent_cversion: i32 }

    /// Makes a node that lives `ttl` milliseconds from its last change on.
    CreateTtlTxn {
        path: String,
        data: Option<Bytes>,
        acl: Vec<Acl>,
        parent_cversion: i32,
        ttl: i64,
    }

    /// Deletes a znode.
    DeleteTxn { path: String }

    /// Replaces data; `version` is the new one.
    SetDataTxn { path: String, data: Option<Bytes>, version: i32 }

    /// Replaces an acl; `version` is the new aversion.
    SetAclTxn { path: String, acl: Vec<Acl>, version: i32 }

    /// Does nothing; stands in a multi where a version was compared.
    CheckVersionTxn { path: String, version: i32 }

    /// Begins a session with this timeout in milliseconds.
    CreateSessionTxn { timeout_ms: i32 }

    /// Stands for a request that failed with this [`ErrorCode`](crate::ErrorCode).
    ErrorTxn { err: i32 }
}

/// Ends a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CloseSessionTxn {
    /// The ephemerals it deletes; `None` in logs written before 3.6 or with the list switched off.
    pub paths_to_delete: Option<Vec<String>>,
}

/// Several transactions under one zxid. If one of them is an error, none is applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct MultiTxn {
    /// In the order of the request.
    pub txns: Vec<Txn>,
}

/// What one transaction does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "each variant is named after its record, which says it"
)]
pub enum Txn {
    Create(CreateTxn),
    Create2(CreateTxn),
    CreateContainer(CreateContainerTxn),
    CreateTtl(CreateTtlTxn),
    Delete(DeleteTxn),
    DeleteContainer(DeleteTxn),
    SetData(SetDataTxn),
    Reconfig(SetDataTxn),
    SetAcl(SetAclTxn),
    Check(CheckVersionTxn),
    Multi(MultiTxn),
    CreateSession(CreateSessionTxn),
    CloseSession(CloseSessionTxn),
    Error(ErrorTxn),
}

impl Txn {
    /// The opcode under which it is stored.
    pub fn op(&self) -> OpCode {
        match self {
            Self::Create(_) => OpCode::Create,
            Self::Create2(_) => OpCode::Create2,
            Self::CreateContainer(_) => OpCode::CreateContainer,
            Self::CreateTtl(_) => OpCode::CreateTtl,
            Self::Delete(_) => OpCode::Delete,
            Self::DeleteContainer(_) => OpCode::DeleteContainer,
            Self::SetData(_) => OpCode::SetData,
            Self::Reconfig(_) => OpCode::Reconfig,
            Self::SetAcl(_) => OpCode::SetAcl,
            Self::Check(_) => OpCode::Check,
            Self::Multi(_) => OpCode::Multi,
            Self::CreateSession(_) => OpCode::CreateSession,
            Self::CloseSession(_) => OpCode::CloseSession,
            Self::Error(_) => OpCode::Error,
        }
    }

    /// The znode that it is about; `None` where there is none, or more than one.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Create(txn) | Self::Create2(txn) => Some(&txn.path),
            Self::CreateContainer(txn) => Some(&txn.path),
            Self::CreateTtl(txn) => Some(&txn.path),
            Self::Delete(txn) | Self::DeleteContainer(txn) => Some(&txn.path),
            Self::SetData(txn) | Self::Reconfig(txn) => Some(&txn.path),
            Self::SetAcl(txn) => Some(&txn.path),
            Self::Check(txn) => Some(&txn.path),
            Self::Multi(_) | Self::CreateSession(_) | Self::CloseSession(_) | Self::Error(_) => {
                None
            }
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Create(txn) | Self::Create2(txn) => txn.encode(out),
            Self::CreateContainer(txn) => txn.encode(out),
            Self::CreateTtl(txn) => txn.encode(out),
            Self::Delete(txn) | Self::DeleteContainer(txn) => txn.encode(out),
            Self::SetData(txn) | Self::Reconfig(txn) => txn.encode(out),
            Self::SetAcl(txn) => txn.encode(out),
            Self::Check(txn) => txn.encode(out),
            Self::Multi(txn) => txn.encode(out),
            Self::CreateSession(txn) => txn.encode(out),
            Self::CloseSession(txn) => {
                if let Some(paths) = &txn.paths_to_delete {
                    paths.encode(out);
                }
            }
            Self::Error(txn) => txn.encode(out),
        }
    }

    fn decode(op: OpCode, input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(match op {
            OpCode::Create => Self::Create(decode_create(input)?),
            OpCode::Create2 => Self::Create2(decode_create(input)?),
            OpCode::CreateContainer => Self::CreateContainer(Jute::decode(input)?),
            OpCode::CreateTtl => Self::CreateTtl(Jute::decode(input)?),
            OpCode::Delete => Self::Delete(Jute::decode(input)?),
            OpCode::DeleteContainer => Self::DeleteContainer(Jute::decode(input)?),
            OpCode::SetData => Self::SetData(Jute::decode(input)?),
            OpCode::Reconfig => Self::Reconfig(Jute::decode(input)?),
            OpCode::SetAcl => Self::SetAcl(Jute::decode(input)?),
            OpCode::Check => Self::Check(Jute::decode(input)?),
            OpCode::Multi => Self::Multi(MultiTxn::decode(input)?),
            OpCode::CreateSession => Self::CreateSession(Jute::decode(input)?),
            OpCode::CloseSession => Self::CloseSession(decode_close_session(input)?),
            OpCode::Error => Self::Error(Jute::decode(input)?),
            OpCode::Notification
            | OpCode::Exists
            | OpCode::GetData
            | OpCode::GetAcl
            | OpCode::GetChildren
            | OpCode::Sync
            | OpCode::Ping
            | OpCode::GetChildren2
            | OpCode::CheckWatches
            | OpCode::RemoveWatches
            | OpCode::MultiRead
            | OpCode::Auth
            | OpCode::SetWatches
            | OpCode::Sasl
            | OpCode::GetEphemerals
            | OpCode::GetAllChildrenNumber
            | OpCode::SetWatches2
            | OpCode::AddWatch
            | OpCode::WhoAmI => return Err(DecodeError::Value(op.code())),
        })
    }
}

/// Before 3.4 a create ended without the parent's cversion (`CreateTxnV0`).
fn decode_create(input: &mut Decoder<'_>) -> Result<CreateTxn, DecodeError> {
    Ok(CreateTxn {
        path: input.string()?,
        data: input.buffer()?,
        acl: Jute::decode(input)?,
        ephemeral: input.boolean()?,
        parent_cversion: match input.remaining() {
            [] => -1,
            _ => input.int()?,
        },
    })
}

/// Three forms exist; see storage.md 4.2. Twelve bytes that begin with 2 are a digest, for as a
/// list they would hold two empty paths and no digest.
fn decode_close_session(input: &mut Decoder<'_>) -> Result<CloseSessionTxn, DecodeError> {
    let paths_to_delete = match input.remaining() {
        [] => None,
        rest @ [0, 0, 0, 2, ..] if rest.len() == TxnDigest::LENGTH => None,
        _ => Some(Jute::decode(input)?),
    };
    Ok(CloseSessionTxn { paths_to_delete })
}

/// A vector of opcode and encoded transaction.
impl Jute for MultiTxn {
    const NAME: &'static str = "MultiTxn";

    fn encode(&self, out: &mut Vec<u8>) {
        encode_count(self.txns.len(), out);
        for txn in &self.txns {
            txn.op().code().encode(out);
            let start = out.len();
            out.extend_from_slice(&[0; 4]);
            txn.encode(out);
            let length = i32::try_from(out.len() - start - 4).expect("a txn fits a jute buffer");
            out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        }
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut txns = Vec::new();
        for _ in 0..input.int()? {
            let code = input.int()?;
            let bytes = input.slice()?.ok_or(DecodeError::Null)?;
            let op = OpCode::from_code(code).filter(|&op| may_be_in_multi(op));
            let op = op.ok_or(DecodeError::Value(code))?;
            txns.push(Txn::decode(
                op,
                &mut Decoder::new(bytes).with_limit(bytes.len()),
            )?);
        }
        Ok(Self { txns })
    }
}

fn may_be_in_multi(op: OpCode) -> bool {
    matches!(
        op,
        OpCode::Create
            | OpCode::Create2
            | OpCode::CreateContainer
            | OpCode::CreateTtl
            | OpCode::Delete
            | OpCode::DeleteContainer
            | OpCode::SetData
            | OpCode::Check
            | OpCode::Error
    )
}

fn encode_count(count: usize, out: &mut Vec<u8>) {
    i32::try_from(count)
        .expect("a multi's operations fit a jute int")
        .encode(out);
}

/// Begins every transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TxnHeader {
    /// The session that asked for it; [`SessionId::NONE`] for the server's own.
    pub client_id: SessionId,
    /// The client's xid of the request.
    pub cxid: i32,
    /// Its place in the order of all transactions.
    pub zxid: Zxid,
    /// When it was prepared, in milliseconds since 1970.
    pub time: i64,
    /// What it is. A failed request has [`OpCode::Error`], a failed multi stays a multi.
    pub op: OpCode,
}

impl Jute for TxnHeader {
    const NAME: &'static str = "TxnHeader";

    fn encode(&self, out: &mut Vec<u8>) {
        self.client_id.encode(out);
        self.cxid.encode(out);
        self.zxid.encode(out);
        self.time.encode(out);
        self.op.code().encode(out);
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            client_id: Jute::decode(input)?,
            cxid: input.int()?,
            zxid: Jute::decode(input)?,
            time: input.long()?,
            op: {
                let code = input.int()?;
                OpCode::from_code(code).ok_or(DecodeError::Value(code))?
            },
        })
    }
}

records! {
    /// The digest of the whole tree after a transaction (storage.md 9).
    TxnDigest { version: i32, tree_digest: i64 }
}

impl TxnDigest {
    /// The only version in use since 3.6.
    pub const VERSION: i32 = 2;
    const LENGTH: usize = 12;
}

/// A transaction whole: the payload of a log entry, and of a proposal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TxnRecord {
    /// Who, when, what.
    pub header: TxnHeader,
    /// What it does.
    pub txn: Txn,
    /// The digest after it; absent on errors, in old logs and where digests are switched off.
    pub digest: Option<TxnDigest>,
}

impl TxnRecord {
    /// Appends the payload to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.header.encode(out);
        self.txn.encode(out);
        if let Some(digest) = &self.digest {
            digest.encode(out);
        }
    }

    /// Reads a payload. `max_length` bounds its strings and buffers, in bytes.
    pub fn decode(payload: &[u8], max_length: usize) -> Result<Self, DecodeError> {
        Self::read(Decoder::new(payload).with_limit(max_length))
    }

    /// The same from a payload in memory that its buffers may share.
    pub fn decode_shared(payload: &Bytes, max_length: usize) -> Result<Self, DecodeError> {
        Self::read(Decoder::sharing(payload).with_limit(max_length))
    }

    fn read(mut input: Decoder<'_>) -> Result<Self, DecodeError> {
        let header = TxnHeader::decode(&mut input)?;
        let txn = Txn::decode(header.op, &mut input)?;
        // Anything but a whole digest behind the record is ignored.
        let digest = match input.remaining().len() {
            TxnDigest::LENGTH => Some(Jute::decode(&mut input)?),
            _ => None,
        };
        Ok(Self {
            header,
            txn,
            digest,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(op: OpCode) -> TxnHeader {
        TxnHeader {
            client_id: SessionId(7),
            cxid: 3,
            zxid: Zxid(9),
            time: 1_000,
            op,
        }
    }

    fn payload(op: OpCode, rest: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        header(op).encode(&mut bytes);
        bytes.extend_from_slice(rest);
        bytes
    }

    #[track_caller]
    fn check(bytes: &[u8], txn: Txn, digest: Option<TxnDigest>) {
        let record = TxnRecord::decode(bytes, 1 << 20).unwrap();
        assert_eq!((record.txn, record.digest), (txn, digest));
    }

    #[track_caller]
    fn check_round_trip(txn: Txn) {
        let digest = Some(TxnDigest {
            version: 2,
            tree_digest: -5,
        });
        let record = TxnRecord {
            header: header(txn.op()),
            txn,
            digest,
        };
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        assert_eq!(TxnRecord::decode(&bytes, 1 << 20), Ok(record));
    }

    fn create() -> CreateTxn {
        CreateTxn {
            path: "/a".into(),
            data: Some(Bytes::from_static(b"x")),
            acl: vec![Acl::world(31)],
            ephemeral: true,
            parent_cversion: 4,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        check_round_trip(Txn::Create(create()));
        check_round_trip(Txn::CloseSession(CloseSessionTxn {
            paths_to_delete: Some(vec![]),
        }));
        check_round_trip(Txn::Multi(MultiTxn {
            txns: vec![
                Txn::Create2(create()),
                Txn::Check(CheckVersionTxn {
                    path: "/a".into(),
                    version: 1,
                }),
                Txn::Error(ErrorTxn { err: -2 }),
            ],
        }));
    }

    #[test]
    fn the_first_record_of_a_real_log_is_a_create_session() {
        // d-torn-base, log.1, offset 28 (storage.md 3).
        let bytes = hex(
            "0100001404280000 00000000 0000000000000001 000001a202b6b41c fffffff6 0000ea60 \
             00000002 0000000051c6d660",
        );
        let digest = TxnDigest {
            version: 2,
            tree_digest: 0x51c6_d660,
        };
        let txn = Txn::CreateSession(CreateSessionTxn { timeout_ms: 60_000 });
        check(&bytes, txn, Some(digest));
    }

    #[test]
    fn a_close_session_has_three_forms() {
        let digest = TxnDigest {
            version: 2,
            tree_digest: 1,
        };
        let mut bytes = Vec::new();
        digest.encode(&mut bytes);
        let none = Txn::CloseSession(CloseSessionTxn {
            paths_to_delete: None,
        });
        check(&payload(OpCode::CloseSession, &[]), none.clone(), None);
        check(
            &payload(OpCode::CloseSession, &bytes),
            none,
            Some(digest.clone()),
        );
        let empty = Txn::CloseSession(CloseSessionTxn {
            paths_to_delete: Some(vec![]),
        });
        bytes.splice(0..0, [0; 4]);
        check(&payload(OpCode::CloseSession, &bytes), empty, Some(digest));
    }

    #[test]
    fn a_create_of_old_ends_before_the_parents_cversion() {
        let mut bytes = payload(OpCode::Create, &[]);
        Txn::Create(create()).encode(&mut bytes);
        bytes.truncate(bytes.len() - 4);
        check(
            &bytes,
            Txn::Create(CreateTxn {
                parent_cversion: -1,
                ..create()
            }),
            None,
        );
    }

    #[test]
    fn leftovers_behind_an_error_within_a_multi_are_ignored() {
        let bytes = payload(
            OpCode::Multi,
            &hex("00000001 ffffffff 00000006 ffffff9b abcd"),
        );
        let txns = vec![Txn::Error(ErrorTxn { err: -101 })];
        check(&bytes, Txn::Multi(MultiTxn { txns }), None);
    }

    #[test]
    fn a_multi_holds_no_set_acl() {
        let bytes = payload(OpCode::Multi, &hex("00000001 00000007 00000000"));
        assert_eq!(TxnRecord::decode(&bytes, 100), Err(DecodeError::Value(7)));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = TxnRecord::decode(&bytes, 1 << 20);
            let _ = TxnRecord::decode(&payload(OpCode::Multi, &bytes), 1 << 20);
        }
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: String = text.split_whitespace().collect();
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        (0..digits.len()).step_by(2).map(byte).collect()
    }
}
