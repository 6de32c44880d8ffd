//! Changes of the folders, each durable before the next begins.
//!
//! What must not be half done is written down as a list of these first. Invariant: a crash leaves
//! such a list done up to some step, with nothing done behind it. That the folders make sense
//! between any two steps is for those who write the list.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::bound::SyncedBound;
use crate::error::{Doing, IoFailure};
use crate::format::sync_dir;

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
    pub(crate) fn perform(&self) -> Result<(), IoFailure> {
        match self {
            Self::Cut { path, length } => cut(path, *length).doing("cut", path),
            Self::Delete(path) => {
                tracing::info!(?path, "deleting");
                fs::remove_file(path).doing("delete", path)?;
                sync_folder_of(path)
            }
            Self::Rename { from, to } => {
                fs::rename(from, to).doing("rename", from)?;
                sync_folder_of(to)
            }
            Self::Note { dir, bound } => SyncedBound::replace(dir, bound.as_ref())
                .doing("replace the note of what is durable in", dir),
        }
    }
}

fn cut(path: &Path, length: u64) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    if length < file.metadata()?.len() {
        file.set_len(length)?;
        file.sync_all()?;
    }
    Ok(())
}

fn sync_folder_of(path: &Path) -> Result<(), IoFailure> {
    let dir = path.parent().expect("a file of one of our folders");
    sync_dir(dir).doing("sync", dir)
}
