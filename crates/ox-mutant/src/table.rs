//! The planted bugs. M01 to M32 are those of reliability.md 4.6; the others are of reconfigurations,
//! sessions, watches, transactions, quotas, reads and snapshots.

macro_rules! mutants {
    ($($(#[$note:meta])* $id:ident $what:literal by $by:literal,)*) => {
        /// A planted bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mutant {
            $(#[doc = $what] $(#[$note])* $id,)*
        }

        impl Mutant {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$id,)*];

            /// Its short name.
            pub const fn id(self) -> &'static str {
                match self {
                    $(Self::$id => stringify!($id),)*
                }
            }

            /// The one with this short name.
            pub fn from_id(id: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|mutant| mutant.id() == id)
            }

            /// What is wrong with it.
            pub const fn what(self) -> &'static str {
                match self {
                    $(Self::$id => $what,)*
                }
            }

            /// The property that is expected to find it; see the crate of the checks, and
            /// reliability.md 3.2. `Z` stands for the inner rules of the broadcast, `L` for
            /// liveness.
            pub const fn by(self) -> &'static str {
                match self {
                    $(Self::$id => $by,)*
                }
            }
        }
    };
}

mutants! {
    C00 "the canary: every second transaction is left out of the record" by "P8",
    M01 "a follower acknowledges a proposal before it is on its disk" by "P8",
    M02 "a leader commits what its own disk does not hold" by "Z P8",
    M03 "a proposal commits with half of the voters, rounded down" by "Z P8",
    ///
    /// In our design an observer is sent no proposals. It is treated as a voter in all, and counts in the
    /// place of the first one that is missing.
    M04 "an observer is counted as if it voted" by "Z P8",
    ///
    /// A learner has one connection to a leader, so nothing of an older leader can come by another. What
    /// there is of a check of epochs is this one.
    M05 "a learner follows the leader of an older epoch than it has accepted" by "Z",
    ///
    /// Java does it.
    M06 "an accepted epoch is renamed into place without a sync of its folder" by "Z",
    ///
    /// ZOOKEEPER-4643.
    M07 "the current epoch is stored before the history that it vouches for" by "Z P8",
    ///
    /// ZOOKEEPER-4646 and 3911.
    M08 "NEWLEADER is acknowledged before what came before it is on the disk" by "Z P8",
    ///
    /// ZOOKEEPER-4685. Our leader takes such an acknowledgement; what is wrong is that the server that
    /// gave it may still say in an election that it is in the older epoch.
    M09 "proposals are acknowledged before NEWLEADER" by "Z P8",
    M10 "TRUNC keeps one record too many" by "P17 P8",
    M11 "TRUNC is answered while the later logs are deleted in memory only" by "Z L",
    ///
    /// ZOOKEEPER-4925.
    M12 "the entries kept for learners lack the last one of a synchronization" by "P17 P8",
    M13 "votes are ordered by zxid before epoch" by "Z L",
    M14 "votes of other rounds of an election are counted" by "Z",
    ///
    /// ZOOKEEPER-3104.
    M15 "a leader serves before a quorum has acknowledged NEWLEADER" by "Z P8",
    M16 "the counter of the zxid goes on in a new epoch" by "P1 Z",
    ///
    /// ZOOKEEPER-4394.
    M17 "a follower takes over what is not committed in a synchronization" by "Z P8",
    ///
    /// ZOOKEEPER-3144.
    M18 "a snapshot is named after a later zxid than it holds" by "P17",
    ///
    /// ZOOKEEPER-3642.
    M19 "a leader's whole state is not stored before what follows it" by "Z P8",
    M20 "a client is served that has seen later zxids" by "P5",
    M21 "an event leaves after the answers that show its change" by "P13",
    M22 "closeSession misses ephemerals that were not committed when it was made" by "P10",
    M23 "damage in what is known to be synced counts as the end of the log" by "Z P8",
    M24 "a failed sync is tried again instead of ending the log" by "Z P8",
    ///
    /// ZOOKEEPER-4882. Our disk reports no success after a failure, so here the failure is reported as one.
    M25 "a failed log write is passed over, and commits are applied in memory" by "Z P8",
    M26 "a reconfiguration commits with a quorum of the new configuration alone" by "Z P8",
    ///
    /// Our leader sends a whole state below a tail only to who cannot cut it, so here it does so in place
    /// of every TRUNC.
    M27 "a whole state is sent below a learner's tail, and the log of the tail is kept" by "P17 P8",
    ///
    /// Our learners keep what the leader of the same epoch has sent, so here they cut it, too.
    M28 "acknowledgements from before a TRUNC count behind it" by "Z P8",
    ///
    /// Java 3.9.5 does it, and stands still. Here an assertion ends the leader.
    M29 "a write that cannot be decoded is proposed under the zxid before it" by "L",
    M30 "no coming epoch is announced before records of it are logged" by "Z",
    M31 "what a start has read from the log is not made durable" by "Z P8",
    M32 "TRUNC leaves a snapshot above its zxid" by "P17 P8",
    G01 "a leader in whose place another was named goes on committing" by "Z",
    G02 "a new leader completes a reconfiguration with a quorum of the old configuration alone" by "Z",
    G03 "a follower forgets that a reconfiguration was proposed" by "Z",
    G04 "a follower activates a reconfiguration when it is proposed" by "Z",
    S01 "a session that expires leaves its ephemerals" by "P10",
    S02 "the leader does not hear of sessions by the pings of its learners" by "P11",
    S03 "a session is taken up again after its end" by "P11",
    S04 "a session that is over may write" by "P10",
    S05 "a session may write by a server that it has left" by "P4",
    S06 "a new leader watches over no session that it did not see begin" by "P10 P11",
    S07 "a ping by the leader's own clients does not renew their sessions" by "P11",
    W01 "a watch for once stays when it has fired" by "P14",
    W02 "exists leaves no watch on a znode that is missing" by "P14",
    W03 "a recursive watch hears nothing of what is below" by "P14",
    W04 "a reconnecting client is not told of data that it missed" by "P15",
    W05 "what a reconnecting client missed is told, and watched again as well" by "P15",
    W06 "watches of children do not hear of deletions" by "P14",
    T01 "parts of a failed multi before the failure are applied" by "P2 P9",
    T02 "what a failed multi would have changed is not taken back" by "P2",
    T03 "parts of a multi behind the failure bear no error" by "P2",
    T04 "sequential names count the children there are" by "P12",
    T05 "deleting a child leaves pzxid as it was" by "P16",
    T06 "setData leaves the version as it was" by "P16",
    T07 "versions are not compared" by "P2",
    Q01 "quotas are not enforced within a multi" by "P21",
    Q02 "deleting a znode leaves a quota's count as it was" by "P21",
    I01 "a deletion that a fuzzy snapshot holds already leaves pzxid as it was" by "P17",
    I02 "a snapshot holds znodes that were made after it was begun" by "P17",
    I03 "a snapshot holds no sessions" by "P11 P10",
    I04 "a snapshot holds no acls but the open one" by "P19 P2",
    I05 "a state sent to a learner holds no sessions" by "P11 P10",
    I06 "a log gets its name without a sync of its folder" by "Z P8",
    R01 "the answer to a read bears the zxid before the one it shows" by "P5",
    R02 "a read overtakes the writes of its own client" by "P4 P6",
    R03 "a learner answers sync by itself" by "P7",
    R04 "the answer to a read bears a zxid that is not applied yet" by "P5",
}
