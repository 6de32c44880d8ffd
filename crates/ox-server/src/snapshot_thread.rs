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

use ox_proto::Zxid;
use ox_tree::image::ImageWriter;
use ox_txnlog::{Compression, DataDirs, SnapshotError, SnapshotFile, SnapshotWriter};
use tokio_util::sync::CancellationToken;

use crate::config::SnapshotCompression;
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
    let Some(written) = write(shared, dirs, rest, &give_up)? else {
        tracing::info!("Snapshot given up");
        return Ok(None);
    };
    let file = written.finish(SnapshotWriter::finish)?;
    let took = started.elapsed().as_millis();
    shared
        .metrics
        .snapshottime
        .record(u64::try_from(took).unwrap_or(u64::MAX));
    tracing::info!("Snapshot taken in {took} ms");
    Ok(Some(file))
}

/// Writes the tree, which nobody changes meanwhile, in the place of all history on the disk. The
/// caller has the folders for itself.
pub(crate) fn install(shared: &Shared, dirs: &DataDirs) -> Result<SnapshotFile, SnapshotError> {
    let written = write(shared, dirs, |_| Duration::ZERO, &|| false)?;
    let written = written.expect("it is not given up");
    written.finish(SnapshotWriter::install)
}

/// How long a snapshot rests that began so many transactions ago.
fn rest(behind: i64) -> Duration {
    match behind < FAR_BEHIND {
        true => PAUSE,
        false => SHORT_PAUSE,
    }
}

/// A snapshot but for its end.
struct Written {
    file: SnapshotWriter,
    last: Zxid,
    digest: i64,
}

impl Written {
    fn finish(
        self,
        finish: impl FnOnce(SnapshotWriter, Zxid, i64, Zxid) -> Result<SnapshotFile, SnapshotError>,
    ) -> Result<SnapshotFile, SnapshotError> {
        finish(self.file, self.last, self.digest, self.last)
    }
}

/// Writes the tree piece by piece; `rest` tells how long to rest between two, so many transactions
/// after the beginning. `None` if it was given up.
fn write(
    shared: &Shared,
    dirs: &DataDirs,
    rest: fn(i64) -> Duration,
    give_up: &dyn Fn() -> bool,
) -> Result<Option<Written>, SnapshotError> {
    let mut bytes = Vec::new();
    let (zxid, generation, mut image) = {
        let database = shared.database.read();
        let sessions = database
            .sessions
            .iter()
            .map(|(id, timeout_ms)| (*id, *timeout_ms));
        let image = ImageWriter::begin(&database.tree, sessions, &mut bytes);
        (database.tree.last_zxid(), database.generation, image)
    };
    tracing::info!("Snapshotting: {zxid} to {}", dirs.snap.display());
    let mut file = SnapshotWriter::create(dirs, zxid, compression(shared))?;
    loop {
        file.write(&bytes)?;
        bytes.clear();
        let database = shared.database.read();
        if give_up() || database.generation != generation {
            return Ok(None);
        }
        if !image.chunk(&database.tree, CHUNK, &mut bytes) {
            break;
        }
        let behind = database.tree.last_zxid().0 - zxid.0;
        drop(database);
        std::thread::sleep(rest(behind));
    }
    file.write(&bytes)?;
    let database = shared.database.read();
    if database.generation != generation {
        return Ok(None);
    }
    let (last, digest) = (database.tree.last_zxid(), database.tree.digest());
    Ok(Some(Written { file, last, digest }))
}

fn compression(shared: &Shared) -> Compression {
    match shared.config.snapshots.compression {
        SnapshotCompression::None => Compression::None,
        SnapshotCompression::Gzip => Compression::Gz,
        SnapshotCompression::Snappy => Compression::Snappy,
    }
}
