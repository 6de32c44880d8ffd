//! Proposals in order, commits in order.
//!
//! Invariant: a zxid is proposed once, right after the one before it or at the start of a newer
//! epoch; it commits only after it is on stable storage, and only after all before it.

use std::collections::VecDeque;

use ox_proto::Zxid;

/// What can happen to a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A prepared transaction, which carries [`Broadcast::next_zxid`].
    Propose(Zxid),
    /// Every log entry up to and including this zxid is on stable storage here.
    Flushed(Zxid),
}

/// What a leader wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Write this proposal to the log.
    Append(Zxid),
    /// A quorum holds this proposal: apply it.
    Commit(Zxid),
}

/// The broadcast phase of a leader.
#[derive(Debug)]
pub struct Broadcast {
    /// The newest proposal, or the newest transaction of the history it started from.
    last_proposed: Zxid,
    /// Proposals not committed yet, oldest first.
    outstanding: VecDeque<Zxid>,
    outputs: VecDeque<Output>,
}

impl Broadcast {
    /// Goes on after the history that ends in `last`.
    pub fn new(last: Zxid) -> Self {
        Self {
            last_proposed: last,
            outstanding: VecDeque::new(),
            outputs: VecDeque::new(),
        }
    }

    /// The zxid that the next proposal must carry. A server alone is free to begin a new epoch
    /// when the counter of this one is spent; `None` once there is no epoch left either.
    pub fn next_zxid(&self) -> Option<Zxid> {
        self.last_proposed
            .next()
            .or_else(|| self.last_proposed.next_epoch())
    }

    /// How many proposals wait for their commit.
    pub fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// Takes one event in.
    pub fn handle(&mut self, input: Input) {
        match input {
            Input::Propose(zxid) => self.propose(zxid),
            Input::Flushed(zxid) => self.flushed(zxid),
        }
    }

    /// The next effect, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn propose(&mut self, zxid: Zxid) {
        assert_eq!(
            Some(zxid),
            self.next_zxid(),
            "proposal order after {}",
            self.last_proposed
        );
        self.last_proposed = zxid;
        self.outstanding.push_back(zxid);
        self.outputs.push_back(Output::Append(zxid));
    }

    /// Our own log is the whole quorum, and its answer covers all before it.
    fn flushed(&mut self, zxid: Zxid) {
        while let Some(oldest) = self.outstanding.pop_front_if(|oldest| *oldest <= zxid) {
            self.outputs.push_back(Output::Commit(oldest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(last: Zxid, script: &[Input], outputs: &[Output]) {
        let mut broadcast = Broadcast::new(last);
        script.iter().for_each(|input| broadcast.handle(*input));
        let seen: Vec<_> = std::iter::from_fn(|| broadcast.poll_output()).collect();
        assert_eq!(seen, outputs);
    }

    fn propose(counter: u32) -> Input {
        Input::Propose(Zxid::new(1, counter))
    }

    fn flushed(counter: u32) -> Input {
        Input::Flushed(Zxid::new(1, counter))
    }

    fn append(counter: u32) -> Output {
        Output::Append(Zxid::new(1, counter))
    }

    fn commit(counter: u32) -> Output {
        Output::Commit(Zxid::new(1, counter))
    }

    #[test]
    fn nothing_commits_before_it_is_flushed() {
        check(
            Zxid::new(1, 0),
            &[propose(1), propose(2)],
            &[append(1), append(2)],
        );
        check(
            Zxid::new(1, 0),
            &[propose(1), propose(2), flushed(1), propose(3)],
            &[append(1), append(2), commit(1), append(3)],
        );
    }

    #[test]
    fn one_flush_commits_all_before_it_in_order() {
        check(
            Zxid::new(1, 4),
            &[propose(5), propose(6), flushed(6), flushed(6)],
            &[append(5), append(6), commit(5), commit(6)],
        );
    }

    #[test]
    fn a_spent_counter_goes_on_in_the_next_epoch() {
        let broadcast = Broadcast::new(Zxid::new(1, 0xffff_fffe));
        assert_eq!(broadcast.next_zxid(), Some(Zxid::new(2, 1)));
        assert_eq!(
            Broadcast::new(Zxid::new(u32::MAX, 0xffff_fffe)).next_zxid(),
            None
        );
    }

    #[test]
    #[should_panic(expected = "proposal order")]
    fn a_gap_is_our_own_bug() {
        check(Zxid::new(1, 0), &[propose(2)], &[]);
    }
}
