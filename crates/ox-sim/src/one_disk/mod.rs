//! The disk half of one server, alone, under every fault that a disk has.
//!
//! A script in place of an ensemble has the store write, cut, install and take snapshots; the
//! process is killed and the power is cut in between and within. Whatever a start finds must be
//! what the store was told to keep: no record less than it has reported, none that it was not
//! given, none that was cut; the tree, the sessions and the acls that those records make; epochs
//! that do not go back, and no epoch whose history is not whole (quorum.md 16, L1 to L6, L11 to
//! L13). Whole ensembles meet the same states, but hundreds of times less often.

mod script;
mod truth;

use std::path::Path;
use std::sync::Arc;

use ox_replica::Database;
use ox_store::{MemberSettings, SnapshotImage, Store, StoreSettings, start};
use ox_txnlog::{Compression, DataDirs, DirLock, Disk as _, LogConfig};

use crate::disk::{Damage, DiskFault, SimDisk};
use crate::random::Random;
use truth::{TREE, Truth, compare};

/// Things that happen in a run.
const STEPS: usize = 120;

/// Why a step has not come to its end.
#[derive(Debug)]
enum Stop {
    /// The process ends, as it must when its disk fails.
    Died(String),
    /// Something is as it must not be.
    Wrong(String),
}

type Done<T = ()> = Result<T, Stop>;

/// What was going on when the process ended, and may be done or not.
#[derive(Debug, Default)]
enum UnderWay {
    #[default]
    Nothing,
    /// The history is cut behind so many records.
    Cutting(usize),
    /// This history takes the place of the other.
    Installing(Truth),
}

/// A process.
struct Server {
    dirs: DataDirs,
    _lock: DirLock,
    store: Store,
    database: Database,
    /// So many records are applied.
    applied: usize,
    /// A snapshot that is being taken.
    image: Option<SnapshotImage>,
    /// There is a leader: what is applied will not be taken back.
    serves: bool,
}

/// A number that is on the disk, or may be, as it was being stored.
#[derive(Clone, Copy, Debug, Default)]
struct Stored {
    surely: u32,
    perhaps: u32,
}

struct OneDisk {
    random: Random,
    disk: SimDisk,
    settings: StoreSettings,
    server: Option<Server>,
    truth: Truth,
    /// So many records were reported as durable.
    durable: usize,
    /// So many are committed, and will not be cut.
    committed: usize,
    accepted: Stored,
    current: Stored,
    /// An epoch, and how many records stand before whoever is in it.
    initial: (u32, usize),
    under_way: UnderWay,
    /// Something was done to the disk that a call may fail of.
    is_ill: bool,
    /// Something on it has changed by itself: it may refuse to start.
    is_rotten: bool,
    /// The last process ended with the power on.
    keeps_note: bool,
}

/// Runs a seed. An error is what went wrong.
pub(crate) fn run(seed: u64) -> Result<(), String> {
    let mut world = OneDisk::new(seed);
    for _ in 0..STEPS {
        let stop = match world.server {
            Some(_) => world.step(),
            None => world.start(),
        };
        match stop {
            Ok(()) => {}
            Err(Stop::Died(_)) if world.is_ill || world.disk.is_dead() => {
                world.end();
                if world.is_rotten && !world.keeps_note {
                    return Ok(());
                }
            }
            Err(Stop::Died(text)) => return Err(format!("a disk that is well fails: {text}")),
            Err(Stop::Wrong(text)) if text.is_empty() => return Ok(()),
            Err(Stop::Wrong(text)) => return Err(text),
        }
    }
    Ok(())
}

impl OneDisk {
    fn new(seed: u64) -> Self {
        let mut random = Random::stream(seed, 0x0d15c);
        let log = LogConfig {
            preallocate: *random.pick(&[0, 4096, 16384]),
            size_limit: *random.pick(&[None, None, Some(3000)]),
            ..LogConfig::default()
        };
        let member = MemberSettings {
            commit_log_count: 10,
            snapshot_size_factor: None,
            begins_empty: true,
            repairs: false,
        };
        let settings = StoreSettings {
            config_files: None,
            log,
            compression: Compression::None,
            tree: TREE,
            max_record: 1 << 20,
            trust_empty: false,
            member: Some(member),
            snapshot_every_txns: *random.pick(&[4, 10, 30]),
            snapshot_every_bytes: None,
            hash_seed: seed,
        };
        Self {
            random,
            disk: SimDisk::new(),
            settings,
            server: None,
            truth: Truth::default(),
            durable: 0,
            committed: 0,
            accepted: Stored::default(),
            current: Stored::default(),
            initial: (0, 0),
            under_way: UnderWay::Nothing,
            is_ill: false,
            is_rotten: false,
            keeps_note: true,
        }
    }

    /// The process is gone, perhaps with the power.
    fn end(&mut self) {
        let has_power = !self.disk.is_dead() && self.random.percent(50);
        self.disk.next_process();
        self.server = None;
        self.keeps_note = has_power;
        if !has_power {
            self.disk.power_cut(&mut self.random);
        }
        self.disk.heal();
        self.is_ill = false;
        // Behind a power cut the note of what was synced may lag, and what rots there may pass
        // for what was lost.
        if has_power && self.random.percent(5) {
            let begins = match self.random.percent(70) {
                true => self.newest_log(),
                false => Some("snapshot.".to_owned()),
            };
            let rot =
                begins.and_then(|begins| self.disk.damage(&mut self.random, Damage::Bit, &begins));
            self.is_rotten |= rot.is_some();
        }
    }

