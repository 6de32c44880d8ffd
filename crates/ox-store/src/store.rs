//! The owner of the transaction log and the epoch files.
//!
//! Invariant: what a call returns as done is on stable storage; after the first error nothing more
//! is asked of it, for nothing that is not durable may be acknowledged and a failed sync proves
//! nothing by a retry. Source: `SyncRequestProcessor.java`; storage.md 3.2 and 3.3, quorum.md 3.7
//! and 8.

use std::io;

use ox_mutant::{Mutant, is_on};
use ox_proto::Zxid;
use ox_replica::{Database, State};
use ox_txnlog::{
    DataDirs, Disk, EpochFiles, EpochName, IoFailure, Log, LogError, SnapshotError, SyncReport,
    TruncateError, truncate,
};
use ox_zab::{DiskDone, DiskRequest};

use crate::config_files::ConfigFiles;
use crate::image::{Progress, SnapshotImage};
use crate::load::{LoadError, load};
use crate::repair;
use crate::settings::StoreSettings;
use crate::trigger::Trigger;

/// Znodes that are read under one lock for a state that is kept.
const CHUNK: usize = 200;

/// What was asked of the disk is done.
#[derive(Debug)]
pub enum Done {
    /// As asked.
    Done(DiskDone),
    /// As asked, and this is what the disk holds now.
    Reloaded(DiskDone, Box<State>),
}

