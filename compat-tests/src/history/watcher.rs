//! A client of one server that keeps a data watch on a node and reads it again and again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::recorder::Recorder;
use crate::roaming::{Answer, Roaming};
use crate::wire::{Fields, Record, op};

/// Pause between two looks at the node.
const PACE: Duration = Duration::from_millis(7);

/// What a watcher saw.
#[derive(Debug, Default)]
pub struct Watched {
    /// Watches that fired.
    pub events: usize,
    /// Sessions that expired, with the silence before.
    pub lost: Vec<Duration>,
    /// As negotiated.
    pub timeout: Duration,
    /// Answers whose zxid was below one seen before.
    pub went_back: Vec<String>,
    /// What broke the promises of watches.
    pub violations: Vec<String>,
}

/// Watches until it is told to stop, then looks for the last time.
pub(super) fn watch(
    server: SocketAddr,
    path: &str,
    timeout_ms: i32,
    stop: &AtomicBool,
    recorder: &Arc<Recorder>,
) -> Watched {
    let mut watcher = Watcher {
        server,
        path: path.to_owned(),
        session: Roaming::open(&[server], 0, timeout_ms, recorder),
        recorder: Arc::clone(recorder),
        watch: Watch::default(),
        watched: Watched::default(),
    };
    while !stop.load(Ordering::Relaxed) {
        watcher.look();
        thread::sleep(PACE);
    }
    // What the other servers have committed is here before the answer.
    watcher.sync();
    watcher.look();
    watcher.end()
}

struct Watcher {
    server: SocketAddr,
    path: String,
    session: Roaming,
    recorder: Arc<Recorder>,
    watch: Watch,
    watched: Watched,
}

/// What is known of a one-shot watch from the answers and events around it.
#[derive(Debug, Default)]
struct Watch {
    /// While it is set: mzxid of the value that came with it, and on which connection that was.
    armed: Option<(i64, usize)>,
}

/// What an answer and the events before it say of the watch.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The request has set it.
    Set,
    /// Nothing has happened.
    Quiet,
    /// It fired, and rightly.
    Fired,
    /// It fired, for nothing new, and that is excused.
    Excused,
    /// A promise is broken.
    Wrong(String),
}

impl Watch {
    /// Whether the next request is to set it.
    fn is_due(&self) -> bool {
        self.armed.is_none()
    }

    /// Judges a read that showed a value of this mzxid after so many events.
    fn judge(&mut self, mzxid: i64, events: usize, connection: usize) -> Verdict {
        let Some((seen, set_on)) = self.armed.take() else {
            self.armed = Some((mzxid, connection));
            return match events {
                0 => Verdict::Set,
                _ => Verdict::Wrong(format!("{events} events without a watch")),
            };
        };
        match (seen < mzxid, events) {
            (false, 0) => {
                self.armed = Some((seen, set_on));
                Verdict::Quiet
            }
            (true, 1) => Verdict::Fired,
            (true, 0) => Verdict::Wrong(format!("{mzxid:#x} shown, no event since {seen:#x}")),
            // Setting a watch again says from which zxid on it counts; the value may have been
            // newer than the answer that carried it.
            (false, 1) if set_on != connection => Verdict::Excused,
            (_, _) => Verdict::Wrong(format!("{events} events for {seen:#x} to {mzxid:#x}")),
        }
    }

    /// The connection broke after so many events: a watch that has fired is gone.
    fn break_off(&mut self, events: usize) -> Verdict {
        match (self.armed, events) {
            (_, 0) => Verdict::Quiet,
            (Some(_), 1) => {
                self.armed = None;
                Verdict::Fired
            }
            (_, _) => Verdict::Wrong(format!("{events} events before the connection broke")),
        }
    }
}