    /// Damage at the end of an older log passes for what a crash left there if the next one begins
    /// an epoch: no zxid tells that some are missing.
    fn newest_log(&self) -> Option<String> {
        let names = self.disk.list(Path::new("/data/version-2")).ok()?;
        let names = names.into_iter().filter_map(|name| name.into_string().ok());
        names
            .filter(|name| name.starts_with("log."))
            .max_by_key(|name| (name.len(), name.clone()))
    }

    fn start(&mut self) -> Done {
        if self.random.percent(10) {
            self.hurt(DiskFault::CutAt(0));
        }
        let died = |error: &dyn std::error::Error| Stop::Died(chain(error));
        let disk = Arc::new(self.disk.clone());
        let folder = Path::new("/data");
        let dirs = DataDirs::open_on(disk, folder, folder, true).map_err(|e| died(&e))?;
        let lock = dirs.lock().map_err(|e| died(&e))?;
        let started = start(&dirs, &self.settings).map_err(|error| {
            match self.is_rotten && !self.disk.is_dead() {
                true => Stop::Wrong(String::new()),
                false => died(&error),
            }
        })?;
        let epochs = started.epochs.expect("of a member");
        let database = Database::new(started.state, 1);
        self.judge(&database, epochs.accepted, epochs.current)?;
        if started.wants_snapshot {
            let mut image = SnapshotImage::begin(&dirs, self.settings.compression, &database);
            image.read(&database, usize::MAX);
            image.finish().map_err(|e| died(&e))?;
        }
        let seed = self.random.next();
        self.server = Some(Server {
            store: Store::new(&dirs, self.settings.clone(), seed),
            dirs,
            _lock: lock,
            database,
            applied: self.durable,
            image: None,
            serves: false,
        });
        Ok(())
    }

    /// Compares what a start has found with what was to be kept.
    fn judge(&mut self, found: &Database, accepted: Option<u32>, current: Option<u32>) -> Done {
        let wrong = |text| Err(Stop::Wrong(text));
        let last = found.tree.last_zxid();
        let (accepted, current) = (accepted.unwrap_or(0), current.unwrap_or(0));
        let (old, least) = (&self.truth, self.durable);
        let fits = |truth: &Truth, least: usize| {
            let count = truth.count(last).filter(|count| least <= *count)?;
            Some((count, compare(found, &truth.state(count))))
        };
        let (truth, count, same) = match &self.under_way {
            UnderWay::Nothing => {
                let Some((count, same)) = fits(old, least) else {
                    let least = old.last(least);
                    return wrong(format!("L12: starts at {last}, {least} was durable"));
                };
                (old.clone(), count, same)
            }
            UnderWay::Cutting(to) => {
                let Some((count, same)) = fits(old, *to) else {
                    let to = old.last(*to);
                    return wrong(format!("L12: starts at {last}, was to be cut to {to}"));
                };
                (old.clone(), count, same)
            }
            UnderWay::Installing(new) => {
                let whole = fits(new, new.entries.len()).filter(|(_, same)| same.is_ok());
                match (whole, fits(old, least)) {
                    (Some((count, same)), _) => (new.clone(), count, same),
                    (None, Some((count, same))) => (old.clone(), count, same),
                    (None, None) => {
                        return wrong(format!("L11: starts at {last}, between two histories"));
                    }
                }
            }
        };
        if let Err(text) = same {
            return wrong(format!("L6: at {last}: {text}"));
        }
        let is_within = |found: u32, stored: Stored| {
            stored.surely <= found && found <= stored.perhaps.max(last.epoch())
        };
        if !is_within(accepted, self.accepted) || !is_within(current, self.current) {
            return wrong(format!(
                "L1: starts with epochs {accepted} and {current}, stored were {:?} and {:?}",
                self.accepted, self.current
            ));
        }
        let (epoch, history) = self.initial;
        if current == epoch && count < history {
            return wrong(format!(
                "L3: is in {epoch} with {last}, and lacks some of it"
            ));
        }
        self.truth = truth;
        self.truth.entries.truncate(count);
        self.durable = count;
        self.committed = self.committed.min(count);
        (self.accepted.surely, self.current.surely) = (accepted, current);
        self.under_way = UnderWay::Nothing;
        Ok(())
    }

    /// Something will go wrong with the disk.
    fn hurt(&mut self, fault: DiskFault) {
        let fault = match fault {
            DiskFault::CutAt(_) => {
                let changes = self.random.below(12) + 1;
                DiskFault::CutAt(u32::try_from(changes).unwrap_or(1))
            }
            other => other,
        };
        self.is_ill |= fault != DiskFault::WriteBack;
        self.disk.set(fault, &mut self.random);
    }
}

/// An error and all that caused it, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    /// Seeds 20 and 503 of an earlier script are why a start writes again what it has read, and
    /// notes it.
    #[test]
    fn what_a_disk_was_told_to_keep_is_found_again() {
        for seed in 0..100 {
            assert_eq!(super::run(seed), Ok(()), "seed {seed}");
        }
    }
}
