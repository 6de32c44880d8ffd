//! The transaction log and the snapshots, in Apache ZooKeeper's formats, durable.
//!
//! What this crate promises: a record whose [`Log::sync`] returned is found again by [`replay()`]
//! after any crash, a file that Java ZooKeeper wrote is read as Java reads it or refused with its
//! name and the offset, and whatever is written here Java can read. After the first failed write
//! or sync a [`Log`] answers every call with an error: what the disk holds is then unknown, and
//! only a restart finds out.
//!
//! And to a member of an ensemble: what [`truncate()`] or [`SnapshotWriter::install`] has removed
//! does not come back, and a crash in the midst of them leaves a beginning of the history, which
//! reaches as far as it was to go back, or the whole snapshot, and never a mixture. An epoch that
//! [`EpochFiles::store`] returned for is found again. A [`LogCursor`] hands on nothing from behind
//! a place where records may be missing.
//!
//! One owner at a time: while it goes back or installs, no log is open, no snapshot is being
//! written and nothing is purged.
//!
//! Source: storage.md, quorum.md 3.7 and 8.2; the choice of system calls is
//! design-measurements.md chapters 1 and 6.

mod bound;
mod cursor;
mod dirs;
mod disk;
mod epoch;
mod error;
mod format;
mod log;
mod mapped;
mod purge;
mod reader;
mod replay;
mod scan;
mod segment;
mod snapshot;
mod step;
#[cfg(test)]
mod testing;
mod truncate;
mod zero_ahead;

pub use cursor::LogCursor;
pub use dirs::{DataDirs, DirError, DirLock};
pub use disk::{Disk, DiskFile, Open, RealDisk, Window};
pub use epoch::{EpochError, EpochFiles, EpochName, Epochs};
pub use error::{Doing, IoFailure};
pub use format::{Compression, log_name, parse_log_name};
pub use log::{Log, LogConfig, LogError, SyncReport};
pub use purge::{MIN_RETAIN, PurgeError, purge};
pub use reader::Damage;
pub use replay::{
    Before, EachRecord, Evidence, Replay, ReplayError, ReplayOptions, ReplayWarning, replay,
};
pub use snapshot::{
    ImageSink, LoadOptions, Loaded, SnapshotDigest, SnapshotError, SnapshotFile, SnapshotTail,
    SnapshotWriter, load_newest, load_snapshot, newest_snapshot_size, snapshots, verify_snapshot,
};
pub use truncate::{TruncateError, Truncated, truncate};
pub use zero_ahead::DirectFile;

/// The error of what a caller does with records or images that are handed to it.
pub type CallerError = Box<dyn std::error::Error + Send + Sync>;
