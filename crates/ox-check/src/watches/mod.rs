//! What a client hears of its watches, compared with what the log says it must hear.
//!
//! Each connection is walked along its stream. An answer tells how far its server has come, so all
//! events up to that zxid stand before it; and an answer may leave watches behind. Three
//! properties are judged on one walk. Source: client-protocol.md 7.

mod tables;
mod triggers;
mod walk;

use std::sync::Arc;

use crate::case::Case;
use crate::history::{EventKind, OpId};
use crate::report::{Property, Report};
use crate::request::AclEntry;

/// What is wrong with the events of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    property: Property,
    operations: Vec<OpId>,
    text: String,
}

/// Walks all connections.
pub(crate) fn walk_all(case: &Case<'_>) -> Vec<Finding> {
    if !case.options.event_zxids {
        return Vec::new();
    }
    let all = triggers::of_log(case);
    (0..case.streams.len())
        .flat_map(|connection| walk::walk(case, &all, connection))
        .collect()
}

/// The acls by which clients hear of such an event of a transaction, for each time that it fires.
pub(crate) fn acls_of(
    case: &Case<'_>,
    index: usize,
    kind: EventKind,
    path: &str,
) -> impl Iterator<Item = Arc<[AclEntry]>> {
    let fired = triggers::of_txn(case, index, case.txns[index]).into_iter();
    let such = fired.filter(move |trigger| trigger.kind == kind && &*trigger.path == path);
    such.map(|trigger| trigger.acl)
}

/// Reports what was found of one property.
pub(crate) fn report(case: &Case<'_>, property: Property, report: &mut Report) {
    let found = case.watches.get_or_init(|| walk_all(case));
    for finding in found.iter().filter(|found| found.property == property) {
        report.add(property, &finding.operations, finding.text.clone());
    }
}
