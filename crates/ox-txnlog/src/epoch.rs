//! The files `acceptedEpoch` and `currentEpoch`, which only members of an ensemble have.
//!
//! Each holds one decimal number without a newline, in the folder of the snapshots. The current
//! epoch follows the data that it vouches for: whoever has current epoch c holds the whole initial
//! history of c. So a learner announces the new epoch in `currentEpoch.tmp` before the first
//! record of a sync becomes durable, and stores it when all of them are. A crash in between leaves
//! data of an epoch above the current one, and [`EpochFiles::load`] then takes the data's epoch,
//! since a record of an epoch is preceded by all that this epoch began with. Java takes the
//! announced number instead, even if the data has not come that far; an announced epoch may be
//! higher than any record so far, and a server that claims it with half of its history could win
//! an election.
//!
//! Invariants: each of the three files is whole at any moment; what a call has returned for is
//! durable. Source: quorum.md 3.7 and 8.2, storage.md 8.6; `QuorumPeer.loadDataBase`.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use ox_proto::Zxid;

use crate::DataDirs;
use crate::error::{Doing, IoFailure};
use crate::format::sync_dir;

/// Begins the names of files that are not whole yet; Java does not look at them.
pub(crate) const TEMPORARY: &str = "tmp.epoch.";

/// No epoch has more digits; what else is in a file is quoted only so far.
const LONGEST_CONTENT: u64 = 40;

/// On disk: there is no epoch, because there is no history.
const NONE: i64 = -1;

/// Which epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochName {
    /// The newest epoch that this server has agreed to, so that it follows no older one.
    Accepted,
    /// The newest epoch whose initial history this server holds.
    Current,
}

impl EpochName {
    fn file(self) -> &'static str {
        match self {
            Self::Accepted => "acceptedEpoch",
            Self::Current => "currentEpoch",
        }
    }

    /// Where Java, too, prepares the file. For the current epoch it has a meaning of its own.
    fn prepared(self) -> &'static str {
        match self {
            Self::Accepted => "acceptedEpoch.tmp",
            Self::Current => "currentEpoch.tmp",
        }
    }
}

/// Both epochs. `None`, which is less than any epoch and -1 on disk, is what an empty server has
/// that was forbidden to make an empty tree: it has no history, and no vote until it was synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epochs {
    /// See [`EpochName::Accepted`].
    pub accepted: Option<u32>,
    /// See [`EpochName::Current`]; never above `accepted`.
    pub current: Option<u32>,
}

/// Why the epochs cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum EpochError {
    /// The operating system refused something.
    #[error(transparent)]
    Io(#[from] IoFailure),
    /// A file holds something else.
    #[error("Found {content:?} in {}, which is no epoch", path.display())]
    NotAnEpoch {
        /// The file.
        path: PathBuf,
        /// How it begins.
        content: String,
    },
    /// Data of an epoch that was never entered.
    #[error(
        "The current epoch, {current}, is older than the last zxid, {last_zxid}, and no {} \
         announces that one's epoch ({})", EpochName::Current.prepared(), dir.display()
    )]
    OlderThanData {
        /// The current epoch; -1 for none.
        current: i64,
        /// Of the last record or snapshot.
        last_zxid: Zxid,
        /// The folder.
        dir: PathBuf,
    },
    /// An epoch was entered that was never agreed to.
    #[error(
        "The accepted epoch, {accepted} is less than the current epoch, {current} ({})",
        dir.display()
    )]
    AcceptedOlder {
        /// The accepted epoch; -1 for none.
        accepted: i64,
        /// The current epoch.
        current: i64,
        /// The folder.
        dir: PathBuf,
    },
}

/// The files of one server.
#[derive(Clone, Debug)]
pub struct EpochFiles {
    dir: PathBuf,
}

impl EpochFiles {
    /// The epochs beside these snapshots. Touches no file.
    pub fn open(dirs: &DataDirs) -> Self {
        let dir = dirs.snap.clone();
        Self { dir }
    }

