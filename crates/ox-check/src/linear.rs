//! Whether operations on one value can have happened one after another, each at some moment
//! between its call and its return.
//!
//! The search of Wing and Gong with the memory of Lowe: a set of operations done and the state
//! they lead to are not tried twice. Source: reliability.md 3.3; Lowe, Testing for
//! linearizability, 2017.

use std::collections::BTreeSet;

/// A value with operations on it.
pub(crate) trait Value: Clone + Ord {
    type Operation;

    /// The value after the operation; `None` if it cannot have this outcome here.
    fn step(&self, operation: &Self::Operation) -> Option<Self>;
}

/// An operation with the time of its call and that of its return.
#[derive(Clone, Debug)]
pub(crate) struct Call<O> {
    pub(crate) called: i64,
    /// `i64::MAX` if it may take effect at any time.
    pub(crate) returned: i64,
    pub(crate) operation: O,
}

/// What the search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There is such an order.
    Linearizable,
    /// There is none; the call with this index is the first return that no order got past.
    Broken(usize),
    /// The search was given up.
    Undecided,
}

/// A call or a return, in a list from which those of operations done are taken out.
#[derive(Clone, Copy, Debug)]
struct Entry {
    call: usize,
    is_return: bool,
    next: usize,
    before: usize,
}

/// Looks for an order, taking no more than so many steps.
pub(crate) fn search<V: Value>(start: &V, calls: &[Call<V::Operation>], steps: usize) -> Verdict {
    let mut list = List::new(calls);
    let mut value = start.clone();
    let mut done = 0_u128;
    let mut tried: BTreeSet<(u128, V)> = BTreeSet::new();
    let mut taken: Vec<(usize, V)> = Vec::new();
    let mut furthest = (0, 0);
    let mut at = list.first();
    for _ in 0..steps {
        let Some(entry) = list.entry(at) else {
            return Verdict::Linearizable;
        };
        if !entry.is_return {
            let next = value.step(&calls[entry.call].operation);
            let set = done ^ mark(entry.call);
            if let Some(next) = next.filter(|next| tried.insert((set, next.clone()))) {
                taken.push((at, std::mem::replace(&mut value, next)));
                done = set;
                list.take_out(at);
                at = list.first();
            } else {
                at = entry.next;
            }
            continue;
        }
        // What has returned had to be done by now.
        furthest = furthest.max((taken.len(), entry.call));
        let Some((undone, old)) = taken.pop() else {
            return Verdict::Broken(furthest.1);
        };
        value = old;
        list.put_back(undone);
        done ^= mark(list.entries[undone].call);
        at = list.entries[undone].next;
    }
    Verdict::Undecided
}

/// A number for a call, so that a set of calls is the sum of its numbers.
fn mark(call: usize) -> u128 {
    let mix = |seed: u64| {
        let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    let seed = u64::try_from(call).unwrap_or(u64::MAX);
    (u128::from(mix(2 * seed + 1)) << 64) | u128::from(mix(2 * seed + 2))
}

struct List {
    /// The first entry stands before all; the rest are sorted by time.
    entries: Vec<Entry>,
    /// Where the return of each call is.
    returns: Vec<usize>,
}

impl List {
    fn new<O>(calls: &[Call<O>]) -> Self {
        let mut moments: Vec<(i64, bool, usize)> = Vec::new();
        for (index, call) in calls.iter().enumerate() {
            moments.push((call.called, false, index));
            moments.push((call.returned, true, index));
        }
        // At the same moment calls come first: then they overlap.
        moments.sort_unstable();
        let mut entries = vec![Entry {
            call: usize::MAX,
            is_return: false,
            next: 1,
            before: 0,
        }];
        let mut returns = vec![0; calls.len()];
        for (_, is_return, call) in moments {
            let place = entries.len();
            if is_return {
                returns[call] = place;
            }
            entries.push(Entry {
                call,
                is_return,
                next: place + 1,
                before: place - 1,
            });
        }
        Self { entries, returns }
    }

    fn first(&self) -> usize {
        self.entries[0].next
    }

    /// `None` behind the last one. A return that never comes is no obstacle.
    fn entry(&self, place: usize) -> Option<Entry> {
        self.entries.get(place).copied()
    }

    fn unlink(&mut self, place: usize) {
        let Entry { next, before, .. } = self.entries[place];
        self.entries[before].next = next;
        if let Some(entry) = self.entries.get_mut(next) {
            entry.before = before;
        }
    }

    fn link(&mut self, place: usize) {
        let Entry { next, before, .. } = self.entries[place];
        self.entries[before].next = place;
        if let Some(entry) = self.entries.get_mut(next) {
            entry.before = place;
        }
    }

    fn take_out(&mut self, call: usize) {
        self.unlink(call);
        self.unlink(self.returns[self.entries[call].call]);
    }

    /// In the reverse order of taking out.
    fn put_back(&mut self, call: usize) {
        self.link(self.returns[self.entries[call].call]);
        self.link(call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Value for i64 {
        /// True: a write; false: a read.
        type Operation = (bool, Self);

        fn step(&self, (writes, value): &(bool, Self)) -> Option<Self> {
            (*writes || self == value).then_some(*value)
        }
    }

    fn call(called: i64, returned: i64, writes: bool, value: i64) -> Call<(bool, i64)> {
        let operation = (writes, value);
        Call {
            called,
            returned,
            operation,
        }
    }

    #[test]
    fn overlapping_calls_may_come_in_any_order() {
        let calls = [
            call(0, 10, true, 1),
            call(1, 4, false, 0),
            call(5, 9, false, 1),
        ];
        assert_eq!(search(&0, &calls, 100), Verdict::Linearizable);
    }

    #[test]
    fn what_has_been_seen_stays() {
        let calls = [
            call(0, 10, true, 1),
            call(1, 4, false, 1),
            call(5, 9, false, 0),
        ];
        assert_eq!(search(&0, &calls, 100), Verdict::Broken(2));
    }

    #[test]
    fn a_search_that_takes_too_long_is_given_up() {
        let calls = [call(0, 10, true, 1), call(0, 10, false, 0)];
        assert_eq!(search(&0, &calls, 1), Verdict::Undecided);
    }

    #[test]
    fn a_long_history_is_decided() {
        let mut calls = Vec::new();
        for round in 0..1000 {
            let at = round * 10;
            for client in 0..4 {
                calls.push(call(at + client, at + 9, true, round * 10 + client));
            }
            calls.push(call(at + 5, at + 9, false, round * 10 + 2));
        }
        assert_eq!(search(&0, &calls, 3_000_000), Verdict::Linearizable);
        calls.push(call(20_000, 20_001, false, 17));
        let last = calls.len() - 1;
        assert_eq!(search(&0, &calls, 3_000_000), Verdict::Broken(last));
    }
}
