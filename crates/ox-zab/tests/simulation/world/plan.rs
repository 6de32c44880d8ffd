//! How an ensemble is made, and what happens to it.

use super::*;

/// What may happen in a run, and how the ensemble is made.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) voters: usize,
    pub(super) observers: usize,
    pub(super) latency: i64,
    pub(super) disk: i64,
    pub(super) keep: usize,
    pub(super) force_snapshot_sync: bool,
    /// Followers serve observers, and hold so many bytes for one.
    pub(super) master_limit: Option<usize>,
    pub(super) losses: usize,
    pub(super) faults: Vec<Fault>,
    pub(super) fault_every: i64,
    pub(super) load_every: i64,
    /// When the faults stop.
    pub(super) quiet_at: i64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    Crash,
    CrashAll,
    Reset,
    Cut,
    SlowDisk,
    StaleVote,
    Pause,
    Stranger,
    Wipe,
    LoseLeader,
    Compact,
}

impl Plan {
    pub(super) fn draw(random: &mut Random) -> Self {
        let all = [
            Fault::Crash,
            Fault::CrashAll,
            Fault::Reset,
            Fault::Cut,
            Fault::SlowDisk,
            Fault::StaleVote,
            Fault::Pause,
            Fault::Stranger,
            Fault::LoseLeader,
            Fault::Compact,
        ];
        let mut faults: Vec<_> = all.into_iter().filter(|_| random.chance(60)).collect();
        if random.chance(10) {
            faults.push(Fault::Wipe);
        }
        Self {
            voters: [3, 3, 3, 4, 5, 5][random.below(6)],
            observers: random.below(2),
            latency: [3, 10, 30][random.below(3)],
            disk: [2, 5, 40][random.below(3)],
            keep: [0, 2, 6, 1000][random.below(4)],
            force_snapshot_sync: random.chance(15),
            master_limit: [None, Some(100), Some(1 << 20)][random.below(3)],
            losses: [0, 5, 30][random.below(3)],
            faults,
            fault_every: [100, 400, 1500][random.below(3)],
            load_every: [5, 30, 200][random.below(3)],
            quiet_at: random.between(5_000, 20_000),
        }
    }
}
