//! The files `acceptedEpoch` and `currentEpoch`, which only members of an ensemble have.
//!
//! Each holds one decimal number without a newline, in the folder of the snapshots. The current
//! epoch follows the data that it vouches for: whoever has current epoch c holds the whole initial
//! history of c. So a learner announces the new epoch in `currentEpoch.tmp` before the first
//! record of a sync becomes durable, and stores it when all of them are. A crash in between leaves
//! data of an epoch above the current one, and [`EpochFiles::load`] then takes the data's epoch,
//! since a record of an epoch is preceded by all that this epoch began with. Java takes the
//! announced number instead, even if the data has not come that far; an announced epoch may be
//! higher than any record so far, and a server that claims it with half of its history could win
//! an election.
//!
//! Invariants: each of the three files is whole at any moment; what a call has returned for is
//! durable. Source: quorum.md 3.7 and 8.2, storage.md 8.6; `QuorumPeer.loadDataBase`.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ox_mutant::{Mutant, is_on};
use ox_proto::Zxid;

use crate::DataDirs;
use crate::disk::{Disk, Open, read_file};
use crate::error::{Doing, IoFailure};

/// Begins the names of files that are not whole yet; Java does not look at them.
pub(crate) const TEMPORARY: &str = "tmp.epoch.";

/// No epoch has more digits; what else is in a file is quoted only so far.
const LONGEST_CONTENT: u64 = 40;

/// On disk: there is no epoch, because there is no history.
const NONE: i64 = -1;

/// Which epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochName {
    /// The newest epoch that this server has agreed to, so that it follows no older one.
    Accepted,
    /// The newest epoch whose initial history this server holds.
    Current,
}

impl EpochName {
    fn file(self) -> &'static str {
        match self {
            Self::Accepted => "acceptedEpoch",
            Self::Current => "currentEpoch",
        }
    }

    /// Where Java, too, prepares the file. For the current epoch it has a meaning of its own.
    fn prepared(self) -> &'static str {
        match self {
            Self::Accepted => "acceptedEpoch.tmp",
            Self::Current => "currentEpoch.tmp",
        }
    }
}

/// Both epochs. `None`, which is less than any epoch and -1 on disk, is what an empty server has
/// that was forbidden to make an empty tree: it has no history, and no vote until it was synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epochs {
    /// See [`EpochName::Accepted`].
    pub accepted: Option<u32>,
    /// See [`EpochName::Current`]; never above `accepted`.
    pub current: Option<u32>,
}

/// Why the epochs cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum EpochError {
    /// The operating system refused something.
    #[error(transparent)]
    Io(#[from] IoFailure),
    /// A file holds something else.
    #[error("Found {content:?} in {}, which is no epoch", path.display())]
    NotAnEpoch {
        /// The file.
        path: PathBuf,
        /// How it begins.
        content: String,
    },
    /// Data of an epoch that was never entered.
    #[error(
        "The current epoch, {current}, is older than the last zxid, {last_zxid}, and no {} \
         announces that one's epoch ({})", EpochName::Current.prepared(), dir.display()
    )]
    OlderThanData {
        /// The current epoch; -1 for none.
        current: i64,
        /// Of the last record or snapshot.
        last_zxid: Zxid,
        /// The folder.
        dir: PathBuf,
    },
    /// An epoch was entered that was never agreed to.
    #[error(
        "The accepted epoch, {accepted} is less than the current epoch, {current} ({})",
        dir.display()
    )]
    AcceptedOlder {
        /// The accepted epoch; -1 for none.
        accepted: i64,
        /// The current epoch.
        current: i64,
        /// The folder.
        dir: PathBuf,
    },
}

/// The files of one server.
#[derive(Clone, Debug)]
pub struct EpochFiles {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

impl EpochFiles {
    /// The epochs beside these snapshots. Touches no file.
    pub fn open(dirs: &DataDirs) -> Self {
        Self {
            disk: Arc::clone(&dirs.disk),
            dir: dirs.snap.clone(),
        }
    }

