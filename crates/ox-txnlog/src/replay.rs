//! Reads the logs behind a snapshot, and decides what damage means.
//!
//! A log may end anywhere: a kill or a power cut leaves torn records at the end of what was
//! written last. It must not end where something was synced, or a server would come back without
//! records that it had acknowledged. Three things tell the two apart: the next file goes on where
//! this one ended; the note of what was synced (see [`crate::bound`]); and, in files that we did
//! not write, whether whole records follow. Source: storage.md 5; what differs from Java is marked
//! DEVIATE there.
//!
//! Invariant: what is reported as the last zxid is on the disk, and every record up to it was
//! handed on once, in order, without a gap.

mod error;

use std::path::{Path, PathBuf};

use ox_jute::{DecodeError, Decoder};
use ox_mutant::{Mutant, is_on};
use ox_proto::{OpCode, TxnRecord, Zxid};

use crate::bound::SyncedBound;
use crate::disk::{Disk, Open};
use crate::error::Doing;
use crate::format::{HEADER_LENGTH, MAX_BATCH, logs, parse_log_name};
use crate::reader::{Damage, LogReader};
use crate::scan::{find_last_record, find_nonzero};
use crate::step::Step;
use crate::{CallerError, DataDirs};

pub use error::{Evidence, ReplayError, ReplayWarning};

/// How to read the logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayOptions {
    /// The longest record, string or buffer that is believed, in bytes: `jute.maxbuffer` and its
    /// extra size together.
    pub max_record: usize,
    /// Takes damage for the end of a log wherever Java does, even if whole records follow it.
    pub end_at_damage: bool,
}

impl Default for ReplayOptions {
    fn default() -> Self {
        Self {
            max_record: Decoder::DEFAULT_MAX_LENGTH,
            end_at_damage: false,
        }
    }
}

/// Takes a record: the payload as it is stored, what it says, and what the logs tell of those before
/// it.
pub type EachRecord<'a> = dyn FnMut(&[u8], TxnRecord, Before) -> Result<(), CallerError> + 'a;

/// What the logs tell of the records before one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// None is missing.
    Whole,
    /// It is the first of an epoch, and the log before it is ours and ends without a sign of its
    /// last records' being there: zeros may stand where some were. Only the tree can tell.
    Doubtful,
}

/// What was read.
#[derive(Debug)]
pub struct Replay {
    /// Zxid of the last record, or of the snapshot if there was none behind it.
    pub last: Zxid,
    /// Records handed on.
    pub records: u64,
    /// What was found and lived with.
    pub warnings: Vec<ReplayWarning>,
}

/// Hands on every record behind the snapshot of zxid `after`, in order. Every file that was read
/// is durable afterwards.
pub fn replay(
    dirs: &DataDirs,
    after: Zxid,
    options: &ReplayOptions,
    each: &mut EachRecord<'_>,
) -> Result<Replay, ReplayError> {
    let each: &mut EachPlace<'_> =
        &mut |place, payload, record| each(payload, record, place.before);
    let survey = survey(dirs, after, options, each)?;
    note(dirs, &survey.logs)?;
    Ok(survey.replay)
}

/// Notes what is durable by now. The note that was found may be older than what stands in the log,
/// and from here on the server answers for all of that.
fn note(dirs: &DataDirs, logs: &[SurveyedLog]) -> Result<(), ReplayError> {
    let dir = &dirs.log;
    let found = SyncedBound::read(&*dirs.disk, dir);
    let found = found.doing("read the note of what is durable in", dir)?;
    let newest = logs.last().and_then(|log| log.bound(log.end));
    if newest.is_some() && newest != found {
        let (dir, bound) = (dir.clone(), newest);
        Step::Note { dir, bound }.perform(&*dirs.disk)?;
    }
    Ok(())
}

/// Where a record stands.
pub(crate) struct Place<'a> {
    pub(crate) path: &'a Path,
    pub(crate) offset: u64,
    pub(crate) before: Before,
}