    /// Finds both epochs when the server starts. `last_zxid` is that of the data, of which
    /// everything is durable; -1 if there is none and the server must not begin with an empty
    /// tree. A missing file is written with the data's epoch.
    pub fn load(&self, last_zxid: Zxid) -> Result<Epochs, EpochError> {
        let of_data = match last_zxid {
            Zxid(NONE) => NONE,
            zxid => zxid.epoch().into(),
        };
        let stored_current = self.read(EpochName::Current.file())?;
        let stored_accepted = self.read(EpochName::Accepted.file())?;

        let mut current = stored_current.unwrap_or(of_data);
        if of_data > current {
            let announced = self.read(EpochName::Current.prepared())?;
            if announced < Some(of_data) {
                return Err(EpochError::OlderThanData {
                    current,
                    last_zxid,
                    dir: self.dir.clone(),
                });
            }
            current = of_data;
        }
        let accepted = stored_accepted.unwrap_or(of_data);
        if accepted < current {
            return Err(EpochError::AcceptedOlder {
                accepted,
                current,
                dir: self.dir.clone(),
            });
        }
        if stored_accepted != Some(accepted) {
            self.replace(EpochName::Accepted, accepted)?;
        }
        match stored_current == Some(current) {
            // What was announced came to nothing, and must mean nothing later.
            true => self.remove_announced()?,
            false => self.replace(EpochName::Current, current)?,
        }
        Ok(Epochs {
            accepted: u32::try_from(accepted).ok(),
            current: u32::try_from(current).ok(),
        })
    }

    /// Replaces an epoch. For the current one everything it vouches for is durable already.
    pub fn store(&self, name: EpochName, epoch: u32) -> Result<(), IoFailure> {
        self.replace(name, epoch.into())
    }

    /// Says that data of `epoch` may become durable before [`EpochFiles::store`] makes it the
    /// current one.
    pub fn announce_current(&self, epoch: u32) -> Result<(), IoFailure> {
        self.prepare(EpochName::Current, epoch.into())?;
        sync_dir(&self.dir).doing("sync", &self.dir)
    }

    fn replace(&self, name: EpochName, epoch: i64) -> Result<(), IoFailure> {
        self.prepare(name, epoch)?;
        let prepared = self.dir.join(name.prepared());
        fs::rename(&prepared, self.dir.join(name.file())).doing("rename", &prepared)?;
        sync_dir(&self.dir).doing("sync", &self.dir)
    }

    /// Puts the number where it is only to be renamed. What was announced there before may still
    /// be needed, so it is replaced whole.
    fn prepare(&self, name: EpochName, epoch: i64) -> Result<(), IoFailure> {
        let temporary = self.dir.join(format!("{TEMPORARY}{}", name.file()));
        let write = || -> io::Result<()> {
            let mut file = File::create(&temporary)?;
            file.write_all(epoch.to_string().as_bytes())?;
            file.sync_all()
        };
        write().doing("write", &temporary)?;
        fs::rename(&temporary, self.dir.join(name.prepared())).doing("rename", &temporary)
    }

    fn remove_announced(&self) -> Result<(), IoFailure> {
        let path = self.dir.join(EpochName::Current.prepared());
        match fs::remove_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.doing("delete", &path),
        }
    }

    /// The number in a file; `None` if there is no such file.
    fn read(&self, name: &str) -> Result<Option<i64>, EpochError> {
        let path = self.dir.join(name);
        let mut content = Vec::new();
        let read =
            File::open(&path).and_then(|file| file.take(LONGEST_CONTENT).read_to_end(&mut content));
        match read {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            read => read.doing("read", &path)?,
        };
        match parse(&content) {
            Some(epoch) => Ok(Some(epoch)),
            None => Err(not_an_epoch(&path, &content)),
        }
    }
}

/// The number in the first line: Java reads no further. Its epochs are longs, but one that does
/// not fit into the upper half of a zxid was never an epoch.
fn parse(content: &[u8]) -> Option<i64> {
    let line = content.split(|byte| matches!(byte, b'\n' | b'\r')).next()?;
    let epoch: i64 = str::from_utf8(line).ok()?.parse().ok()?;
    (NONE..=u32::MAX.into()).contains(&epoch).then_some(epoch)
}