    /// Finds both epochs when the server starts. `last_zxid` is that of the data, of which
    /// everything is durable; -1 if there is none and the server must not begin with an empty
    /// tree; once it may, what says that there was none counts for nothing. A missing file is written
    /// with the data's epoch.
    pub fn load(&self, last_zxid: Zxid) -> Result<Epochs, EpochError> {
        let of_data = match last_zxid {
            Zxid(NONE) => NONE,
            zxid => zxid.epoch().into(),
        };
        let counts = |&epoch: &i64| epoch != NONE || last_zxid != Zxid::ZERO;
        let stored_current = self.read(EpochName::Current.file())?.filter(counts);
        let stored_accepted = self.read(EpochName::Accepted.file())?.filter(counts);

        let mut current = stored_current.unwrap_or(of_data);
        if of_data > current {
            let announced = self.read(EpochName::Current.prepared())?;
            if announced < Some(of_data) {
                return Err(EpochError::OlderThanData {
                    current,
                    last_zxid,
                    dir: self.dir.clone(),
                });
            }
            current = of_data;
        }
        let accepted = stored_accepted.unwrap_or(of_data);
        if accepted < current {
            return Err(EpochError::AcceptedOlder {
                accepted,
                current,
                dir: self.dir.clone(),
            });
        }
        if stored_accepted != Some(accepted) {
            self.replace(EpochName::Accepted, accepted)?;
        }
        match stored_current == Some(current) {
            // What was announced came to nothing, and must mean nothing later.
            true => self.remove_announced()?,
            false => self.replace(EpochName::Current, current)?,
        }
        Ok(Epochs {
            accepted: u32::try_from(accepted).ok(),
            current: u32::try_from(current).ok(),
        })
    }

    /// Replaces an epoch. For the current one everything it vouches for is durable already.
    pub fn store(&self, name: EpochName, epoch: u32) -> Result<(), IoFailure> {
        self.replace(name, epoch.into())
    }

    /// Says that data of `epoch` may become durable before [`EpochFiles::store`] makes it the
    /// current one.
    pub fn announce_current(&self, epoch: u32) -> Result<(), IoFailure> {
        if is_on(Mutant::M30) {
            return Ok(());
        }
        self.prepare(EpochName::Current, epoch.into())?;
        self.disk.sync_dir(&self.dir).doing("sync", &self.dir)
    }

    fn replace(&self, name: EpochName, epoch: i64) -> Result<(), IoFailure> {
        self.prepare(name, epoch)?;
        let prepared = self.dir.join(name.prepared());
        self.disk
            .rename(&prepared, &self.dir.join(name.file()))
            .doing("rename", &prepared)?;
        if name == EpochName::Accepted && is_on(Mutant::M06) {
            return Ok(());
        }
        self.disk.sync_dir(&self.dir).doing("sync", &self.dir)
    }

    /// Puts the number where it is only to be renamed. What was announced there before may still
    /// be needed, so it is replaced whole.
    fn prepare(&self, name: EpochName, epoch: i64) -> Result<(), IoFailure> {
        let temporary = self.dir.join(format!("{TEMPORARY}{}", name.file()));
        let write = || -> io::Result<()> {
            let file = self.disk.open(&temporary, Open::Replace)?;
            file.write_at([epoch.to_string().as_bytes(), &[]], 0)?;
            file.sync_all()
        };
        write().doing("write", &temporary)?;
        self.disk
            .rename(&temporary, &self.dir.join(name.prepared()))
            .doing("rename", &temporary)
    }

    fn remove_announced(&self) -> Result<(), IoFailure> {
        let path = self.dir.join(EpochName::Current.prepared());
        match self.disk.remove(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.doing("delete", &path),
        }
    }

    /// The number in a file; `None` if there is no such file.
    fn read(&self, name: &str) -> Result<Option<i64>, EpochError> {
        let path = self.dir.join(name);
        let content = match read_file(&*self.disk, &path, LONGEST_CONTENT) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            read => read.doing("read", &path)?,
        };
        match parse(&content) {
            Some(epoch) => Ok(Some(epoch)),
            None => Err(not_an_epoch(&path, &content)),
        }
    }
}

/// The number in the first line: Java reads no further. Its epochs are longs, but one that does
/// not fit into the upper half of a zxid was never an epoch.
fn parse(content: &[u8]) -> Option<i64> {
    let line = content.split(|byte| matches!(byte, b'\n' | b'\r')).next()?;
    let epoch: i64 = str::from_utf8(line).ok()?.parse().ok()?;
    (NONE..=u32::MAX.into()).contains(&epoch).then_some(epoch)
}

fn not_an_epoch(path: &Path, content: &[u8]) -> EpochError {
    EpochError::NotAnEpoch {
        path: path.to_path_buf(),
        content: String::from_utf8_lossy(content).into_owned(),
    }
}

#[cfg(test)]
mod tests;
