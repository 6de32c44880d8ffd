//! The transaction log as its one writer sees it.
//!
//! Records are gathered in memory and reach the file in one piece when they are synced.
//! Invariants: what a sync has returned for is found again after any crash; a file is begun only
//! when everything before it is durable; nothing is ever appended to a file of an earlier run;
//! after the first error no call succeeds. Source: storage.md 3.2, 3.3 and 13.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ox_mutant::{Mutant, is_on};
use ox_proto::Zxid;

use crate::DataDirs;
use crate::bound::{BoundFile, SyncedBound};
use crate::disk::Disk;
use crate::error::{Doing, IoFailure};
use crate::format::{ENTRY_OVERHEAD, LENGTH_AT, MAX_BATCH, push_entry};
use crate::segment::{Segment, SegmentOptions};

/// How the log is kept. The defaults are ZooKeeper's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Log files grow by so many bytes at a time (`zookeeper.preAllocSize`); 0 means by what each
    /// batch needs.
    pub preallocate: u64,
    /// False leaves it to the operating system when records reach the disk
    /// (`zookeeper.forceSync=no`).
    pub force_sync: bool,
    /// A sync that takes longer is reported as slow (`fsync.warningthresholdms`).
    pub fsync_warning: Duration,
    /// A file larger than so many bytes, unused space included, is followed by a new one
    /// (`zookeeper.txnLogSizeLimitInKb`).
    pub size_limit: Option<u64>,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            preallocate: 64 << 20,
            force_sync: true,
            fsync_warning: Duration::from_secs(1),
            size_limit: None,
        }
    }
}

/// Why the log cannot take or keep records.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk failed. Nothing further will succeed: what it holds is only known after a restart.
    #[error("the transaction log failed: {0}")]
    Io(#[from] IoFailure),
    /// An earlier call failed.
    #[error("the transaction log failed earlier and takes nothing more")]
    Failed,
    /// The record does not fit the format.
    #[error("a record of {length} bytes, zxid {zxid}, is too long for a log")]
    TooLong {
        /// Of the record.
        zxid: Zxid,
        /// Bytes of the payload.
        length: usize,
    },
}

/// What a sync did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// Zxid of the last record that became durable; `None` if there was none.
    pub last: Option<Zxid>,
    /// Records that became durable.
    pub records: usize,
    /// Bytes they take in the log.
    pub bytes: usize,
    /// How long it took.
    pub took: Duration,
    /// Size of the file, unused space included.
    pub file_size: u64,
    /// True if `took` is beyond the configured threshold.
    pub slow: bool,
}

/// Records that are not in a file yet.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    records: usize,
    /// First and last zxid; `None` if there are no records.
    span: Option<(Zxid, Zxid)>,
}

impl Batch {
    fn push(&mut self, zxid: Zxid, payload: &[u8]) {
        push_entry(payload, &mut self.bytes);
        self.records += 1;
        self.span = Some((self.span.map_or(zxid, |(first, _)| first), zxid));
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(MAX_BATCH);
        self.records = 0;
        self.span = None;
    }
}

/// The writer of the log.
pub struct Log {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    config: LogConfig,
    segment_options: SegmentOptions,
    batch: Batch,
    /// The last record taken.
    last: Option<Zxid>,
    /// The file being written; `None` until the first record after a start or a roll.
    segment: Option<Segment>,
    /// Checksum of that file's first record.
    first_checksum: u32,
    /// Files before it that hold records not synced, oldest first.
    retired: Vec<Segment>,
    bound: Option<BoundFile>,
    /// Bytes of the files finished since [`Log::reset_total_size`].
    finished_size: u64,
    /// What was done since the last report.
    report: SyncReport,
    failed: bool,
}

impl Log {
    /// A log that goes on behind what the folder holds, in a file of its own. Touches no file
    /// before the first record is synced.
    pub fn create(dirs: &DataDirs, config: LogConfig) -> Self {
        let segment_options = SegmentOptions {
            chunk: config.preallocate,
            sync: config.force_sync,
            mapped: config.preallocate > 0,
        };
        Self {
            disk: Arc::clone(&dirs.disk),
            dir: dirs.log.clone(),
            config,
            segment_options,
            batch: Batch::default(),
            last: None,
            segment: None,
            first_checksum: 0,
            retired: Vec::new(),
            bound: None,
            finished_size: 0,
            report: SyncReport::default(),
            failed: false,
        }
    }

    /// Takes a record. It is durable when a later [`Log::sync`] returns. Records that make up a
    /// large batch are written and synced on the way.
    pub fn append(&mut self, zxid: Zxid, payload: &[u8]) -> Result<(), LogError> {
        assert!(!payload.is_empty(), "a record is never empty: {zxid}");
        assert!(
            self.last <= Some(zxid),
            "log order: {zxid} after {:?}",
            self.last
        );
        if self.failed {
            return Err(LogError::Failed);
        }
        if i32::try_from(payload.len()).is_err() {
            let length = payload.len();
            return Err(LogError::TooLong { zxid, length });
        }
        let length = self.batch.bytes.len() + payload.len() + ENTRY_OVERHEAD;
        if self.batch.records > 0 && length > MAX_BATCH {
            self.latching(Self::sync_batch)?;
        }
        self.batch.push(zxid, payload);
        self.last = Some(zxid);
        Ok(())
    }

