//! Proposals in order, acknowledgements, commits in order.
//!
//! Invariants: a zxid is proposed once, right after the one before it or at the start of a newer
//! epoch; it commits only when every required quorum has acknowledged it, our own log holds it on
//! stable storage, and all before it are committed. Java does not wait for the leader's own disk;
//! we do, so that nothing is shown to a reader that our own log does not hold. Source:
//! `Leader.propose`, `Leader.processAck`, `Leader.tryToCommit`; quorum.md 6.5.

use std::collections::VecDeque;

use ox_mutant::{Mutant, is_on};
use ox_proto::{EnsembleConfig, ServerId, Zxid};

use crate::quorum::{Quorums, Tracker};

#[derive(Clone, Debug, Hash)]
struct Proposal {
    zxid: Zxid,
    /// Our own vote is among them from the beginning; `flushed` says when it counts.
    acks: Tracker,
    /// When it was proposed, in monotonic milliseconds.
    at: i64,
}

/// The broadcast phase of a leader.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Broadcast {
    own: ServerId,
    quorums: Quorums,
    /// The newest proposal, or the zxid that the first one follows.
    last_proposed: Zxid,
    /// The newest entry of our own log that is on stable storage.
    flushed: Zxid,
    /// Proposals not committed yet, oldest first.
    outstanding: VecDeque<Proposal>,
    /// Another leader has been named: nothing commits any more.
    is_over: bool,
}

impl Broadcast {
    /// Goes on behind `last`, all of which is committed.
    pub(crate) fn new(own: ServerId, quorums: Quorums, last: Zxid) -> Self {
        Self {
            own,
            quorums,
            last_proposed: last,
            flushed: last,
            outstanding: VecDeque::new(),
            is_over: false,
        }
    }

    /// The newest proposal, or the zxid that the first one follows.
    pub(crate) fn last_proposed(&self) -> Zxid {
        self.last_proposed
    }

    /// How many proposals wait for their commit.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// Adds a proposal that is on its way to our own log and to the learners.
    ///
    /// # Panics
    /// If it does not follow the one before it.
    pub(crate) fn propose(&mut self, zxid: Zxid, now: i64) {
        assert!(
            zxid.follows(self.last_proposed),
            "proposal order: {zxid} after {}",
            self.last_proposed
        );
        self.last_proposed = zxid;
        let mut acks = self.quorums.tracker();
        acks.add(self.own);
        if is_on(Mutant::M03) {
            let others = self.quorums.voters().iter();
            let other = others.copied().find(|&voter| voter != self.own);
            acks.add(other.unwrap_or(self.own));
        }
        self.outstanding.push_back(Proposal {
            zxid,
            acks,
            at: now,
        });
    }

    /// Everything up to `zxid` is on our own stable storage.
    pub(crate) fn flushed(&mut self, zxid: Zxid) {
        self.flushed = self.flushed.max(zxid);
    }

    /// Counts `server` for this one proposal: no ack is read as "and all before it". Whoever does
    /// not vote does not count.
    pub(crate) fn ack(&mut self, server: ServerId, zxid: Zxid) {
        if let Some(proposal) = self.find(zxid) {
            proposal.acks.add(server);
        }
    }

    /// Forgets what `server` has acknowledged behind `zxid`: it starts anew from there and
    /// acknowledges again.
    pub(crate) fn forget_acks(&mut self, server: ServerId, behind: Zxid) {
        let first = self.outstanding.partition_point(|p| p.zxid <= behind);
        for proposal in self.outstanding.range_mut(first..) {
            proposal.acks.remove(server);
        }
    }

    /// From now on these must agree: to what is proposed next, and with `outstanding` to what was
    /// proposed before as well, by whoever has done so already.
    pub(crate) fn set_quorums(&mut self, quorums: Quorums, outstanding: bool) {
        self.quorums = quorums;
        for proposal in self.outstanding.iter_mut().filter(|_| outstanding) {
            let acks = std::mem::replace(&mut proposal.acks, self.quorums.tracker());
            for &voter in self.quorums.voters() {
                if acks.contains(voter) {
                    proposal.acks.add(voter);
                }
            }
        }
    }

