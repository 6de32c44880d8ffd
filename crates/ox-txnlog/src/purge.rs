//! Deletes old snapshots, and the logs that only they need.
//!
//! Invariant: as many snapshots as are to be kept hold, seal by seal, and every log that one of
//! them needs stays. Java counts any file whose last five bytes are right, and so may delete the
//! last good one; names it cannot parse it deletes, we leave them alone. Source: storage.md 7.4.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Doing, IoFailure};
use crate::format::{logs, sync_dir};
use crate::snapshot::{SnapshotFile, by_name, snapshots};
use crate::{DataDirs, SnapshotError, verify_snapshot};

/// Fewer snapshots than this are never kept (`autopurge.snapRetainCount`).
pub const MIN_RETAIN: usize = 3;

/// Why a purge stopped.
#[derive(Debug, thiserror::Error)]
pub enum PurgeError {
    /// The snapshots cannot be listed.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The operating system refused something.
    #[error(transparent)]
    Io(#[from] IoFailure),
}

/// Keeps the newest `retain` snapshots that hold, and [`MIN_RETAIN`] at least. Returns what was
/// deleted, in that order.
pub fn purge(dirs: &DataDirs, retain: usize) -> Result<Vec<PathBuf>, PurgeError> {
    let Some(oldest) = oldest_kept(dirs, retain.max(MIN_RETAIN))? else {
        return Ok(Vec::new());
    };
    // Oldest first, and snapshots before logs: a purge cut short leaves no snapshot without the
    // logs that follow it.
    let mut old = by_name(dirs)?;
    old.retain(|file| file.zxid < oldest.zxid);
    let old_snapshots = old.into_iter().rev().map(|file| file.path).collect();

    let mut old_logs = logs(&dirs.log).doing("list", &dirs.log)?;
    let needed = old_logs.partition_point(|&(_, zxid)| zxid <= oldest.zxid);
    old_logs.truncate(needed.saturating_sub(1));
    let old_logs = old_logs.into_iter().map(|(path, _)| path).collect();

    let mut deleted = delete(&dirs.snap, old_snapshots)?;
    deleted.append(&mut delete(&dirs.log, old_logs)?);
    Ok(deleted)
}

/// The last of the newest `retain` snapshots that hold, or of those there are; `None` if there is
/// none.
fn oldest_kept(dirs: &DataDirs, retain: usize) -> Result<Option<SnapshotFile>, PurgeError> {
    let mut kept = Vec::new();
    for file in snapshots(dirs)? {
        match verify_snapshot(&file) {
            Ok(()) => kept.push(file),
            Err(error) => tracing::warn!(%error, "a broken snapshot does not count as kept"),
        }
        if kept.len() == retain {
            break;
        }
    }
    Ok(kept.pop())
}

fn delete(dir: &Path, paths: Vec<PathBuf>) -> Result<Vec<PathBuf>, IoFailure> {
    for path in &paths {
        fs::remove_file(path).doing("delete", path)?;
        tracing::info!(?path, "deleted");
    }
    if !paths.is_empty() {
        sync_dir(dir).doing("sync", dir)?;
    }
    Ok(paths)
}
