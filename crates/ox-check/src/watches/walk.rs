//! The walk along the stream of one connection.
//!
//! Invariant: when an answer has been looked at, everything that its zxid says must have come has
//! come or is counted as late.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Finding;
use super::tables::{Tables, Told};
use super::triggers::Trigger;
use crate::access::{Identities, READ};
use crate::case::{Case, Item};
use crate::history::{Connection, Event, EventKind, OpId, Operation};
use crate::report::Property;
use crate::request::{Outcome, Request, SetWatches, error};
use crate::txn::Change;

/// An event that must, or may, come.
#[derive(Clone, Debug)]
struct Due {
    zxid: i64,
    kind: EventKind,
    path: Arc<str>,
    told: Told,
}

impl Due {
    fn is(&self, event: &Event) -> bool {
        Some(self.zxid) == event.zxid && self.kind == event.kind && self.path == event.path
    }
}

struct Walk<'a> {
    case: &'a Case<'a>,
    all: &'a [Vec<Trigger>],
    connection: &'a Connection,
    tables: Tables,
    /// Transactions that have been looked at.
    done: usize,
    /// As many of them as the last answer told of.
    answered: usize,
    /// Due, in the order in which they must come.
    due: VecDeque<Due>,
    /// Should have come before an answer.
    late: Vec<Due>,
    /// Came without a zxid since the last answer.
    caught_up: Vec<(EventKind, Arc<str>)>,
    /// Requests that leave watches and are not answered yet, with the paths they watch.
    asked: Vec<(u32, &'a Request)>,
    findings: Vec<Finding>,
}

/// Walks along one connection.
pub(super) fn walk(case: &Case<'_>, all: &[Vec<Trigger>], connection: usize) -> Vec<Finding> {
    let stream = &case.streams[connection];
    let asked = stream.iter().filter_map(|item| match item {
        Item::Reply(_, operation) if leaves_watches(&operation.request) => {
            Some((operation.sent, &operation.request))
        }
        Item::Reply(..) | Item::Event(_) => None,
    });
    let mut walk = Walk {
        case,
        all,
        connection: &case.history.connections[connection],
        tables: Tables::default(),
        done: 0,
        answered: 0,
        due: VecDeque::new(),
        late: Vec::new(),
        caught_up: Vec::new(),
        asked: asked.collect(),
        findings: Vec::new(),
    };
    for item in stream {
        match item {
            Item::Reply(id, operation) => walk.reply(*id, operation),
            Item::Event(event) => walk.event(event),
        }
    }
    walk.end();
    walk.findings
}

fn leaves_watches(request: &Request) -> bool {
    match request {
        Request::GetData { watch, .. }
        | Request::Exists { watch, .. }
        | Request::GetChildren { watch, .. } => *watch,
        Request::AddWatch { .. } | Request::SetWatches(_) => true,
        _ => false,
    }
}

impl<'a> Walk<'a> {
    fn reply(&mut self, id: OpId, operation: &Operation) {
        if operation.zxid <= 0 {
            return;
        }
        let count = self.case.count(operation.zxid);
        let before = std::mem::replace(&mut self.answered, count);
        self.advance(count, operation.returned.map_or(0, |(_, stamp)| stamp));
        while let Some(due) = self.due.pop_front() {
            if due.told == Told::Yes {
                let text = format!(
                    "{:?} at {:#x} is answered before {}",
                    operation.request,
                    operation.zxid,
                    show(&due)
                );
                self.find(Property::WatchOrder, &[id], text);
                self.late.push(due);
            }
        }
        if !matches!(operation.request, Request::SetWatches(_)) {
            for (kind, path) in std::mem::take(&mut self.caught_up) {
                let text = format!("{kind:?} {path} without a zxid, and nothing to catch up with");
                self.find(Property::WatchReconnect, &[id], text);
            }
        }
        self.register(id, operation, before);
    }