    /// Another server is to lead: nothing commits here any more.
    pub(crate) fn end(&mut self) {
        self.is_over = !is_on(Mutant::G01);
    }

    /// Whom to name as the next leader: of those that have acknowledged a reconfiguration, with
    /// `acks`, and that can lead in `config`, one that has acknowledged most of what came behind it.
    /// Source: `Leader.getDesignatedLeader`.
    pub(crate) fn most_advanced(
        &self,
        acks: &Tracker,
        config: &EnsembleConfig,
    ) -> Option<ServerId> {
        let can_lead = |&server: &ServerId| {
            server != self.own && config.weight(server) > 0 && acks.contains(server)
        };
        let mut candidates: Vec<ServerId> = config.voters().filter(can_lead).collect();
        for proposal in &self.outstanding {
            let mut better = candidates.clone();
            better.retain(|&server| proposal.acks.contains(server));
            if better.is_empty() {
                break;
            }
            candidates = better;
        }
        candidates.first().copied()
    }

    /// Takes out the oldest proposal if it is committed, and who has acknowledged it.
    pub(crate) fn poll_commit(&mut self) -> Option<(Zxid, Tracker)> {
        if self.is_over {
            return None;
        }
        let flushed = self.flushed;
        let is_ours = |zxid: Zxid| zxid <= flushed || is_on(Mutant::M02);
        let oldest = self
            .outstanding
            .pop_front_if(|oldest| is_ours(oldest.zxid) && oldest.acks.has_all_quorums())?;
        Some((oldest.zxid, oldest.acks))
    }

    /// Since when the oldest proposal has waited for our own disk, if it does.
    pub(crate) fn waits_for_disk_since(&self) -> Option<i64> {
        let oldest = self.outstanding.front()?;
        (self.flushed < oldest.zxid).then_some(oldest.at)
    }

