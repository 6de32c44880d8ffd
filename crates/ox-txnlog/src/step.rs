//! Changes of the folders, each durable before the next begins.
//!
//! What must not be half done is written down as a list of these first. Invariant: a crash leaves
//! such a list done up to some step, with nothing done behind it. That the folders make sense
//! between any two steps is for those who write the list.

use std::io;
use std::path::{Path, PathBuf};

use crate::bound::SyncedBound;
use crate::disk::{Disk, Open};
use crate::error::{Doing, IoFailure};
use ox_mutant::{Mutant, is_on};

/// One change.
#[derive(Debug)]
pub(crate) enum Step {
    /// Ends a file there, unless it ends earlier.
    Cut { path: PathBuf, length: u64 },
    /// Deletes a file.
    Delete(PathBuf),
    /// Gives a file another name in its folder, in place of what had that name.
    Rename { from: PathBuf, to: PathBuf },
    /// Replaces what is noted as durable in a folder of logs.
    Note {
        dir: PathBuf,
        bound: Option<SyncedBound>,
    },
}

impl Step {
    /// Does it, durably.
    pub(crate) fn perform(&self, disk: &dyn Disk) -> Result<(), IoFailure> {
        match self {
            Self::Cut { path, length } => cut(disk, path, *length).doing("cut", path),
            Self::Delete(path) => {
                tracing::info!(?path, "deleting");
                disk.remove(path).doing("delete", path)?;
                if is_on(Mutant::M11) {
                    return Ok(());
                }
                sync_folder_of(disk, path)
            }
            Self::Rename { from, to } => {
                disk.rename(from, to).doing("rename", from)?;
                sync_folder_of(disk, to)
            }
            Self::Note { dir, bound } => SyncedBound::replace(disk, dir, bound.as_ref())
                .doing("replace the note of what is durable in", dir),
        }
    }
}

fn cut(disk: &dyn Disk, path: &Path, length: u64) -> io::Result<()> {
    let file = disk.open(path, Open::Write)?;
    if length < file.length()? {
        file.set_length(length)?;
        file.sync_all()?;
    }
    Ok(())
}

fn sync_folder_of(disk: &dyn Disk, path: &Path) -> Result<(), IoFailure> {
    let dir = path.parent().expect("a file of one of our folders");
    disk.sync_dir(dir).doing("sync", dir)
}
