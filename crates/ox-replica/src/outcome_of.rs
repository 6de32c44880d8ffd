//! Whether a transaction is what came of a request.
//!
//! A learner knows its own requests again by session and cxid. A client that has gone to another
//! server with its session may count its requests from the beginning there, so the same pair can
//! stand for two requests while the learner it has left has not heard of that. Java takes the one
//! for the other and may acknowledge a write that was never made. Source: `CommitProcessor.java`;
//! quorum.md 10.2.

use ox_proto::{Create, MultiOp, Request, Txn};

/// False if `txn` certainly came of another request. A failure may have come of any.
pub(crate) fn may_be_outcome_of(txn: &Txn, request: &Request) -> bool {
    match (request, txn) {
        // This one does not fail.
        (Request::CloseSession, txn) => matches!(txn, Txn::CloseSession(_)),
        (_, Txn::Error(_)) => true,
        (Request::Create(create), txn) => is_created_by(txn, create),
        (Request::Delete(request), Txn::Delete(txn)) => request.path == txn.path,
        (Request::SetData(request), Txn::SetData(txn)) => {
            request.path == txn.path && request.data == txn.data
        }
        (Request::SetAcl(request), Txn::SetAcl(txn)) => request.path == txn.path,
        (Request::Multi(ops), Txn::Multi(multi)) => {
            ops.len() == multi.txns.len()
                && ops
                    .iter()
                    .zip(&multi.txns)
                    .all(|(op, txn)| may_be_outcome_of_op(txn, op))
        }
        (Request::Reconfig(_), Txn::Reconfig(_)) => true,
        _ => false,
    }
}

fn may_be_outcome_of_op(txn: &Txn, op: &MultiOp) -> bool {
    match (op, txn) {
        (_, Txn::Error(_)) => true,
        (MultiOp::Create(create), txn) => is_created_by(txn, create),
        (MultiOp::Delete(request), Txn::Delete(txn)) => request.path == txn.path,
        (MultiOp::SetData(request), Txn::SetData(txn)) => {
            request.path == txn.path && request.data == txn.data
        }
        (MultiOp::Check(request), Txn::Check(txn)) => request.path == txn.path,
        _ => false,
    }
}

/// A sequential znode has ten digits behind the path that was asked for.
fn is_created_by(txn: &Txn, create: &Create) -> bool {
    let (path, data) = match txn {
        Txn::Create(txn) | Txn::Create2(txn) => (&txn.path, &txn.data),
        Txn::CreateContainer(txn) => (&txn.path, &txn.data),
        Txn::CreateTtl(txn) => (&txn.path, &txn.data),
        _ => return false,
    };
    path.starts_with(&create.path) && *data == create.data
}
