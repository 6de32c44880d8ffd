//! The thread that takes snapshots.
//!
//! It owns nothing: it borrows the database for some hundred znodes at a time, so nobody waits for
//! it, and the file it leaves is made whole by the log. Source: `ZooKeeperServer.takeSnapshot`;
//! storage.md 7.3.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ox_store::{Progress, SnapshotImage};
use ox_txnlog::{DataDirs, SnapshotError, SnapshotFile};
use tokio_util::sync::CancellationToken;

use crate::fatal;
use crate::shared::Shared;

/// Znodes per read lock: readers wait for writers who wait for this.
const CHUNK: usize = 200;

/// Rest between two chunks, so that a snapshot takes a small part of a core from the clients: under
/// load one follows the other without end. A million znodes take ten seconds longer.
const PAUSE: Duration = Duration::from_millis(2);

/// A snapshot that lags behind by so many transactions rests for less: a start after a crash may
/// have to replay them, and as many again.
const FAR_BEHIND: i64 = 1_000_000;
const SHORT_PAUSE: Duration = Duration::from_micros(200);

/// Starts the thread; it takes one snapshot per message and ends with the channel. A snapshot that
/// is not done when the server stops is given up: the log holds all that it would.
pub(crate) fn spawn(
    shared: Arc<Shared>,
    dirs: DataDirs,
    requests: Receiver<()>,
    stop: CancellationToken,
) -> JoinHandle<()> {
    let run = move || {
        for () in requests {
            match take(&shared, &dirs, &stop) {
                Ok(_) => {}
                // The log goes on as long as it has space; the next snapshot may find some.
                Err(error) if is_for_lack_of_space(&error) => tracing::error!(
                    "cannot snapshot, the log holds all the same: {}",
                    fatal::chain(&error)
                ),
                Err(error) => fatal::snapshot_failed(&error),
            }
        }
    };
    std::thread::Builder::new()
        .name("Snapshot Thread".to_owned())
        .spawn(run)
        .expect("a thread can be started")
}

fn is_for_lack_of_space(error: &SnapshotError) -> bool {
    matches!(error, SnapshotError::Io(failure) if matches!(
        failure.source.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    ))
}

/// Takes one snapshot, fuzzy, while the server goes on. `None` if it was told to stop, or if the
/// history is about to change.
pub(crate) fn take(
    shared: &Shared,
    dirs: &DataDirs,
    stop: &CancellationToken,
) -> Result<Option<SnapshotFile>, SnapshotError> {
    let _folders = shared.folders.work();
    let started = Instant::now();
    let give_up = || stop.is_cancelled() || shared.folders.is_wanted();
    let Some(image) = write(shared, dirs, &give_up)? else {
        tracing::info!("Snapshot given up");
        return Ok(None);
    };
    let file = image.finish()?;
    let took = started.elapsed().as_millis();
    shared
        .metrics
        .snapshottime
        .record(u64::try_from(took).unwrap_or(u64::MAX));
    tracing::info!("Snapshot taken in {took} ms");
    Ok(Some(file))
}

/// Writes the tree piece by piece. `None` if it was given up.
fn write(
    shared: &Shared,
    dirs: &DataDirs,
    give_up: &dyn Fn() -> bool,
) -> Result<Option<SnapshotImage>, SnapshotError> {
    let compression = shared.store.compression;
    let mut image = SnapshotImage::begin(dirs, compression, &shared.database.read());
    tracing::info!("Snapshotting: {} to {}", image.zxid(), dirs.snap.display());
    loop {
        image.write()?;
        if give_up() {
            return Ok(None);
        }
        let (progress, last) = {
            let database = shared.database.read();
            (image.read(&database, CHUNK), database.tree.last_zxid())
        };
        match progress {
            Progress::More => std::thread::sleep(rest(last.0 - image.zxid().0)),
            Progress::Whole => return Ok(Some(image)),
            Progress::Replaced => return Ok(None),
        }
    }
}

/// How long a snapshot rests that began so many transactions ago.
fn rest(behind: i64) -> Duration {
    match behind < FAR_BEHIND {
        true => PAUSE,
        false => SHORT_PAUSE,
    }
}
