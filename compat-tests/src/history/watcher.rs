//! A client of one server that keeps a data watch on a node and reads it again and again.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

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
pub(super) fn watch(server: SocketAddr, path: &str, timeout_ms: i32, stop: &AtomicBool) -> Watched {
    let mut watcher = Watcher {
        server,
        path: path.to_owned(),
        session: Roaming::open(&[server], 0, timeout_ms),
        armed: None,
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
    /// While a watch is set: mzxid of the value that came with it, and the connections so far.
    armed: Option<(i64, usize)>,
    watched: Watched,
}

impl Watcher {
    /// Reads the node, with a watch if none is set, and judges what came.
    fn look(&mut self) {
        let arms = self.armed.is_none();
        let body = Fields::new().string(&self.path).boolean(arms);
        let answer = self.session.call(op::GET_DATA, &body);
        let events = self.session.take_events().len();
        let reply = match answer {
            Answer::Reply(reply) => reply,
            Answer::Unknown => return self.after_a_break(events),
            Answer::Expired(silence) => return self.lose_session(silence),
        };
        assert_eq!(reply.error, 0, "getData {}", self.path);
        let mut record = Record(&reply.body);
        record.buffer();
        let mzxid = record.stat().mzxid;
        self.judge(mzxid, events);
    }

    fn judge(&mut self, mzxid: i64, events: usize) {
        let Some((seen, connections)) = self.armed.take() else {
            if 0 < events {
                self.complain(format!("{events} events without a watch"));
            }
            self.session.watches(&self.path);
            self.armed = Some((mzxid, self.session.connections));
            return;
        };
        let changed = seen < mzxid;
        match (changed, events) {
            (false, 0) => {
                self.armed = Some((seen, connections));
                return;
            }
            (true, 1) => self.watched.events += 1,
            (true, 0) => self.complain(format!("{mzxid:#x} shown, no event since {seen:#x}")),
            // Setting a watch again says from which zxid on it counts; the value may have been
            // newer than the answer that carried it.
            (false, _) if connections != self.session.connections => {}
            (false, _) => self.complain(format!("an event, and still {seen:#x}")),
            (true, _) => self.complain(format!("{events} events for {seen:#x} to {mzxid:#x}")),
        }
        self.session.watched_no_more(&self.path);
    }

    /// The connection broke. A watch that has fired is gone; one that has not is set again.
    fn after_a_break(&mut self, events: usize) {
        if self.armed.is_some() && 0 < events {
            self.watched.events += 1;
            self.armed = None;
            self.session.watched_no_more(&self.path);
        }
    }

    fn sync(&mut self) {
        // Without an answer the last look only sees less.
        let body = Fields::new().string(&self.path);
        let _ = self.session.call(op::SYNC, &body);
    }

    fn complain(&mut self, what: String) {
        let session = self.session.session;
        let text = format!("watch of {session:#x} on {}: {what}", self.path);
        self.watched.violations.push(text);
    }

    fn lose_session(&mut self, silence: Duration) {
        self.watched.lost.push(silence);
        self.armed = None;
        let timeout_ms = self.session.timeout_ms;
        let next = Roaming::open(&[self.server], 0, timeout_ms);
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