    /// Leaves the watches that an answer leaves.
    fn register(&mut self, id: OpId, operation: &Operation, before: usize) {
        let count = self.case.count(operation.zxid);
        let ok = matches!(operation.outcome, Outcome::Ok(_));
        match &operation.request {
            Request::GetData { path, watch: true } if ok => {
                let perhaps = self.perhaps(path, before, false);
                self.tables.set_data(path, perhaps);
            }
            Request::Exists { path, watch: true }
                if ok || operation.outcome == Outcome::Error(error::NO_NODE) =>
            {
                let perhaps = self.perhaps(path, before, false);
                self.tables.set_data(path, perhaps);
            }
            Request::GetChildren { path, watch: true } if ok => {
                let perhaps = self.perhaps(path, before, true);
                self.tables.set_child(path, perhaps);
            }
            Request::AddWatch { path, recursive } if ok => self.tables.add(path, *recursive),
            Request::RemoveWatches { path, kind } if ok => self.tables.remove(path, *kind),
            Request::SetWatches(sets) if ok => self.catch_up(id, sets, before, count),
            _ => {}
        }
        self.asked.retain(|(sent, _)| *sent != operation.sent);
    }

    /// Whether a watch may have fired before the answer that tells of it: only where reads are not
    /// exact.
    fn perhaps(&self, path: &str, before: usize, child: bool) -> bool {
        let concerns = |trigger: &Trigger| {
            let kind = match trigger.kind {
                EventKind::ChildrenChanged => child,
                EventKind::Deleted => true,
                EventKind::Created | EventKind::DataChanged => !child,
            };
            kind && &*trigger.path == path
        };
        let since = self.all[before.min(self.done)..self.done].iter().flatten();
        !self.case.options.exact_reads && since.into_iter().any(concerns)
    }

    /// What setWatches says at once, and what it leaves to wait for.
    fn catch_up(&mut self, id: OpId, sets: &SetWatches, before: usize, count: usize) {
        let relative = sets.relative_zxid;
        let lists = [(&sets.data, 0), (&sets.exist, 1), (&sets.child, 2)];
        let mut expected = Vec::new();
        let mut possible = Vec::new();
        for (paths, list) in lists {
            for path in paths {
                let at = |count| missed(self.case, list, path, relative, count);
                let told = at(count);
                let last = (count + 1).min(self.case.txns.len());
                let sure =
                    self.case.options.exact_reads || (at(before) == told && at(last) == told);
                match told {
                    Some(kind) if sure => expected.push((kind, Arc::clone(path))),
                    _ if sure => {}
                    _ => {
                        let kinds = [at(before), told, at(last)].into_iter().flatten();
                        possible.extend(kinds.map(|kind| (kind, Arc::clone(path))));
                    }
                }
                if told.is_none() || !sure {
                    match list {
                        2 => self.tables.set_child(path, !sure),
                        _ => self.tables.set_data(path, !sure),
                    }
                }
            }
        }
        for path in &sets.persistent {
            self.tables.add(path, false);
        }
        for path in &sets.recursive {
            self.tables.add(path, true);
        }
        let mut shown = std::mem::take(&mut self.caught_up);
        shown.retain(|event| expected.contains(event) || !possible.contains(event));
        if shown != expected {
            let text = format!("setWatches since {relative:#x}: {shown:?}, expected {expected:?}");
            self.find(Property::WatchReconnect, &[id], text);
        }
    }

    fn event(&mut self, event: &Event) {
        let Some(zxid) = event.zxid else {
            self.caught_up.push((event.kind, Arc::clone(&event.path)));
            return;
        };
        self.advance(self.case.count(zxid), event.stamp);
        let Some(place) = self.due.iter().position(|due| due.is(event)) else {
            self.strange(event, zxid);
            return;
        };
        let index = self.case.find(zxid);
        let change = index.map(|index| &self.case.txns[index].change);
        let unordered = matches!(change, Some(Change::CloseSession { .. }));
        let is_before = |due: &Due| due.told == Told::Yes && !(unordered && due.zxid == zxid);
        let skipped: Vec<Due> = self.due.iter().take(place).cloned().collect();
        if let Some(due) = skipped.iter().find(|due| is_before(due)) {
            let text = format!("{} comes before {}", show_event(event), show(due));
            self.find(Property::WatchOnce, &[], text);
        }
        self.due.remove(place);
    }