/// Why the disk cannot do what it should.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The log takes nothing more.
    #[error(transparent)]
    Log(#[from] LogError),
    /// An epoch is not on the disk.
    #[error("cannot store an epoch: {0}")]
    Epoch(#[source] IoFailure),
    /// What the leader wants gone may still be there.
    #[error("cannot go back in the history: {0}")]
    Truncate(#[from] TruncateError),
    /// What the leader has sent is not on the disk.
    #[error("cannot keep the leader's state: {0}")]
    Install(#[from] SnapshotError),
    /// What is on the disk cannot be used.
    #[error("cannot read what is on the disk: {0}")]
    Load(#[from] LoadError),
}

/// Lets the database be read for a moment.
pub trait Lend {
    /// Calls `act` with it.
    fn lend<T>(&self, act: impl FnOnce(&Database) -> T) -> T;
}

impl Lend for &Database {
    fn lend<T>(&self, act: impl FnOnce(&Database) -> T) -> T {
        act(self)
    }
}

/// The disk of one server while it runs.
pub struct Store {
    dirs: DataDirs,
    settings: StoreSettings,
    log: Log,
    epochs: EpochFiles,
    trigger: Trigger,
}

impl Store {
    /// Goes on behind what is there. `seed` decides when snapshots are due.
    pub fn new(dirs: &DataDirs, settings: StoreSettings, seed: u64) -> Self {
        Self {
            trigger: Trigger::new(&settings, seed),
            log: Log::create(dirs, settings.log.clone()),
            epochs: EpochFiles::open(dirs),
            dirs: dirs.clone(),
            settings,
        }
    }

    /// Takes a record; see [`Log::append`].
    pub fn append(&mut self, zxid: Zxid, payload: &[u8]) -> Result<(), DiskError> {
        match self.log.append(zxid, payload) {
            Err(LogError::Failed) if is_on(Mutant::M25) => Ok(()),
            taken => Ok(taken?),
        }
    }

    /// Makes every record taken so far durable.
    pub fn sync(&mut self) -> Result<SyncReport, DiskError> {
        match self.log.sync() {
            Err(_) if is_on(Mutant::M25) => Ok(SyncReport {
                last: self.log.last(),
                ..SyncReport::default()
            }),
            synced => Ok(synced?),
        }
    }

    /// Counts records that were synced; true if a snapshot is due, for which a new log is begun.
    pub fn begins_anew(&mut self, records: usize) -> Result<bool, DiskError> {
        if !self.trigger.is_due(records, self.log.total_size()) {
            return Ok(false);
        }
        self.log.roll()?;
        self.log.reset_total_size();
        self.trigger.restart();
        Ok(true)
    }

    /// Nothing has come for a while.
    pub fn idle(&mut self) -> Result<(), DiskError> {
        Ok(self.log.idle()?)
    }

    /// Ends writing.
    pub fn close(self) -> Result<(), DiskError> {
        Ok(self.log.close()?)
    }

    /// Whether nobody else may be at work in the folders while this is done.
    pub fn changes_history(request: &DiskRequest) -> bool {
        match request {
            DiskRequest::Truncate { .. } | DiskRequest::Install | DiskRequest::Reload => true,
            DiskRequest::AcceptEpoch(_)
            | DiskRequest::AnnounceEpoch(_)
            | DiskRequest::EnterEpoch(_)
            | DiskRequest::NoteConfig(_)
            | DiskRequest::EnterConfig(_) => false,
        }
    }

    /// Does what a member of an ensemble asks for. Every record before it is synced.
    pub fn perform(
        &mut self,
        request: DiskRequest,
        database: &impl Lend,
    ) -> Result<Done, DiskError> {
        let done = match request {
            DiskRequest::AcceptEpoch(epoch) => {
                let stored = self.epochs.store(EpochName::Accepted, epoch);
                stored.map_err(DiskError::Epoch)?;
                DiskDone::EpochAccepted(epoch)
            }
            DiskRequest::AnnounceEpoch(epoch) => {
                let announced = match is_on(Mutant::M07) {
                    true => self.epochs.store(EpochName::Current, epoch),
                    false => self.epochs.announce_current(epoch),
                };
                announced.map_err(DiskError::Epoch)?;
                DiskDone::EpochAnnounced(epoch)
            }
            DiskRequest::EnterEpoch(epoch) => {
                let stored = self.epochs.store(EpochName::Current, epoch);
                stored.map_err(DiskError::Epoch)?;
                // The history is whole again.
                repair::end(&self.dirs).map_err(DiskError::Epoch)?;
                DiskDone::EpochEntered(epoch)
            }
            DiskRequest::Truncate { to, reload } => {
                let Some(last) = self.truncate(to)? else {
                    return Ok(Done::Done(DiskDone::NotTruncated));
                };
                let done = DiskDone::Truncated { last };
                if reload {
                    return self.reload(done);
                }
                done
            }
            DiskRequest::Install => {
                self.close_log()?;
                let last = match is_on(Mutant::M19) {
                    true => database.lend(|database| database.tree.last_zxid()),
                    false => self.install(database)?,
                };
                DiskDone::Installed { last }
            }
            DiskRequest::Reload => return self.reload(DiskDone::Reloaded { last: Zxid::ZERO }),
            DiskRequest::NoteConfig(config) => {
                self.keep_config(|files, disk| files.note(disk, &config));
                DiskDone::ConfigKept
            }
            DiskRequest::EnterConfig(config) => {
                self.keep_config(|files, disk| files.enter(disk, &config));
                DiskDone::ConfigKept
            }
        };
        Ok(Done::Done(done))
    }

    /// As in Java a server goes on if that fails: what the log holds is found again without it.
    fn keep_config(&self, keep: impl FnOnce(&ConfigFiles, &dyn Disk) -> io::Result<()>) {
        if let Some(files) = &self.settings.config_files
            && let Err(error) = keep(files, self.dirs.disk())
        {
            tracing::error!(
                "cannot write the configuration beside {}: {error}; until that is mended a start \
                 depends on the other servers to know who belongs to the ensemble",
                files.path.display()
            );
        }
    }

    /// Where history ends afterwards; `None` if it cannot be cut there.
    fn truncate(&mut self, to: Zxid) -> Result<Option<Zxid>, DiskError> {
        self.close_log()?;
        match truncate(&self.dirs, to, &self.settings.replay_options()) {
            Ok(truncated) => Ok(Some(truncated.last)),
            Err(error @ TruncateError::Io(_)) => Err(error.into()),
            Err(
                error @ (TruncateError::NoSnapshot { .. }
                | TruncateError::Replay { .. }
                | TruncateError::NotReached { .. }),
            ) => {
                tracing::warn!("{error}: the leader will be asked for its whole state");
                Ok(None)
            }
        }
    }

    /// Keeps the tree, which nobody changes meanwhile, in the place of all history.
    fn install(&self, database: &impl Lend) -> Result<Zxid, DiskError> {
        let mut image = database
            .lend(|database| SnapshotImage::begin(&self.dirs, self.settings.compression, database));
        loop {
            image.write()?;
            match database.lend(|database| image.read(database, CHUNK)) {
                Progress::More => {}
                Progress::Whole => return Ok(image.install()?.zxid),
                Progress::Replaced => unreachable!("the core waits for the disk"),
            }
        }
    }

    /// Reads the disk anew.
    fn reload(&mut self, done: DiskDone) -> Result<Done, DiskError> {
        self.close_log()?;
        let found = load(&self.dirs, &self.settings)?;
        let last = found.state.tree.last_zxid();
        let done = match done {
            DiskDone::Reloaded { .. } => DiskDone::Reloaded { last },
            done => done,
        };
        Ok(Done::Reloaded(done, Box::new(found.state)))
    }

    fn close_log(&mut self) -> Result<(), DiskError> {
        let fresh = Log::create(&self.dirs, self.settings.log.clone());
        Ok(std::mem::replace(&mut self.log, fresh).close()?)
    }
}
