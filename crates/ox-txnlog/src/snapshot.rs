//! Snapshots: which there are, and the newest that can be trusted.
//!
//! ```text
//! header, image (sessions, acls, nodes, "/")
//! SEAL   long Adler-32 of everything before it, ustring "/"
//! long zxid, int version, long digest; SEAL
//! long last zxid; SEAL
//! ```
//!
//! Both sections behind the first seal may be missing in what others wrote; we write both. What is
//! sealed is the stream before it is compressed. Source: storage.md 7.

mod install;
mod read;
mod read_ahead;
mod snappy;
mod write;

use std::ffi::OsStr;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use ox_proto::Zxid;

use crate::disk::{Open, Reading};
use crate::error::{Doing, IoFailure};
use crate::format::{Compression, list, logs, parse_hex, parse_snapshot_name};
use crate::{CallerError, DataDirs};

pub(crate) use install::complete_install;
pub(crate) use read::read_tail;
pub use read::{ImageSink, SnapshotDigest, SnapshotTail, load_snapshot, verify_snapshot};
pub use write::SnapshotWriter;
pub(crate) use write::TEMPORARY;

/// The text of a seal, "/" as a ustring; so it also ends every file.
const SEAL_TEXT: [u8; 5] = [0, 0, 0, 1, b'/'];

/// Bytes of a seal.
const SEAL_LENGTH: usize = 8 + SEAL_TEXT.len();

/// No more snapshots than this are tried.
const MAX_CANDIDATES: usize = 100;

/// A snapshot in its folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFile {
    /// Where it is.
    pub path: PathBuf,
    /// The last transaction applied when it was begun; it may hold later ones in part.
    pub zxid: Zxid,
    /// How it is stored.
    pub compression: Compression,
}

/// Why a snapshot cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The operating system refused something, or compressed data is broken.
    #[error(transparent)]
    Io(#[from] IoFailure),
    /// The file begins with something else.
    #[error("{}: magic number {found:#x} is not a snapshot's", path.display())]
    Magic {
        /// The file.
        path: PathBuf,
        /// What stands there.
        found: i32,
    },
    /// The file ends too early.
    #[error("{}: ends early, after {offset} bytes", path.display())]
    Ended {
        /// The file.
        path: PathBuf,
        /// Length of what there is, uncompressed.
        offset: u64,
    },
    /// What it says cannot be.
    #[error("{}: cannot be read from offset {offset} on: {source}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// Where the unreadable part begins, uncompressed.
        offset: u64,
        /// The loader's error.
        source: CallerError,
    },
    /// One record is longer than any can be.
    #[error("{}: a record of more than {length} bytes at offset {offset}", path.display())]
    Endless {
        /// The file.
        path: PathBuf,
        /// Where the record begins, uncompressed.
        offset: u64,
        /// What was read of it.
        length: usize,
    },
    /// The content is not what was written.
    #[error(
        "{}: checksum at offset {offset} is {found:#x}, the content's is {computed:#x}",
        path.display()
    )]
    Seal {
        /// The file.
        path: PathBuf,
        /// Where the checksum stands, uncompressed.
        offset: u64,
        /// The checksum in the file.
        found: i64,
        /// The checksum of what precedes it.
        computed: u32,
    },
    /// There are snapshots, and all are broken or cannot be read.
    #[error("Not able to find valid snapshots in {}: {}", dir.display(), some(rejected))]
    NoneValid {
        /// The folder.
        dir: PathBuf,
        /// What is wrong with each, newest first.
        rejected: Vec<Self>,
    },
    /// The state that the logs build on is missing.
    #[error(
        "No snapshot found, but there are log entries. Something is broken! (no snapshot in {}, \
         logs in {}; zookeeper.snapshot.trust.empty=true begins with an empty tree)",
        snap.display(), log.display()
    )]
    LogsWithoutSnapshot {
        /// The folder of the snapshots.
        snap: PathBuf,
        /// The folder of the logs.
        log: PathBuf,
    },
}

