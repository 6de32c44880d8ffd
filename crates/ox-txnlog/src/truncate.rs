//! Goes back to an earlier zxid: what the leader does not have must not come back.
//!
//! Everything is read and checked first, so that a history which cannot be gone back in is left as
//! it is. Then the folders are changed in steps, so that a server that starts on what a crash
//! left between any two finds a beginning of the old history which reaches at least as far as it
//! was to go back:
//!
//! 1. The files that are to go, and the one that is to be cut, lose what follows their last whole
//!    record. Each of them will be the newest for a while, and what an older crash left there
//!    could then pass for damage.
//! 2. The note of what is durable names the log that stays, up to where it stays.
//! 3. Snapshots that hold something above `to` go. This is before the logs, because one that was
//!    taken while the server worked is whole only with the records behind it. The logs lead from
//!    an older snapshot to the end, which was checked, so the history found is still the whole.
//! 4. Logs that begin above `to` go, the newest first: any other order would leave a gap.
//! 5. The last of what stays is cut.
//!
//! Java leaves snapshots above `to` where they are, and the first record above a `to` for which
//! there is no record. Source: storage.md 11.1, quorum.md 8.2; `FileTxnLog.truncate`.

use std::path::PathBuf;

use ox_mutant::{Mutant, is_on};
use ox_proto::Zxid;

use crate::disk::Disk;
use crate::error::IoFailure;
use crate::format::HEADER_LENGTH;
use crate::replay::{SurveyedLog, survey};
use crate::snapshot::{SnapshotFile, by_name, read_tail, unrenamed};
use crate::step::Step;
use crate::{DataDirs, ReplayError, ReplayOptions};

/// What the folders hold now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncated {
    /// Zxid of the last record, or of the snapshot if there is none behind it: `to` itself, or
    /// what is before it if `to` is an epoch with counter 0 and no record.
    pub last: Zxid,
}

/// Why history cannot be gone back in. Except after [`TruncateError::Io`] nothing was deleted but
/// what a start would clear away as well.
#[derive(Debug, thiserror::Error)]
pub enum TruncateError {
    /// The operating system refused something. What the folders hold is one of the states that a
    /// crash may leave, and found out by a restart.
    #[error(transparent)]
    Io(#[from] IoFailure),
    /// Every snapshot holds something later, or is broken.
    #[error("cannot go back to zxid {to}: {} has no snapshot from before it", dir.display())]
    NoSnapshot {
        /// Where to go back to.
        to: Zxid,
        /// The folder.
        dir: PathBuf,
    },
    /// The logs do not lead on from the snapshot that would be left.
    #[error("cannot go back to zxid {to}: the snapshot {snapshot} is not followed by the logs")]
    Replay {
        /// Where to go back to.
        to: Zxid,
        /// Of the snapshot.
        snapshot: Zxid,
        /// What is wrong with the logs.
        source: ReplayError,
    },
    /// Records are missing there.
    #[error(
        "cannot go back to zxid {to}: there is no such record, and what is left of history would \
         end at {last}"
    )]
    NotReached {
        /// Where to go back to.
        to: Zxid,
        /// The last there is before it.
        last: Zxid,
    },
}

/// Removes every record and snapshot above `to`, durably. `to` has a record, or is where a
/// snapshot was taken, or has counter 0 and stands for the end of what came before that epoch.
///
/// Nothing else may be at work in the folders: no log that is not closed, no snapshot being
/// written, no purge.
pub fn truncate(
    dirs: &DataDirs,
    to: Zxid,
    options: &ReplayOptions,
) -> Result<Truncated, TruncateError> {
    let plan = plan(dirs, to, options)?;
    tracing::info!(%to, last = %plan.last, "truncating the transaction log");
    for step in &plan.steps {
        step.perform(&*dirs.disk)?;
    }
    Ok(Truncated { last: plan.last })
}

struct Plan {
    steps: Vec<Step>,
    /// Where history ends afterwards.
    last: Zxid,
}

