use std::fs;

use proptest::prelude::*;

use super::*;
use crate::RealDisk;
use crate::testing::{Folder, Started, error_payload, log_of, payload};
use crate::{Log, LogConfig};

const LENGTH: usize = 150;

/// A record in these logs.
fn at(epoch: u32, counter: u32) -> i64 {
    Zxid::new(epoch, counter).0
}

fn folder(snapshots: &[(i64, i64)], logs: &[&[i64]]) -> Folder {
    let folder = Folder::new();
    for &(zxid, complete_at) in snapshots {
        folder.snapshot(zxid, complete_at);
    }
    for zxids in logs {
        let payloads: Vec<_> = zxids.iter().map(|&zxid| payload(zxid, LENGTH)).collect();
        folder.put(zxids[0], &log_of(&payloads).0);
    }
    folder
}

fn go_back(folder: &Folder, to: i64) -> Result<Truncated, TruncateError> {
    truncate(&folder.dirs, Zxid(to), &ReplayOptions::default())
}

/// What a start finds after going back to `to`, and which files are left.
#[track_caller]
fn check(folder: &Folder, to: i64, records: &[i64], names: &[&str]) {
    let last = go_back(folder, to).unwrap().last.0;
    let started = folder.restart();
    assert_eq!((started.last, &*started.records), (last, records));
    assert!(started.complete_at <= last);
    assert_eq!(folder.names(), names);
}

#[track_caller]
fn check_refused(folder: &Folder, to: i64, said: &str) {
    let before = folder.contents();
    let text = go_back(folder, to).unwrap_err().to_string();
    assert!(text.contains(said), "{text}");
    assert!(folder.contents() == before, "changed");
}

const THREE_LOGS: [&[i64]; 3] = [&[1, 2, 3, 4], &[5, 6], &[7, 8, 9]];

#[test]
fn the_log_ends_behind_the_record_gone_back_to() {
    let folder = || folder(&[(0, 0)], &THREE_LOGS);
    check(
        &folder(),
        8,
        &[1, 2, 3, 4, 5, 6, 7, 8],
        &["log.1", "log.5", "log.7", "snapshot.0"],
    );
    check(
        &folder(),
        6,
        &[1, 2, 3, 4, 5, 6],
        &["log.1", "log.5", "snapshot.0"],
    );
    check(
        &folder(),
        5,
        &[1, 2, 3, 4, 5],
        &["log.1", "log.5", "snapshot.0"],
    );
    check(&folder(), 2, &[1, 2], &["log.1", "snapshot.0"]);
    check(&folder(), 0, &[], &["snapshot.0"]);
}

#[test]
fn going_back_to_the_end_changes_no_history() {
    let folder = folder(&[(0, 0), (4, 4)], &THREE_LOGS);
    let names = ["log.1", "log.5", "log.7", "snapshot.0", "snapshot.4"];
    check(&folder, 9, &[5, 6, 7, 8, 9], &names);
}

#[test]
fn an_epoch_without_records_stands_for_the_end_of_the_one_before() {
    let zxids = [at(1, 1), at(1, 2), at(2, 1), at(2, 2)];
    let folder = folder(&[(0, 0)], &[&zxids]);
    assert_eq!(go_back(&folder, at(2, 0)).unwrap().last.0, at(1, 2));
    check(
        &folder,
        at(2, 0),
        &zxids[..2],
        &["log.100000001", "snapshot.0"],
    );
}

#[test]
fn snapshots_above_go_and_others_stay() {
    let folder = folder(&[(0, 0), (3, 3), (6, 6), (9, 9)], &THREE_LOGS);
    fs::write(folder.dirs.snap.join("snapshot.8.tmp"), "").unwrap();
    fs::write(folder.dirs.snap.join("snapshot.2.tmp"), "").unwrap();
    let names = [
        "log.1",
        "log.5",
        "snapshot.0",
        "snapshot.2.tmp",
        "snapshot.3",
    ];
    check(&folder, 5, &[4, 5], &names);
}

