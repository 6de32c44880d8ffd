//! Answers to clients, as frames.

use ox_jute::{Jute, end_frame, start_frame};
use ox_proto::{
    ErrorCode, ErrorResponse, EventType, KeeperState, MultiHeader, OpCode, ReplyHeader, Stat, Txn,
    WatcherEvent, Xid, Zxid,
};
use ox_tree::Outcome;

const HEADER_LENGTH: usize = 16;

/// Appends an answer. `body` writes what follows the header and says how it went; what it has
/// written in spite of an error stays.
pub(crate) fn write(
    out: &mut Vec<u8>,
    xid: Xid,
    zxid: Zxid,
    body: impl FnOnce(&mut Vec<u8>) -> ErrorCode,
) {
    let start = start_frame(out);
    ReplyHeader { xid, zxid, err: 0 }.encode(out);
    let error = body(out);
    if error != ErrorCode::Ok {
        let header = start + 4..start + 4 + HEADER_LENGTH;
        out[header.end - 4..header.end].copy_from_slice(&error.code().to_be_bytes());
    }
    end_frame(out, start);
}

/// Appends an answer that is a header only.
pub(crate) fn header(out: &mut Vec<u8>, xid: Xid, zxid: Zxid, error: ErrorCode) {
    let start = start_frame(out);
    ReplyHeader {
        xid,
        zxid,
        err: error.code(),
    }
    .encode(out);
    end_frame(out, start);
}

/// Appends a watch event. `zxid` is that of the transaction; -1 for what a client missed.
pub(crate) fn event(out: &mut Vec<u8>, zxid: Zxid, event: EventType, path: &str) {
    let start = start_frame(out);
    ReplyHeader {
        xid: Xid::NOTIFICATION,
        zxid,
        err: 0,
    }
    .encode(out);
    WatcherEvent {
        r#type: event.code(),
        state: KeeperState::SyncConnected.code(),
        path: path.to_owned(),
    }
    .encode(out);
    end_frame(out, start);
}

/// Appends the answer to a write: what its transaction came to.
pub(crate) fn outcome(out: &mut Vec<u8>, xid: Xid, zxid: Zxid, txn: &Txn, outcome: &Outcome) {
    match txn {
        // A failed multi says so in its body only.
        Txn::Multi(multi) => frame(out, xid, zxid, |out| {
            write_multi(out, &multi.txns, &outcome.subs);
        }),
        _ if outcome.error != ErrorCode::Ok => header(out, xid, zxid, outcome.error),
        _ => frame(out, xid, zxid, |out| write_body(out, txn, outcome)),
    }
}

fn frame(out: &mut Vec<u8>, xid: Xid, zxid: Zxid, body: impl FnOnce(&mut Vec<u8>)) {
    let start = start_frame(out);
    ReplyHeader { xid, zxid, err: 0 }.encode(out);
    body(out);
    end_frame(out, start);
}

/// What follows the header of one operation's answer, alone or within a multi.
fn write_body(out: &mut Vec<u8>, txn: &Txn, outcome: &Outcome) {
    match txn {
        Txn::Create(txn) => txn.path.encode(out),
        Txn::Create2(txn) => write_created(out, &txn.path, outcome),
        Txn::CreateContainer(txn) => write_created(out, &txn.path, outcome),
        Txn::CreateTtl(txn) => write_created(out, &txn.path, outcome),
        Txn::SetData(_) | Txn::SetAcl(_) => stat(outcome).encode(out),
        Txn::Reconfig(txn) => {
            txn.data.encode(out);
            stat(outcome).encode(out);
        }
        Txn::Delete(_)
        | Txn::DeleteContainer(_)
        | Txn::Check(_)
        | Txn::Multi(_)
        | Txn::CreateSession(_)
        | Txn::CloseSession(_)
        | Txn::Error(_) => {}
    }
}

fn write_created(out: &mut Vec<u8>, path: &String, outcome: &Outcome) {
    path.encode(out);
    stat(outcome).encode(out);
}

fn stat(outcome: &Outcome) -> &Stat {
    outcome
        .stat
        .as_ref()
        .expect("a change to a znode that was applied leaves a stat")
}

fn write_multi(out: &mut Vec<u8>, txns: &[Txn], outcomes: &[Outcome]) {
    let failed = txns.iter().any(|txn| matches!(txn, Txn::Error(_)));
    for (txn, outcome) in txns.iter().zip(outcomes) {
        if failed || outcome.error != ErrorCode::Ok {
            multi_error(out, outcome.error);
            continue;
        }
        let result = match txn.op() {
            OpCode::CreateContainer | OpCode::CreateTtl => OpCode::Create2,
            op => op,
        };
        MultiHeader {
            r#type: result.code(),
            done: false,
            err: 0,
        }
        .encode(out);
        write_body(out, txn, outcome);
    }
    MultiHeader::END.encode(out);
}

/// The result of an operation within a multi that failed, or that was not done.
pub(crate) fn multi_error(out: &mut Vec<u8>, error: ErrorCode) {
    let err = error.code();
    MultiHeader {
        r#type: OpCode::Error.code(),
        done: false,
        err,
    }
    .encode(out);
    ErrorResponse { err }.encode(out);
}