    fn find(&mut self, zxid: Zxid) -> Option<&mut Proposal> {
        let oldest = self.outstanding.front()?.zxid;
        // Nearly always all are of one epoch, and so in a row.
        let place = usize::try_from(zxid.0.checked_sub(oldest.0)?).ok()?;
        if self.outstanding.get(place).is_none_or(|p| p.zxid != zxid) {
            return self.outstanding.iter_mut().find(|p| p.zxid == zxid);
        }
        self.outstanding.get_mut(place)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::voters;

    enum Step {
        Propose(u32),
        Flushed(u32),
        Ack(i64, u32),
        Forget(i64, u32),
    }
    use Step::*;

    fn zxid(counter: u32) -> Zxid {
        Zxid::new(1, counter)
    }

    /// Server 1 leads so many voters.
    #[track_caller]
    fn check(count: i64, script: &[Step], commits: &[u32]) {
        let quorums = Quorums::new([Arc::new(voters(count))]);
        let mut broadcast = Broadcast::new(ServerId(1), quorums, zxid(0));
        let mut seen = Vec::new();
        for step in script {
            match *step {
                Propose(counter) => broadcast.propose(zxid(counter), 0),
                Flushed(counter) => broadcast.flushed(zxid(counter)),
                Ack(server, counter) => broadcast.ack(ServerId(server), zxid(counter)),
                Forget(server, behind) => broadcast.forget_acks(ServerId(server), zxid(behind)),
            }
            seen.extend(
                std::iter::from_fn(|| broadcast.poll_commit()).map(|(zxid, _)| zxid.counter()),
            );
        }
        assert_eq!(seen, commits);
    }

    #[test]
    fn alone_a_flush_commits_all_before_it_in_order() {
        check(1, &[Propose(1), Propose(2)], &[]);
        check(
            1,
            &[Propose(1), Propose(2), Flushed(2), Flushed(2)],
            &[1, 2],
        );
        check(1, &[Propose(1), Propose(2), Flushed(1), Propose(3)], &[1]);
    }

    #[test]
    fn own_flush_is_not_a_quorum_of_three() {
        check(3, &[Propose(1), Flushed(1)], &[]);
        check(3, &[Propose(1), Flushed(1), Ack(2, 1)], &[1]);
    }

    #[test]
    fn a_quorum_of_others_waits_for_our_own_disk() {
        check(3, &[Propose(1), Ack(2, 1), Ack(3, 1)], &[]);
        check(3, &[Propose(1), Ack(2, 1), Ack(3, 1), Flushed(1)], &[1]);
    }

    #[test]
    fn a_later_ack_waits_for_the_earlier() {
        let begin = || vec![Propose(1), Propose(2), Flushed(2), Ack(3, 2)];
        check(3, &begin(), &[]);
        let mut whole = begin();
        whole.push(Ack(3, 1));
        check(3, &whole, &[1, 2]);
    }

    #[test]
    fn who_does_not_vote_does_not_count() {
        check(3, &[Propose(1), Flushed(1), Ack(9, 1)], &[]);
    }

    #[test]
    fn acks_of_nothing_outstanding_are_ignored() {
        check(
            3,
            &[Ack(2, 1), Propose(1), Flushed(1), Ack(2, 2), Ack(2, 0)],
            &[],
        );
        check(
            3,
            &[Propose(1), Flushed(1), Ack(2, 1), Ack(2, 1), Ack(3, 1)],
            &[1],
        );
    }

    /// A Java leader counts an ack whose record it has since told the learner to cut.
    #[test]
    fn acks_from_before_a_truncation_are_forgotten() {
        let begin = [
            Propose(1),
            Propose(2),
            Ack(2, 1),
            Ack(2, 2),
            Forget(2, 1),
            Flushed(2),
        ];
        check(3, &begin, &[1]);
    }

    /// As a reconfiguration from servers 1 to 3 to servers 1, 4 and 5.
    #[test]
    fn both_quorums_until_the_activation_and_then_the_new_one() {
        let old = Arc::new(voters(3));
        let mut new = voters(5);
        new.members
            .retain(|id, _| ![ServerId(2), ServerId(3)].contains(id));
        new.version = zxid(2).0;
        let new = Arc::new(new);
        let of_old = Quorums::new([Arc::clone(&old)]);
        let mut broadcast = Broadcast::new(ServerId(1), of_old, zxid(0));
        broadcast.propose(zxid(1), 0);
        broadcast.set_quorums(Quorums::of(&old, &new), false);
        broadcast.propose(zxid(2), 0);
        broadcast.propose(zxid(3), 0);
        broadcast.flushed(zxid(3));
        let committed = |broadcast: &mut Broadcast| {
            let next = broadcast.poll_commit();
            next.map(|(zxid, acks)| (zxid.counter(), acks))
        };
        broadcast.ack(ServerId(2), zxid(1));
        assert_eq!(committed(&mut broadcast).map(|it| it.0), Some(1));
        broadcast.ack(ServerId(2), zxid(2));
        assert!(
            committed(&mut broadcast).is_none(),
            "not with the old quorum"
        );
        for server in [4, 5] {
            broadcast.ack(ServerId(server), zxid(2));
        }
        broadcast.ack(ServerId(5), zxid(3));
        let (counter, acks) = committed(&mut broadcast).unwrap();
        assert_eq!(counter, 2);
        // Who has most comes first, and not the server that leads.
        assert_eq!(broadcast.most_advanced(&acks, &new), Some(ServerId(5)));
        assert!(
            committed(&mut broadcast).is_none(),
            "not with the new quorum yet"
        );
        broadcast.set_quorums(Quorums::new([new]), true);
        assert_eq!(committed(&mut broadcast).map(|it| it.0), Some(3));
    }

    #[test]
    fn nothing_commits_when_another_server_is_to_lead() {
        let quorums = Quorums::new([Arc::new(voters(1))]);
        let mut broadcast = Broadcast::new(ServerId(1), quorums, zxid(0));
        broadcast.propose(zxid(1), 0);
        broadcast.flushed(zxid(1));
        broadcast.end();
        assert!(broadcast.poll_commit().is_none());
    }

    #[test]
    #[should_panic(expected = "proposal order")]
    fn a_gap_is_our_own_bug() {
        check(1, &[Propose(2)], &[]);
    }
}
