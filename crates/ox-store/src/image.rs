//! A snapshot on its way from the tree to the disk, piece by piece.
//!
//! It is fuzzy: the server may go on between two pieces, and the log makes it whole. Nothing is
//! written while the database is read, and the other way round. Source:
//! `ZooKeeperServer.takeSnapshot`; storage.md 7.3.

use ox_mutant::{Mutant, is_on};
use ox_proto::Zxid;
use ox_replica::Database;
use ox_tree::image::ImageWriter;
use ox_txnlog::{Compression, DataDirs, SnapshotError, SnapshotFile, SnapshotWriter};

/// What a look at the tree has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more to read.
    More,
    /// That was the last piece.
    Whole,
    /// Another state has taken the place of the one that was begun with.
    Replaced,
}

/// A snapshot that is being taken.
pub struct SnapshotImage {
    dirs: DataDirs,
    compression: Compression,
    /// The last transaction applied when it was begun.
    zxid: Zxid,
    generation: u64,
    image: ImageWriter,
    /// Read and not yet written.
    bytes: Vec<u8>,
    /// `None` before the first piece is written.
    file: Option<SnapshotWriter>,
    /// Of the moment of the last piece.
    last: Zxid,
    digest: i64,
}

impl SnapshotImage {
    /// Begins it; touches no file.
    pub fn begin(dirs: &DataDirs, compression: Compression, database: &Database) -> Self {
        let mut bytes = Vec::new();
        let sessions = database
            .sessions
            .iter()
            .map(|(id, timeout_ms)| (*id, *timeout_ms))
            .filter(|_| !is_on(Mutant::I03));
        let applied = database.tree.last_zxid();
        let zxid = match is_on(Mutant::M18) {
            true => Zxid(applied.0 + 1),
            false => applied,
        };
        Self {
            dirs: dirs.clone(),
            compression,
            zxid,
            generation: database.generation,
            image: ImageWriter::begin(&database.tree, sessions, &mut bytes),
            bytes,
            file: None,
            last: applied,
            digest: database.tree.digest(),
        }
    }

    /// The last transaction applied when it was begun.
    pub fn zxid(&self) -> Zxid {
        self.zxid
    }

    /// Reads at most so many more znodes.
    pub fn read(&mut self, database: &Database, znodes: usize) -> Progress {
        if database.generation != self.generation {
            return Progress::Replaced;
        }
        let more = self.image.chunk(&database.tree, znodes, &mut self.bytes);
        (self.last, self.digest) = (database.tree.last_zxid(), database.tree.digest());
        match more {
            true => Progress::More,
            false => Progress::Whole,
        }
    }

    /// Writes what was read.
    pub fn write(&mut self) -> Result<(), SnapshotError> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let file = SnapshotWriter::create(&self.dirs, self.zxid, self.compression)?;
                self.file.insert(file)
            }
        };
        file.write(&self.bytes)?;
        self.bytes.clear();
        Ok(())
    }

    /// Ends a whole one: it is durable then, and has its name.
    pub fn finish(self) -> Result<SnapshotFile, SnapshotError> {
        self.end(SnapshotWriter::finish)
    }

    /// Ends a whole one, which takes the place of all history on the disk. The caller has the
    /// folders for itself.
    pub fn install(self) -> Result<SnapshotFile, SnapshotError> {
        self.end(SnapshotWriter::install)
    }

    fn end(
        mut self,
        end: impl FnOnce(SnapshotWriter, Zxid, i64, Zxid) -> Result<SnapshotFile, SnapshotError>,
    ) -> Result<SnapshotFile, SnapshotError> {
        self.write()?;
        let file = self.file.expect("its first piece is written");
        end(file, self.last, self.digest, self.last)
    }
}
