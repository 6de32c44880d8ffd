//! A plan from a seed: each draws which faults there are and what clients like to do.
//!
//! One in ten has no faults, one in ten a single kind of them. Concerns draw from streams of their
//! own.

use crate::disk::{Damage, DiskFault, Lie};
use crate::plan::{Fault, Healing, Mode, Op, Part, Plan, Setup, Target, Timed, Timing};
use crate::random::Random;

/// When clients stop, and the faults with them, in virtual microseconds.
const END: (i64, i64) = (10_000_000, 30_000_000);

/// Kinds of faults.
const KINDS: usize = 15;

/// The plan of a seed.
pub fn draw(seed: u64) -> Plan {
    let mut topology = Random::stream(seed, 1);
    let mut workload = Random::stream(seed, 2);
    let mut faults = Random::stream(seed, 3);
    let mut changes = Random::stream(seed, 4);
    let mut setup = setup(&mut topology);
    let is_changing = changes.percent(40);
    if is_changing {
        setup.reconfig = true;
        setup.spares = changes.below(3);
        let drift = |_| changes.between(-20_000, 20_000);
        let drifts: Vec<i64> = (0..setup.spares).map(drift).collect();
        setup.drifts.extend(drifts);
    }
    let end = topology.between(END.0, END.1);
    let ops = operations(&mut workload, setup.clients.len(), end);
    let mut list = fault_list(&mut faults, &setup, end);
    if is_changing {
        list.extend(reconfigurations(&mut changes, &setup, end));
        list.sort_by_key(|timed| timed.at);
    }
    let healing = healing(&mut faults, &setup, end);
    Plan {
        seed,
        setup,
        ops,
        faults: list,
        healing,
    }
}

fn setup(random: &mut Random) -> Setup {
    let voters = *random.pick(&[3, 3, 3, 3, 3, 3, 3, 5, 5, 7]);
    let observers = *random.pick(&[0, 0, 0, 0, 1, 2]);
    let tick_ms = *random.pick(&[200, 500, 1000]);
    let clients = 2 + random.below(4);
    let timeout =
        |random: &mut Random| i32::try_from(tick_ms * random.between(4, 20)).expect("short");
    let disk = *random.pick(&[(100, 500), (200, 3000), (1000, 20_000)]);
    Setup {
        voters,
        observers,
        spares: 0,
        reconfig: false,
        masters: observers > 0 && random.percent(50),
        tick_ms,
        sync_limit: *random.pick(&[2, 5, 5]),
        init_limit: 10,
        max_notification_ms: *random.pick(&[2000, 10_000, 60_000]),
        snap_count: *random.pick(&[10, 40, 100, 100_000]),
        preallocate: *random.pick(&[4096, 16_384, 65_536]),
        log_limit: *random.pick(&[None, None, Some(8192)]),
        commit_log: *random.pick(&[5, 30, 500]),
        snapshot_factor: *random.pick(&[None, Some(0.33), Some(100.0)]),
        autocreate: random.percent(50),
        repairs: random.percent(50),
        latency: *random.pick(&[(50, 500), (200, 5000), (1000, 30_000)]),
        late: *random.pick(&[0, 0, 2]),
        chopped: *random.pick(&[0, 50, 400]),
        disk,
        drifts: (0..voters + observers)
            .map(|_| random.between(-20_000, 20_000))
            .collect(),
        clients: (0..clients).map(|_| timeout(random)).collect(),
        purge_every: *random.pick(&[0, 2_000_000]),
    }
}

fn operations(random: &mut Random, clients: usize, end: i64) -> Vec<Timing> {
    let count = 100 + random.below(300);
    let weights: Vec<usize> = (0..12).map(|_| random.below(10)).collect();
    let paths = 2 + random.below(6);
    let mut ops: Vec<Timing> = (0..count)
        .map(|number| Timing {
            at: random.between(500_000, end),
            client: random.below(clients),
            op: operation(random, &weights, paths, number),
        })
        .collect();
    ops.sort_by_key(|timing| timing.at);
    ops
}