impl Watcher {
    /// Reads the node, with a watch if none is set, and judges what came.
    fn look(&mut self) {
        let body = Fields::new()
            .string(&self.path)
            .boolean(self.watch.is_due());
        let answer = self.session.call(op::GET_DATA, &body);
        let events = self.session.take_events().len();
        let verdict = match answer {
            Answer::Reply(reply) => {
                assert_eq!(reply.error, 0, "getData {}", self.path);
                let mut record = Record(&reply.body);
                record.buffer();
                let mzxid = record.stat().mzxid;
                self.watch.judge(mzxid, events, self.session.connections)
            }
            Answer::Unknown(events) => self.watch.break_off(events),
            Answer::Expired(silence) => return self.lose_session(silence),
        };
        match verdict {
            Verdict::Set => self.session.watches(&self.path),
            Verdict::Quiet => {}
            Verdict::Fired => {
                self.watched.events += 1;
                self.session.watched_no_more(&self.path);
            }
            Verdict::Excused => self.session.watched_no_more(&self.path),
            Verdict::Wrong(what) => {
                self.session.watched_no_more(&self.path);
                let session = self.session.session;
                let text = format!("watch of {session:#x} on {}: {what}", self.path);
                self.watched.violations.push(text);
            }
        }
    }

    fn sync(&mut self) {
        // Without an answer the last look only sees less.
        let body = Fields::new().string(&self.path);
        let _ = self.session.call(op::SYNC, &body);
    }

    fn lose_session(&mut self, silence: Duration) {
        self.watched.lost.push(silence);
        self.watch = Watch::default();
        let timeout_ms = self.session.timeout_ms;
        let next = Roaming::open(&[self.server], 0, timeout_ms, &self.recorder);
        let old = std::mem::replace(&mut self.session, next);
        self.watched.went_back.extend(old.went_back);
    }

    fn end(mut self) -> Watched {
        self.watched.timeout =
            Duration::from_millis(u64::from(self.session.timeout_ms.unsigned_abs()));
        let went_back = self.session.went_back.clone();
        self.watched.went_back.extend(went_back);
        self.session.close();
        self.watched
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A watch set with mzxid 5 on connection 1, and then an answer.
    #[track_caller]
    fn check(mzxid: i64, events: usize, connection: usize, expected: Result<Verdict, &str>) {
        let mut watch = Watch::default();
        assert_eq!(watch.judge(5, 0, 1), Verdict::Set);
        let verdict = watch.judge(mzxid, events, connection);
        match (verdict, expected) {
            (Verdict::Wrong(found), Err(text)) => assert!(found.contains(text), "{found}"),
            (found, expected) => assert_eq!(Ok(found), expected),
        }
    }

    #[test]
    fn an_event_before_the_new_value_is_as_it_should_be() {
        check(6, 1, 1, Ok(Verdict::Fired));
        check(5, 0, 1, Ok(Verdict::Quiet));
    }

    #[test]
    fn a_new_value_without_its_event_is_wrong() {
        check(6, 0, 1, Err("no event since 0x5"));
        check(6, 0, 2, Err("no event since 0x5"));
    }

    #[test]
    fn an_event_for_nothing_is_wrong_but_on_the_connection_after() {
        check(5, 1, 1, Err("1 events for 0x5 to 0x5"));
        check(5, 1, 2, Ok(Verdict::Excused));
    }

    #[test]
    fn a_watch_fires_once() {
        check(6, 2, 1, Err("2 events"));
        let mut watch = Watch::default();
        assert_eq!(watch.judge(5, 0, 1), Verdict::Set);
        assert_eq!(watch.judge(6, 1, 1), Verdict::Fired);
        assert!(matches!(watch.judge(7, 1, 1), Verdict::Wrong(_)), "again");
    }

    #[test]
    fn a_watch_that_fired_before_the_connection_broke_is_set_anew() {
        let mut watch = Watch::default();
        assert_eq!(watch.judge(5, 0, 1), Verdict::Set);
        assert_eq!(watch.break_off(0), Verdict::Quiet);
        assert!(!watch.is_due(), "it is set again by the session");
        assert_eq!(watch.break_off(1), Verdict::Fired);
        assert!(watch.is_due());
    }
}
