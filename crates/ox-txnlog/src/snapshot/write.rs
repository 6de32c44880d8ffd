//! Writes a snapshot under a temporary name and gives it its own only when it is durable.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use flate2::write::GzEncoder;
use ox_proto::Zxid;
use simd_adler32::Adler32;

use super::read::SnapshotDigest;
use super::snappy::SnappyWriter;
use super::{SEAL_TEXT, SnapshotError, SnapshotFile, by_name, install};
use crate::DataDirs;
use crate::disk::{Disk, DiskFile, Open};
use crate::error::{Doing, IoFailure};
use crate::format::{Compression, SNAPSHOT_MAGIC, header, snapshot_name};
use crate::step::Step;

/// Begins the names of snapshots that are not whole yet; Java does not take them for snapshots.
pub(crate) const TEMPORARY: &str = "tmp.snapshot.";

/// A snapshot is synced every so many bytes, so that the log beside it never waits for all of it.
const SYNC_EVERY: usize = 8 << 20;

/// What Java writes as the database id of a snapshot.
const DBID: i64 = -1;

/// A snapshot being written. Dropped before [`SnapshotWriter::finish`], it leaves nothing behind.
pub struct SnapshotWriter {
    dirs: DataDirs,
    target: SnapshotFile,
    temporary: Temporary,
    output: Output,
    checksum: Adler32,
}

impl SnapshotWriter {
    /// Begins a snapshot; `zxid` is the last transaction applied so far.
    pub fn create(
        dirs: &DataDirs,
        zxid: Zxid,
        compression: Compression,
    ) -> Result<Self, SnapshotError> {
        let name = snapshot_name(zxid, compression);
        let temporary = Temporary {
            disk: Arc::clone(&dirs.disk),
            path: dirs.snap.join(format!("tmp.{name}")),
        };
        let file = dirs.disk.open(&temporary.path, Open::Replace);
        let file = file.doing("create", &temporary.path)?;
        let output = Output::new(file, compression).doing("write", &temporary.path)?;
        let mut writer = Self {
            dirs: dirs.clone(),
            target: SnapshotFile {
                path: dirs.snap.join(name),
                zxid,
                compression,
            },
            temporary,
            output,
            checksum: Adler32::new(),
        };
        writer.write(&header(SNAPSHOT_MAGIC, DBID))?;
        Ok(writer)
    }

    /// Writes the next part of the image.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        self.checksum.write(bytes);
        let written = self.output.as_write().write_all(bytes);
        Ok(written.doing("write", &self.temporary.path)?)
    }

    /// Ends the snapshot behind a complete image: what is on disk under its name is then all of
    /// it. `digest_zxid` is the last transaction applied when `digest`, of the whole tree, was
    /// taken. Other spellings of the same snapshot are deleted.
    pub fn finish(
        self,
        digest_zxid: Zxid,
        digest: i64,
        last_zxid: Zxid,
    ) -> Result<SnapshotFile, SnapshotError> {
        let closed = self.close(digest_zxid, digest, last_zxid)?;
        let rename = Step::Rename {
            from: closed.temporary.path.clone(),
            to: closed.target.path.clone(),
        };
        rename.perform(&*closed.dirs.disk)?;
        remove_other_spellings(&closed.dirs, &closed.target)?;
        Ok(closed.target)
    }

    /// Ends a snapshot that was received from a leader, as [`SnapshotWriter::finish`] does, and
    /// puts it in the place of everything that was in the folders: every log and every other
    /// snapshot is deleted. After a crash the next [`DataDirs::lock`] finds the folders as they
    /// were or completes this.
    ///
    /// Nothing else may be at work in the folders: no log that is not closed, no other snapshot
    /// being written, no purge. After an error only a restart finds out which history is there.
    pub fn install(
        self,
        digest_zxid: Zxid,
        digest: i64,
        last_zxid: Zxid,
    ) -> Result<SnapshotFile, SnapshotError> {
        let closed = self.close(digest_zxid, digest, last_zxid)?;
        for step in closed.steps()? {
            step.perform(&*closed.dirs.disk)?;
        }
        Ok(closed.target)
    }

    /// Writes what stands behind the image, and makes the file durable.
    pub(super) fn close(
        mut self,
        digest_zxid: Zxid,
        digest: i64,
        last_zxid: Zxid,
    ) -> Result<Closed, SnapshotError> {
        self.seal()?;
        self.write(&digest_zxid.0.to_be_bytes())?;
        self.write(&SnapshotDigest::VERSION.to_be_bytes())?;
        self.write(&digest.to_be_bytes())?;
        self.seal()?;
        self.write(&last_zxid.0.to_be_bytes())?;
        self.seal()?;

        let temporary = &self.temporary.path;
        let file = self.output.finish().doing("write", temporary)?;
        file.sync_all().doing("sync", temporary)?;
        Ok(Closed {
            dirs: self.dirs,
            target: self.target,
            temporary: self.temporary,
        })
    }

    fn seal(&mut self) -> Result<(), SnapshotError> {
        let checksum = i64::from(self.checksum.finish());
        self.write(&checksum.to_be_bytes())?;
        self.write(&SEAL_TEXT)
    }
}