/// It was begun before and complete only behind the record gone back to.
#[test]
fn a_snapshot_that_holds_a_part_of_something_above_goes() {
    let folder = folder(&[(0, 0), (5, 7)], &THREE_LOGS);
    check(
        &folder,
        6,
        &[1, 2, 3, 4, 5, 6],
        &["log.1", "log.5", "snapshot.0"],
    );
}

#[test]
fn a_zxid_where_a_snapshot_was_taken_needs_no_record() {
    let folder = folder(&[(0, 0), (7, 7)], &[&[1, 2, 3], &[8, 9]]);
    check(&folder, 7, &[], &["log.1", "snapshot.0", "snapshot.7"]);
}

#[test]
fn what_history_does_not_reach_is_refused_and_nothing_changed() {
    let three_logs = || folder(&[(0, 0)], &THREE_LOGS);
    let ended = "there is no such record, and what is left of history would end at 0x9";
    check_refused(&three_logs(), 10, ended);
    check_refused(&three_logs(), at(1, 1), "would end at 0x9");
    let without = folder(&[(0, 0)], &[&[at(1, 1), at(2, 1)]]);
    check_refused(&without, at(1, 2), "would end at 0x100000001");
}

#[test]
fn without_a_snapshot_from_before_nothing_is_changed() {
    let folder = folder(&[(3, 5), (7, 7)], &THREE_LOGS);
    check_refused(&folder, 4, "has no snapshot from before it");
    check_refused(&folder, 2, "cannot go back to zxid 0x2: ");
    check(&folder, 5, &[4, 5], &["log.1", "log.5", "snapshot.3"]);
}

#[test]
fn a_broken_snapshot_is_no_way_back() {
    let folder = folder(&[(0, 0), (3, 3)], &THREE_LOGS);
    let path = folder.dirs.snap.join("snapshot.3");
    let mut bytes = fs::read(&path).unwrap();
    bytes[17] ^= 1;
    fs::write(&path, bytes).unwrap();
    fs::remove_file(folder.dirs.log.join("log.1")).unwrap();
    check_refused(&folder, 5, "the snapshot 0x0 is not followed by the logs");
}

/// A snapshot received from a leader left a gap below it.
#[test]
fn history_below_a_gap_is_out_of_reach() {
    let folder = folder(&[(0, 0), (7, 7)], &[&[1, 2, 3], &[8, 9]]);
    check_refused(&folder, 3, "the snapshot 0x0 is not followed by the logs");
}

/// Java logs a request that it cannot decode under the zxid before it.
#[test]
fn repeated_records_of_the_zxid_gone_back_to_stay() {
    let folder = folder(&[(0, 0)], &[]);
    let payloads = [payload(1, LENGTH), error_payload(1), payload(2, LENGTH)];
    let (bytes, places) = log_of(&payloads);
    let path = folder.put(1, &bytes);
    check(&folder, 1, &[1], &["log.1", "snapshot.0"]);
    assert_eq!(fs::metadata(path).unwrap().len(), places[2] as u64);
}

#[test]
fn the_log_goes_on_in_the_same_process_with_other_records() {
    let folder = folder(&[(0, 0)], &[]);
    let _lock = folder.dirs.lock().unwrap();
    let mut next = 1;
    for length in [150, 160, 170] {
        let mut log = Log::create(&folder.dirs, LogConfig::default());
        for zxid in next..next + 4 {
            log.append(Zxid(zxid), &payload(zxid, length)).unwrap();
            if zxid % 2 == 0 {
                log.roll().unwrap();
            }
        }
        log.close().unwrap();
        next += 3;
        assert_eq!(go_back(&folder, next - 1).unwrap().last.0, next - 1);
        assert_eq!(folder.replayed(), (1..next).collect::<Vec<_>>());
    }
}

