//! What clients saw and what servers hold in the end, and whether it is what ZooKeeper promises.
//!
//! A simulator, or a test of real processes, records a [`History`] and hands it to [`check_all`].
//! The checks know nothing of the product: this crate has types and a tree of its own. Each
//! property is a file, with its source on top. Source: reliability.md 3.

mod access;
mod case;
mod digest;
mod history;
mod judge;
mod linear;
mod model;
mod properties;
mod reads;
mod report;
mod request;
#[cfg(test)]
mod speed;
#[cfg(test)]
mod testing;
mod txn;
mod watches;

pub use history::{
    Connection, ConnectionId, Digest, Event, EventKind, History, OpId, Operation, Secret,
    ServerLog, Time,
};
pub use report::{Options, Property, Report, Violation};
pub use request::{
    AclEntry, Answer, CreateMode, Outcome, Request, SetWatches, Stat, WatchKind, error, open_acl,
};
pub use txn::{Change, NodeKind, Txn, fingerprint};

use case::Case;
use properties as p;

/// Checks all properties.
pub fn check_all(history: &History, options: &Options) -> Report {
    let case = Case::new(history, options);
    let mut report = Report::default();
    let checks = [
        p::p01_write_order::check,
        p::p02_write_semantics::check,
        p::p03_unknown_outcomes::check,
        p::p04_fifo::check,
        p::p05_monotonic::check,
        p::p06_read_your_writes::check,
        p::p07_sync::check,
        p::p08_durability::check,
        p::p09_atomic_multi::check,
        p::p10_ephemerals::check,
        p::p11_session_life::check,
        p::p12_sequential::check,
        p::p13_watch_order::check,
        p::p14_watch_once::check,
        p::p15_watch_reconnect::check,
        p::p16_stat_algebra::check,
        p::p17_replica_agreement::check,
        p::p19_acl::check,
        p::p20_linearizable::check,
        p::p21_quotas::check,
    ];
    for check in checks {
        check(&case, &mut report);
    }
    report
}
