//! Puts a snapshot that a leader sent in the place of the history that was here.
//!
//! Nothing that was here is known to lead to it: even a record below its zxid may be one that was
//! never committed. So all of it goes, older snapshots as well, lest a later start falls back to
//! one of them and goes on with logs that do not belong to it, or a learner is sent records that
//! only this server ever had.
//!
//! No order of deleting files and renaming the snapshot would do: when the old history ends above
//! the new, a crash in the middle leaves too little of the old, or the new with old records on
//! top of it. So the snapshot, complete and durable, is first given a name of its own, in one
//! step. That is the moment at which it replaces the old history: a server that finds this name
//! when it starts does the rest before it loads anything. Java takes no notice of the name.
//!
//! Invariant: a crash at any moment leaves the old history or the snapshot, and nothing else.
//! Source: quorum.md 6.4 and 8.2, storage.md 11.3.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use ox_mutant::{Mutant, is_on};
use ox_proto::Zxid;

use super::{SnapshotFile, by_name, unrenamed};
use crate::DataDirs;
use crate::error::{Doing, IoFailure};
use crate::format::{list, logs, parse_snapshot_name};
use crate::step::Step;

/// Begins the name of a snapshot that has replaced everything else in the folders, before the
/// name it is to have.
const RECEIVED: &str = "oxkeeper.received.";

/// What makes a snapshot that is complete and durable under the name `from` all there is.
pub(super) fn steps(
    dirs: &DataDirs,
    from: &Path,
    target: &Path,
    zxid: Zxid,
) -> Result<Vec<Step>, IoFailure> {
    let name = target.file_name().expect("a snapshot has a name");
    let mut received = OsStr::new(RECEIVED).to_owned();
    received.push(name);
    let received = dirs.snap.join(received);
    let mut steps = vec![Step::Rename {
        from: from.to_path_buf(),
        to: received.clone(),
    }];
    steps.extend(completing(dirs, received, target, zxid)?);
    Ok(steps)
}

/// What is left to do once a snapshot has replaced the old history. Until it has its own name,
/// what is left of the old is removed so that even Java would find a beginning of it.
fn completing(
    dirs: &DataDirs,
    received: PathBuf,
    target: &Path,
    zxid: Zxid,
) -> Result<Vec<Step>, IoFailure> {
    let mut snapshots = by_name(dirs)?;
    snapshots.append(&mut unrenamed(dirs)?);
    snapshots.retain(|file| file.path != target);
    snapshots.sort_by_key(|file| std::cmp::Reverse(file.zxid));
    let below = snapshots.partition_point(|file| zxid <= file.zxid);
    let below = snapshots.split_off(below);
    let logs = logs(&*dirs.disk, &dirs.log).doing("list", &dirs.log)?;
    let delete = |file: SnapshotFile| Step::Delete(file.path);

    let mut steps = vec![Step::Note {
        dir: dirs.log.clone(),
        bound: None,
    }];
    let newest_first = logs.into_iter().rev();
    if !is_on(Mutant::M27) {
        steps.extend(newest_first.map(|(path, _)| Step::Delete(path)));
    }
    steps.extend(snapshots.into_iter().map(delete));
    steps.push(Step::Rename {
        from: received,
        to: target.to_path_buf(),
    });
    steps.extend(below.into_iter().map(delete));
    Ok(steps)
}

/// Does the rest if a crash has come in between.
pub(crate) fn complete_install(dirs: &DataDirs) -> Result<(), IoFailure> {
    let found = list(&*dirs.disk, &dirs.snap, parse_received).doing("list", &dirs.snap)?;
    for (path, (name, zxid)) in found {
        tracing::warn!(?path, "a received snapshot was not all in place yet");
        // The name itself may have been seen by nobody but the cache.
        dirs.disk.sync_dir(&dirs.snap).doing("sync", &dirs.snap)?;
        for step in completing(dirs, path, &dirs.snap.join(name), zxid)? {
            step.perform(&*dirs.disk)?;
        }
    }
    Ok(())
}