impl SnapshotDigest {
    /// The digests that we write.
    /// The only version that is written since 3.6.
    pub const VERSION: i32 = 2;
}

/// A snapshot that is complete and durable, but does not have its name yet.
pub(super) struct Closed {
    dirs: DataDirs,
    target: SnapshotFile,
    temporary: Temporary,
}

impl Closed {
    /// What makes it all there is in the folders.
    pub(super) fn steps(&self) -> Result<Vec<Step>, IoFailure> {
        let target = &self.target;
        install::steps(&self.dirs, &self.temporary.path, &target.path, target.zxid)
    }
}

/// Of two snapshots of one zxid Java takes whichever the folder lists first.
fn remove_other_spellings(dirs: &DataDirs, kept: &SnapshotFile) -> Result<(), IoFailure> {
    for other in by_name(dirs)? {
        if other.zxid == kept.zxid && other.path != kept.path {
            dirs.disk.remove(&other.path).doing("delete", &other.path)?;
        }
    }
    Ok(())
}

/// A file that goes when this does, unless it was renamed.
struct Temporary {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        match self.disk.remove(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = ?self.path, %error, "cannot delete a temporary file");
            }
            _ => {}
        }
    }
}

enum Output {
    Plain(BufWriter<Paced>),
    Gz(GzEncoder<BufWriter<Paced>>),
    Snappy(Box<SnappyWriter<BufWriter<Paced>>>),
}

impl Output {
    fn new(file: Box<dyn DiskFile>, compression: Compression) -> io::Result<Self> {
        let file = BufWriter::with_capacity(
            256 << 10,
            Paced {
                file,
                written: 0,
                unsynced: 0,
            },
        );
        Ok(match compression {
            Compression::None => Self::Plain(file),
            Compression::Gz => Self::Gz(GzEncoder::new(file, flate2::Compression::default())),
            Compression::Snappy => Self::Snappy(Box::new(SnappyWriter::new(file)?)),
        })
    }

    fn as_write(&mut self) -> &mut dyn Write {
        match self {
            Self::Plain(output) => output,
            Self::Gz(output) => output,
            Self::Snappy(output) => output,
        }
    }

    fn finish(self) -> io::Result<Box<dyn DiskFile>> {
        let output = match self {
            Self::Plain(output) => output,
            Self::Gz(output) => output.finish()?,
            Self::Snappy(output) => output.finish()?,
        };
        Ok(output.into_inner()?.file)
    }
}

/// A file that is synced every [`SYNC_EVERY`] bytes.
struct Paced {
    file: Box<dyn DiskFile>,
    written: u64,
    unsynced: usize,
}

impl Write for Paced {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at([bytes, &[]], self.written)?;
        self.written += bytes.len() as u64;
        self.unsynced += bytes.len();
        if self.unsynced >= SYNC_EVERY {
            self.file.sync_data()?;
            self.unsynced = 0;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
