//! An ensemble under a recorded load, to which something is done round after round.

use std::path::Path;
use std::time::{Duration, Instant};

use compat_tests::ensemble::{Ensemble, Plan, wait_for};
use compat_tests::history::{History, Recording};
use compat_tests::server::Kind;
use compat_tests::suite::{Skip, say};

const WRITERS: usize = 4;

/// As negotiated for every session of the load.
const TIMEOUT_MS: i32 = 6_000;

/// Three voters that give each other up after two seconds, with small files, so that faults also
/// meet snapshots and new logs.
pub(crate) fn three_voters() -> Plan {
    Plan::voters(&[Kind::Oxkeeper; 3])
        .line("syncLimit", "4")
        .line("snapCount", "1000")
        .line("preAllocSize", "1024")
}

/// An ensemble at work.
pub(crate) struct Loaded {
    pub(crate) ensemble: Ensemble,
    recording: Recording,
    /// The longest that it took until all members served again.
    longest: Duration,
}

impl Loaded {
    /// Starts all members, and the load.
    #[track_caller]
    pub(crate) fn start(plan: &Plan, home: &Path) -> Result<Self, Skip> {
        let mut ensemble = plan.lay_out(home);
        ensemble.start_all()?;
        let recording = Recording::start(&ensemble.addresses(), 0, WRITERS, TIMEOUT_MS);
        Ok(Self {
            ensemble,
            recording,
            longest: Duration::ZERO,
        })
    }

    /// Waits until so many more writes have been acknowledged.
    #[track_caller]
    pub(crate) fn go_on(&self, writes: u64) {
        let wanted = self.recording.acknowledged() + writes;
        wait_for("acknowledged writes", || {
            (wanted <= self.recording.acknowledged()).then_some(())
        });
    }

    /// Writes acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.recording.acknowledged()
    }

    /// Waits until all members serve, which nothing keeps them from any more.
    #[track_caller]
    pub(crate) fn recover(&mut self) {
        let begun = Instant::now();
        self.ensemble.wait_until_all_serve();
        self.longest = self.longest.max(begun.elapsed());
    }

    /// Ends the load and checks the record against the state that all members agree on, also after
    /// the sessions' ends.
    #[track_caller]
    pub(crate) fn finish(mut self, rounds: usize, what: &str) -> Result<History, Skip> {
        self.ensemble.start_all()?;
        self.go_on(20);
        let mut history = self.recording.finish();
        history.check(&self.ensemble.check_same_state());
        history.close_sessions();
        history.check_closed(&self.ensemble.check_same_state());
        history.check_properties(&self.ensemble);
        say(format!(
            "   {rounds} rounds of {what}, 0 acknowledged writes lost: {}; all served again after at \
             most {:.1} s",
            history.summary(),
            self.longest.as_secs_f64()
        ));
        Ok(history)
    }
}