fn plan(dirs: &DataDirs, to: Zxid, options: &ReplayOptions) -> Result<Plan, TruncateError> {
    let (snapshot, above) = split_snapshots(dirs, to)?;
    let mut last = snapshot;
    let mut first_above = None;
    let survey = survey(dirs, snapshot, options, &mut |place, _, record| {
        if record.header.zxid.0 <= to.0 + i64::from(is_on(Mutant::M10)) {
            last = record.header.zxid.min(to);
        } else if first_above.is_none() {
            first_above = Some((place.path.to_path_buf(), place.offset));
        }
        Ok(())
    })
    .map_err(|source| TruncateError::Replay {
        to,
        snapshot,
        source,
    })?;
    if last != to && to.counter() != 0 {
        return Err(TruncateError::NotReached { to, last });
    }
    let logs = split_logs(survey.logs, first_above);

    let mut steps = Vec::new();
    for log in logs.kept.iter().chain(&logs.above) {
        steps.push(Step::Cut {
            path: log.path.clone(),
            length: log.end,
        });
    }
    steps.push(Step::Note {
        dir: dirs.log.clone(),
        bound: logs.kept.as_ref().and_then(|log| log.bound(logs.length)),
    });
    if !is_on(Mutant::M32) {
        steps.extend(above.into_iter().map(Step::Delete));
    }
    let newest_first = logs.above.into_iter().rev();
    steps.extend(newest_first.map(|log| Step::Delete(log.path)));
    steps.extend(logs.kept.map(|log| Step::Cut {
        path: log.path,
        length: logs.length,
    }));
    Ok(Plan { steps, last })
}

/// The newest snapshot that can stay, and those that hold anything above `to`.
fn split_snapshots(dirs: &DataDirs, to: Zxid) -> Result<(Zxid, Vec<PathBuf>), TruncateError> {
    let mut above: Vec<_> = unrenamed(dirs)?
        .into_iter()
        .filter(|file| file.zxid > to)
        .map(|file| file.path)
        .collect();
    for file in by_name(dirs)? {
        match complete_at(&*dirs.disk, &file, to) {
            Some(zxid) if zxid <= to => return Ok((file.zxid, above)),
            Some(_) => above.push(file.path),
            None => {}
        }
    }
    let dir = dirs.snap.clone();
    Err(TruncateError::NoSnapshot { to, dir })
}

/// The last transaction of which a snapshot may hold a part: its name says where it was begun,
/// what stands behind the image where it was complete. Older versions do not tell; theirs count
/// as taken at rest. `None` if it is broken, and so no way back for anybody.
fn complete_at(disk: &dyn Disk, file: &SnapshotFile, to: Zxid) -> Option<Zxid> {
    if file.zxid > to {
        return Some(file.zxid);
    }
    let tail = read_tail(disk, file)
        .inspect_err(|error| tracing::warn!(%error, "a broken snapshot is passed over"))
        .ok()?;
    let of_digest = tail.digest.map(|digest| digest.zxid);
    Some(file.zxid).max(of_digest).max(tail.last_zxid)
}

/// The logs that matter.
struct Logs {
    /// The newest that stays; `None` if all go.
    kept: Option<SurveyedLog>,
    /// How much of it stays.
    length: u64,
    /// Those that go, oldest first.
    above: Vec<SurveyedLog>,
}

/// Splits the logs at the place of the first record that is to go.
fn split_logs(mut logs: Vec<SurveyedLog>, first_above: Option<(PathBuf, u64)>) -> Logs {
    let (mut kept, mut length) = (logs.len(), u64::MAX);
    if let Some((path, offset)) = first_above {
        let place = logs.iter().position(|log| log.path == path);
        let place = place.expect("a record is in one of the files that were read");
        (kept, length) = match offset <= HEADER_LENGTH as u64 {
            true => (place, u64::MAX),
            false => (place + 1, offset),
        };
    }
    let above = logs.split_off(kept);
    let kept = logs.pop();
    let end = kept.as_ref().map_or(0, |log| log.end);
    Logs {
        kept,
        length: length.min(end),
        above,
    }
}

#[cfg(test)]
mod tests;
