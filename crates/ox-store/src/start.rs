//! How a server starts: from the folders to a state, a history and the epochs.
//!
//! Invariant: who has lost or set aside what it acknowledged has no vote until it was
//! synchronized. Source: `QuorumPeer.loadDataBase`, `FileTxnSnapLog.restore`; storage.md 8.

use ox_proto::Zxid;
use ox_replica::State;
use ox_txnlog::{
    DataDirs, DirError, EpochError, EpochFiles, Epochs, IoFailure, ReplayError, SnapshotError,
};
use ox_zab::History;

use crate::load::{Found, LoadError, load};
use crate::repair;
use crate::settings::{MemberSettings, StoreSettings};

/// In place of the last zxid of a server that has no data and may not begin.
const NO_DATABASE: Zxid = Zxid(-1);

/// Why a server cannot start on what is in its folders.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folders.
    #[error(transparent)]
    Dirs(#[from] DirError),
    /// What is in them.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The epochs.
    #[error("Unable to load database on disk")]
    Epochs(#[from] EpochError),
}

/// What a server starts with.
#[derive(Debug)]
pub struct Started {
    /// The znodes and the sessions.
    pub state: State,
    /// The newest entries of the log.
    pub history: History,
    /// Only those of members mean anything.
    pub epochs: Option<Epochs>,
    /// The newest snapshot; `None` if there is none.
    pub snapshot: Option<Zxid>,
    /// True if the state must be written as the first snapshot before any record is: there is
    /// none, and this server may begin with what it has.
    pub wants_snapshot: bool,
}

/// Reads the folders, which are locked for this server.
pub fn start(dirs: &DataDirs, settings: &StoreSettings) -> Result<Started, StartError> {
    let Some(member) = settings.member else {
        let found = load(dirs, settings)?;
        dirs.take_initialize_marker()?;
        return Ok(Started::new(found, None, true));
    };
    if repair::is_under_way(dirs).map_err(DirError::from)? {
        tracing::warn!("the history of this server was set aside and is not whole yet");
        return start_over(dirs, settings);
    }
    match start_member(dirs, settings, member) {
        Err(error) if member.repairs && is_damage(&error) => {
            tracing::error!(
                "{}; the history is set aside, and the other servers are asked for theirs",
                crate::load::chain(&error)
            );
            start_over(dirs, settings)
        }
        Err(error) if is_damage(&error) => {
            tracing::error!(
                "this server's copy of the data is damaged and stays out of the ensemble; if the \
                 others are well, oxkeeper serve --repair-from-peers has it made anew from theirs"
            );
            Err(error)
        }
        started => started,
    }
}

fn start_member(
    dirs: &DataDirs,
    settings: &StoreSettings,
    member: MemberSettings,
) -> Result<Started, StartError> {
    let found = load(dirs, settings)?;
    let is_told_to_begin = dirs.take_initialize_marker()?;
    let last = found.state.tree.last_zxid();
    let is_empty = found.snapshot.is_none() && last == Zxid::ZERO;
    if is_empty && !member.begins_empty && !is_told_to_begin {
        tracing::warn!(
            "there is no data, and zookeeper.db.autocreate is false: this server has no vote until \
             it has been synchronized; a new ensemble begins with a file {:?} in each data \
             directory",
            "initialize",
        );
        let epochs = epochs_without_data(dirs)?;
        return Ok(Started::new(found, Some(epochs), false));
    }
    if is_empty && !is_told_to_begin {
        tracing::warn!(
            "there is no data: this server votes as a new one with an empty tree; if it has lost \
             its data, that may lose what the ensemble has acknowledged \
             (zookeeper.db.autocreate=false forbids it)"
        );
    }
    let epochs = EpochFiles::open(dirs).load(last)?;
    Ok(Started::new(found, Some(epochs), true))
}

/// Starts empty and without a vote.
fn start_over(dirs: &DataDirs, settings: &StoreSettings) -> Result<Started, StartError> {
    repair::set_aside(dirs).map_err(DirError::from)?;
    let found = load(dirs, settings)?;
    let epochs = match epochs_without_data(dirs) {
        Err(EpochError::NotAnEpoch { path, .. }) => {
            // What was promised is lost; who has no vote is not asked to keep it.
            repair::set_file_aside(dirs, &path).map_err(DirError::from)?;
            epochs_without_data(dirs)?
        }
        epochs => epochs?,
    };
    Ok(Started::new(found, Some(epochs), false))
}

/// The epochs of a server without data. There is no current one, whatever is written there: the
/// history that it vouches for is gone.
fn epochs_without_data(dirs: &DataDirs) -> Result<Epochs, EpochError> {
    let found = EpochFiles::open(dirs).load(NO_DATABASE)?;
    Ok(Epochs {
        current: None,
        ..found
    })
}

/// Whether the content of the folders is to blame, rather than the operating system or a setting.
fn is_damage(error: &StartError) -> bool {
    match error {
        StartError::Dirs(_) => false,
        StartError::Load(LoadError::Snapshot(error)) => match error {
            SnapshotError::NoneValid { rejected, .. } => !rejected.iter().all(is_io),
            SnapshotError::LogsWithoutSnapshot { .. } => true,
            error => !is_io(error),
        },
        StartError::Load(LoadError::Replay(error)) => !matches!(error, ReplayError::Io(_)),
        StartError::Load(LoadError::Image(_)) => true,
        StartError::Load(LoadError::TtlNodes(_)) => false,
        StartError::Epochs(error) => match error {
            EpochError::Io(_) => false,
            EpochError::NotAnEpoch { .. }
            | EpochError::OlderThanData { .. }
            | EpochError::AcceptedOlder { .. } => true,
        },
    }
}

/// An error of the system, but for those by which compressed data tells that it is broken.
fn is_io(error: &SnapshotError) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    let is_content = |failure: &IoFailure| {
        matches!(
            failure.source.kind(),
            InvalidData | InvalidInput | UnexpectedEof
        )
    };
    matches!(error, SnapshotError::Io(failure) if !is_content(failure))
}

impl Started {
    fn new(found: Found, epochs: Option<Epochs>, may_begin: bool) -> Self {
        Self {
            state: found.state,
            history: found.history,
            epochs,
            snapshot: found.snapshot,
            wants_snapshot: found.snapshot.is_none() && may_begin,
        }
    }
}
