//! A server's disk: what is on it for good, and what it has been asked for and not done yet.
//!
//! It does one thing after the other. A crash leaves some beginning of what was under way; a server
//! that starts makes what it finds durable before it speaks of it, so a killed process and a power
//! cut differ only in how much that is.

use std::collections::VecDeque;

use ox_proto::Zxid;
use ox_zab::{DiskDone, DiskRequest, Entry, Input, LogSearch};

/// The database at one moment.
#[derive(Clone, Debug, Hash, Default)]
pub(crate) struct Snapshot {
    /// What it is called by. It may hold more: those that wrote it went on meanwhile.
    pub(crate) zxid: Zxid,
    /// All transactions that it has seen.
    pub(crate) entries: Vec<Entry>,
}

impl Snapshot {
    pub(crate) fn newest(&self) -> Zxid {
        self.entries.last().map_or(Zxid::ZERO, |entry| entry.zxid)
    }

    /// Adds a transaction, or finds that it was seen before. What is neither is an error.
    pub(crate) fn add(&mut self, entry: &Entry) -> Result<(), String> {
        let newest = self.newest();
        if entry.zxid <= newest {
            let known = self
                .entries
                .binary_search_by_key(&entry.zxid, |known| known.zxid);
            return match known {
                Ok(place) if self.entries[place] == *entry => Ok(()),
                Ok(_) => Err(format!("another {} than the one there is", entry.zxid)),
                Err(_) => Err(format!("{} is missing before {newest}", entry.zxid)),
            };
        }
        if !entry.zxid.follows(newest) {
            return Err(format!("{} behind {newest}", entry.zxid));
        }
        self.entries.push(entry.clone());
        Ok(())
    }
}

#[derive(Clone, Debug, Hash)]
pub(crate) enum DiskOp {
    Append(Entry),
    Request(DiskRequest),
    Install(Snapshot),
}

#[derive(Clone, Debug, Hash, Default)]
pub(crate) struct Disk {
    pub(crate) accepted: u32,
    pub(crate) current: Option<u32>,
    pub(crate) announced: Option<u32>,
    pub(crate) snapshot: Snapshot,
    pub(crate) log: Vec<Entry>,
    pub(crate) queue: VecDeque<DiskOp>,
}

impl Disk {
    /// The last entry, or the zxid of the snapshot if there is none behind it.
    pub(crate) fn last(&self) -> Zxid {
        self.log
            .last()
            .map_or(self.snapshot.zxid, |entry| entry.zxid)
    }

    pub(crate) fn holds(&self, zxid: Zxid) -> bool {
        let in_log = self.log.binary_search_by_key(&zxid, |entry| entry.zxid);
        let in_state = |_| {
            let entries = &self.snapshot.entries;
            entries.binary_search_by_key(&zxid, |entry| entry.zxid)
        };
        in_log.or_else(in_state).is_ok()
    }

    /// Whether it holds what the database does, and nothing more.
    pub(crate) fn holds_all(&self, database: &Snapshot) -> bool {
        self.newest() == database.newest()
    }

    /// The last transaction.
    pub(crate) fn newest(&self) -> Zxid {
        let newest = self.log.last().map(|entry| entry.zxid);
        newest.unwrap_or(self.snapshot.newest())
    }

    /// What a server that starts makes of it.
    pub(crate) fn load(&self) -> Result<Snapshot, String> {
        let mut state = self.snapshot.clone();
        for entry in &self.log {
            state.add(entry)?;
            state.zxid = entry.zxid;
        }
        Ok(state)
    }

    /// The epoch that a server that starts is in, like `EpochFiles::load` of ox-txnlog.
    pub(crate) fn recovered_epoch(&self) -> Result<Option<u32>, String> {
        let of_data = self.last().epoch();
        match (self.current, self.announced) {
            (Some(current), _) if of_data <= current => Ok(self.current),
            (None, _) if self.last() == Zxid::ZERO => Ok(None),
            (_, Some(announced)) if of_data <= announced => Ok(Some(of_data)),
            _ => Err(format!("{self:?} cannot be started from")),
        }
    }