/// Takes a record and its place.
pub(crate) type EachPlace<'a> =
    dyn FnMut(&Place<'_>, &[u8], TxnRecord) -> Result<(), CallerError> + 'a;

/// What was read, and of which files.
pub(crate) struct Survey {
    pub(crate) replay: Replay,
    /// Oldest first.
    pub(crate) logs: Vec<SurveyedLog>,
}

/// A log that was read.
pub(crate) struct SurveyedLog {
    pub(crate) path: PathBuf,
    /// Its records end here.
    pub(crate) end: u64,
    /// Checksum of its first record; `None` if it is too short for one.
    pub(crate) first_checksum: Option<u32>,
}

impl SurveyedLog {
    /// What can be noted of it if so much of it is durable; `None` if that is no record.
    pub(crate) fn bound(&self, length: u64) -> Option<SyncedBound> {
        let name = self.path.file_name()?.to_string_lossy();
        Some(SyncedBound {
            log: name.into_owned(),
            offset: length,
            first_checksum: self
                .first_checksum
                .filter(|_| length > HEADER_LENGTH as u64)?,
        })
    }
}

/// Does what [`replay`] does, and tells where things are.
pub(crate) fn survey(
    dirs: &DataDirs,
    after: Zxid,
    options: &ReplayOptions,
    each: &mut EachPlace<'_>,
) -> Result<Survey, ReplayError> {
    let (disk, dir) = (&*dirs.disk, &*dirs.log);
    let mut run = Run {
        disk,
        options,
        bound: SyncedBound::read(disk, dir).doing("read the note of what is durable in", dir)?,
        after,
        last: after,
        last_payload: Vec::new(),
        unexplained: Vec::new(),
        logs: Vec::new(),
        records: 0,
        warnings: Vec::new(),
    };
    let mut files = files_after(disk, dir, after).doing("list", dir)?;
    while let Some(newest) = files.last() {
        if !run.remove_if_empty(newest)? {
            break;
        }
        files.pop();
        disk.sync_dir(dir).doing("sync", dir)?;
    }
    let newest = files.len().saturating_sub(1);
    for (place, path) in files.into_iter().enumerate() {
        run.read(path, place == newest, each)?;
    }
    for tail in std::mem::take(&mut run.unexplained) {
        run.judge(tail)?;
    }
    disk.sync_dir(dir).doing("sync", dir)?;
    Ok(Survey {
        replay: Replay {
            last: run.last,
            records: run.records,
            warnings: run.warnings,
        },
        logs: run.logs,
    })
}

/// The logs that may hold records behind `after`, oldest first: those that begin behind it, and
/// the newest of the others.
fn files_after(disk: &dyn Disk, dir: &Path, after: Zxid) -> std::io::Result<Vec<PathBuf>> {
    let mut logs = logs(disk, dir)?;
    let earlier = logs.partition_point(|&(_, zxid)| zxid <= after);
    logs.drain(..earlier.saturating_sub(1));
    Ok(logs.into_iter().map(|(path, _)| path).collect())
}

/// Where a log ended, while it is not known whether another goes on there.
struct Tail {
    path: PathBuf,
    offset: u64,
    damage: Damage,
    /// We have written that log, not Java.
    is_ours: bool,
    /// Everything before this offset was synced; `None` if nothing is known.
    synced: Option<u64>,
}

struct Run<'a> {
    disk: &'a dyn Disk,
    options: &'a ReplayOptions,
    bound: Option<SyncedBound>,
    /// The snapshot's zxid.
    after: Zxid,
    last: Zxid,
    /// The payload of the last record handed on.
    last_payload: Vec<u8>,
    /// Ends of logs that no later record has explained yet.
    unexplained: Vec<Tail>,
    logs: Vec<SurveyedLog>,
    records: u64,
    warnings: Vec<ReplayWarning>,
}

