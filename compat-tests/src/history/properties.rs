//! A record held against what ZooKeeper promises: the checks of `ox-check`, with the logs that the
//! servers have on their disks in the end.

use ox_check::{Options, check_all};

use super::History;
use crate::ensemble::Ensemble;
use crate::txnlog::{self, Logged};

/// Milliseconds by which a session may end sooner than its client thinks; as in `check`.
const TOLERANCE: i64 = 3_000;

impl History {
    /// Panics unless all properties hold. All members are to serve, and nothing is written
    /// meanwhile.
    #[track_caller]
    pub fn check_properties(&self, ensemble: &Ensemble) {
        let applied = ensemble.wait_until_agreed();
        let logs: Vec<Logged> = ensemble
            .sids()
            .into_iter()
            .map(|sid| txnlog::read(&ensemble.data(sid), number(sid), applied))
            .collect();
        let whole = logs.iter().find(|logged| logged.log.covered == 0);
        let whole = whole.expect("some member has a log from the beginning on");
        let mut history = self.recorder.history();
        for txn in whole.txns.values() {
            history.txn(txn.clone());
        }
        for sid in ensemble.sids() {
            for (zxid, digest) in ensemble.digests(sid) {
                history.digest(number(sid), zxid, digest);
            }
        }
        for logged in logs {
            history.server_log(logged.log);
        }
        // Nobody has written down who led when: a sync may be stale at any time.
        let end = self.recorder.now();
        history.unstable(0, end);
        history.ended(end);
        let options = Options {
            complete: false,
            session_tolerance: TOLERANCE,
            ..Options::default()
        };
        let report = check_all(&history, &options);
        assert!(report.is_ok(), "{report}");
    }
}

fn number(sid: usize) -> u64 {
    u64::try_from(sid).expect("a small number")
}
