//! How a learner was brought to its leader's state, as its log tells.

use crate::ensemble::{Ensemble, Sid};

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

/// What a learner logs, whatever it is.
const LEARNER: &[(Synchronization, &str)] = &[
    (Diff, "Getting a diff from the leader"),
    (Trunc, "Truncating log to get in sync with the leader"),
    (Snap, "Getting a snapshot from leader"),
];

/// All synchronizations of a learner since it was started, in their order.
#[track_caller]
pub fn since_start(ensemble: &Ensemble, learner: Sid) -> Vec<Synchronization> {
    let of_line = |text: &str| {
        let mut found = LEARNER.iter().filter(|(_, word)| text.contains(word));
        found.next().map(|(synchronization, _)| *synchronization)
    };
    ensemble.log(learner).lines().filter_map(of_line).collect()
}
