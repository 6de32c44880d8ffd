//! What the store is asked for, in the order in which a member of an ensemble asks for it.

use ox_store::{Done as Performed, Progress, SnapshotImage};
use ox_txnlog::purge;
use ox_zab::{DiskDone, DiskRequest};

use super::truth::{Truth, apply, compare};
use super::{Done, OneDisk, Server, Stop, UnderWay, chain};
use crate::disk::DiskFault;

/// An operation has failed: the process must end.
fn died(error: impl std::error::Error) -> Stop {
    Stop::Died(chain(&error))
}

impl OneDisk {
    fn server(&mut self) -> &mut Server {
        self.server.as_mut().expect("it runs")
    }

    /// One thing happens.
    pub(super) fn step(&mut self) -> Done {
        match self.random.below(40) {
            0..=13 => self.append(),
            14..=18 => self.apply_some(),
            19..=25 => self.snapshot(),
            26 => self.server().store.idle().map_err(died),
            27 => self.purge(),
            28..=31 => self.new_epoch(),
            32 => {
                self.server().serves = true;
                self.committed = self.durable;
                Ok(())
            }
            33 => self.lead_alone(),
            34 => {
                self.hurt(DiskFault::WriteBack);
                Ok(())
            }
            35 => {
                let fault = *self.random.pick(&[DiskFault::SyncError, DiskFault::Full]);
                self.hurt(fault);
                Ok(())
            }
            36 | 37 => {
                self.hurt(DiskFault::CutAt(0));
                Ok(())
            }
            _ => {
                self.is_ill = true;
                Err(Stop::Died("killed".to_owned()))
            }
        }
    }

    /// Records of the epoch that the server is in.
    fn append(&mut self) -> Done {
        let epoch = self.current.surely;
        if epoch == 0 {
            return self.new_epoch();
        }
        let count = self.random.below(4) + 1;
        self.write(epoch, count)
    }

    fn write(&mut self, epoch: u32, count: usize) -> Done {
        let mut tip = self.truth.state(self.truth.entries.len());
        for _ in 0..count {
            self.truth.push(&mut self.random, epoch, &mut tip);
        }
        let server = self.server.as_mut().expect("it runs");
        for entry in &self.truth.entries[self.durable..] {
            server
                .store
                .append(entry.zxid(), &entry.payload)
                .map_err(died)?;
        }
        server.store.sync().map_err(died)?;
        self.durable = self.truth.entries.len();
        if server.store.begins_anew(count).map_err(died)? && server.serves {
            let compression = self.settings.compression;
            let image = SnapshotImage::begin(&server.dirs, compression, &server.database);
            server.image.get_or_insert(image);
        }
        Ok(())
    }

    /// What is committed is applied, a part of it.
    fn apply_some(&mut self) -> Done {
        if self.server().serves {
            self.committed = self
                .committed
                .max(self.durable - self.random.below(2).min(self.durable));
        }
        let most = self.random.below(4) + 1;
        let to = self.committed;
        self.apply_to(to, most);
        Ok(())
    }

    fn apply_to(&mut self, to: usize, most: usize) {
        let server = self.server.as_mut().expect("it runs");
        for _ in 0..most {
            if server.applied < to {
                apply(
                    &mut server.database,
                    &self.truth.entries[server.applied].record,
                );
                server.applied += 1;
            }
        }
    }

    /// It is elected: what it holds is its history. Nobody has confirmed that yet.
    fn lead_alone(&mut self) -> Done {
        self.server().serves = false;
        let all = self.durable;
        self.apply_to(all, all);
        Ok(())
    }

    /// The snapshot that is being taken goes on for a bit, and the server beside it.
    fn snapshot(&mut self) -> Done {
        for _ in 0..self.random.below(12) {
            if self.server().image.is_none() {
                return Ok(());
            }
            match self.random.below(10) {
                0..=2 => self.append()?,
                3..=4 => self.apply_some()?,
                5 => self.lead_alone()?,
                _ => self.read_znodes()?,
            }
        }
        Ok(())
    }

    fn read_znodes(&mut self) -> Done {
        let znodes = self.random.below(4) + 1;
        let server = self.server();
        let Some(mut image) = server.image.take() else {
            return Ok(());
        };
        match image.read(&server.database, znodes) {
            Progress::More => {
                image.write().map_err(died)?;
                server.image = Some(image);
            }
            Progress::Whole => {
                image.finish().map_err(died)?;
            }
            Progress::Replaced => {}
        }
        Ok(())
    }

    fn purge(&mut self) -> Done {
        let server = self.server();
        match server.image {
            // It is not to run into one that is being written.
            Some(_) => Ok(()),
            None => purge(&server.dirs, 3).map(drop).map_err(died),
        }
    }