    /// Not due: too late, by a watch whose answer is on its way, or wrong.
    fn strange(&mut self, event: &Event, zxid: i64) {
        if let Some(place) = self.late.iter().position(|due| due.is(event)) {
            self.late.remove(place);
            return;
        }
        let asked = self.asked.iter().any(|(sent, request)| {
            *sent < event.stamp
                && request
                    .path()
                    .is_none_or(|path| event.path.starts_with(&**path))
        });
        if asked && !self.case.options.exact_reads {
            return;
        }
        let text = format!("{} at {zxid:#x}: no such watch", show_event(event));
        self.find(Property::WatchOnce, &[], text);
    }

    /// Looks at the transactions up to this number: what they fire is due.
    fn advance(&mut self, count: usize, stamp: u32) {
        let identities = Identities {
            connection: self.connection,
            stamp,
        };
        if self.tables.is_empty() {
            self.done = self.done.max(count);
        }
        while self.done < count {
            let txn = self.case.txns[self.done];
            let own_end = txn.session == self.connection.session
                && matches!(txn.change, Change::CloseSession { .. });
            for trigger in &self.all[self.done] {
                let told = match self.tables.fire(trigger) {
                    Told::Yes if own_end => Told::Perhaps,
                    told => told,
                };
                if told != Told::No && identities.may(&trigger.acl, READ) {
                    self.due.push_back(Due {
                        zxid: txn.zxid,
                        kind: trigger.kind,
                        path: Arc::clone(&trigger.path),
                        told,
                    });
                }
            }
            self.done += 1;
        }
    }

    /// A connection that has lasted to the end has been told everything its server knows.
    fn end(&mut self) {
        let life = self.case.model.life(self.connection.session);
        let lasted = self.connection.closed.is_none() && life.until.is_none();
        if !lasted || !self.case.options.settled {
            return;
        }
        let server = self.connection.server;
        let mut logs = self.case.history.logs.iter();
        let log = logs.find(|log| log.server == server);
        let count = log.map_or(self.case.txns.len(), |log| self.case.count(log.applied));
        self.advance(count, u32::MAX);
        let due = std::mem::take(&mut self.due);
        let late = std::mem::take(&mut self.late);
        for due in due.iter().chain(&late).filter(|due| due.told == Told::Yes) {
            self.find(
                Property::WatchOnce,
                &[],
                format!("{} never came", show(due)),
            );
        }
    }

    fn find(&mut self, property: Property, operations: &[OpId], text: String) {
        let session = self.connection.session;
        self.findings.push(Finding {
            property,
            operations: operations.to_vec(),
            text: format!("session {session:#x}: {text}"),
        });
    }
}

/// What a watch of a list has missed.
fn missed(
    case: &Case<'_>,
    list: usize,
    path: &str,
    relative: i64,
    count: usize,
) -> Option<EventKind> {
    match (list, case.model.node_at(path, count)) {
        (0 | 2, None) => Some(EventKind::Deleted),
        (0, Some(node)) => (relative < node.mzxid).then_some(EventKind::DataChanged),
        (1, Some(_)) => Some(EventKind::Created),
        (1, None) => None,
        (_, Some(node)) => (relative < node.pzxid).then_some(EventKind::ChildrenChanged),
        (_, None) => None,
    }
}

fn show(due: &Due) -> String {
    format!("{:?} {} by {:#x}", due.kind, due.path, due.zxid)
}

fn show_event(event: &Event) -> String {
    format!("{:?} {}", event.kind, event.path)
}
