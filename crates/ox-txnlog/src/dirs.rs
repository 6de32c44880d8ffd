//! The folders, and the lock that keeps a second server out of them.
//!
//! Source: storage.md 2, operations.md 1.3.

use std::any::Any;
use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, RealDisk};
use crate::error::{Doing, IoFailure};
use crate::format::list;
use crate::{epoch, segment, snapshot};

/// The generation of the format; part of every path.
const VERSION: &str = "version-2";

/// Java takes neither logs nor snapshots from a file of this name.
const LOCK: &str = "oxkeeper.lock";

/// Tells a server that it may begin with an empty tree.
const INITIALIZE: &str = "initialize";

/// Where snapshots and logs are: the `version-2` folders within dataDir and dataLogDir.
#[derive(Clone, Debug)]
pub struct DataDirs {
    /// Snapshots and epoch files.
    pub snap: PathBuf,
    /// Transaction logs.
    pub log: PathBuf,
    /// What they are on.
    pub(crate) disk: Arc<dyn Disk>,
}

/// Why the folders cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// A folder is missing and must not be made.
    #[error(
        "missing data directory {}: zookeeper.datadir.autocreate is false, so it must be \
         created by hand", .0.display()
    )]
    Missing(PathBuf),
    /// Snapshots in the folder of the logs.
    #[error(
        "Log directory has snapshot files. Check if dataLogDir and dataDir configuration is \
         correct. ({})", .0.display()
    )]
    SnapshotAmongLogs(PathBuf),
    /// Logs in the folder of the snapshots.
    #[error(
        "Snapshot directory has log files. Check if dataLogDir and dataDir configuration is \
         correct. ({})", .0.display()
    )]
    LogAmongSnapshots(PathBuf),
    /// Another server has the folder.
    #[error("another server is using {}", .0.display())]
    Locked(PathBuf),
    /// The operating system refused something.
    #[error(transparent)]
    Io(#[from] IoFailure),
}

/// Holds the folders for one server, until it is dropped or the process ends.
#[derive(Debug)]
pub struct DirLock {
    _files: Vec<Box<dyn Any + Send + Sync>>,
}

impl DataDirs {
    /// Finds the folders of a server, or makes them if `autocreate` allows it, and checks that
    /// neither holds what belongs in the other.
    pub fn open(data_dir: &Path, data_log_dir: &Path, autocreate: bool) -> Result<Self, DirError> {
        Self::open_on(Arc::new(RealDisk), data_dir, data_log_dir, autocreate)
    }

    /// The same on any disk.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        data_dir: &Path,
        data_log_dir: &Path,
        autocreate: bool,
    ) -> Result<Self, DirError> {
        let dirs = Self {
            snap: data_dir.join(VERSION),
            log: data_log_dir.join(VERSION),
            disk,
        };
        for dir in dirs.each() {
            if !dirs.disk.is_dir(dir) {
                if !autocreate {
                    return Err(DirError::Missing(dir.to_path_buf()));
                }
                create(&*dirs.disk, dir)?;
            }
        }
        if dirs.are_split() {
            let stray = |dir, prefix| find_prefix(&*dirs.disk, dir, prefix).doing("list", dir);
            if let Some(path) = stray(&dirs.log, "snapshot.")? {
                return Err(DirError::SnapshotAmongLogs(path));
            }
            if let Some(path) = stray(&dirs.snap, "log.")? {
                return Err(DirError::LogAmongSnapshots(path));
            }
        }
        Ok(dirs)
    }

    /// Takes the folders for this server, clears away what a killed one was writing, and completes
    /// the install of a snapshot from a leader that it was at.
    pub fn lock(&self) -> Result<DirLock, DirError> {
        let mut files = Vec::new();
        for dir in self.each() {
            let path = dir.join(LOCK);
            match self.disk.lock(&path).doing("lock", &path)? {
                Some(file) => files.push(file),
                None => return Err(DirError::Locked(dir.to_path_buf())),
            }
        }
        // Only now is it certain that nobody is still writing them.
        for dir in self.each() {
            remove_temporary(&*self.disk, dir).doing("remove temporary files in", dir)?;
        }
        snapshot::complete_install(self)?;
        Ok(DirLock { _files: files })
    }

    /// Deletes the `initialize` marker; true if there was one. Documentation and scripts place it
    /// in dataDir, Java looks in dataLogDir: either will do.
    pub fn take_initialize_marker(&self) -> Result<bool, DirError> {
        let mut found = false;
        for dir in self.each() {
            let Some(parent) = dir.parent() else { continue };
            let path = parent.join(INITIALIZE);
            match self.disk.remove(&path) {
                Ok(()) => found = true,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => Err(error).doing("delete", &path)?,
            }
        }
        Ok(found)
    }

    fn are_split(&self) -> bool {
        match (self.snap.canonicalize(), self.log.canonicalize()) {
            (Ok(snap), Ok(log)) => snap != log,
            _ => self.snap != self.log,
        }
    }

    /// What they are on.
    pub fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// Each folder once.
    pub fn each(&self) -> impl Iterator<Item = &Path> {
        let log = self.are_split().then_some(self.log.as_path());
        [self.snap.as_path()].into_iter().chain(log)
    }
}