    /// Makes every record taken so far durable: file, name and all.
    pub fn sync(&mut self) -> Result<SyncReport, LogError> {
        self.latching(Self::sync_batch)?;
        let mut report = std::mem::take(&mut self.report);
        report.file_size = self.segment.as_ref().map_or(0, Segment::size);
        report.slow = report.took > self.config.fsync_warning;
        let limit = self.config.size_limit.unwrap_or(u64::MAX);
        if report.file_size > limit {
            self.roll()?;
        }
        Ok(report)
    }

    /// Ends the current file. The next record begins a new one; what was taken before stays to be
    /// synced.
    pub fn roll(&mut self) -> Result<(), LogError> {
        self.latching(|log| {
            log.write_batch()?;
            if let Some(mut segment) = log.segment.take() {
                log.finished_size += segment.size();
                segment.retire()?;
                log.retired.push(segment);
            }
            Ok(())
        })
    }

    /// Makes the note of what is durable durable itself. Worth doing when nothing else is.
    pub fn idle(&mut self) -> Result<(), LogError> {
        self.latching(|log| {
            let Some(bound) = &mut log.bound else {
                return Ok(());
            };
            bound
                .sync()
                .doing("sync the note of what is durable in", &log.dir)
        })
    }

    /// Syncs what is left and ends the file. Nothing of it is open any more: the folders may be
    /// truncated, and another log created that goes on there.
    pub fn close(mut self) -> Result<(), LogError> {
        self.sync()?;
        self.roll()?;
        self.idle()
    }

    /// The last record taken since this log was begun.
    pub fn last(&self) -> Option<Zxid> {
        self.last
    }

    /// Size of all files since the last reset, unused space of the current one included. Java
    /// takes a snapshot by it (`zookeeper.snapSizeLimitInKb`).
    pub fn total_size(&self) -> u64 {
        self.finished_size + self.segment.as_ref().map_or(0, Segment::size)
    }

    /// Begins counting sizes anew with the current file.
    pub fn reset_total_size(&mut self) {
        self.finished_size = 0;
    }

    /// Runs `step` unless an earlier one failed.
    fn latching(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<(), IoFailure>,
    ) -> Result<(), LogError> {
        if self.failed {
            return Err(LogError::Failed);
        }
        step(self).inspect_err(|_| self.failed = true)?;
        Ok(())
    }

    /// Writes the batch, then syncs every file that holds records not synced, in order.
    fn sync_batch(&mut self) -> Result<(), IoFailure> {
        self.write_batch()?;
        self.sync_retired()?;
        let Some(segment) = &mut self.segment else {
            return Ok(());
        };
        if !segment.is_synced() {
            let started = Instant::now();
            segment.sync().or_else(|error| match is_on(Mutant::M24) {
                true => segment.sync(),
                false => Err(error),
            })?;
            self.report.took += started.elapsed();
            self.note_bound()?;
        }
        Ok(())
    }

    fn sync_retired(&mut self) -> Result<(), IoFailure> {
        let started = Instant::now();
        for segment in &mut self.retired {
            segment.sync()?;
        }
        if !self.retired.is_empty() {
            self.report.took += started.elapsed();
            self.retired.clear();
        }
        Ok(())
    }

    /// Puts the batch into the current file, or begins one with it.
    fn write_batch(&mut self) -> Result<(), IoFailure> {
        let Some((first, last)) = self.batch.span else {
            return Ok(());
        };
        match &mut self.segment {
            Some(segment) => segment.write(&self.batch.bytes)?,
            None => self.begin_segment(first)?,
        }
        self.report.last = Some(last);
        self.report.records += self.batch.records;
        self.report.bytes += self.batch.bytes.len();
        self.batch.clear();
        Ok(())
    }

    fn begin_segment(&mut self, first: Zxid) -> Result<(), IoFailure> {
        // Or a power cut could keep this file and lose the end of the one before it: a gap.
        self.sync_retired()?;
        if self.bound.is_none() && self.config.force_sync {
            let bound = BoundFile::open(&*self.disk, &self.dir);
            self.bound = Some(bound.doing("open the note of what is durable in", &self.dir)?);
        }
        let started = Instant::now();
        let bytes = &self.batch.bytes;
        let segment = Segment::create(&self.disk, &self.dir, first, bytes, self.segment_options)?;
        self.report.took += started.elapsed();
        tracing::info!(path = ?segment.path(), "began a transaction log");
        self.first_checksum = first_checksum(bytes);
        self.segment = Some(segment);
        self.note_bound()?;
        match &mut self.bound {
            Some(bound) => bound
                .sync()
                .doing("sync the note of what is durable in", &self.dir),
            None => Ok(()),
        }
    }

    /// Notes how far the current file is durable.
    fn note_bound(&mut self) -> Result<(), IoFailure> {
        let (Some(bound), Some(segment)) = (&mut self.bound, &self.segment) else {
            return Ok(());
        };
        let name = segment.path().file_name().expect("a log has a name");
        bound
            .note(&SyncedBound {
                log: name.to_string_lossy().into_owned(),
                offset: segment.written(),
                first_checksum: self.first_checksum,
            })
            .doing("note what is durable in", &self.dir)
    }
}

/// The checksum that stands before the first record of a batch.
fn first_checksum(batch: &[u8]) -> u32 {
    let zero_extended = batch[..LENGTH_AT].last_chunk().expect("eight bytes");
    u32::from_be_bytes(*zero_extended)
}

#[cfg(test)]
mod tests;