/// What is wrong with the newest of them.
fn some(rejected: &[SnapshotError]) -> String {
    const SHOWN: usize = 3;
    let texts: Vec<_> = rejected
        .iter()
        .take(SHOWN)
        .map(ToString::to_string)
        .collect();
    match rejected.len().saturating_sub(SHOWN) {
        0 => texts.join("; "),
        more => format!("{}; and {more} more", texts.join("; ")),
    }
}

/// How to look for a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// Allows logs without a snapshot, to be replayed onto an empty tree
    /// (`zookeeper.snapshot.trust.empty`).
    pub trust_empty: bool,
}

/// A snapshot that was read.
#[derive(Debug)]
pub struct Loaded<S> {
    /// The file.
    pub file: SnapshotFile,
    /// What it says behind the image.
    pub tail: SnapshotTail,
    /// What the image was read into.
    pub sink: S,
    /// Others that are broken or cannot be read.
    pub rejected: Vec<SnapshotError>,
}

/// The snapshots of a folder, newest first: those that a look at their ends does not rule out.
pub fn snapshots(dirs: &DataDirs) -> Result<Vec<SnapshotFile>, SnapshotError> {
    let (found, unreadable) = candidates(dirs)?;
    for error in unreadable {
        tracing::warn!(%error, "cannot read snapshot");
    }
    Ok(found)
}

/// The same, and why each of those cannot be read whose end could not be looked at.
fn candidates(dirs: &DataDirs) -> Result<(Vec<SnapshotFile>, Vec<SnapshotError>), SnapshotError> {
    let mut unreadable = Vec::new();
    let mut found = by_name(dirs)?;
    found.retain(|file| match looks_whole(dirs, file) {
        Ok(true) => true,
        Ok(false) => {
            tracing::warn!(path = ?file.path, "not a whole snapshot");
            false
        }
        Err(error) => {
            unreadable.push(SnapshotError::Io(IoFailure {
                doing: "read",
                path: file.path.clone(),
                source: error,
            }));
            false
        }
    });
    Ok((found, unreadable))
}

/// How many bytes the newest snapshot has on disk, by its name and a look at its end; `None` if
/// there is none.
pub fn newest_snapshot_size(dirs: &DataDirs) -> Result<Option<u64>, SnapshotError> {
    let Some(newest) = snapshots(dirs)?.into_iter().next() else {
        return Ok(None);
    };
    let length = dirs.disk.length(&newest.path);
    Ok(Some(length.doing("read", &newest.path)?))
}

/// Every file named as a snapshot, newest first.
pub(crate) fn by_name(dirs: &DataDirs) -> Result<Vec<SnapshotFile>, IoFailure> {
    matching(dirs, parse_snapshot_name)
}

/// Snapshots that Java did not come to rename, newest first. Java loads them like any other, we
/// where nothing else is left.
pub(crate) fn unrenamed(dirs: &DataDirs) -> Result<Vec<SnapshotFile>, IoFailure> {
    matching(dirs, parse_unrenamed)
}

/// Reads the newest snapshot that is whole, each attempt into a new sink. `None` if there are
/// neither snapshots nor logs, or no snapshots and `trust_empty` is set: then the tree begins
/// empty.
pub fn load_newest<S: ImageSink>(
    dirs: &DataDirs,
    options: LoadOptions,
    mut new_sink: impl FnMut() -> S,
) -> Result<Option<Loaded<S>>, SnapshotError> {
    let (found, mut rejected) = candidates(dirs)?;
    for file in found.into_iter().take(MAX_CANDIDATES) {
        let mut sink = new_sink();
        match load_snapshot(&*dirs.disk, &file, &mut sink) {
            Ok(tail) => {
                return Ok(Some(Loaded {
                    file,
                    tail,
                    sink,
                    rejected,
                }));
            }
            Err(error) => rejected.push(error),
        }
    }
    if !rejected.is_empty() {
        let dir = dirs.snap.clone();
        return Err(SnapshotError::NoneValid { dir, rejected });
    }
    if let Some(loaded) = load_unrenamed(dirs, new_sink)? {
        return Ok(Some(loaded));
    }
    if options.trust_empty {
        return Ok(None);
    }
    if !logs(&*dirs.disk, &dirs.log)
        .doing("list", &dirs.log)?
        .is_empty()
    {
        return Err(SnapshotError::LogsWithoutSnapshot {
            snap: dirs.snap.clone(),
            log: dirs.log.clone(),
        });
    }
    refuse_ruined(dirs)?;
    Ok(None)
}

