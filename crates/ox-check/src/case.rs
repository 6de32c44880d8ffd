//! A history made ready for the checks: the model of its log, and what belongs to what.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use crate::access::Identities;
use crate::history::{Event, History, OpId, Operation};
use crate::model::Model;
use crate::report::Options;
use crate::txn::Txn;
use crate::watches::Finding;

/// What came on a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Item<'a> {
    Reply(OpId, &'a Operation),
    Event(&'a Event),
}

/// All that the checks share.
pub(crate) struct Case<'a> {
    pub(crate) history: &'a History,
    pub(crate) options: &'a Options,
    /// The merged log, sorted, each zxid once.
    pub(crate) txns: Vec<&'a Txn>,
    pub(crate) model: Model,
    /// The writes by session and xid.
    writes: BTreeMap<(i64, i32), OpId>,
    /// For each connection what came, in its order.
    pub(crate) streams: Vec<Vec<Item<'a>>>,
    /// All answers, in the order of their coming.
    pub(crate) replies: Vec<(OpId, &'a Operation)>,
    /// What is wrong with watch events, once it has been looked for.
    pub(crate) watches: OnceCell<Vec<Finding>>,
}

impl<'a> Case<'a> {
    pub(crate) fn new(history: &'a History, options: &'a Options) -> Self {
        let mut txns: Vec<&Txn> = history.txns.iter().collect();
        txns.sort_by_key(|txn| txn.zxid);
        txns.dedup_by_key(|txn| txn.zxid);
        let model = Model::replay(&txns);
        let writes = ids(history)
            .filter(|(_, operation)| operation.request.is_write())
            .map(|(id, operation)| ((operation.session, operation.xid), id))
            .collect();
        let mut replies: Vec<(OpId, &Operation)> = ids(history)
            .filter(|(_, operation)| operation.returned.is_some())
            .collect();
        replies.sort_by_key(|(_, operation)| operation.returned.map(|(_, stamp)| stamp));
        let mut case = Self {
            history,
            options,
            txns,
            model,
            writes,
            streams: Vec::new(),
            replies,
            watches: OnceCell::new(),
        };
        case.streams = case.merge();
        case
    }

    /// The number of transactions up to this zxid.
    pub(crate) fn count(&self, zxid: i64) -> usize {
        self.txns.partition_point(|txn| txn.zxid <= zxid)
    }

    /// The index of the transaction with this zxid.
    pub(crate) fn find(&self, zxid: i64) -> Option<usize> {
        self.txns.binary_search_by_key(&zxid, |txn| txn.zxid).ok()
    }

    /// The write that became this transaction.
    pub(crate) fn write_of(&self, txn: &Txn) -> Option<(OpId, &'a Operation)> {
        let id = *self.writes.get(&(txn.session, txn.cxid))?;
        Some((id, &self.history.operations[id.index()]))
    }

    /// The identities with which a request was sent.
    pub(crate) fn identities(&self, operation: &Operation) -> Identities<'a> {
        Identities {
            connection: &self.history.connections[operation.connection.index()],
            stamp: operation.sent,
        }
    }

    fn merge(&self) -> Vec<Vec<Item<'a>>> {
        let mut streams = vec![Vec::new(); self.history.connections.len()];
        let mut replies = self.replies.iter().peekable();
        let mut push_replies = |streams: &mut Vec<Vec<Item<'a>>>, until: u32| {
            let stamp = |operation: &Operation| operation.returned.map_or(0, |(_, stamp)| stamp);
            while let Some((id, operation)) =
                replies.next_if(|(_, operation)| stamp(operation) < until)
            {
                streams[operation.connection.index()].push(Item::Reply(*id, operation));
            }
        };
        for event in &self.history.events {
            push_replies(&mut streams, event.stamp);
            streams[event.connection.index()].push(Item::Event(event));
        }
        push_replies(&mut streams, u32::MAX);
        streams
    }
}

/// The operations with their numbers.
pub(crate) fn ids(history: &History) -> impl Iterator<Item = (OpId, &Operation)> {
    (0_u32..).map(OpId).zip(&history.operations)
}
