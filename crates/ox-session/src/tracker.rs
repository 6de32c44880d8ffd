//! Which sessions there are, and when each will have been silent for too long.
//!
//! Invariant: a session waits in exactly one bucket, unless it is closing; then in none. Time is
//! cut into buckets of one tick, and a bucket expires as a whole, so a touch within the same tick
//! moves nothing. Source: `SessionTrackerImpl`, `ExpiryQueue`; client-protocol.md 11.1.

use std::collections::{BTreeMap, BTreeSet};

use ox_proto::SessionId;

/// The sessions of this server, and their expiry.
#[derive(Debug)]
pub struct SessionTracker {
    tick_ms: i64,
    sessions: BTreeMap<SessionId, Session>,
    /// By the time at which they expire. No bucket is empty.
    buckets: BTreeMap<i64, BTreeSet<SessionId>>,
}

#[derive(Debug)]
struct Session {
    /// As the createSession transaction had it: what other members and a later start know.
    granted_ms: i32,
    /// As negotiated with the client's latest connection.
    timeout_ms: i32,
    /// The bucket it waits in; `None` when closing.
    expires: Option<i64>,
}

impl SessionTracker {
    /// A tracker without sessions, whose buckets are `tick_ms` wide.
    ///
    /// # Panics
    /// If the tick is not positive.
    pub fn new(tick_ms: i64) -> Self {
        assert!(0 < tick_ms, "a tick of {tick_ms} ms");
        Self {
            tick_ms,
            sessions: BTreeMap::new(),
            buckets: BTreeMap::new(),
        }
    }

    /// Makes a session known, with its full timeout ahead of it. One that is known already is
    /// only touched: a closing session stays closing.
    pub fn open(&mut self, id: SessionId, timeout_ms: i32, now: i64) {
        if self.touch(id, None, now) || self.sessions.contains_key(&id) {
            return;
        }
        let expires = bucket(self.tick_ms, timeout_ms, now);
        self.enter(id, expires);
        let session = Session {
            granted_ms: timeout_ms,
            timeout_ms,
            expires: Some(expires),
        };
        self.sessions.insert(id, session);
    }

    /// Gives a session its timeout again, counted from `now`, or the one that was negotiated anew.
    /// False, and nothing done, if it is unknown or closing. A touch that is told late takes nothing
    /// back that a later one has given.
    pub fn touch(&mut self, id: SessionId, timeout_ms: Option<i32>, now: i64) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else {
            return false;
        };
        let Some(expires) = session.expires else {
            return false;
        };
        session.timeout_ms = timeout_ms.unwrap_or(session.timeout_ms);
        let mut later = bucket(self.tick_ms, session.timeout_ms, now);
        if timeout_ms.is_none() {
            later = later.max(expires);
        }
        if later != expires {
            session.expires = Some(later);
            self.leave(id, expires);
            self.enter(id, later);
        }
        true
    }

    /// True if the session is known and not closing.
    pub fn is_open(&self, id: SessionId) -> bool {
        self.sessions
            .get(&id)
            .is_some_and(|session| session.expires.is_some())
    }

    /// Marks a session closing: it cannot be touched any more and will not expire. True if this
    /// was news; false if it is unknown or closing already.
    pub fn begin_close(&mut self, id: SessionId) -> bool {
        let expires = self
            .sessions
            .get_mut(&id)
            .and_then(|session| session.expires.take());
        if let Some(expires) = expires {
            self.leave(id, expires);
        }
        expires.is_some()
    }

    /// Forgets a session. False if it was unknown.
    pub fn remove(&mut self, id: SessionId) -> bool {
        self.begin_close(id);
        self.sessions.remove(&id).is_some()
    }

    /// Marks every session closing whose time has come, and tells which: the earlier bucket first,
    /// within a bucket by id.
    pub fn expire(&mut self, now: i64) -> Vec<SessionId> {
        let mut expired = Vec::new();
        while let Some(bucket) = self.buckets.first_entry()
            && *bucket.key() <= now
        {
            expired.extend(bucket.remove());
        }
        for id in &expired {
            let session = self
                .sessions
                .get_mut(id)
                .expect("a session in a bucket is known");
            session.expires = None;
        }
        expired
    }

    /// When to call [`expire`](Self::expire) next; `None` while no session can expire.
    pub fn next_expiry(&self) -> Option<i64> {
        self.buckets.first_key_value().map(|(&expires, _)| expires)
    }

    /// The session's timeout in ms, as last negotiated; `None` if it is unknown.
    pub fn timeout(&self, id: SessionId) -> Option<i32> {
        self.sessions.get(&id).map(|session| session.timeout_ms)
    }

    /// Every session, closing ones included, by id, with the timeout in ms that its createSession
    /// transaction had: what a snapshot keeps.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, i32)> {
        self.sessions
            .iter()
            .map(|(&id, session)| (id, session.granted_ms))
    }

    /// How many sessions there are, closing ones included.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Who expires when; without the closing.
    pub fn dump(&self) -> BTreeMap<i64, Vec<SessionId>> {
        let bucket =
            |(&expires, ids): (&i64, &BTreeSet<_>)| (expires, ids.iter().copied().collect());
        self.buckets.iter().map(bucket).collect()
    }

    fn enter(&mut self, id: SessionId, expires: i64) {
        self.buckets.entry(expires).or_default().insert(id);
    }

    fn leave(&mut self, id: SessionId, expires: i64) {
        let bucket = self
            .buckets
            .get_mut(&expires)
            .expect("a session's bucket exists");
        bucket.remove(&id);
        if bucket.is_empty() {
            self.buckets.remove(&expires);
        }
    }
}

