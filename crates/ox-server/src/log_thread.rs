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
use ox_replica::State;
use ox_txnlog::{
    DataDirs, EpochFiles, EpochName, IoFailure, Log, LogConfig, LogError, SnapshotError,
    TruncateError, truncate,
};
use ox_zab::{DiskDone, DiskRequest};
use parking_lot::{Condvar, Mutex};
use rand::RngExt as _;

use crate::config::Config;
use crate::load::{self, LoadError};
use crate::shared::Shared;
use crate::{fatal, snapshot_thread};

/// How long nothing must come before the log's note of what is durable is synced too.
const IDLE: Duration = Duration::from_secs(1);

/// What the disk has done.
#[derive(Debug)]
pub(crate) enum LogReport {
    /// All transactions up to this one are durable.
    Flushed(Zxid),
    /// A request is done.
    Done(DiskDone),
    /// A request is done, and this is what the disk holds now.
    Reloaded(DiskDone, Box<State>),
}

/// Why the disk cannot do what it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiskError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("cannot store an epoch: {0}")]
    Epoch(#[source] IoFailure),
    #[error("cannot go back in the history: {0}")]
    Truncate(#[from] TruncateError),
    #[error("cannot keep the leader's state: {0}")]
    Install(#[from] SnapshotError),
    #[error("cannot read what is on the disk: {0}")]
    Load(#[from] LoadError),
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
    dirs: DataDirs,
    hash_seed: u64,
    queue: Arc<LogQueue>,
    snapshots: SyncSender<()>,
    report: impl Fn(LogReport) + Send + 'static,
) -> JoinHandle<()> {
    let writer = Writer {
        trigger: Trigger::new(&shared),
        log: Log::create(&dirs, log_config(&shared.config)),
        epochs: EpochFiles::open(&dirs),
        shared,
        dirs,
        hash_seed,
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

fn log_config(config: &Config) -> LogConfig {
    LogConfig {
        preallocate: config.log.preallocate,
        force_sync: config.log.force_sync,
        fsync_warning: config.log.fsync_warning,
        size_limit: config.log.size_limit,
    }
}

struct Writer {
    shared: Arc<Shared>,
    dirs: DataDirs,
    hash_seed: u64,
    log: Log,
    epochs: EpochFiles,
    trigger: Trigger,
    snapshots: SyncSender<()>,
}

impl Writer {
    fn run(mut self, queue: &LogQueue, report: impl Fn(LogReport)) -> Result<(), DiskError> {
        let mut patience = None;
        while let Some(item) = queue.take(patience) {
            match item {
                Item::Nothing => {
                    self.log.idle()?;
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
                    if self.trigger.is_due(records, self.log.total_size()) {
                        self.roll()?;
                    }
                }
                Item::Request(request) => report(self.perform(request)?),
            }
        }
        Ok(self.log.close()?)
    }

    /// Does what a member of an ensemble asks for. Everything before it is durable.
    fn perform(&mut self, request: DiskRequest) -> Result<LogReport, DiskError> {
        let done = match request {
            DiskRequest::AcceptEpoch(epoch) => {
                let stored = self.epochs.store(EpochName::Accepted, epoch);
                stored.map_err(DiskError::Epoch)?;
                DiskDone::EpochAccepted(epoch)
            }
            DiskRequest::AnnounceEpoch(epoch) => {
                let announced = self.epochs.announce_current(epoch);
                announced.map_err(DiskError::Epoch)?;
                DiskDone::EpochAnnounced(epoch)
            }
            DiskRequest::EnterEpoch(epoch) => {
                let stored = self.epochs.store(EpochName::Current, epoch);
                stored.map_err(DiskError::Epoch)?;
                DiskDone::EpochEntered(epoch)
            }
            DiskRequest::Truncate { to, reload } => {
                let options = load::replay_options(&self.shared.config);
                let cut = self.alone(|dirs, _| match truncate(dirs, to, &options) {
                    Ok(truncated) => Ok(Some(truncated.last)),
                    Err(error @ TruncateError::Io(_)) => Err(error.into()),
                    Err(
                        error @ (TruncateError::NoSnapshot { .. }
                        | TruncateError::Replay { .. }
                        | TruncateError::NotReached { .. }),
                    ) => {
                        tracing::warn!("{error}: the leader will be asked for its whole state");
                        Ok(None)
                    }
                })?;
                let Some(last) = cut else {
                    return Ok(LogReport::Done(DiskDone::NotTruncated));
                };
                let done = DiskDone::Truncated { last };
                if reload {
                    return self.reload(done);
                }
                done
            }
            DiskRequest::Install => {
                let file =
                    self.alone(|dirs, shared| Ok(snapshot_thread::install(shared, dirs)?))?;
                DiskDone::Installed { last: file.zxid }
            }
            DiskRequest::Reload => return self.reload(DiskDone::Reloaded { last: Zxid::ZERO }),
        };
        Ok(LogReport::Done(done))
    }

    /// Reads the disk anew.
    fn reload(&mut self, done: DiskDone) -> Result<LogReport, DiskError> {
        let seed = self.hash_seed;
        let found = self.alone(|dirs, shared| Ok(load::load(&shared.config, dirs, seed)?))?;
        let last = found.state.tree.last_zxid();
        let done = match done {
            DiskDone::Reloaded { .. } => DiskDone::Reloaded { last },
            done => done,
        };
        Ok(LogReport::Reloaded(done, Box::new(found.state)))
    }

    /// Has the folders for itself: the log is closed, and no snapshot is being taken.
    fn alone<T>(
        &mut self,
        act: impl FnOnce(&DataDirs, &Shared) -> Result<T, DiskError>,
    ) -> Result<T, DiskError> {
        let fresh = Log::create(&self.dirs, log_config(&self.shared.config));
        std::mem::replace(&mut self.log, fresh).close()?;
        let shared = Arc::clone(&self.shared);
        let _folders = shared.folders.take_over();
        act(&self.dirs, &shared)
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
        // What is in the tree before it is served may still have to be taken back.
        if !self.shared.standing.lock().has_leader() {
            return Ok(());
        }
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
