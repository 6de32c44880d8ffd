//! A failed system call, with what was being done to which file.

use std::io;
use std::path::{Path, PathBuf};

/// The operating system refused something.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}: {source}", path.display())]
pub struct IoFailure {
    /// What was being done, as in "cannot ... file".
    pub doing: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// The system's own error.
    pub source: io::Error,
}

/// Adds what was being done to an [`io::Result`].
pub trait Doing<T> {
    /// `doing` reads as in "cannot ... file".
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, IoFailure>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, IoFailure> {
        self.map_err(|source| IoFailure {
            doing,
            path: path.to_path_buf(),
            source: source.into(),
        })
    }
}
