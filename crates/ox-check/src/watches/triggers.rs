//! What each transaction fires, in its order.
//!
//! Source: client-protocol.md 7.4 and 7.5.

use std::sync::Arc;

use crate::case::Case;
use crate::history::EventKind;
use crate::model::parent;
use crate::request::AclEntry;
use crate::txn::{Change, Txn};

/// Something that watches wait for.
#[derive(Clone, Debug)]
pub(super) struct Trigger {
    pub(super) kind: EventKind,
    pub(super) path: Arc<str>,
    /// Who may not read by this acl does not hear of it.
    pub(super) acl: Arc<[AclEntry]>,
}

/// What the transactions of the log fire, by their indices. `ChildrenChanged` is for child
/// watches, `Deleted` for both tables, the others are for data watches.
pub(super) fn of_log(case: &Case<'_>) -> Vec<Vec<Trigger>> {
    let txns = case.txns.iter().enumerate();
    txns.map(|(index, txn)| of_txn(case, index, txn)).collect()
}

pub(super) fn of_txn(case: &Case<'_>, index: usize, txn: &Txn) -> Vec<Trigger> {
    let mut fired = Fired {
        case,
        index,
        made: Vec::new(),
        triggers: Vec::new(),
    };
    match &txn.change {
        change if change.failed() => {}
        Change::Multi(parts) => {
            for part in parts {
                fired.by(part);
            }
        }
        Change::CloseSession { paths } => {
            let owned = case.model.ephemerals_at(txn.session, index);
            let mut all: Vec<Arc<str>> = paths.iter().flatten().cloned().collect();
            all.extend(owned.into_iter().map(Arc::from));
            all.sort_unstable();
            all.dedup();
            for path in all {
                fired.by(&Change::Delete { path });
            }
        }
        change => fired.by(change),
    }
    fired.triggers
}

struct Fired<'a> {
    case: &'a Case<'a>,
    index: usize,
    /// Made by this transaction; it may be gone again behind it.
    made: Vec<(Arc<str>, Arc<[AclEntry]>)>,
    triggers: Vec<Trigger>,
}

impl Fired<'_> {
    fn by(&mut self, change: &Change) {
        match change {
            Change::Create { path, acl, .. } => {
                self.made.push((Arc::clone(path), Arc::clone(acl)));
                self.fire(EventKind::Created, path);
                self.fire_parent(path);
            }
            Change::Delete { path } => {
                self.fire(EventKind::Deleted, path);
                self.fire_parent(path);
            }
            Change::SetData { path, .. } => self.fire(EventKind::DataChanged, path),
            Change::SetAcl { .. }
            | Change::Check { .. }
            | Change::Multi(_)
            | Change::CreateSession { .. }
            | Change::CloseSession { .. }
            | Change::Error(_) => {}
        }
    }

    fn fire_parent(&mut self, path: &str) {
        if let Some(parent) = parent(path) {
            self.fire(EventKind::ChildrenChanged, &parent.into());
        }
    }

    /// What is not there does not fire.
    fn fire(&mut self, kind: EventKind, path: &Arc<str>) {
        let before = self.case.model.node_at(path, self.index);
        let made = self.made.iter().rev().find(|(made, _)| made == path);
        let acl = made.map(|(_, acl)| acl).or(before.map(|node| &node.acl));
        if let Some(acl) = acl {
            self.triggers.push(Trigger {
                kind,
                path: Arc::clone(path),
                acl: Arc::clone(acl),
            });
        }
    }
}