/// Makes a folder and everything above it, and makes their names durable.
fn create(disk: &dyn Disk, dir: &Path) -> Result<(), IoFailure> {
    let missing = dir.ancestors().take_while(|dir| !disk.is_dir(dir)).count();
    disk.create_dirs(dir).doing("create", dir)?;
    for parent in dir.ancestors().skip(1).take(missing) {
        // The path above a relative one is empty.
        let parent = match parent.as_os_str().is_empty() {
            true => Path::new("."),
            false => parent,
        };
        disk.sync_dir(parent).doing("sync", parent)?;
    }
    Ok(())
}

/// Java judges by the beginning of the name alone here, and so do we.
fn find_prefix(disk: &dyn Disk, dir: &Path, prefix: &str) -> io::Result<Option<PathBuf>> {
    let found = list(disk, dir, |name| starts_with(name, &[prefix]).then_some(()))?;
    Ok(found.into_iter().map(|(path, ())| path).min())
}

fn remove_temporary(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    let prefixes = [segment::TEMPORARY, snapshot::TEMPORARY, epoch::TEMPORARY];
    for (path, ()) in list(disk, dir, |name| starts_with(name, &prefixes).then_some(()))? {
        disk.remove(&path)?;
    }
    Ok(())
}

fn starts_with(name: &OsStr, prefixes: &[&str]) -> bool {
    let bytes = name.as_encoded_bytes();
    prefixes
        .iter()
        .any(|prefix| bytes.starts_with(prefix.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::tempdir;

    use super::*;

    #[test]
    fn missing_folders_are_made_or_refused() {
        let root = tempdir().unwrap();
        let (data, logs) = (root.path().join("a/data"), root.path().join("logs"));
        let refused = DataDirs::open(&data, &logs, false).unwrap_err();
        assert!(matches!(refused, DirError::Missing(dir) if dir == data.join("version-2")));
        let dirs = DataDirs::open(&data, &logs, true).unwrap();
        assert!(dirs.snap.is_dir() && dirs.log.is_dir());
        let found = DataDirs::open(&data, &logs, false).unwrap();
        assert_eq!((found.snap, found.log), (dirs.snap, dirs.log));
    }

    #[test]
    fn split_folders_hold_only_their_own() {
        let root = tempdir().unwrap();
        let open = || DataDirs::open(&root.path().join("d"), &root.path().join("l"), true);
        let dirs = open().unwrap();
        let stray = dirs.log.join("snapshot.0");
        fs::write(&stray, "").unwrap();
        let text = open().unwrap_err().to_string();
        assert!(text.starts_with("Log directory has snapshot files. Check if dataLogDir"));
        fs::rename(stray, dirs.snap.join("snapshot.0")).unwrap();
        fs::write(dirs.snap.join("log.1"), "").unwrap();
        let text = open().unwrap_err().to_string();
        assert!(text.starts_with("Snapshot directory has log files. Check if dataLogDir"));
    }

    #[test]
    fn one_folder_may_hold_both() {
        let root = tempdir().unwrap();
        let dirs = DataDirs::open(root.path(), root.path(), true).unwrap();
        fs::write(dirs.snap.join("snapshot.0"), "").unwrap();
        fs::write(dirs.log.join("log.1"), "").unwrap();
        assert!(DataDirs::open(root.path(), &root.path().join("."), true).is_ok());
    }

    #[test]
    fn a_second_server_is_kept_out_until_the_first_has_gone() {
        let root = tempdir().unwrap();
        let dirs = DataDirs::open(root.path(), root.path(), true).unwrap();
        let lock = dirs.lock().unwrap();
        let refused = dirs.lock().unwrap_err();
        assert!(matches!(&refused, DirError::Locked(dir) if *dir == dirs.snap));
        drop(lock);
        assert!(dirs.lock().is_ok());
    }

    #[test]
    fn taking_the_lock_clears_what_was_never_finished_and_nothing_else() {
        let root = tempdir().unwrap();
        let dirs = DataDirs::open(root.path(), root.path(), true).unwrap();
        for name in ["tmp.log.5", "tmp.snapshot.5.gz", "log.5", "snapshot.5.tmp"] {
            fs::write(dirs.snap.join(name), "").unwrap();
        }
        let _lock = dirs.lock().unwrap();
        let left = list(&RealDisk, &dirs.snap, |name| Some(name.to_owned())).unwrap();
        let mut left: Vec<_> = left.into_iter().map(|(_, name)| name).collect();
        left.sort();
        assert_eq!(left, ["log.5", LOCK, "snapshot.5.tmp"]);
    }

    #[test]
    fn the_marker_is_taken_from_either_folder_and_once() {
        let root = tempdir().unwrap();
        let (data, logs) = (root.path().join("d"), root.path().join("l"));
        let dirs = DataDirs::open(&data, &logs, true).unwrap();
        assert!(!dirs.take_initialize_marker().unwrap());
        for dir in [data, logs] {
            fs::write(dir.join("initialize"), "").unwrap();
            assert!(dirs.take_initialize_marker().unwrap());
            assert!(!dirs.take_initialize_marker().unwrap());
        }
    }
}
