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

use ox_tree::image::ImageWriter;
use ox_txnlog::{Compression, DataDirs, SnapshotError, SnapshotFile, SnapshotWriter};
use tokio_util::sync::CancellationToken;

use crate::config::SnapshotCompression;
use crate::fatal;
use crate::shared::Shared;

/// Znodes per read lock: readers wait for writers who wait for this.
const CHUNK: usize = 200;

/// Rest between two chunks, so that a snapshot takes about a tenth of a core from the clients: under
/// load one follows the other without end. A million znodes take five seconds longer.
const PAUSE: Duration = Duration::from_millis(1);

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

/// Takes one snapshot, fuzzy, while the server goes on. `None` if it was told to stop.
pub(crate) fn take(
    shared: &Shared,
    dirs: &DataDirs,
    stop: &CancellationToken,
) -> Result<Option<SnapshotFile>, SnapshotError> {
    let started = Instant::now();
    let mut bytes = Vec::new();
    let (zxid, mut image) = {
        let database = shared.database.read();
        let sessions = database
            .sessions
            .iter()
            .map(|(id, timeout_ms)| (*id, *timeout_ms));
        let image = ImageWriter::begin(&database.tree, sessions, &mut bytes);
        (database.tree.last_zxid(), image)
    };
    tracing::info!("Snapshotting: {zxid} to {}", dirs.snap.display());
    let mut file = SnapshotWriter::create(dirs, zxid, compression(shared))?;
    loop {
        file.write(&bytes)?;
        bytes.clear();
        if stop.is_cancelled() {
            tracing::info!("Snapshot given up, for the server stops");
            return Ok(None);
        }
        if !image.chunk(&shared.database.read().tree, CHUNK, &mut bytes) {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    file.write(&bytes)?;
    let (last, digest) = {
        let database = shared.database.read();
        (database.tree.last_zxid(), database.tree.digest())
    };
    let written = file.finish(last, digest, last)?;
    let took = started.elapsed().as_millis();
    shared
        .metrics
        .snapshottime
        .record(u64::try_from(took).unwrap_or(u64::MAX));
    tracing::info!("Snapshot taken in {took} ms");
    Ok(Some(written))
}

fn compression(shared: &Shared) -> Compression {
    match shared.config.snapshots.compression {
        SnapshotCompression::None => Compression::None,
        SnapshotCompression::Gzip => Compression::Gz,
        SnapshotCompression::Snappy => Compression::Snappy,
    }
}