    /// Does the oldest thing it was asked for, and of log entries more of them at once. Tells what
    /// is done; nothing if the log cannot be cut there.
    pub(crate) fn perform(&mut self, batch: usize) -> Result<Input, String> {
        match self.queue.pop_front().expect("it was asked for something") {
            DiskOp::Append(entry) => {
                let mut last = entry.zxid;
                self.append(entry)?;
                for _ in 1..batch {
                    let next = self
                        .queue
                        .pop_front_if(|next| matches!(next, DiskOp::Append(_)));
                    let Some(DiskOp::Append(entry)) = next else {
                        break;
                    };
                    last = entry.zxid;
                    self.append(entry)?;
                }
                Ok(Input::Flushed(last))
            }
            DiskOp::Request(request) => self.request(request).map(Input::Done),
            DiskOp::Install(snapshot) => {
                let last = snapshot.zxid;
                self.snapshot = snapshot;
                self.log.clear();
                Ok(Input::Done(DiskDone::Installed { last }))
            }
        }
    }

    fn append(&mut self, entry: Entry) -> Result<(), String> {
        if !entry.zxid.follows(self.last()) {
            return Err(format!(
                "the log gets {} behind {}",
                entry.zxid,
                self.last()
            ));
        }
        self.log.push(entry);
        Ok(())
    }

    fn request(&mut self, request: DiskRequest) -> Result<DiskDone, String> {
        Ok(match request {
            DiskRequest::AcceptEpoch(epoch) => {
                if epoch <= self.accepted {
                    return Err(format!("accepts {epoch} after {}", self.accepted));
                }
                self.accepted = epoch;
                DiskDone::EpochAccepted(epoch)
            }
            DiskRequest::AnnounceEpoch(epoch) => {
                self.announced = Some(epoch);
                DiskDone::EpochAnnounced(epoch)
            }
            DiskRequest::EnterEpoch(epoch) => {
                if self.current.is_some_and(|current| epoch < current) || self.accepted < epoch {
                    let (accepted, current) = (self.accepted, self.current);
                    return Err(format!("enters {epoch} from {current:?} of {accepted}"));
                }
                self.current = Some(epoch);
                DiskDone::EpochEntered(epoch)
            }
            DiskRequest::Truncate { to, .. } if !self.can_cut(to) => DiskDone::NotTruncated,
            DiskRequest::Truncate { to, .. } => {
                self.log.retain(|entry| entry.zxid <= to);
                DiskDone::Truncated { last: self.last() }
            }
            DiskRequest::NoteConfig(_) | DiskRequest::EnterConfig(_) => DiskDone::ConfigKept,
            DiskRequest::Reload => DiskDone::Reloaded { last: self.last() },
            DiskRequest::Install => unreachable!("it has an operation of its own"),
        })
    }

    /// Whether the log can be cut there: what remains must lead to that place.
    pub(crate) fn can_cut(&self, to: Zxid) -> bool {
        let remains = self.snapshot.zxid <= to && self.snapshot.newest() <= to;
        remains && (to.counter() == 0 || to == self.snapshot.zxid || self.holds(to))
    }

    pub(crate) fn search(&self, zxid: Zxid) -> LogSearch {
        if zxid < self.snapshot.zxid {
            return LogSearch::Unusable;
        }
        let behind = self.log.partition_point(|entry| entry.zxid <= zxid);
        let before = match behind.checked_sub(1) {
            Some(place) => self.log[place].zxid,
            None => self.snapshot.zxid,
        };
        match self.log.get(behind) {
            _ if before == zxid => LogSearch::Found,
            Some(entry) => LogSearch::Between {
                before,
                behind: entry.zxid,
            },
            None => LogSearch::Unusable,
        }
    }
}
