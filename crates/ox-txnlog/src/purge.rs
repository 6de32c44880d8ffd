//! Deletes old snapshots, and the logs that only they need.
//!
//! Invariant: as many snapshots as are to be kept hold, seal by seal, and every log that one of
//! them needs stays. Java counts any file whose last five bytes are right, and so may delete the
//! last good one; names it cannot parse it deletes, we leave them alone. Source: storage.md 7.4.

use std::path::{Path, PathBuf};

use crate::error::{Doing, IoFailure};
use crate::format::logs;
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

    let mut old_logs = logs(&*dirs.disk, &dirs.log).doing("list", &dirs.log)?;
    let needed = old_logs.partition_point(|&(_, zxid)| zxid <= oldest.zxid);
    old_logs.truncate(needed.saturating_sub(1));
    let old_logs = old_logs.into_iter().map(|(path, _)| path).collect();

    let mut deleted = delete(dirs, &dirs.snap, old_snapshots)?;
    deleted.append(&mut delete(dirs, &dirs.log, old_logs)?);
    Ok(deleted)
}

/// The last of the newest `retain` snapshots that hold, or of those there are; `None` if there is
/// none.
fn oldest_kept(dirs: &DataDirs, retain: usize) -> Result<Option<SnapshotFile>, PurgeError> {
    let mut kept = Vec::new();
    for file in snapshots(dirs)? {
        match verify_snapshot(&*dirs.disk, &file) {
            Ok(()) => kept.push(file),
            Err(error) => tracing::warn!(%error, "a broken snapshot does not count as kept"),
        }
        if kept.len() == retain {
            break;
        }
    }
    Ok(kept.pop())
}

fn delete(dirs: &DataDirs, dir: &Path, paths: Vec<PathBuf>) -> Result<Vec<PathBuf>, IoFailure> {
    for path in &paths {
        dirs.disk.remove(path).doing("delete", path)?;
        tracing::info!(?path, "deleted");
    }
    if !paths.is_empty() {
        dirs.disk.sync_dir(dir).doing("sync", dir)?;
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use ox_proto::Zxid;

    use super::*;
    use crate::format::{Compression, list, log_name, parse_snapshot_name};
    use crate::testing::Folder;
    use crate::{RealDisk, SnapshotWriter};

    fn folder(snapshots: &[&str], logs: &[i64]) -> Folder {
        let folder = Folder::new();
        for name in snapshots {
            let (zxid, compression) = parse_snapshot_name(name.as_ref()).unwrap();
            snapshot(&folder, zxid.0, compression);
        }
        for &zxid in logs {
            fs::write(folder.dirs.log.join(log_name(Zxid(zxid))), "").unwrap();
        }
        folder
    }

    fn snapshot(folder: &Folder, zxid: i64, compression: Compression) {
        let mut writer = SnapshotWriter::create(&folder.dirs, Zxid(zxid), compression).unwrap();
        writer.write(b"an image").unwrap();
        writer.finish(Zxid(zxid), 0, Zxid(zxid)).unwrap();
    }

    fn names(folder: &Folder) -> Vec<String> {
        let found = list(&RealDisk, &folder.dirs.snap, |name| {
            name.to_str().map(str::to_owned)
        })
        .unwrap();
        let mut names: Vec<_> = found.into_iter().map(|(_, name)| name).collect();
        names.sort();
        names
    }

    #[track_caller]
    fn check(snapshots: &[&str], logs: &[i64], remaining: &[&str]) {
        let folder = folder(snapshots, logs);
        let before = names(&folder).len();
        let deleted = purge(&folder.dirs, 1).unwrap();
        assert_eq!(names(&folder), remaining);
        assert_eq!(deleted.len(), before - remaining.len());
    }

    /// What Java's own tool left of the same folders.
    #[test]
    fn what_java_keeps_is_kept() {
        check(
            &["snapshot.0", "snapshot.2a", "snapshot.4f", "snapshot.81"],
            &[0x1, 0x2b, 0x51, 0x83],
            &[
                "log.1",
                "log.2b",
                "log.51",
                "log.83",
                "snapshot.2a",
                "snapshot.4f",
                "snapshot.81",
            ],
        );
        check(
            &[
                "snapshot.0",
                "snapshot.24c",
                "snapshot.482",
                "snapshot.721",
                "snapshot.876",
            ],
            &[0x1, 0x24e, 0x484, 0x731, 0x892],
            &[
                "log.24e",
                "log.484",
                "log.731",
                "log.892",
                "snapshot.482",
                "snapshot.721",
                "snapshot.876",
            ],
        );
        check(
            &[
                "snapshot.0.gz",
                "snapshot.39.gz",
                "snapshot.6c.gz",
                "snapshot.8b.gz",
                "snapshot.b8.gz",
            ],
            &[0x1, 0x3b, 0x6e, 0x8d],
            &[
                "log.3b",
                "log.6e",
                "log.8d",
                "snapshot.6c.gz",
                "snapshot.8b.gz",
                "snapshot.b8.gz",
            ],
        );
    }

    #[test]
    fn with_too_few_snapshots_only_logs_before_the_oldest_go() {
        check(
            &["snapshot.5"],
            &[1, 3, 6],
            &["log.3", "log.6", "snapshot.5"],
        );
        check(
            &["snapshot.5"],
            &[1, 5, 6],
            &["log.5", "log.6", "snapshot.5"],
        );
        check(&["snapshot.5"], &[7], &["log.7", "snapshot.5"]);
        check(&[], &[1, 2, 3], &["log.1", "log.2", "log.3"]);
    }

    #[test]
    fn broken_snapshots_do_not_count() {
        let folder = folder(
            &[
                "snapshot.1",
                "snapshot.2",
                "snapshot.3",
                "snapshot.4",
                "snapshot.5",
            ],
            &[1],
        );
        for name in ["snapshot.4", "snapshot.5"] {
            let path = folder.dirs.snap.join(name);
            let mut bytes = fs::read(&path).unwrap();
            bytes[18] ^= 1;
            fs::write(&path, bytes).unwrap();
        }
        assert_eq!(purge(&folder.dirs, 3).unwrap(), [""; 0].map(PathBuf::from));
        snapshot(&folder, 6, Compression::None);
        let deleted = purge(&folder.dirs, 3).unwrap();
        assert_eq!(deleted, [folder.dirs.snap.join("snapshot.1")]);
    }

    #[test]
    fn names_that_are_not_ours_are_left_alone() {
        let folder = folder(
            &["snapshot.1", "snapshot.2", "snapshot.3", "snapshot.4"],
            &[1, 2],
        );
        for name in [
            "log.old",
            "snapshot.backup",
            "log.1.fixed",
            "snapshot.0.tmp",
        ] {
            fs::write(folder.dirs.snap.join(name), "").unwrap();
        }
        let deleted = purge(&folder.dirs, 3).unwrap();
        let deleted: Vec<_> = deleted
            .iter()
            .map(|path| path.file_name().unwrap())
            .collect();
        assert_eq!(deleted, ["snapshot.1", "log.1"]);
    }
}
