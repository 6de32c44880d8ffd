//! A client's operations as the bytes of the protocol, and its answers as what the checks know.

use std::sync::Arc;

use bytes::Bytes;
use ox_check::{Answer, Outcome, Request, open_acl};
use ox_jute::{Decoder, Jute, end_frame, start_frame};
use ox_proto::{
    AddWatchRequest, CheckVersionRequest, Create2Response, CreateRequest, DeleteRequest,
    GetChildren2Response, GetDataResponse, MultiHeader, OpCode, RawAcl, ReadRequest, RequestHeader,
    SetDataRequest, StatResponse, SyncRequest, Xid,
};

use crate::plan::{Mode, Op};

fn acl() -> Option<Vec<RawAcl>> {
    Some(vec![RawAcl {
        perms: 31,
        scheme: Some("world".to_owned()),
        id: Some("anyone".to_owned()),
    }])
}

fn create(path: &str, data: &str, mode: Mode) -> CreateRequest {
    CreateRequest {
        path: path.to_owned(),
        data: Some(Bytes::copy_from_slice(data.as_bytes())),
        acl: acl(),
        flags: match mode {
            Mode::Persistent => 0,
            Mode::Ephemeral => 1,
            Mode::PersistentSequential => 2,
            Mode::EphemeralSequential => 3,
        },
    }
}

fn set(path: &str, data: &str, version: i32) -> SetDataRequest {
    SetDataRequest {
        path: path.to_owned(),
        data: Some(Bytes::copy_from_slice(data.as_bytes())),
        version,
    }
}

/// A frame of any record.
pub(crate) fn frame(xid: i32, op: OpCode, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    let start = start_frame(&mut out);
    RequestHeader {
        xid: Xid(xid),
        r#type: op.code(),
    }
    .encode(&mut out);
    body(&mut out);
    end_frame(&mut out, start);
    out
}

/// An operation as it is sent.
pub(crate) fn encode(xid: i32, op: &Op) -> Vec<u8> {
    frame(xid, code(op), |out| body(op, out))
}

fn code(op: &Op) -> OpCode {
    match op {
        Op::Create { .. } => OpCode::Create2,
        Op::Delete { .. } => OpCode::Delete,
        Op::Set { .. } => OpCode::SetData,
        Op::Check { .. } => OpCode::Check,
        Op::Multi { .. } => OpCode::Multi,
        Op::Get { .. } => OpCode::GetData,
        Op::Exists { .. } => OpCode::Exists,
        Op::Children { .. } => OpCode::GetChildren2,
        Op::Sync { .. } => OpCode::Sync,
        Op::AddWatch { .. } => OpCode::AddWatch,
        Op::Close | Op::Reconnect => OpCode::CloseSession,
    }
}

fn body(op: &Op, out: &mut Vec<u8>) {
    let read = |path: &str, watch| ReadRequest {
        path: path.to_owned(),
        watch,
    };
    match op {
        Op::Create { path, data, mode } => create(path, data, *mode).encode(out),
        Op::Delete { path, version } => DeleteRequest {
            path: path.clone(),
            version: *version,
        }
        .encode(out),
        Op::Set {
            path,
            data,
            version,
        } => set(path, data, *version).encode(out),
        Op::Check { path, version } => CheckVersionRequest {
            path: path.clone(),
            version: *version,
        }
        .encode(out),
        Op::Multi { ops } => {
            for op in ops {
                MultiHeader {
                    r#type: code(op).code(),
                    done: false,
                    err: -1,
                }
                .encode(out);
                body(op, out);
            }
            MultiHeader::END.encode(out);
        }
        Op::Get { path, watch } | Op::Exists { path, watch } | Op::Children { path, watch } => {
            read(path, *watch).encode(out);
        }
        Op::Sync { path } => SyncRequest {
            path: Some(path.clone()),
        }
        .encode(out),
        Op::AddWatch { path, recursive } => AddWatchRequest {
            path: Some(path.clone()),
            mode: i32::from(*recursive),
        }
        .encode(out),
        Op::Close | Op::Reconnect => {}
    }
}