fn operation(random: &mut Random, weights: &[usize], paths: usize, number: usize) -> Op {
    let base = [20, 5, 15, 15, 6, 6, 4, 4, 3, 1, 1, 4];
    let all: usize = weights
        .iter()
        .zip(base)
        .map(|(weight, base)| weight * base)
        .sum();
    let mut at = random.below(all.max(1));
    let mut kind = 0;
    for (number, (weight, base)) in weights.iter().zip(base).enumerate() {
        if at < weight * base {
            kind = number;
            break;
        }
        at -= weight * base;
    }
    let path = |random: &mut Random| {
        let one = random.below(paths);
        match random.percent(30) {
            true => format!("/n{one}/c{}", random.below(3)),
            false => format!("/n{one}"),
        }
    };
    let mode = |random: &mut Random| {
        *random.pick(&[
            Mode::Persistent,
            Mode::Persistent,
            Mode::Ephemeral,
            Mode::PersistentSequential,
            Mode::EphemeralSequential,
        ])
    };
    let version = |random: &mut Random| match random.percent(70) {
        true => -1,
        false => i32::try_from(random.below(4)).expect("small"),
    };
    let data = match random.percent(3) {
        true => "x".repeat(random.below(6000)),
        false => format!("d{number}"),
    };
    match kind {
        0 => Op::Create {
            path: path(random),
            data,
            mode: mode(random),
        },
        1 => Op::Delete {
            path: path(random),
            version: version(random),
        },
        2 => Op::Set {
            path: path(random),
            data,
            version: version(random),
        },
        3 => Op::Get {
            path: path(random),
            watch: random.percent(30),
        },
        4 => Op::Exists {
            path: path(random),
            watch: random.percent(50),
        },
        5 => Op::Children {
            path: path(random),
            watch: random.percent(50),
        },
        6 => Op::Sync { path: path(random) },
        7 => Op::Multi {
            ops: vec![
                Op::Create {
                    path: path(random),
                    data: data.clone(),
                    mode: mode(random),
                },
                Op::Set {
                    path: path(random),
                    data,
                    version: version(random),
                },
                Op::Check {
                    path: path(random),
                    version: version(random),
                },
            ],
        },
        8 => Op::AddWatch {
            path: path(random),
            recursive: random.percent(50),
        },
        9 => Op::Close,
        10 => Op::Reconnect,
        _ => Op::Multi {
            ops: vec![
                Op::Delete {
                    path: path(random),
                    version: version(random),
                },
                Op::Create {
                    path: path(random),
                    data,
                    mode: mode(random),
                },
            ],
        },
    }
}

fn target(random: &mut Random, setup: &Setup) -> Target {
    match random.below(10) {
        0..=3 => Target::Leader,
        4..=5 => Target::Follower,
        _ => Target::Place(random.below(setup.voters + setup.observers)),
    }
}

fn fault_list(random: &mut Random, setup: &Setup, end: i64) -> Vec<Timed> {
    let kinds: Vec<usize> = match random.below(10) {
        0 => Vec::new(),
        1 => vec![random.below(KINDS)],
        _ => {
            let chance = *random.pick(&[20, 40, 70]);
            (0..KINDS).filter(|_| random.percent(chance)).collect()
        }
    };
    if kinds.is_empty() {
        return Vec::new();
    }
    let count = 3 + random.below(6);
    let mut list: Vec<Timed> = (0..count)
        .map(|_| {
            let at = random.between(1_500_000, end - 1_000_000);
            let lasts = *random.pick(&[100_000, 800_000, 3_000_000, 8_000_000]);
            let until = at + random.between(1000, lasts);
            let kind = *random.pick(&kinds);
            let fault = fault(random, setup, kind);
            Timed { at, until, fault }
        })
        .collect();
    list.sort_by_key(|timed| timed.at);
    list
}

