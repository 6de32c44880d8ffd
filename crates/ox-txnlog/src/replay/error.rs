//! What a replay can find wrong, in words for the person who has to decide what to do.
//!
//! Every text names the file and the offset.

use std::fmt;
use std::path::PathBuf;

use ox_jute::DecodeError;
use ox_proto::Zxid;

use crate::CallerError;
use crate::error::IoFailure;
use crate::reader::Damage;

/// Something that a crash may leave, and that a person may want to know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayWarning {
    /// The newest log ended in records that were never acknowledged; they do not count.
    TornTail {
        /// The log.
        path: PathBuf,
        /// Where its records end.
        offset: u64,
        /// What is there instead of another.
        damage: Damage,
    },
    /// A log without contents was deleted.
    EmptyLog(PathBuf),
}

impl fmt::Display for ReplayWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TornTail {
                path,
                offset,
                damage,
            } => write!(
                f,
                "{}: torn at offset {offset}, {damage}; the records before it count",
                path.display()
            ),
            Self::EmptyLog(path) => write!(f, "{}: deleted, it held nothing", path.display()),
        }
    }
}

/// Why the logs cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The operating system refused something.
    #[error(transparent)]
    Io(#[from] IoFailure),
    /// The file begins with something else, or is too short and not the newest.
    #[error("{}: not a transaction log, {}", path.display(), beginning(*found))]
    NotALog {
        /// The file.
        path: PathBuf,
        /// What stands there; `None` if the file is shorter than a header.
        found: Option<i32>,
    },
    /// The log is damaged where it was whole once.
    #[error("{}: damaged at offset {offset}, {damage}; {evidence}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damaged record begins.
        offset: u64,
        /// What is there.
        damage: Damage,
        /// Why this is not just what a crash leaves.
        evidence: Evidence,
    },
    /// A whole record that cannot be understood.
    #[error(
        "{}: cannot understand the record at offset {offset}, zxid {zxid}: {source}",
        path.display()
    )]
    Record {
        /// The file.
        path: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// Of the record.
        zxid: Zxid,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// Records are missing.
    #[error(
        "{}: records are missing before offset {offset}: zxid {zxid} comes after {last}{}",
        path.display(), ended(before)
    )]
    Gap {
        /// The file.
        path: PathBuf,
        /// Where the record after the gap begins.
        offset: u64,
        /// Of that record.
        zxid: Zxid,
        /// Zxid of the record before the gap, or of the snapshot.
        last: Zxid,
        /// The earlier log that ended in front of the gap, where, and in what.
        before: Option<(PathBuf, u64, Damage)>,
    },
    /// A record that should have come earlier, or a different one with a zxid that was used.
    #[error("{}: zxid {zxid} at offset {offset} comes after {last}", path.display())]
    Order {
        /// The file.
        path: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// Of the record.
        zxid: Zxid,
        /// Of the record before it.
        last: Zxid,
    },
    /// The log begins with a record from before its name, which says what it began with: another file's
    /// beginning stands there.
    #[error("{}: damaged, it begins with zxid {zxid}", path.display())]
    Beginning {
        /// The file.
        path: PathBuf,
        /// Of the record.
        zxid: Zxid,
    },
    /// Whoever was handed the record refused it.
    #[error(
        "{}: cannot apply the record at offset {offset}, zxid {zxid}: {source}",
        path.display()
    )]
    Apply {
        /// The file.
        path: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// Of the record.
        zxid: Zxid,
        /// The applier's error.
        source: CallerError,
    },
}

fn beginning(magic: Option<i32>) -> String {
    match magic {
        Some(magic) => format!("its magic number is {magic:#x}"),
        None => "it is shorter than a header and not the newest".to_owned(),
    }
}

fn ended(before: &Option<(PathBuf, u64, Damage)>) -> String {
    match before {
        Some((path, offset, damage)) => {
            format!(" ({} ends at offset {offset}, {damage})", path.display())
        }
        None => String::new(),
    }
}

/// Why damage is not what a crash leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Nothing is known of what was synced, and this kind of damage may be in what was.
    Unexplained,
    /// Everything before this offset was synced.
    Synced(u64),
    /// A whole, later record follows.
    Followed {
        /// Where it begins.
        offset: u64,
        /// Of that record.
        zxid: Zxid,
    },
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unexplained => write!(f, "acknowledged records may be lost"),
            Self::Synced(offset) => write!(
                f,
                "oxkeeper.synced says that it was whole up to offset {offset} (delete that file \
                 if this log was cut on purpose)"
            ),
            Self::Followed { offset, zxid } => {
                write!(f, "a whole record follows at offset {offset}, zxid {zxid}")
            }
        }
    }
}
