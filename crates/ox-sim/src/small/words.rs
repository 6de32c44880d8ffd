//! From the product's records to those of the checks, and back.

use std::sync::Arc;

use ox_check::{self as check, AclEntry, Answer, Change, NodeKind, Outcome};
use ox_jute::{Decoder, Jute};
use ox_proto::{
    Acl, AddWatchMode, AddWatchRequest, CheckVersionRequest, Create, CreateMode, DeleteRequest,
    ErrorResponse, MultiHeader, MultiOp, OpCode, RawAcl, ReadRequest, Request, SetAclRequest,
    SetDataRequest, SetWatches2, Stat, SyncRequest, Txn,
};

use crate::client::codec::stat;

fn raw(acl: &[AclEntry]) -> Vec<RawAcl> {
    let raw = |entry: &AclEntry| RawAcl {
        perms: entry.perms,
        scheme: Some(entry.scheme.to_string()),
        id: Some(entry.id.to_string()),
    };
    acl.iter().map(raw).collect()
}

fn entries(acl: &[Acl]) -> Arc<[AclEntry]> {
    let entry = |acl: &Acl| AclEntry::new(acl.perms, &acl.id.scheme, &acl.id.id);
    acl.iter().map(entry).collect()
}

fn flags(mode: check::CreateMode) -> i32 {
    match mode {
        check::CreateMode::Ephemeral => CreateMode::Ephemeral,
        check::CreateMode::PersistentSequential => CreateMode::PersistentSequential,
        check::CreateMode::EphemeralSequential => CreateMode::EphemeralSequential,
        _ => CreateMode::Persistent,
    }
    .flags()
}

fn multi_op(part: &check::Request) -> MultiOp {
    match request(part) {
        Request::Create(create) => MultiOp::Create(create),
        Request::Delete(delete) => MultiOp::Delete(delete),
        Request::SetData(set) => MultiOp::SetData(set),
        other => match part {
            check::Request::Check { path, version } => MultiOp::Check(CheckVersionRequest {
                path: path.to_string(),
                version: *version,
            }),
            _ => panic!("not in a multi: {other:?}"),
        },
    }
}

/// What a client sends.
pub(super) fn request(asked: &check::Request) -> Request {
    let read = |path: &Arc<str>, watch: &bool| ReadRequest {
        path: path.to_string(),
        watch: *watch,
    };
    let bytes = |data: &Option<Arc<[u8]>>| data.as_ref().map(|data| data.to_vec().into());
    match asked {
        check::Request::Create {
            path,
            data,
            acl,
            mode,
        } => Request::Create(Create {
            op: OpCode::Create2,
            path: path.to_string(),
            data: bytes(data),
            acl: Some(raw(acl)),
            flags: flags(*mode),
            ttl: -1,
        }),
        check::Request::Delete { path, version } => Request::Delete(DeleteRequest {
            path: path.to_string(),
            version: *version,
        }),
        check::Request::SetData {
            path,
            data,
            version,
        } => Request::SetData(SetDataRequest {
            path: path.to_string(),
            data: bytes(data),
            version: *version,
        }),
        check::Request::SetAcl { path, acl, version } => Request::SetAcl(SetAclRequest {
            path: path.to_string(),
            acl: Some(raw(acl)),
            version: *version,
        }),
        check::Request::Multi(parts) => Request::Multi(parts.iter().map(multi_op).collect()),
        check::Request::GetData { path, watch } => Request::GetData(read(path, watch)),
        check::Request::Exists { path, watch } => Request::Exists(read(path, watch)),
        check::Request::GetChildren { path, watch } => Request::GetChildren2(read(path, watch)),
        check::Request::GetAcl { path } => Request::GetAcl(ox_proto::PathRequest {
            path: path.to_string(),
        }),
        check::Request::Sync { path } => Request::Sync(SyncRequest {
            path: Some(path.to_string()),
        }),
        check::Request::AddWatch { path, recursive } => Request::AddWatch(AddWatchRequest {
            path: Some(path.to_string()),
            mode: match recursive {
                true => AddWatchMode::PersistentRecursive.code(),
                false => AddWatchMode::Persistent.code(),
            },
        }),
        check::Request::SetWatches(sets) => {
            let list = |paths: &[Arc<str>]| paths.iter().map(|path| path.to_string()).collect();
            Request::SetWatches(SetWatches2 {
                relative_zxid: sets.relative_zxid,
                data_watches: list(&sets.data),
                exist_watches: list(&sets.exist),
                child_watches: list(&sets.child),
                persistent_watches: list(&sets.persistent),
                persistent_recursive_watches: list(&sets.recursive),
            })
        }
        check::Request::CloseSession => Request::CloseSession,
        _ => Request::Ping,
    }
}

