//! The log as this server holds it: what is in it, how much of that is on the disk, how much is
//! committed, and its newest part in memory.
//!
//! Invariants: entries are in the order of their zxids and without a gap within an epoch; `base` is
//! the one before the first of them; committed ≤ flushed ≤ last. A window with a hole must never
//! serve a learner (ZOOKEEPER-4925), so what does not follow is refused. Source: `ZKDatabase`
//! (`committedLog`), `FileTxnSnapLog`; quorum.md 6.4 and 16.3.

use std::collections::VecDeque;

use bytes::Bytes;
use ox_mutant::{Mutant, is_on};
use ox_proto::Zxid;

/// A log entry.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct Entry {
    /// Its zxid.
    pub zxid: Zxid,
    /// The transaction, encoded.
    pub payload: Bytes,
}

/// What the log holds.
#[derive(Clone, Debug, Hash)]
pub struct History {
    /// The zxid before the first of `entries`: an entry's or a snapshot's.
    base: Zxid,
    /// Uncommitted entries, and the newest committed ones.
    entries: VecDeque<Entry>,
    /// Bytes of their payloads.
    bytes: usize,
    /// The newest entry.
    last: Zxid,
    /// The newest entry that is on stable storage.
    flushed: Zxid,
    /// The newest committed entry.
    committed: Zxid,
    /// How many committed entries stay in memory at least, unless they take too many bytes.
    keep: usize,
}

impl History {
    /// Bytes of committed entries that stay in memory at most.
    const KEPT_BYTES: usize = 64 << 20;

    /// A log that ends at `last`, all of it on stable storage and none of it in memory; `keep`
    /// committed entries will stay there.
    pub fn new(last: Zxid, keep: usize) -> Self {
        Self {
            base: last,
            entries: VecDeque::new(),
            bytes: 0,
            last,
            flushed: last,
            committed: last,
            keep,
        }
    }

    /// Remembers an entry that was read from the disk at the start; older ones give way to it.
    pub fn recovered(&mut self, zxid: Zxid, payload: &[u8]) {
        self.push(zxid, Bytes::copy_from_slice(payload));
        self.flushed = zxid;
        self.committed = zxid;
        self.trim();
    }

    /// Takes an entry that is on its way to the disk.
    ///
    /// # Panics
    /// If it does not follow the one before it.
    pub(crate) fn append(&mut self, zxid: Zxid, payload: Bytes) {
        assert!(
            zxid.follows(self.last),
            "log order: {zxid} after {}",
            self.last
        );
        self.push(zxid, payload);
    }

    fn push(&mut self, zxid: Zxid, payload: Bytes) {
        self.last = zxid;
        self.bytes += payload.len();
        self.entries.push_back(Entry { zxid, payload });
    }

    /// Everything up to `zxid` is on stable storage.
    pub(crate) fn flush(&mut self, zxid: Zxid) {
        // What was cut meanwhile may still be reported.
        self.flushed = self.flushed.max(zxid.min(self.last));
    }

    /// The entry `zxid` is committed, and all before it.
    ///
    /// # Panics
    /// If it is not on stable storage here.
    pub(crate) fn commit(&mut self, zxid: Zxid) {
        assert!(
            zxid <= self.flushed || is_on(Mutant::M02),
            "{zxid} commits, {} is flushed",
            self.flushed
        );
        self.committed = self.committed.max(zxid);
        self.trim();
    }

    fn trim(&mut self) {
        while let Some(oldest) = self.entries.front()
            && oldest.zxid <= self.committed
            && (self.entries.len() > self.keep || self.bytes > Self::KEPT_BYTES)
        {
            self.base = oldest.zxid;
            self.bytes -= oldest.payload.len();
            self.entries.pop_front();
        }
    }

    /// Drops what stands behind `to`.
    pub(crate) fn truncate(&mut self, to: Zxid) {
        while let Some(newest) = self.entries.pop_back_if(|newest| newest.zxid > to) {
            self.bytes -= newest.payload.len();
        }
        if to < self.base {
            self.base = to;
        }
        self.last = self.entries.back().map_or(self.base, |newest| newest.zxid);
        self.flushed = self.flushed.min(self.last);
        self.committed = self.committed.min(self.last);
    }

    /// Breaks the invariant of [`Mutant::M12`].
    pub(crate) fn lose_newest(&mut self) {
        if let Some(lost) = self.entries.pop_back() {
            self.bytes -= lost.payload.len();
        }
    }

    /// A snapshot at `last` stands for everything.
    pub(crate) fn restart(&mut self, last: Zxid) {
        *self = Self::new(last, self.keep);
    }

    /// The newest entry, whether on the disk or not.
    pub fn last(&self) -> Zxid {
        self.last
    }

    /// The newest entry on stable storage.
    pub fn flushed(&self) -> Zxid {
        self.flushed
    }

    /// The newest committed entry.
    pub fn committed(&self) -> Zxid {
        self.committed
    }

    /// Memory holds everything behind this one.
    pub(crate) fn base(&self) -> Zxid {
        self.base
    }

    /// The entries in memory behind `zxid`.
    pub(crate) fn behind(&self, zxid: Zxid) -> impl Iterator<Item = &Entry> {
        let first = self.entries.partition_point(|entry| entry.zxid <= zxid);
        self.entries.range(first..)
    }

    /// The newest known zxid that is at or before `zxid`: an entry's, or the base.
    pub(crate) fn at_or_before(&self, zxid: Zxid) -> Zxid {
        let behind = self.entries.partition_point(|entry| entry.zxid <= zxid);
        match behind.checked_sub(1) {
            Some(place) => self.entries[place].zxid,
            None => self.base,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(keep: usize, counters: impl IntoIterator<Item = u32>) -> History {
        let mut history = History::new(Zxid::ZERO, keep);
        for counter in counters {
            history.append(Zxid::new(1, counter), Bytes::from_static(b"txn"));
        }
        history
    }

    fn counters(history: &History, behind: u32) -> Vec<u32> {
        let entries = history.behind(Zxid::new(1, behind));
        entries.map(|entry| entry.zxid.counter()).collect()
    }

    #[test]
    fn what_is_not_committed_stays_however_much_there_is() {
        let mut history = history(2, 1..=5);
        history.flush(Zxid::new(1, 5));
        assert_eq!(counters(&history, 0), [1, 2, 3, 4, 5]);
        history.commit(Zxid::new(1, 2));
        assert_eq!(
            (counters(&history, 0), history.base().counter()),
            (vec![3, 4, 5], 2)
        );
        history.commit(Zxid::new(1, 5));
        assert_eq!(
            (counters(&history, 0), history.base().counter()),
            (vec![4, 5], 3)
        );
    }

    #[test]
    fn a_cut_takes_the_end_only() {
        let mut history = history(9, 1..=5);
        history.flush(Zxid::new(1, 5));
        history.commit(Zxid::new(1, 1));
        history.truncate(Zxid::new(1, 3));
        assert_eq!(
            (counters(&history, 0), history.last().counter()),
            (vec![1, 2, 3], 3)
        );
        assert_eq!(
            (history.flushed().counter(), history.committed().counter()),
            (3, 1)
        );
        history.flush(Zxid::new(1, 5));
        assert_eq!(history.flushed().counter(), 3);
    }

    #[test]
    #[should_panic(expected = "log order")]
    fn a_hole_is_our_own_bug() {
        history(9, [1, 3]);
    }

    #[test]
    #[should_panic(expected = "commits")]
    fn nothing_commits_before_it_is_flushed() {
        history(9, [1]).commit(Zxid::new(1, 1));
    }
}