/// A log may begin with the same record in a new file of the same name.
#[test]
fn the_note_says_nothing_of_what_is_gone() {
    let folder = folder(&[(0, 0)], &[]);
    let write = |zxids: std::ops::RangeInclusive<i64>| {
        let mut log = Log::create(&folder.dirs, LogConfig::default());
        for zxid in zxids {
            log.append(Zxid(zxid), &payload(zxid, LENGTH)).unwrap();
        }
        log.close().unwrap();
    };
    write(1..=3);
    write(4..=9);
    go_back(&folder, 3).unwrap();
    assert_eq!(folder.replayed(), [1, 2, 3]);
    // A kill between the new log and its note.
    let note = folder
        .contents()
        .into_iter()
        .find(|(name, _)| name == "oxkeeper.synced");
    write(4..=5);
    fs::write(folder.dirs.log.join("oxkeeper.synced"), note.unwrap().1).unwrap();
    assert_eq!(folder.replayed(), [1, 2, 3, 4, 5]);
    go_back(&folder, 4).unwrap();
    assert_eq!(folder.replayed(), [1, 2, 3, 4]);
}

#[test]
fn what_stays_is_still_known_to_be_durable() {
    let folder = folder(&[(0, 0)], &[]);
    let mut log = Log::create(&folder.dirs, LogConfig::default());
    for zxid in 1..=9 {
        log.append(Zxid(zxid), &payload(zxid, LENGTH)).unwrap();
    }
    log.close().unwrap();
    go_back(&folder, 4).unwrap();
    let path = folder.dirs.log.join("log.1");
    let length = fs::metadata(&path).unwrap().len();
    fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(length - 1)
        .unwrap();
    let refused = folder.replay_with(0, &ReplayOptions::default()).0;
    assert!(matches!(refused, Err(ReplayError::Damaged { .. })));
}

/// What stands behind the records of a log that an older crash has ended.
#[derive(Clone, Copy, Debug)]
enum Leftover {
    Nothing,
    /// Unused space.
    Zeros,
    /// A lost page, then a whole record.
    LostPage,
    /// A torn record, then a whole one.
    Torn,
}

/// A history, and what of it is on disk.
#[derive(Debug)]
struct History {
    zxids: Vec<i64>,
    /// How many records each log has, and what an older crash left behind them.
    logs: Vec<(usize, Leftover)>,
    /// Where snapshots were begun and complete: numbers of records before.
    snapshots: Vec<(usize, usize)>,
}

impl History {
    fn zxid(&self, records: usize) -> i64 {
        records.checked_sub(1).map_or(0, |last| self.zxids[last])
    }

    fn write(&self) -> Folder {
        let folder = Folder::new();
        for &(begun, complete) in &self.snapshots {
            folder.snapshot(self.zxid(begun), self.zxid(complete));
        }
        let mut rest = &self.zxids[..];
        for &(records, leftover) in &self.logs {
            let (zxids, later) = rest.split_at(records);
            rest = later;
            let mut payloads: Vec<_> = zxids.iter().map(|&zxid| payload(zxid, LENGTH)).collect();
            let lost = zxids.last().unwrap() + 1;
            payloads.extend([payload(lost, 50), payload(lost + 1, 60)]);
            let (mut bytes, places) = log_of(&payloads);
            let end = places[records];
            match leftover {
                Leftover::Nothing => bytes.truncate(end),
                Leftover::Zeros => bytes[end..].fill(0),
                Leftover::LostPage => bytes[end..places[records + 1]].fill(0),
                Leftover::Torn => bytes[places[records + 1] - 1] = 0,
            }
            folder.put(zxids[0], &bytes);
            folder.note(zxids[0], &payloads[0], end);
        }
        folder
    }