/// The body of what a client sends, for who forwards it.
pub(super) fn body(request: &Request) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match request {
        Request::Create(create) => {
            create.path.encode(&mut out);
            create.data.encode(&mut out);
            create.acl.encode(&mut out);
            create.flags.encode(&mut out);
        }
        Request::Delete(request) => request.encode(&mut out),
        Request::SetData(request) => request.encode(&mut out),
        Request::SetAcl(request) => request.encode(&mut out),
        Request::Multi(ops) => MultiOp::encode_all(ops, &mut out),
        Request::Sync(request) => request.encode(&mut out),
        _ => return None,
    }
    Some(out)
}

pub(super) fn op(request: &Request) -> OpCode {
    match request {
        Request::Create(create) => create.op,
        Request::Delete(_) => OpCode::Delete,
        Request::SetData(_) => OpCode::SetData,
        Request::SetAcl(_) => OpCode::SetAcl,
        Request::Multi(_) => OpCode::Multi,
        Request::GetData(_) => OpCode::GetData,
        Request::Exists(_) => OpCode::Exists,
        Request::GetChildren2(_) => OpCode::GetChildren2,
        Request::GetAcl(_) => OpCode::GetAcl,
        Request::Sync(_) => OpCode::Sync,
        Request::AddWatch(_) => OpCode::AddWatch,
        Request::SetWatches(_) => OpCode::SetWatches2,
        Request::CloseSession => OpCode::CloseSession,
        _ => OpCode::Ping,
    }
}

fn shared(names: Vec<String>) -> Vec<Arc<str>> {
    names.into_iter().map(Into::into).collect()
}

/// What an answer's body says.
pub(super) fn answer(asked: &check::Request, input: &mut Decoder<'_>) -> Option<Answer> {
    let next = |input: &mut Decoder<'_>| Stat::decode(input).ok().map(|s| stat(&s));
    Some(match asked {
        check::Request::Create { .. } => {
            let path = String::decode(input).ok()?;
            Answer::Created(path.into(), next(input)?)
        }
        check::Request::SetData { .. }
        | check::Request::SetAcl { .. }
        | check::Request::Exists { .. } => Answer::Stat(next(input)?),
        check::Request::GetData { .. } => {
            let data: Option<bytes::Bytes> = Jute::decode(input).ok()?;
            Answer::Data(data.map(|data| data.to_vec().into()), next(input)?)
        }
        check::Request::GetChildren { .. } => {
            let names: Vec<String> = Jute::decode(input).ok()?;
            Answer::Children(shared(names), Some(next(input)?))
        }
        check::Request::GetAcl { .. } => {
            let acl: Vec<Acl> = Jute::decode(input).ok()?;
            Answer::Acl(entries(&acl), next(input)?)
        }
        check::Request::Multi(parts) => {
            let mut outcomes = Vec::new();
            for part in parts {
                let header = MultiHeader::decode(input).ok()?;
                outcomes.push(match header.r#type == OpCode::Error.code() {
                    true => Outcome::Error(ErrorResponse::decode(input).ok()?.err),
                    false => Outcome::Ok(part_answer(header.r#type, part, input)?),
                });
            }
            Answer::Multi(outcomes)
        }
        _ => Answer::Done,
    })
}

fn part_answer(code: i32, part: &check::Request, input: &mut Decoder<'_>) -> Option<Answer> {
    match code == OpCode::Create.code() {
        true => Some(Answer::Path(String::decode(input).ok()?.into())),
        false => answer(part, input),
    }
}

/// What a transaction does.
pub(super) fn change(txn: &Txn) -> Change {
    let data = |data: &Option<bytes::Bytes>| data.as_ref().map(|data| Arc::from(&data[..]));
    match txn {
        Txn::Create(txn) | Txn::Create2(txn) => Change::Create {
            path: txn.path.as_str().into(),
            data: data(&txn.data),
            acl: entries(&txn.acl),
            kind: match txn.ephemeral {
                true => NodeKind::Ephemeral,
                false => NodeKind::Persistent,
            },
            parent_cversion: txn.parent_cversion,
        },
        Txn::Delete(txn) | Txn::DeleteContainer(txn) => Change::Delete {
            path: txn.path.as_str().into(),
        },
        Txn::SetData(txn) | Txn::Reconfig(txn) => Change::SetData {
            path: txn.path.as_str().into(),
            data: data(&txn.data),
            version: txn.version,
        },
        Txn::SetAcl(txn) => Change::SetAcl {
            path: txn.path.as_str().into(),
            acl: entries(&txn.acl),
            version: txn.version,
        },
        Txn::Check(txn) => Change::Check {
            path: txn.path.as_str().into(),
        },
        Txn::Multi(multi) => Change::Multi(multi.txns.iter().map(change).collect()),
        Txn::CreateSession(txn) => Change::CreateSession {
            timeout_ms: txn.timeout_ms,
        },
        Txn::CloseSession(txn) => Change::CloseSession {
            paths: txn.paths_to_delete.clone().map(shared),
        },
        Txn::Error(txn) => Change::Error(txn.err),
        Txn::CreateContainer(_) | Txn::CreateTtl(_) => panic!("nobody asks for it: {txn:?}"),
    }
}