fn not_an_epoch(path: &Path, content: &[u8]) -> EpochError {
    EpochError::NotAnEpoch {
        path: path.to_path_buf(),
        content: String::from_utf8_lossy(content).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    const ACCEPTED: &str = "acceptedEpoch";
    const CURRENT: &str = "currentEpoch";
    const ANNOUNCED: &str = "currentEpoch.tmp";

    impl Folder {
        fn epochs(&self) -> EpochFiles {
            EpochFiles::open(&self.dirs)
        }

        fn content(&self, name: &str) -> Option<String> {
            fs::read_to_string(self.dirs.snap.join(name)).ok()
        }
    }

    /// What a start makes of accepted epoch, current epoch and announced epoch when the data ends
    /// in `epoch`: both numbers, or what the error says. Twice, for it must leave what it says.
    #[track_caller]
    fn check(
        [accepted, current, announced]: [Option<&str>; 3],
        last_zxid: Zxid,
        expected: Result<[i64; 2], &str>,
    ) {
        let folder = Folder::new();
        let files = [
            (ACCEPTED, accepted),
            (CURRENT, current),
            (ANNOUNCED, announced),
        ];
        for (name, content) in files {
            if let Some(content) = content {
                fs::write(folder.dirs.snap.join(name), content).unwrap();
            }
        }
        for _ in 0..2 {
            match (folder.epochs().load(last_zxid), expected) {
                (Ok(found), Ok([accepted, current])) => {
                    let epoch = |number: i64| u32::try_from(number).ok();
                    assert_eq!(found.accepted, epoch(accepted));
                    assert_eq!(found.current, epoch(current));
                    assert_eq!(folder.content(ACCEPTED), Some(accepted.to_string()));
                    assert_eq!(folder.content(CURRENT), Some(current.to_string()));
                    assert_eq!(folder.content(ANNOUNCED), None);
                }
                (Err(error), Err(said)) => {
                    assert!(error.to_string().contains(said), "{error}");
                    for (name, content) in files {
                        assert_eq!(folder.content(name).as_deref(), content, "{name}");
                    }
                }
                (found, _) => panic!("{found:?}"),
            }
        }
    }

    fn in_epoch(epoch: u32) -> Zxid {
        Zxid::new(epoch, 0x36)
    }

    #[test]
    fn missing_files_are_written_with_the_epoch_of_the_data() {
        check([None, None, None], in_epoch(2), Ok([2, 2]));
        check([None, None, None], Zxid::ZERO, Ok([0, 0]));
        check([Some("5"), None, None], in_epoch(2), Ok([5, 2]));
        check([None, Some("2"), None], in_epoch(2), Ok([2, 2]));
    }

    #[test]
    fn without_any_history_both_are_minus_one_and_below_every_epoch() {
        check([None, None, None], Zxid(-1), Ok([-1, -1]));
        check([Some("-1"), Some("-1"), None], Zxid(-1), Ok([-1, -1]));
        check([Some("4"), Some("-1"), None], Zxid(-1), Ok([4, -1]));
        let older = "The current epoch, -1, is older than the last zxid, 0x36";
        check([Some("-1"), Some("-1"), None], in_epoch(0), Err(older));
    }

    #[test]
    fn stored_epochs_may_be_ahead_of_the_data() {
        check([Some("7"), Some("6"), None], in_epoch(2), Ok([7, 6]));
    }

    #[test]
    fn only_the_first_line_counts() {
        assert_eq!(parse(b"7\nmore"), Some(7));
        assert_eq!(parse(b"7\r\n"), Some(7));
        assert_eq!(parse(b"\n7"), None);
    }

    #[test]
    fn data_of_a_newer_epoch_needs_an_announcement() {
        let older = "The current epoch, 1, is older than the last zxid, 0x200000036";
        check([Some("2"), Some("1"), None], in_epoch(2), Err(older));
        check([Some("2"), Some("1"), Some("1")], in_epoch(2), Err(older));
        check([Some("2"), Some("1"), Some("2")], in_epoch(2), Ok([2, 2]));
    }

    /// Of epoch 5 only the older part of its initial history has come.
    #[test]
    fn an_announced_epoch_that_the_data_has_not_reached_is_not_entered() {
        check([Some("5"), Some("3"), Some("5")], in_epoch(4), Ok([5, 4]));
        check([Some("5"), Some("3"), Some("5")], in_epoch(3), Ok([5, 3]));
    }

    #[test]
    fn an_accepted_epoch_below_the_current_one_is_refused() {
        let less = "The accepted epoch, 1 is less than the current epoch, 2";
        check([Some("1"), Some("2"), None], in_epoch(1), Err(less));
        check([None, Some("2"), None], in_epoch(1), Err(less));
        check([Some("1"), Some("1"), Some("2")], in_epoch(2), Err(less));
    }

    #[test]
    fn what_is_no_epoch_is_refused_with_file_and_content() {
        for content in [
            "",
            "x",
            " 2",
            "2 ",
            "0x2",
            "-2",
            "4294967296",
            "99999999999999999999",
        ] {
            let said = format!("Found {content:?} in ");
            check([Some("3"), Some(content), None], in_epoch(2), Err(&said));
            check([Some(content), Some("2"), None], in_epoch(2), Err(&said));
            check(
                [Some("3"), Some("1"), Some(content)],
                in_epoch(2),
                Err(&said),
            );
        }
        let folder = Folder::new();
        fs::write(folder.dirs.snap.join(CURRENT), [0xff; 3000]).unwrap();
        let text = folder.epochs().load(in_epoch(1)).unwrap_err().to_string();
        assert!(text.contains("currentEpoch") && text.len() < 300, "{text}");
    }

    #[test]
    fn an_announcement_that_is_not_needed_is_not_read() {
        check(
            [Some("3"), Some("2"), Some("junk")],
            in_epoch(2),
            Ok([3, 2]),
        );
    }

    #[test]
    fn what_is_stored_is_a_bare_number() {
        let folder = Folder::new();
        let epochs = folder.epochs();
        epochs.store(EpochName::Accepted, u32::MAX).unwrap();
        epochs.store(EpochName::Current, 12).unwrap();
        assert_eq!(folder.content(ACCEPTED).unwrap(), "4294967295");
        assert_eq!(folder.content(CURRENT).unwrap(), "12");
        let found = epochs.load(in_epoch(12)).unwrap();
        assert_eq!((found.accepted, found.current), (Some(u32::MAX), Some(12)));
        assert_eq!(fs::read_dir(&folder.dirs.snap).unwrap().count(), 2);
    }

    #[test]
    fn an_announcement_outlives_a_restart_and_ends_with_the_epoch_stored() {
        let folder = Folder::new();
        let epochs = folder.epochs();
        epochs.store(EpochName::Accepted, 3).unwrap();
        epochs.store(EpochName::Current, 2).unwrap();
        epochs.announce_current(3).unwrap();
        assert_eq!(folder.content(CURRENT).unwrap(), "2");
        drop(folder.dirs.lock().unwrap());
        assert_eq!(folder.content(ANNOUNCED).unwrap(), "3");
        epochs.store(EpochName::Current, 3).unwrap();
        assert_eq!(folder.content(CURRENT).unwrap(), "3");
        assert_eq!(folder.content(ANNOUNCED), None);
    }

    /// A kill while a number was being written leaves what was announced before.
    #[test]
    fn a_half_written_number_is_nowhere_to_be_seen() {
        let folder = Folder::new();
        let epochs = folder.epochs();
        epochs.store(EpochName::Accepted, 4).unwrap();
        epochs.store(EpochName::Current, 2).unwrap();
        epochs.announce_current(3).unwrap();
        fs::write(folder.dirs.snap.join("tmp.epoch.currentEpoch"), "").unwrap();
        drop(folder.dirs.lock().unwrap());
        assert_eq!(folder.content("tmp.epoch.currentEpoch"), None);
        assert_eq!(epochs.load(in_epoch(3)).unwrap().current, Some(3));
    }
}