/// The first bucket's end after `now + timeout_ms`.
fn bucket(tick_ms: i64, timeout_ms: i32, now: i64) -> i64 {
    (now.saturating_add(timeout_ms.into()).div_euclid(tick_ms) + 1).saturating_mul(tick_ms)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: SessionId = SessionId(1);
    const B: SessionId = SessionId(-2);

    fn tracker() -> SessionTracker {
        SessionTracker::new(2000)
    }

    #[test]
    fn a_session_lives_for_its_timeout_and_up_to_a_tick_more() {
        for (timeout_ms, now, expires) in [
            (4000, 0, 6000),
            (4000, 1, 6000),
            (4000, 1999, 6000),
            (4000, 2000, 8000),
            (3999, 0, 4000),
            (0, 0, 2000),
            (-1, 0, 0),
            (-5000, 0, -4000),
            (i32::MAX, 0, 2_147_484_000),
            (4000, i64::MAX, i64::MAX),
        ] {
            let mut tracker = tracker();
            tracker.open(A, timeout_ms, now);
            assert_eq!(
                tracker.next_expiry(),
                Some(expires),
                "{timeout_ms} at {now}"
            );
        }
    }

    #[test]
    fn it_expires_when_the_time_of_its_bucket_has_come_and_only_once() {
        let mut tracker = tracker();
        tracker.open(A, 4000, 0);
        assert_eq!(tracker.expire(5999), []);
        assert!(tracker.is_open(A));
        assert_eq!(tracker.expire(6000), [A]);
        assert!(!tracker.is_open(A));
        assert_eq!(
            (tracker.expire(9000), tracker.next_expiry(), tracker.len()),
            (vec![], None, 1)
        );
    }

    #[test]
    fn a_late_look_finds_the_earlier_bucket_first_and_ids_in_order() {
        let mut tracker = tracker();
        for (id, timeout_ms) in [(3, 9000), (9, 4000), (2, 4000)] {
            tracker.open(SessionId(id), timeout_ms, 0);
        }
        assert_eq!(tracker.expire(10_000), [2, 9, 3].map(SessionId));
    }

    #[test]
    fn a_touch_gives_the_timeout_again() {
        let mut tracker = tracker();
        tracker.open(A, 4000, 0);
        assert!(tracker.touch(A, None, 5000));
        assert_eq!(tracker.expire(9999), []);
        assert_eq!(tracker.expire(10_000), [A]);
    }

    #[test]
    fn a_touch_that_is_told_late_takes_nothing_back() {
        let mut tracker = tracker();
        tracker.open(A, 4000, 5000);
        assert!(tracker.touch(A, None, 1000));
        assert_eq!(tracker.next_expiry(), Some(10_000));
    }

    #[test]
    fn a_renegotiated_timeout_holds_from_then_on_but_is_not_kept_for_a_later_start() {
        let mut tracker = tracker();
        tracker.open(A, 10_000, 0);
        assert!(tracker.touch(A, Some(4000), 0));
        assert_eq!(
            (tracker.timeout(A), tracker.next_expiry()),
            (Some(4000), Some(6000))
        );
        assert!(tracker.touch(A, None, 2000));
        assert_eq!(tracker.next_expiry(), Some(8000));
        assert_eq!(tracker.sessions().collect::<Vec<_>>(), [(A, 10_000)]);
    }

    #[test]
    fn unknown_and_closing_sessions_cannot_be_touched() {
        let mut tracker = tracker();
        assert!(!tracker.touch(A, None, 0));
        assert!(!tracker.begin_close(A));
        tracker.open(A, 4000, 0);
        assert!(tracker.begin_close(A));
        assert!(!tracker.begin_close(A));
        assert!(!tracker.touch(A, Some(9000), 0));
        assert_eq!(
            (tracker.timeout(A), tracker.is_open(A)),
            (Some(4000), false)
        );
    }

    #[test]
    fn a_closing_session_does_not_expire_and_cannot_be_opened_again() {
        let mut tracker = tracker();
        tracker.open(A, 4000, 0);
        tracker.begin_close(A);
        tracker.open(A, 4000, 0);
        assert_eq!(
            (tracker.is_open(A), tracker.expire(60_000)),
            (false, vec![])
        );
    }

    #[test]
    fn opening_a_known_session_touches_it() {
        let mut tracker = tracker();
        tracker.open(A, 4000, 0);
        tracker.open(A, 30_000, 2000);
        assert_eq!(
            (tracker.timeout(A), tracker.next_expiry()),
            (Some(4000), Some(8000))
        );
    }

    #[test]
    fn a_removed_session_is_unknown() {
        let mut tracker = tracker();
        tracker.open(A, 4000, 0);
        assert!(tracker.remove(A));
        assert!(!tracker.remove(A));
        assert!(tracker.is_empty());
        assert_eq!((tracker.timeout(A), tracker.next_expiry()), (None, None));
    }

    #[test]
    fn the_dump_shows_who_expires_when() {
        let mut tracker = tracker();
        tracker.open(A, 4000, 0);
        tracker.open(B, 4000, 100);
        tracker.open(SessionId(5), 9000, 0);
        tracker.open(SessionId(6), 9000, 0);
        tracker.begin_close(SessionId(6));
        let expected = BTreeMap::from([(6000, vec![B, A]), (10_000, vec![SessionId(5)])]);
        assert_eq!(tracker.dump(), expected);
    }

    proptest! {
        #[test]
        fn no_session_expires_early_or_more_than_a_tick_late(
            steps in prop::collection::vec((0..4_i64, 0..3000_i64, 1..9000_i32), 1..200),
        ) {
            let mut tracker = tracker();
            let mut due = BTreeMap::new();
            let mut now = 0;
            for (id, passed, timeout_ms) in steps {
                now += passed;
                for id in tracker.expire(now) {
                    let due: i64 = due.remove(&id).expect("only a live session expires");
                    prop_assert!(due < now);
                    tracker.remove(id);
                }
                prop_assert!(due.values().all(|due| now <= due + 2000), "{now} {due:?}");
                let id = SessionId(id);
                tracker.open(id, timeout_ms, now);
                tracker.touch(id, Some(timeout_ms), now);
                due.insert(id, now + i64::from(timeout_ms));
            }
        }
    }
}
