//! How a learner was brought to its leader's state, as the logs of the two tell.
//!
//! One of them tells it in words of its own: which, and in which words, is the table here.

use crate::ensemble::{Ensemble, Sid};
use crate::server::Kind;

/// The ways to bring a learner to the leader's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synchronization {
    /// It got the transactions it lacked.
    Diff,
    /// It had to cut off the end of its log.
    Trunc,
    /// It got the whole tree.
    Snap,
}

use Synchronization::{Diff, Snap, Trunc};

/// What a Java learner logs.
const JAVA_LEARNER: &[(Synchronization, &str)] = &[
    (Diff, "Getting a diff from the leader"),
    (Trunc, "Truncating log to get in sync with the leader"),
    (Snap, "Getting a snapshot from leader"),
];

/// What a Java leader logs, for whatever learner.
const JAVA_LEADER: &[(Synchronization, &str)] = &[
    (Diff, "Sending DIFF zxid="),
    (Trunc, "Sending TRUNC "),
    (Snap, "Sending snapshot last zxid of peer is"),
];

/// What Oxkeeper logs as a leader, in a line of which `OXKEEPER_LINE` is a part.
const OXKEEPER_LEADER: &[(Synchronization, &str)] =
    &[(Diff, "DIFF"), (Trunc, "TRUNC"), (Snap, "SNAP")];
const OXKEEPER_LINE: &str = "Synchronizing with learner";

/// A place in a leader's log, taken before the learner in question is started.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    leader: Sid,
    length: usize,
}

/// Where the leader's log ends now.
#[track_caller]
pub fn mark(ensemble: &Ensemble, leader: Sid) -> Mark {
    let length = ensemble.log(leader).len();
    Mark { leader, length }
}

/// All synchronizations of the learner since it was started, in their order.
#[track_caller]
pub fn since(ensemble: &Ensemble, mark: Mark, learner: Sid) -> Vec<Synchronization> {
    let leader = mark.leader;
    match (ensemble.kind(learner), ensemble.kind(leader)) {
        (Kind::Apache(_), _) => find(&ensemble.log(learner), "", JAVA_LEARNER),
        (Kind::Oxkeeper, Kind::Apache(_)) => {
            find(&ensemble.log(leader)[mark.length..], "", JAVA_LEADER)
        }
        (Kind::Oxkeeper, Kind::Oxkeeper) => {
            let log = ensemble.log(leader);
            find(&log[mark.length..], OXKEEPER_LINE, OXKEEPER_LEADER)
        }
    }
}

fn find(log: &str, line: &str, words: &[(Synchronization, &str)]) -> Vec<Synchronization> {
    let of_line = |text: &str| {
        let mut found = words.iter().filter(|(_, word)| text.contains(word));
        found.next().map(|(synchronization, _)| *synchronization)
    };
    log.lines()
        .filter(|text| text.contains(line))
        .filter_map(of_line)
        .collect()
}