    fn perform(&mut self, request: DiskRequest) -> Done<Performed> {
        if self.random.percent(8) {
            self.hurt(DiskFault::CutAt(0));
        }
        let server = self.server.as_mut().expect("it runs");
        server
            .store
            .perform(request, &&server.database)
            .map_err(died)
    }

    /// A leader of a new epoch is found, and has its own history.
    fn new_epoch(&mut self) -> Done {
        let epoch = self.accepted.surely.max(self.accepted.perhaps) + 1;
        self.accepted.perhaps = epoch;
        self.server().serves = false;
        self.perform(DiskRequest::AcceptEpoch(epoch))?;
        self.accepted.surely = epoch;
        match self.random.below(4) {
            // It comes to nothing.
            0 if 0 < self.current.surely => return Ok(()),
            1 => self.truncate()?,
            2 if 0 < self.current.surely => return self.install(epoch),
            _ => {}
        }
        self.current.perhaps = epoch;
        let before = self.truth.last(self.truth.entries.len()).epoch();
        let old = if 0 < before { self.random.below(3) } else { 0 };
        let new = self.random.below(3);
        self.initial = (epoch, self.truth.entries.len() + old);
        self.perform(DiskRequest::AnnounceEpoch(epoch))?;
        if 0 < old {
            self.write(before, old)?;
        }
        if 0 < new {
            self.write(epoch, new)?;
        }
        self.enter(epoch)
    }

    fn enter(&mut self, epoch: u32) -> Done {
        self.perform(DiskRequest::EnterEpoch(epoch))?;
        self.current.surely = epoch;
        let server = self.server.as_mut().expect("it runs");
        server.serves = true;
        self.committed = self.durable;
        Ok(())
    }

    /// The leader does not have all that this server has.
    fn truncate(&mut self) -> Done {
        let spare = self.durable - self.committed;
        let to = self.durable - self.random.below(spare + 1);
        let zxid = self.truth.last(to);
        if to == 0 || to == self.durable {
            return Ok(());
        }
        let server = self.server();
        server.image = None;
        let reload = to < server.applied;
        self.under_way = UnderWay::Cutting(to);
        let request = DiskRequest::Truncate { to: zxid, reload };
        let last = match self.perform(request)? {
            Performed::Done(DiskDone::Truncated { last }) => last,
            Performed::Reloaded(DiskDone::Truncated { last }, state) => {
                let database = ox_replica::Database::new(*state, 1);
                if let Err(text) = compare(&database, &self.truth.state(to)) {
                    return Err(Stop::Wrong(format!("L11: cut to {zxid}: {text}")));
                }
                let server = self.server();
                server.database = database;
                server.applied = to;
                last
            }
            // A snapshot is in the way: it will ask for the whole state.
            Performed::Done(DiskDone::NotTruncated) => {
                self.under_way = UnderWay::Nothing;
                return Ok(());
            }
            other => return Err(Stop::Wrong(format!("cut to {zxid}: {other:?}"))),
        };
        if last != zxid {
            return Err(Stop::Wrong(format!("L11: cut to {zxid}, ends at {last}")));
        }
        self.under_way = UnderWay::Nothing;
        self.truth.entries.truncate(to);
        self.durable = to;
        Ok(())
    }

    /// The leader sends its whole state: a history that is another one behind what is committed.
    fn install(&mut self, epoch: u32) -> Done {
        self.current.perhaps = epoch;
        let mut new = Truth {
            entries: self.truth.entries[..self.committed].to_vec(),
        };
        let mut tip = new.state(self.committed);
        let before = new.last(self.committed).epoch().max(1);
        for _ in 0..self.random.below(4) {
            new.push(&mut self.random, before, &mut tip);
        }
        let count = new.entries.len();
        self.initial = (epoch, count);
        self.perform(DiskRequest::AnnounceEpoch(epoch))?;
        let mut state = new.state(count);
        state.tree.set_last_zxid(new.last(count));
        let server = self.server();
        server.image = None;
        server.database = state;
        server.applied = count;
        self.under_way = UnderWay::Installing(new.clone());
        let Performed::Done(DiskDone::Installed { last }) = self.perform(DiskRequest::Install)?
        else {
            return Err(Stop::Wrong("an install that is none".to_owned()));
        };
        if last != new.last(count) {
            return Err(Stop::Wrong(format!("installed {last}")));
        }
        self.under_way = UnderWay::Nothing;
        self.truth = new;
        self.durable = count;
        self.committed = count;
        self.enter(epoch)
    }
}
