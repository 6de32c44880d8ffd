use std::fs;

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
fn an_empty_tree_that_was_allowed_after_all_begins_with_epoch_0() {
    check([Some("-1"), Some("-1"), None], Zxid::ZERO, Ok([0, 0]));
    check([Some("4"), Some("-1"), None], Zxid::ZERO, Ok([4, 0]));
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