/// A file that is no whole snapshot, with no log beside it, may have been all there was: a state
/// that came from a leader has none. Java begins with an empty tree there, and could vote with it.
/// Only the snapshot of a fresh server holds nothing.
fn refuse_ruined(dirs: &DataDirs) -> Result<(), SnapshotError> {
    let mut rejected = Vec::new();
    for file in by_name(dirs)?
        .into_iter()
        .filter(|file| file.zxid > Zxid::ZERO)
    {
        let offset = dirs.disk.length(&file.path).doing("read", &file.path)?;
        let path = file.path;
        rejected.push(SnapshotError::Ended { path, offset });
    }
    if rejected.is_empty() {
        return Ok(());
    }
    let dir = dirs.snap.clone();
    Err(SnapshotError::NoneValid { dir, rejected })
}

/// Where nothing else is left, a snapshot that Java did not come to rename is as good as one.
fn load_unrenamed<S: ImageSink>(
    dirs: &DataDirs,
    mut new_sink: impl FnMut() -> S,
) -> Result<Option<Loaded<S>>, SnapshotError> {
    for file in unrenamed(dirs)? {
        let mut sink = new_sink();
        match load_snapshot(&*dirs.disk, &file, &mut sink) {
            Ok(tail) => {
                tracing::warn!(path = ?file.path, "the only snapshot is one under a temporary name");
                return Ok(Some(Loaded {
                    file,
                    tail,
                    sink,
                    rejected: Vec::new(),
                }));
            }
            Err(error) => tracing::warn!(path = ?file.path, %error, "not a whole snapshot"),
        }
    }
    Ok(None)
}

fn parse_unrenamed(name: &OsStr) -> Option<(Zxid, Compression)> {
    let name = name.to_str()?.strip_suffix(".tmp")?;
    let zxid = parse_hex(name.strip_prefix("snapshot.")?)?;
    Some((zxid, Compression::None))
}

fn matching(
    dirs: &DataDirs,
    parse: impl Fn(&OsStr) -> Option<(Zxid, Compression)>,
) -> Result<Vec<SnapshotFile>, IoFailure> {
    let dir = &dirs.snap;
    let found = list(&*dirs.disk, dir, parse).doing("list", dir)?;
    let mut files: Vec<_> = found
        .into_iter()
        .map(|(path, (zxid, compression))| SnapshotFile {
            path,
            zxid,
            compression,
        })
        .collect();
    files.sort_by(|a, b| (b.zxid, &a.path).cmp(&(a.zxid, &b.path)));
    Ok(files)
}

/// Java's check before it opens a snapshot: cheap, and enough to pass over one cut short.
fn looks_whole(dirs: &DataDirs, file: &SnapshotFile) -> io::Result<bool> {
    let input = dirs.disk.open(&file.path, Open::Read)?;
    let length = input.length()?;
    let mut input = Reading::new(input);
    let (start, expected): (u64, &[u8]) = match file.compression {
        Compression::None if length < 10 => return Ok(false),
        Compression::None => (length - SEAL_TEXT.len() as u64, &SEAL_TEXT),
        Compression::Gz => (0, &[0x1f, 0x8b]),
        Compression::Snappy => (0, &snappy::MAGIC),
    };
    if length < start + expected.len() as u64 {
        return Ok(false);
    }
    input.seek(SeekFrom::Start(start))?;
    let mut found = vec![0; expected.len()];
    input.read_exact(&mut found)?;
    Ok(found == expected)
}

#[cfg(test)]
mod tests;