impl Run<'_> {
    /// Deletes a newest log that holds nothing, not even a header. Nothing in it can have been
    /// acknowledged, since the header is synced with the first record.
    fn remove_if_empty(&mut self, path: &Path) -> Result<bool, ReplayError> {
        let file = self.disk.open(path, Open::Read).doing("open", path)?;
        let length = file.length().doing("read", path)?;
        if length >= HEADER_LENGTH as u64 && find_nonzero(&*file, 0).doing("read", path)?.is_some()
        {
            return Ok(false);
        }
        if let Some(bound) = self.bound_of(path) {
            return Err(ReplayError::Damaged {
                path: path.to_path_buf(),
                offset: 0,
                damage: Damage::Zeros,
                evidence: Evidence::Synced(bound.offset),
            });
        }
        self.disk.remove(path).doing("delete", path)?;
        self.warnings
            .push(ReplayWarning::EmptyLog(path.to_path_buf()));
        Ok(true)
    }

    fn bound_of(&self, path: &Path) -> Option<&SyncedBound> {
        let name = path.file_name()?;
        (self.bound.as_ref()).filter(|bound| *bound.log == *name)
    }

    /// Reads one log up to its end.
    fn read(
        &mut self,
        path: PathBuf,
        newest: bool,
        each: &mut EachPlace<'_>,
    ) -> Result<(), ReplayError> {
        let opened = LogReader::open(self.disk, path.clone(), self.options.max_record)?;
        let mut reader = opened.map_err(|found| ReplayError::NotALog { path, found })?;
        let first = match self.options.end_at_damage {
            true => None,
            false => reader.path.file_name().and_then(parse_log_name),
        };
        let begin = reader.offset;
        let mut offset = begin;
        let mut damage = None;
        while damage.is_none() {
            offset = reader.offset;
            damage = match reader.next()? {
                Ok(zxid) if offset == begin && first.is_some_and(|first| zxid < first) => {
                    let path = reader.path;
                    return Err(ReplayError::Beginning { path, zxid });
                }
                Ok(zxid) => self.take(&reader, offset, zxid, each)?,
                Err(damage) => Some(damage),
            };
        }
        let synced = self.synced(&reader);
        if newest {
            reader.write_again(self.disk, synced.unwrap_or(0))?;
        }
        if !is_on(Mutant::M31) {
            reader.sync()?;
        }
        let stored = reader.first_checksum.map(u32::try_from);
        self.logs.push(SurveyedLog {
            path: reader.path.clone(),
            end: offset,
            first_checksum: stored.and_then(Result::ok),
        });
        let damage = damage.unwrap_or(Damage::End);
        let may_be_torn = newest && synced.is_some() || is_on(Mutant::M23);
        if damage.stops_java() && !may_be_torn {
            return Err(ReplayError::Damaged {
                path: reader.path,
                offset,
                damage,
                evidence: Evidence::Unexplained,
            });
        }
        self.unexplained.push(Tail {
            is_ours: reader.is_ours,
            path: reader.path,
            offset,
            damage,
            synced,
        });
        Ok(())
    }

    /// Up to where a log is known to have been synced.
    fn synced(&self, reader: &LogReader) -> Option<u64> {
        if self.options.end_at_damage {
            return None;
        }
        let bound = self.bound_of(&reader.path)?;
        // Zero is what damage leaves; any other checksum is another file's of the same name.
        let same = [0, i64::from(bound.first_checksum)].contains(&reader.first_checksum?);
        same.then_some(bound.offset)
    }

    /// Takes the record that was just read. Returns what is wrong if it counts as none.
    fn take(
        &mut self,
        reader: &LogReader,
        offset: u64,
        zxid: Zxid,
        each: &mut EachPlace<'_>,
    ) -> Result<Option<Damage>, ReplayError> {
        if zxid <= self.after {
            return Ok(None);
        }
        let path = || reader.path.clone();
        let record = match TxnRecord::decode(&reader.payload, self.options.max_record) {
            Ok(record) => record,
            Err(DecodeError::End) => return Ok(Some(Damage::Short)),
            Err(source) => {
                return Err(ReplayError::Record {
                    path: path(),
                    offset,
                    zxid,
                    source,
                });
            }
        };
        let last = self.last;
        if zxid == last
            && (record.header.op == OpCode::Error || reader.payload == self.last_payload)
        {
            // Java 3.9 logs a request that it cannot decode under the zxid before it.
            return Ok(None);
        }
        if zxid <= last {
            return Err(ReplayError::Order {
                path: path(),
                offset,
                zxid,
                last,
            });
        }
        if !zxid.follows(last) {
            let before = self.unexplained.pop();
            return Err(ReplayError::Gap {
                path: path(),
                offset,
                zxid,
                last,
                before: before.map(|tail| (tail.path, tail.offset, tail.damage)),
            });
        }
        let begins_epoch = zxid.epoch() != last.epoch();
        if begins_epoch && reader.is_ours {
            self.are_whole()?;
        }
        let is_doubtful = begins_epoch
            && !self.options.end_at_damage
            && self.unexplained.iter().any(|tail| tail.is_ours);
        let before = match is_doubtful {
            true => Before::Doubtful,
            false => Before::Whole,
        };
        // It goes on where they ended: what follows there is left over from an older crash.
        self.unexplained.clear();
        let place = Place {
            path: &reader.path,
            offset,
            before,
        };
        each(&place, &reader.payload, record).map_err(|source| ReplayError::Apply {
            path: path(),
            offset,
            zxid,
            source,
        })?;
        self.last = zxid;
        self.last_payload.clear();
        self.last_payload.extend_from_slice(&reader.payload);
        self.records += 1;
        Ok(None)
    }

    /// Looks whether the logs that have ended may have lost their last records, where zxids cannot
    /// tell: a new epoch begins behind them. Ours were cut where a crash had left something, before
    /// the next was begun; what stands there all the same has come later.
    fn are_whole(&self) -> Result<(), ReplayError> {
        if self.options.end_at_damage {
            return Ok(());
        }
        for tail in self.unexplained.iter().filter(|tail| tail.is_ours) {
            let path = &tail.path;
            let file = self.disk.open(path, Open::Read).doing("open", path)?;
            let nonzero = find_nonzero(&*file, tail.offset).doing("read", path)?;
            if nonzero.is_some() {
                return Err(ReplayError::Damaged {
                    path: path.clone(),
                    offset: tail.offset,
                    damage: tail.damage,
                    evidence: Evidence::Unexplained,
                });
            }
        }
        Ok(())
    }

    /// Decides whether a crash can have left this end of the newest records.
    fn judge(&mut self, tail: Tail) -> Result<(), ReplayError> {
        if is_on(Mutant::M23) {
            return Ok(());
        }
        let path = &tail.path;
        let refuse = |evidence| {
            Err(ReplayError::Damaged {
                path: tail.path.clone(),
                offset: tail.offset,
                damage: tail.damage,
                evidence,
            })
        };
        if let Some(synced) = tail.synced.filter(|&synced| tail.offset < synced) {
            return refuse(Evidence::Synced(synced));
        }
        let file = self.disk.open(path, Open::Read).doing("open", path)?;
        let Some(nonzero) = find_nonzero(&*file, tail.offset).doing("read", path)? else {
            return Ok(());
        };
        if !self.options.end_at_damage {
            // A checksum may begin with up to seven zeros. A short record is whole in itself.
            let start = (tail.offset + 1).max(nonzero.saturating_sub(7));
            let later = find_last_record(&*file, start, self.last, self.options.max_record);
            let suspect = |&(offset, _): &(u64, Zxid)| match tail.synced {
                Some(_) => offset - tail.offset > MAX_BATCH as u64,
                // Zeros are what a lost page leaves; whole records may follow one.
                None => tail.damage != Damage::Zeros,
            };
            if let Some((offset, zxid)) = later.doing("read", path)?.filter(suspect) {
                return refuse(Evidence::Followed { offset, zxid });
            }
        }
        if tail.damage.stops_java() || tail.is_ours {
            // Neither Java nor we would get past it once another log follows.
            let path = path.clone();
            let length = tail.offset;
            Step::Cut { path, length }.perform(self.disk)?;
        }
        self.warnings.push(ReplayWarning::TornTail {
            path: tail.path,
            offset: tail.offset,
            damage: tail.damage,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
