//! The transaction log and the snapshots, in Apache ZooKeeper's formats, durable.
//!
//! What this crate promises: a record whose [`Log::sync`] returned is found again by [`replay()`]
//! after any crash, a file that Java ZooKeeper wrote is read as Java reads it or refused with its
//! name and the offset, and whatever is written here Java can read. After the first failed write
//! or sync a [`Log`] answers every call with an error: what the disk holds is then unknown, and
//! only a restart finds out.
//!
//! Source: storage.md; the choice of system calls is design-measurements.md chapters 1 and 6.

mod bound;
mod cursor;
mod dirs;
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
pub use epoch::{EpochError, EpochFiles, EpochName, Epochs};
pub use error::IoFailure;
pub use format::{Compression, log_name, parse_log_name};
pub use log::{Log, LogConfig, LogError, SyncReport};
pub use purge::{MIN_RETAIN, PurgeError, purge};
pub use reader::Damage;
pub use replay::{EachRecord, Evidence, Replay, ReplayError, ReplayOptions, ReplayWarning, replay};
pub use snapshot::{
    ImageSink, LoadOptions, Loaded, SnapshotDigest, SnapshotError, SnapshotFile, SnapshotTail,
    SnapshotWriter, load_newest, load_snapshot, newest_snapshot_size, snapshots, verify_snapshot,
};
pub use truncate::{TruncateError, Truncated, truncate};

/// The error of what a caller does with records or images that are handed to it.
pub type CallerError = Box<dyn std::error::Error + Send + Sync>;
