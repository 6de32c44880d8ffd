//! How a process starts, as `assembly.rs` of ox-server does it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ox_proto::{MemberRole, ReconfigRules};
use ox_replica::{Core, Database};
use ox_store::{MemberSettings, Progress, SnapshotImage, Started, Store, StoreSettings, start};
use ox_txnlog::{Compression, DataDirs, LogConfig};
use ox_zab::{
    ElectionTiming, Epochs, LeaderSettings, Membership, ObserverSettings, Peer, ZabSettings,
};
use ox_zab_net::Members;

use super::doors::{Doors, MAX_FRAME};
use super::links::Links;
use super::operator::Operator;
use super::process::{Process, chain, core_settings};
use super::votes::{Votes, server_of};
use super::work::Work;
use super::{Node, TREE, members};
use crate::clock::Clock;
use crate::env::Env;
use crate::queue::{Event, Place};

/// Where all of a server's files are.
pub(crate) const DATA: &str = "/data";

/// As an ensemble needs them that may shrink to one.
const RULES: ReconfigRules = ReconfigRules {
    standalone_enabled: false,
    several_addresses: false,
};

/// Seeds of tables.
const HASH_SEED: u64 = 7;

impl Node {
    /// Begins a run of the process, if there is none and the machine has power.
    pub(crate) fn start(&mut self, env: &mut Env) {
        if self.process.is_some() || !self.is_powered || self.refuses.is_some() {
            return;
        }
        self.life += 1;
        self.disk.next_process();
        match self.try_start(env) {
            Ok(process) => {
                let process = self.process.insert(Box::new(process));
                process.turn(env, Vec::new());
                if env.setup.purge_every > 0 {
                    let (place, life) = (self.place, self.life);
                    let at = env.now + env.setup.purge_every;
                    env.queue.push(at, Event::Purge { place, life });
                }
            }
            Err((is_damage, why)) => {
                if is_damage {
                    env.story
                        .tell(env.now, || format!("{} refuses: {why}", self.place));
                    if !self.is_damaged {
                        env.invariants
                            .fail(format!("{} refuses an undamaged disk: {why}", self.place));
                    }
                    env.strike("damage found");
                    self.refuses = Some(why);
                    return;
                }
                self.fail(env, &why);
            }
        }
    }

    fn try_start(&mut self, env: &mut Env) -> Result<Process, (bool, String)> {
        let (place, life) = (self.place, self.life);
        let io = |error: String| (false, error);
        let settings = store_settings(env, place);
        let disk = Arc::new(self.disk.clone());
        let dirs = DataDirs::open_on(disk, Path::new(DATA), Path::new(DATA), true);
        let dirs = dirs.map_err(|error| io(chain(error)))?;
        let lock = dirs.lock().map_err(|error| io(chain(error)))?;
        let started = start(&dirs, &settings).map_err(|error| {
            let text = chain(error);
            let is_io = self.disk.is_dead()
                || text.contains("os error 5")
                || text.contains("no storage space")
                || text.contains("the power is cut");
            (!is_io, text)
        })?;
        let Started {
            state,
            history,
            epochs,
            snapshot: _,
            wants_snapshot,
        } = started;
        let epochs = epochs.expect("it is a member");
        env.story.tell(env.now, || {
            format!(
                "{place} starts at {} with {epochs:?}",
                state.tree.last_zxid()
            )
        });
        let last = state.tree.last_zxid();
        let has_vote = epochs.current.is_some();
        let mut database = Database::new(state, HASH_SEED);
        if wants_snapshot {
            let mut image = SnapshotImage::begin(&dirs, settings.compression, &database);
            loop {
                image.write().map_err(|error| io(chain(error)))?;
                if image.read(&database, 100) != Progress::More {
                    break;
                }
            }
            image.finish().map_err(|error| io(chain(error)))?;
        }
        let accepted = epochs.accepted.unwrap_or(0);
        env.invariants.started(
            place,
            last,
            (accepted, epochs.current),
            has_vote && !self.is_damaged,
        );
        let clock = Clock {
            started: env.now,
            drift: self.drift,
            wall_off: self.wall_off,
        };
        let setup = &env.setup;
        let (config, proposed) = members::read(&self.disk, place, &env.initial(place));
        let role = config.members.get(&server_of(place)).map(|own| own.role);
        env.invariants.begins_with(place, &config);
        let membership = Membership {
            role: role.unwrap_or(MemberRole::Participant),
            config: Arc::clone(&config),
            proposed,
            epochs: Epochs {
                accepted,
                current: epochs.current,
            },
            timing: ElectionTiming {
                max_notification_interval_ms: setup.max_notification_ms,
                ..ElectionTiming::default()
            },
        };
        let zab = ZabSettings {
            reconfig: setup.reconfig.then_some(RULES),
            own: server_of(place),
            tick_ms: setup.tick_ms,
            init_limit: setup.init_limit,
            sync_limit: setup.sync_limit,
            force_snapshot_sync: false,
            leader: LeaderSettings::default(),
            observers: ObserverSettings {
                master_limit: setup.masters.then_some(32 << 20),
                seed: env.disk.next(),
                ..ObserverSettings::default()
            },
            max_record: MAX_FRAME,
        };
        let init_ms = setup.tick_ms * setup.init_limit;
        let core_settings = core_settings(env, place);
        let peer = Peer::member(zab, membership, history);
        let doors = Doors::new(core_settings.auth.clone(), clock);
        let core = Core::new(
            core_settings,
            peer,
            &mut database,
            HASH_SEED,
            clock.now(env.now),
        );
        let members = Members {
            committed: config,
            last_seen: None,
        };
        Ok(Process {
            place,
            life,
            clock,
            core,
            database,
            store: Store::new(&dirs, settings.clone(), env.disk.next()),
            votes: Votes::new(place, life, members),
            links: Links::new(place, life, clock, settings.clone(), dirs.clone(), init_ms),
            settings,
            dirs,
            _lock: lock,
            doors,
            operator: Operator::default(),
            work: Work::default(),
            snapshot: None,
            mode: None,
            epoch: 0,
            timer: (i64::MAX, 0),
            death: None,
            slow_until: 0,
        })
    }
}

/// How a server keeps its disk.
pub(crate) fn store_settings(env: &Env, place: Place) -> StoreSettings {
    let setup = &env.setup;
    StoreSettings {
        log: LogConfig {
            preallocate: setup.preallocate,
            force_sync: true,
            fsync_warning: Duration::from_secs(1000),
            size_limit: setup.log_limit,
        },
        compression: Compression::None,
        tree: TREE,
        max_record: MAX_FRAME,
        trust_empty: false,
        member: Some(MemberSettings {
            commit_log_count: setup.commit_log,
            snapshot_size_factor: setup.snapshot_factor,
            begins_empty: setup.autocreate,
            repairs: setup.repairs,
        }),
        config_files: setup.reconfig.then(|| members::files(place)),
        snapshot_every_txns: setup.snap_count,
        snapshot_every_bytes: None,
        hash_seed: HASH_SEED,
    }
}
