//! What is checked, how strictly, and what was found.

use std::collections::BTreeMap;
use std::fmt;

use crate::history::{OpId, Time};

/// Violations kept for each property; more are only counted.
const KEPT: usize = 10;

/// Characters kept of a violation's text.
const TEXT: usize = 600;

/// How strictly a history is judged.
#[derive(Clone, Debug)]
pub struct Options {
    /// Reads show the state at the zxid of their answer exactly, as Oxkeeper's do. Without it they
    /// show some state between what the session has seen and one txn past that zxid, as Java's may.
    pub exact_reads: bool,
    /// Failed writes are in the log too, so that its zxids have no gaps.
    pub errors_in_log: bool,
    /// Every client was recorded: the log holds nothing that nobody asked for.
    pub complete: bool,
    /// Everything that servers had to tell had come before the end.
    pub settled: bool,
    /// Events have the zxid of their txn in their header, as from 3.9 on.
    pub event_zxids: bool,
    /// sync is one round of the quorum, so that no change of leader excuses a stale answer.
    pub quorum_sync: bool,
    /// How much sooner than its timeout a session may end.
    pub session_tolerance: Time,
    /// How long after its timeout a dead session must be closed; `None` if it is not checked.
    pub session_bound: Option<Time>,
    /// The history was kept within the limits of the linearizability search by its maker, who
    /// takes "not decided" for an answer.
    pub limited: bool,
}

impl Default for Options {
    /// For Oxkeeper, recorded completely.
    fn default() -> Self {
        Self {
            exact_reads: true,
            errors_in_log: true,
            complete: true,
            settled: true,
            event_zxids: true,
            quorum_sync: false,
            session_tolerance: 0,
            session_bound: None,
            limited: false,
        }
    }
}

/// What must hold of a history (reliability.md 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is described on top of its file")]
pub enum Property {
    WriteOrder,
    WriteSemantics,
    UnknownOutcomes,
    Fifo,
    Monotonic,
    ReadYourWrites,
    Sync,
    Durability,
    AtomicMulti,
    Ephemerals,
    SessionLife,
    Sequential,
    WatchOrder,
    WatchOnce,
    WatchReconnect,
    StatAlgebra,
    ReplicaAgreement,
    Acl,
    Linearizable,
    Quotas,
}

impl Property {
    /// Its number in the list of properties.
    pub fn number(self) -> u32 {
        match self {
            Self::WriteOrder => 1,
            Self::WriteSemantics => 2,
            Self::UnknownOutcomes => 3,
            Self::Fifo => 4,
            Self::Monotonic => 5,
            Self::ReadYourWrites => 6,
            Self::Sync => 7,
            Self::Durability => 8,
            Self::AtomicMulti => 9,
            Self::Ephemerals => 10,
            Self::SessionLife => 11,
            Self::Sequential => 12,
            Self::WatchOrder => 13,
            Self::WatchOnce => 14,
            Self::WatchReconnect => 15,
            Self::StatAlgebra => 16,
            Self::ReplicaAgreement => 17,
            Self::Acl => 19,
            Self::Linearizable => 20,
            Self::Quotas => 21,
        }
    }
}

impl fmt::Display for Property {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "P{} {self:?}", self.number())
    }
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What it breaks.
    pub property: Property,
    /// The operations that show it.
    pub operations: Vec<OpId>,
    /// What is wrong.
    pub text: String,
}

/// What was found in a history.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The first of each property.
    pub violations: Vec<Violation>,
    /// How many there are of each property.
    pub counts: BTreeMap<Property, usize>,
    /// Syncs that missed acknowledged writes while a leader changed: allowed, and counted.
    pub stale_syncs: usize,
    /// Keys whose linearizability was not decided.
    pub undecided: usize,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_ok(&self) -> bool {
        self.counts.is_empty()
    }

    /// How many violations of a property there are.
    pub fn count(&self, property: Property) -> usize {
        self.counts.get(&property).copied().unwrap_or_default()
    }

    pub(crate) fn add(&mut self, property: Property, operations: &[OpId], text: String) {
        let count = self.counts.entry(property).or_default();
        *count += 1;
        if *count <= KEPT {
            let text = match text.char_indices().nth(TEXT) {
                Some((end, _)) => format!("{}...", &text[..end]),
                None => text,
            };
            self.violations.push(Violation {
                property,
                operations: operations.to_vec(),
                text,
            });
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (property, count) in &self.counts {
            writeln!(out, "{property}: {count}")?;
        }
        for violation in &self.violations {
            let Violation {
                property,
                operations,
                text,
            } = violation;
            let ids: Vec<String> = operations.iter().map(|id| format!("#{}", id.0)).collect();
            writeln!(out, "P{} [{}] {text}", property.number(), ids.join(" "))?;
        }
        write!(
            out,
            "{} stale syncs, {} keys undecided",
            self.stale_syncs, self.undecided
        )
    }
}