/// The name that a received snapshot is to have, and its zxid.
fn parse_received(name: &OsStr) -> Option<(String, Zxid)> {
    let name = name.to_str()?.strip_prefix(RECEIVED)?;
    let (zxid, _) = parse_snapshot_name(name.as_ref())?;
    Some((name.to_owned(), zxid))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{Folder, Started, log_of, payload};
    use crate::{Log, LogConfig, RealDisk};

    /// Records 1 to 9 in three logs, the last of them still with unused space and a note, and
    /// some snapshots.
    fn old_history(snapshots: &[i64]) -> Folder {
        let folder = Folder::new();
        for &zxid in snapshots {
            folder.snapshot(zxid, zxid);
        }
        for zxids in [1..=4, 5..=6, 7..=9] {
            let payloads: Vec<_> = zxids.clone().map(|zxid| payload(zxid, 150)).collect();
            let (bytes, places) = log_of(&payloads);
            folder.put(*zxids.start(), &bytes);
            folder.note(*zxids.start(), &payloads[0], places[payloads.len()]);
        }
        folder
    }

    fn install(folder: &Folder, zxid: i64) {
        let writer = folder.begin_snapshot(zxid);
        writer.install(Zxid(zxid), 0, Zxid(zxid)).unwrap();
    }

    fn exactly(zxid: i64) -> Started {
        Started {
            snapshot: zxid,
            complete_at: zxid,
            records: Vec::new(),
            last: zxid,
        }
    }

    #[test]
    fn a_received_snapshot_is_all_there_is_afterwards() {
        for zxid in [0, 3, 6, 9, 20, Zxid::new(3, 0).0] {
            let folder = old_history(&[0, 3, 8]);
            install(&folder, zxid);
            let names: Vec<_> = folder
                .contents()
                .into_iter()
                .map(|(name, _)| name)
                .collect();
            assert_eq!(names, [format!("snapshot.{zxid:x}")]);
            assert_eq!(folder.restart(), exactly(zxid));
        }
    }

    #[test]
    fn another_spelling_of_the_same_snapshot_goes_before_it_has_its_name() {
        let folder = old_history(&[0, 8]);
        let compressed = folder.dirs.snap.join("snapshot.8.gz");
        std::fs::rename(folder.dirs.snap.join("snapshot.8"), compressed).unwrap();
        let closed = folder.begin_snapshot(8).close(Zxid(8), 0, Zxid(8)).unwrap();
        for step in closed.steps().unwrap() {
            step.perform(&RealDisk).unwrap();
            let of_eight = folder
                .names()
                .into_iter()
                .filter(|name| name.contains(".8"));
            assert!(of_eight.count() <= 1, "{step:?}");
        }
        assert_eq!(folder.names(), ["snapshot.8"]);
    }

    #[test]
    fn the_log_goes_on_behind_it_in_the_same_process() {
        let folder = old_history(&[0]);
        install(&folder, 6);
        let mut log = Log::create(&folder.dirs, LogConfig::default());
        for zxid in 7..=8 {
            log.append(Zxid(zxid), &payload(zxid, 170)).unwrap();
        }
        log.close().unwrap();
        assert_eq!(folder.names(), ["log.7", "snapshot.6"]);
        assert_eq!(folder.restart().records, [7, 8]);
    }

    /// As Java leaves them: records below a received snapshot, with a gap up to it.
    #[test]
    fn records_below_a_snapshot_do_not_matter_even_with_a_gap() {
        let folder = old_history(&[0, 0x20]);
        assert_eq!(folder.restart(), exactly(0x20));
        folder.put(0x21, &log_of(&[payload(0x21, 150)]).0);
        assert_eq!(folder.restart().records, [0x21]);
    }

    #[test]
    fn a_snapshot_that_was_not_complete_replaces_nothing() {
        let folder = old_history(&[0, 3]);
        let before = folder.contents();
        drop(folder.begin_snapshot(20));
        assert!(folder.contents() == before);
        std::mem::forget(folder.begin_snapshot(20));
        assert_eq!(folder.restart().records, [4, 5, 6, 7, 8, 9]);
        assert!(folder.contents() == before);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_crash_leaves_the_old_history_or_the_snapshot(
            snapshots in proptest::collection::btree_set(0_i64..12, 1..5),
            zxid in 0_i64..14,
        ) {
            let snapshots: Vec<_> = snapshots.into_iter().collect();
            let folder = old_history(&snapshots);
            let old = folder.restart();
            let writer = folder.begin_snapshot(zxid);
            let closed = writer.close(Zxid(zxid), 0, Zxid(zxid)).unwrap();
            prop_assert_eq!(folder.copy().restart(), old);
            for step in closed.steps().unwrap() {
                step.perform(&RealDisk).unwrap();
                let copy = folder.copy();
                prop_assert_eq!(copy.restart(), exactly(zxid));
                // What the start has completed stays so.
                prop_assert_eq!(copy.restart(), exactly(zxid));
            }
        }
    }
}