    /// Where history would end if it went back to `to`; `None` if it cannot.
    fn end(&self, to: i64) -> Option<i64> {
        let mut usable = self
            .snapshots
            .iter()
            .map(|&(begun, complete)| (self.zxid(begun), complete));
        let snapshot = usable.rfind(|&(_, complete)| self.zxid(complete) <= to)?.0;
        let below = self.zxids.iter().rfind(|&&zxid| zxid <= to).copied();
        let last = below.unwrap_or(0).max(snapshot);
        (last == to || Zxid(to).counter() == 0).then_some(last)
    }

    /// Panics unless this is a beginning of it that reaches `to` at least.
    fn check_beginning(&self, started: &Started, to: i64) {
        let behind = self
            .zxids
            .iter()
            .copied()
            .filter(|&zxid| zxid > started.snapshot);
        let expected: Vec<_> = behind.take_while(|&zxid| zxid <= started.last).collect();
        assert_eq!(started.records, expected);
        assert!(to <= started.last, "{started:?}");
        assert!(started.complete_at <= started.last, "{started:?}");
    }
}

fn history() -> impl Strategy<Value = History> {
    let leftover = prop_oneof![
        Just(Leftover::Nothing),
        Just(Leftover::Zeros),
        Just(Leftover::LostPage),
        Just(Leftover::Torn),
    ];
    let logs = proptest::collection::vec((1_usize..5, leftover), 1..5);
    (logs, 0_usize..3).prop_flat_map(|(logs, first_snapshot)| {
        let records: usize = logs.iter().map(|(records, _)| records).sum();
        let epochs = proptest::collection::vec(0_u32..5, records);
        let snapshots = proptest::collection::btree_map(0..=records, 0_usize..3, 0..4);
        (Just(logs), Just(first_snapshot), epochs, snapshots).prop_map(move |found| {
            let (logs, first_snapshot, epochs, mut snapshots) = found;
            let first_snapshot = first_snapshot.min(records);
            snapshots.insert(first_snapshot, 0);
            let snapshots = snapshots
                .into_iter()
                .filter(|&(begun, _)| first_snapshot <= begun)
                .map(|(begun, while_written)| (begun, (begun + while_written).min(records)))
                .collect();
            let mut zxid = Zxid::ZERO;
            let next = |step: u32| {
                zxid = match step {
                    0 => zxid.next_epoch().unwrap(),
                    _ => zxid.next().unwrap(),
                };
                zxid.0
            };
            let zxids = epochs.into_iter().map(next).collect();
            History {
                zxids,
                logs,
                snapshots,
            }
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn history_goes_back_to_any_zxid_or_stays_as_it_is_and_a_crash_leaves_a_beginning(
        history in history(),
        record in any::<prop::sample::Index>(),
        beside in prop_oneof![3 => Just(0_i64), 1 => -2_i64..3],
        epoch_begin: bool,
    ) {
        let folder = history.write();
        let whole = folder.restart();
        history.check_beginning(&whole, *history.zxids.last().unwrap());
        let mut to = Zxid(history.zxid(record.index(history.zxids.len() + 1)) + beside);
        if epoch_begin {
            to = Zxid::new(to.epoch(), 0);
        }
        let copy = folder.copy();
        let Some(last) = history.end(to.0) else {
            prop_assert!(go_back(&copy, to.0).is_err());
            prop_assert!(copy.contents() == folder.contents());
            return Ok(());
        };
        prop_assert_eq!(go_back(&copy, to.0).unwrap().last.0, last);
        prop_assert_eq!(copy.restart().last, last);
        // And now with a crash behind each step.
        let plan = plan(&folder.dirs, to, &ReplayOptions::default()).unwrap();
        for step in &plan.steps {
            step.perform(&RealDisk).unwrap();
            history.check_beginning(&folder.copy().restart(), last);
        }
        prop_assert!(folder.contents() == copy.contents());
        for (name, _) in folder.contents() {
            prop_assert!(crate::parse_log_name(name.as_ref()).is_none_or(|zxid| zxid <= to));
        }
    }
}
