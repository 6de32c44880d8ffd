//! Who works in the folders of the disk besides the log.
//!
//! Invariant: while a history is cut or replaced nobody else reads or writes files there. A
//! snapshot that is being taken then is given up, for it may hold what is taken back.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};

/// The right to work in the folders.
#[derive(Debug, Default)]
pub(crate) struct Folders {
    worker: Mutex<()>,
    /// How many wait to have the folders for themselves.
    wanted: AtomicUsize,
}

impl Folders {
    /// For snapshots and purges, which come one after the other.
    pub(crate) fn work(&self) -> MutexGuard<'_, ()> {
        self.worker.lock()
    }

    /// Whether whoever works should give up.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) > 0
    }

    /// For who changes the history.
    pub(crate) fn take_over(&self) -> MutexGuard<'_, ()> {
        self.wanted.fetch_add(1, Ordering::Relaxed);
        let guard = self.worker.lock();
        self.wanted.fetch_sub(1, Ordering::Relaxed);
        guard
    }
}