/// An operation as the checks know it.
pub(crate) fn request(op: &Op) -> Request {
    let data = |data: &str| Some(Arc::from(data.as_bytes()));
    match op {
        Op::Create {
            path,
            data: text,
            mode,
        } => Request::Create {
            path: path.as_str().into(),
            data: data(text),
            acl: open_acl(),
            mode: match mode {
                Mode::Persistent => ox_check::CreateMode::Persistent,
                Mode::Ephemeral => ox_check::CreateMode::Ephemeral,
                Mode::PersistentSequential => ox_check::CreateMode::PersistentSequential,
                Mode::EphemeralSequential => ox_check::CreateMode::EphemeralSequential,
            },
        },
        Op::Delete { path, version } => Request::Delete {
            path: path.as_str().into(),
            version: *version,
        },
        Op::Set {
            path,
            data: text,
            version,
        } => Request::SetData {
            path: path.as_str().into(),
            data: data(text),
            version: *version,
        },
        Op::Check { path, version } => Request::Check {
            path: path.as_str().into(),
            version: *version,
        },
        Op::Multi { ops } => Request::Multi(ops.iter().map(request).collect()),
        Op::Get { path, watch } => Request::GetData {
            path: path.as_str().into(),
            watch: *watch,
        },
        Op::Exists { path, watch } => Request::Exists {
            path: path.as_str().into(),
            watch: *watch,
        },
        Op::Children { path, watch } => Request::GetChildren {
            path: path.as_str().into(),
            watch: *watch,
        },
        Op::Sync { path } => Request::Sync {
            path: path.as_str().into(),
        },
        Op::AddWatch { path, recursive } => Request::AddWatch {
            path: path.as_str().into(),
            recursive: *recursive,
        },
        Op::Close | Op::Reconnect => Request::CloseSession,
    }
}

/// A stat as the checks know it.
pub(crate) fn stat(stat: &ox_proto::Stat) -> ox_check::Stat {
    ox_check::Stat {
        czxid: stat.czxid,
        mzxid: stat.mzxid,
        ctime: stat.ctime,
        mtime: stat.mtime,
        version: stat.version,
        cversion: stat.cversion,
        aversion: stat.aversion,
        ephemeral_owner: stat.ephemeral_owner,
        data_length: stat.data_length,
        num_children: stat.num_children,
        pzxid: stat.pzxid,
    }
}

/// The body of an answer without an error.
pub(crate) fn answer(op: &Op, input: &mut Decoder<'_>) -> Result<Answer, ox_jute::DecodeError> {
    Ok(match op {
        Op::Create { .. } => {
            let made = Create2Response::decode(input)?;
            Answer::Created(made.path.into(), stat(&made.stat))
        }
        Op::Set { .. } | Op::Exists { .. } => {
            Answer::Stat(stat(&StatResponse::decode(input)?.stat))
        }
        Op::Get { .. } => {
            let got = GetDataResponse::decode(input)?;
            let data = got.data.map(|data| Arc::from(&data[..]));
            Answer::Data(data, stat(&got.stat))
        }
        Op::Children { .. } => {
            let got = GetChildren2Response::decode(input)?;
            let names = got.children.into_iter().map(Arc::from).collect();
            Answer::Children(names, Some(stat(&got.stat)))
        }
        Op::Multi { ops } => Answer::Multi(multi(ops, input)?),
        Op::Delete { .. }
        | Op::Check { .. }
        | Op::Sync { .. }
        | Op::AddWatch { .. }
        | Op::Close
        | Op::Reconnect => Answer::Done,
    })
}

/// The parts of a multi's answer, which may be an error as a whole.
fn multi(ops: &[Op], input: &mut Decoder<'_>) -> Result<Vec<Outcome>, ox_jute::DecodeError> {
    let mut outcomes = Vec::new();
    loop {
        let header = MultiHeader::decode(input)?;
        if header.done {
            return Ok(outcomes);
        }
        let op = ops.get(outcomes.len());
        outcomes.push(match (OpCode::from_code(header.r#type), op) {
            (Some(OpCode::Error), _) => Outcome::Error(input.int()?),
            (_, Some(op)) => Outcome::Ok(answer(op, input)?),
            (_, None) => return Err(ox_jute::DecodeError::Value(header.r#type)),
        });
    }
}