fn fault(random: &mut Random, setup: &Setup, kind: usize) -> Fault {
    let whom = target(random, setup);
    let servers = setup.voters + setup.observers;
    match kind {
        0 => Fault::Kill(whom),
        1 => Fault::PowerCut(whom),
        2 => Fault::PowerCutAll,
        3 => {
            let change = u32::try_from(1 + random.below(60)).expect("small");
            Fault::Disk(whom, DiskFault::CutAt(change))
        }
        4 => Fault::Disk(whom, DiskFault::SyncError),
        5 => Fault::Disk(whom, DiskFault::Full),
        6 => match random.percent(70) {
            true => Fault::Disk(whom, DiskFault::WriteBack),
            false => Fault::Disk(whom, DiskFault::ReadError),
        },
        7 => Fault::SlowDisk(whom),
        8 => Fault::Pause(whom),
        9 => {
            let chance = *random.pick(&[20, 50]);
            let mut ways = Vec::new();
            for from in 0..servers + setup.clients.len() {
                for to in 0..servers {
                    if from != to && random.percent(chance) {
                        ways.push((from, to));
                        if random.percent(70) {
                            ways.push((to, from));
                        }
                    }
                }
            }
            let ports = *random.pick(&[15, 15, 2, 4, 6, 1]);
            Fault::Cut { ways, ports }
        }
        10 => Fault::Isolate {
            whom,
            inwards: random.percent(80),
            outwards: random.percent(80),
            ports: *random.pick(&[15, 15, 2, 4, 14]),
        },
        11 => Fault::Reset {
            percent: 10 + random.below(90),
        },
        12 => Fault::WallJump(whom, random.between(-3_600_000, 3_600_000)),
        13 => {
            let about = *random.pick(&["", "log.", "snapshot.", "currentEpoch", "acceptedEpoch"]);
            let lie = match about {
                "" => Lie::All,
                begins => Lie::Files(begins.to_owned()),
            };
            Fault::Lie(whom, lie)
        }
        _ if random.percent(25) => Fault::Wipe(whom),
        _ => {
            let damage = *random.pick(&[Damage::Bit, Damage::Zeros, Damage::Misdirected]);
            let mut begins =
                *random.pick(&["log.", "log.", "snapshot.", "currentEpoch", "acceptedEpoch"]);
            if begins.ends_with("Epoch") && damage == Damage::Bit {
                // It may be another number then, and nothing tells.
                begins = "log.";
            }
            Fault::Damage(whom, damage, begins.to_owned())
        }
    }
}

/// Requests to change the members, some right behind another and some at a time of trouble.
fn reconfigurations(random: &mut Random, setup: &Setup, end: i64) -> Vec<Timed> {
    let count = 1 + random.below(8);
    let servers = setup.servers();
    let mut list = Vec::new();
    for _ in 0..count {
        let at = random.between(1_500_000, end - 500_000);
        let parts = (0..1 + random.below(3)).map(|_| {
            let part = *random.pick(&[
                Part::Participant,
                Part::Participant,
                Part::Observer,
                Part::None,
                Part::None,
            ]);
            (random.below(servers), part)
        });
        let parts = parts.collect();
        let by = match random.percent(60) {
            true => Target::Leader,
            false => target(random, setup),
        };
        let fault = Fault::Reconfig { by, parts };
        let until = at;
        list.push(Timed { at, until, fault });
        // The leader is lost at some point of it.
        if random.percent(40) {
            let within = *random.pick(&[3000, 30_000, 300_000]);
            let lost = at + random.between(100, within);
            let until = lost + random.between(1000, 3_000_000);
            let fault = match random.below(3) {
                0 => Fault::Kill(Target::Leader),
                1 => Fault::PowerCut(Target::Leader),
                _ => Fault::Isolate {
                    whom: Target::Leader,
                    inwards: random.percent(80),
                    outwards: random.percent(80),
                    ports: *random.pick(&[15, 2, 6]),
                },
            };
            let at = lost;
            list.push(Timed { at, until, fault });
        }
    }
    list
}

fn healing(random: &mut Random, setup: &Setup, end: i64) -> Healing {
    let servers = setup.servers();
    let mut core: Vec<usize> = (0..servers).collect();
    if random.percent(50) && !setup.reconfig {
        let mut voters: Vec<usize> = (0..setup.voters).collect();
        while setup.voters / 2 + 1 < voters.len() {
            voters.remove(random.below(voters.len()));
        }
        core = voters;
    }
    Healing {
        at: end,
        core,
        others: (random.percent(40), random.percent(50), random.percent(50)),
    }
}
