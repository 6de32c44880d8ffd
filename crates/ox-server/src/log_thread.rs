//! The thread that owns the transaction log and the epoch files.
//!
//! It takes all that is queued, writes it in one go, syncs, says so, and lets the next batch gather
//! meanwhile; what else a member of an ensemble asks of the disk takes its turn among the batches.
//! Invariant: what it reports is on stable storage; the first failure ends the process, for
//! nothing that is not durable may be acknowledged and a failed sync proves nothing by a retry.
//! Source: `SyncRequestProcessor.java`; storage.md 3.2 and 3.3, quorum.md 3.7 and 8.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::thread::JoinHandle;
use std::time::Duration;

use ox_proto::Zxid;
use ox_store::{DiskError, Done, Store, StoreSettings};
use ox_txnlog::DataDirs;
use ox_zab::DiskRequest;
use parking_lot::{Condvar, Mutex};
use rand::RngExt as _;

use crate::fatal;
use crate::shared::Shared;

/// How long nothing must come before the log's note of what is durable is synced too.
const IDLE: Duration = Duration::from_secs(1);

/// What the disk has done.
#[derive(Debug)]
pub(crate) enum LogReport {
    /// All transactions up to this one are durable.
    Flushed(Zxid),
    /// A request is done.
    Done(Done),
}

/// Transactions and requests on their way to the disk.
#[derive(Debug, Default)]
pub(crate) struct LogQueue {
    state: Mutex<Queued>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Queued {
    items: VecDeque<Item>,
    /// Memory for the next batch.
    spare: Batch,
    closed: bool,
}

#[derive(Debug)]
enum Item {
    Records(Batch),
    Request(DiskRequest),
    /// Nothing has come for a while.
    Nothing,
}

/// Payloads back to back.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    records: Vec<(Zxid, usize)>,
}

impl Batch {
    /// How much memory an empty batch keeps.
    const KEPT_CAPACITY: usize = 1 << 20;

    /// Adds a transaction.
    pub(crate) fn push(&mut self, zxid: Zxid, payload: &[u8]) {
        self.bytes.extend_from_slice(payload);
        self.records.push((zxid, payload.len()));
    }

    /// The zxid of the transaction added last.
    pub(crate) fn last(&self) -> Option<Zxid> {
        self.records.last().map(|(zxid, _)| *zxid)
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(Self::KEPT_CAPACITY);
        self.records.clear();
    }
}

impl LogQueue {
    /// Queues all of `batch` and leaves it empty.
    pub(crate) fn push(&self, batch: &mut Batch) {
        let mut state = self.state.lock();
        if let Some(Item::Records(waiting)) = state.items.back_mut() {
            waiting.bytes.extend_from_slice(&batch.bytes);
            waiting.records.extend_from_slice(&batch.records);
            drop(state);
            batch.clear();
            return;
        }
        let spare = std::mem::take(&mut state.spare);
        let full = std::mem::replace(batch, spare);
        state.items.push_back(Item::Records(full));
        self.filled.notify_one();
    }

    /// Queues a request behind everything before it.
    pub(crate) fn request(&self, request: DiskRequest) {
        self.state.lock().items.push_back(Item::Request(request));
        self.filled.notify_one();
    }

    /// Nothing more will come.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.filled.notify_one();
    }

    /// Waits for the next thing to do. `None` ends the thread.
    fn take(&self, patience: Option<Duration>) -> Option<Item> {
        let mut state = self.state.lock();
        while state.items.is_empty() && !state.closed {
            match patience {
                None => self.filled.wait(&mut state),
                Some(patience) if self.filled.wait_for(&mut state, patience).timed_out() => {
                    return Some(state.items.pop_front().unwrap_or(Item::Nothing));
                }
                Some(_) => {}
            }
        }
        state.items.pop_front()
    }

    /// Gives the memory of a batch back.
    fn give_back(&self, mut batch: Batch) {
        batch.clear();
        self.state.lock().spare = batch;
    }
}

/// Starts the thread. `report` is called with each thing that is done.
pub(crate) fn spawn(
    shared: Arc<Shared>,
    dirs: &DataDirs,
    settings: StoreSettings,
    queue: Arc<LogQueue>,
    snapshots: SyncSender<()>,
    report: impl Fn(LogReport) + Send + 'static,
) -> JoinHandle<()> {
    let writer = Writer {
        store: Store::new(dirs, settings, rand::rng().random()),
        shared,
        snapshots,
    };
    let run = move || {
        if let Err(error) = writer.run(&queue, report) {
            fatal::disk_failed(&error);
        }
    };
    std::thread::Builder::new()
        .name("SyncThread:0".to_owned())
        .spawn(run)
        .expect("a thread can be started")
}

struct Writer {
    shared: Arc<Shared>,
    store: Store,
    snapshots: SyncSender<()>,
}

impl Writer {
    fn run(mut self, queue: &LogQueue, report: impl Fn(LogReport)) -> Result<(), DiskError> {
        let mut patience = None;
        while let Some(item) = queue.take(patience) {
            match item {
                Item::Nothing => {
                    self.store.idle()?;
                    patience = None;
                }
                Item::Records(batch) => {
                    patience = Some(IDLE);
                    self.write(&batch)?;
                    if let Some((zxid, _)) = batch.records.last() {
                        report(LogReport::Flushed(*zxid));
                    }
                    let records = batch.records.len();
                    queue.give_back(batch);
                    if self.store.begins_anew(records)? {
                        self.want_snapshot();
                    }
                }
                Item::Request(request) => report(LogReport::Done(self.perform(request)?)),
            }
        }
        self.store.close()
    }

    /// Does what a member of an ensemble asks for. Everything before it is durable.
    fn perform(&mut self, request: DiskRequest) -> Result<Done, DiskError> {
        let _folders = Store::changes_history(&request).then(|| self.shared.folders.take_over());
        self.store.perform(request, &*self.shared)
    }

    fn write(&mut self, batch: &Batch) -> Result<(), DiskError> {
        let mut rest = &batch.bytes[..];
        for (zxid, length) in &batch.records {
            let (payload, behind) = rest.split_at(*length);
            self.store.append(*zxid, payload)?;
            rest = behind;
        }
        let report = self.store.sync()?;
        let took = u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX);
        self.shared.metrics.fsynctime.record(took);
        if report.slow {
            self.shared.metrics.fsync_threshold_exceed_count.add(1);
            tracing::warn!(
                "fsync-ing the write ahead log in SyncThread:0 took {}ms which will adversely \
                 effect operation latency. File size is {} bytes. See the ZooKeeper \
                 troubleshooting guide",
                report.took.as_millis(),
                report.file_size,
            );
        }
        Ok(())
    }

    fn want_snapshot(&self) {
        // What is in the tree before it is served may still have to be taken back.
        if !self.shared.standing.lock().has_leader() {
            return;
        }
        match self.snapshots.try_send(()) {
            Ok(()) => {}
            Err(TrySendError::Full(())) => tracing::warn!("Too busy to snap, skipping"),
            Err(TrySendError::Disconnected(())) => {}
        }
    }
}
