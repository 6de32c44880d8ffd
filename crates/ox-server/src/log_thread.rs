//! The thread that owns the transaction log.
//!
//! It takes all that is queued, writes it in one go, syncs, says so, and lets the next batch gather
//! meanwhile. Invariant: what it reports as flushed is on stable storage; the first failure ends
//! the process, for nothing that is not durable may be acknowledged and a failed sync proves
//! nothing by a retry. Source: `SyncRequestProcessor.java`; storage.md 3.2 and 3.3.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::thread::JoinHandle;
use std::time::Duration;

use ox_proto::Zxid;
use ox_txnlog::{Log, LogError};
use parking_lot::{Condvar, Mutex};
use rand::RngExt as _;

use crate::fatal;
use crate::shared::Shared;

/// How long nothing must come before the log's note of what is durable is synced too.
const IDLE: Duration = Duration::from_secs(1);

/// Transactions on their way to the log.
#[derive(Debug, Default)]
pub(crate) struct LogQueue {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    batch: Batch,
    closed: bool,
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

    fn is_empty(&self) -> bool {
        self.records.is_empty()
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
        if state.batch.is_empty() {
            std::mem::swap(&mut state.batch, batch);
            self.filled.notify_one();
        } else {
            state.batch.bytes.extend_from_slice(&batch.bytes);
            state.batch.records.extend_from_slice(&batch.records);
        }
        drop(state);
        batch.clear();
    }

    /// Nothing more will come.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.filled.notify_one();
    }

    /// Waits for transactions and takes them all. `None` ends the thread; an empty batch means
    /// that nothing has come for a while.
    fn take(&self, mut empty: Batch, patience: Option<Duration>) -> Option<Batch> {
        empty.clear();
        let mut state = self.state.lock();
        while state.batch.is_empty() && !state.closed {
            match patience {
                None => self.filled.wait(&mut state),
                Some(patience) if self.filled.wait_for(&mut state, patience).timed_out() => break,
                Some(_) => {}
            }
        }
        if state.batch.is_empty() && state.closed {
            return None;
        }
        std::mem::swap(&mut state.batch, &mut empty);
        Some(empty)
    }
}

/// Starts the thread. `flushed` is called with each zxid up to which all is durable.
pub(crate) fn spawn(
    shared: Arc<Shared>,
    log: Log,
    queue: Arc<LogQueue>,
    snapshots: SyncSender<()>,
    flushed: impl Fn(Zxid) + Send + 'static,
) -> JoinHandle<()> {
    let writer = Writer {
        trigger: Trigger::new(&shared),
        shared,
        log,
        snapshots,
    };
    let run = move || {
        if let Err(error) = writer.run(&queue, flushed) {
            fatal::log_failed(&error);
        }
    };
    std::thread::Builder::new()
        .name("SyncThread:0".to_owned())
        .spawn(run)
        .expect("a thread can be started")
}

struct Writer {
    shared: Arc<Shared>,
    log: Log,
    trigger: Trigger,
    snapshots: SyncSender<()>,
}

impl Writer {
    fn run(mut self, queue: &LogQueue, flushed: impl Fn(Zxid)) -> Result<(), LogError> {
        let mut batch = Batch::default();
        let mut patience = None;
        while let Some(taken) = queue.take(batch, patience) {
            batch = taken;
            if batch.is_empty() {
                self.log.idle()?;
                patience = None;
                continue;
            }
            patience = Some(IDLE);
            self.write(&batch)?;
            if let Some((zxid, _)) = batch.records.last() {
                flushed(*zxid);
            }
            if self
                .trigger
                .is_due(batch.records.len(), self.log.total_size())
            {
                self.roll()?;
            }
        }
        self.log.close()
    }

    fn write(&mut self, batch: &Batch) -> Result<(), LogError> {
        let mut rest = &batch.bytes[..];
        for (zxid, length) in &batch.records {
            let (payload, behind) = rest.split_at(*length);
            self.log.append(*zxid, payload)?;
            rest = behind;
        }
        let report = self.log.sync()?;
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

    fn roll(&mut self) -> Result<(), LogError> {
        self.log.roll()?;
        self.log.reset_total_size();
        self.trigger.restart();
        match self.snapshots.try_send(()) {
            Ok(()) => {}
            Err(TrySendError::Full(())) => tracing::warn!("Too busy to snap, skipping"),
            Err(TrySendError::Disconnected(())) => {}
        }
        Ok(())
    }
}

/// When the next snapshot is due: after a random number of transactions or bytes, so that the
/// members of an ensemble do not take theirs at the same time.
struct Trigger {
    every_txns: u32,
    every_bytes: Option<u64>,
    records: usize,
    after_records: usize,
    after_bytes: u64,
}

impl Trigger {
    fn new(shared: &Shared) -> Self {
        let snapshots = &shared.config.snapshots;
        let mut trigger = Self {
            every_txns: snapshots.every_txns,
            every_bytes: snapshots.every_bytes,
            records: 0,
            after_records: 0,
            after_bytes: u64::MAX,
        };
        trigger.restart();
        trigger
    }

    fn restart(&mut self) {
        let half = self.every_txns / 2;
        let txns = half + rand::rng().random_range(0..half.max(1));
        self.records = 0;
        self.after_records = usize::try_from(txns).unwrap_or(usize::MAX);
        self.after_bytes = self.every_bytes.map_or(u64::MAX, |bytes| {
            bytes / 2 + rand::rng().random_range(0..(bytes / 2).max(1))
        });
    }

    fn is_due(&mut self, records: usize, bytes: u64) -> bool {
        self.records += records;
        self.records > self.after_records || bytes > self.after_bytes
    }
}
