//! A record held against what ZooKeeper promises: the checks of `ox-check`, with the logs that the
//! servers have on their disks in the end.

use ox_check::{Options, Report, Txn, check_all};

use std::collections::BTreeMap;

use super::History;
use crate::ensemble::{DIGEST_INTERVAL, Ensemble};
use crate::txnlog::{self, Logged};

/// Milliseconds by which a session may end sooner than its client thinks; as in `check`.
const TOLERANCE: i64 = 3_000;

impl History {
    /// Panics unless all properties hold. All members are to serve, and nothing is written
    /// meanwhile. `kept` is what was in their logs earlier: a snapshot that comes from a leader
    /// takes the place of a log.
    #[track_caller]
    pub fn check_properties(&self, ensemble: &Ensemble, mut kept: Committed) {
        let applied = ensemble.wait_until_agreed();
        let logs: Vec<Logged> = ensemble
            .sids()
            .into_iter()
            .map(|sid| txnlog::read(&ensemble.data(sid), number(sid), applied))
            .collect();
        for logged in &logs {
            kept.add(logged);
        }
        let mut history = self.recorder.history();
        for txn in kept.0.into_values() {
            history.txn(txn);
        }
        for sid in ensemble.sids() {
            for (zxid, digest) in ensemble.digests(sid) {
                // Older ones may have been noted while a state or a snapshot was made whole that
                // was taken under load: it holds transactions from behind its zxid.
                if applied - zxid < DIGEST_INTERVAL {
                    history.digest(number(sid), zxid, digest);
                }
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
            // Long runs are beyond what the search decides; the other checks have no such limit.
            limited: true,
            ..Options::default()
        };
        let report = check_all(&history, &options);
        assert!(report.is_ok(), "{report}\n{}", shown(&report, &history));
    }
}

/// The operations that show what is wrong, each with its connection.
fn shown(report: &Report, history: &ox_check::History) -> String {
    let ids = report.violations.iter().flat_map(|found| &found.operations);
    let lines = ids.filter_map(|id| {
        let operation = history.operations().get(usize::try_from(id.0).ok()?)?;
        let connection = usize::try_from(operation.connection.0).ok()?;
        let connection = history.connections().get(connection)?;
        Some(format!("#{}: {operation:x?} on {connection:?}\n", id.0))
    });
    lines.collect()
}

/// Transactions that were committed, by zxid.
#[derive(Clone, Debug, Default)]
pub struct Committed(BTreeMap<i64, Txn>);

impl Committed {
    /// Adds what the members that serve have in their logs and have applied.
    #[track_caller]
    pub fn add_from(&mut self, ensemble: &Ensemble) {
        for sid in ensemble.awake() {
            // What a server says that it has applied was in its log before that.
            if let Some(applied) = ensemble.zxid(sid) {
                self.add(&txnlog::read(&ensemble.data(sid), number(sid), applied));
            }
        }
    }

    fn add(&mut self, logged: &Logged) {
        for (zxid, txn) in logged.txns.range(..=logged.log.applied) {
            self.0.entry(*zxid).or_insert_with(|| txn.clone());
        }
    }
}

fn number(sid: usize) -> u64 {
    u64::try_from(sid).expect("a small number")
}
