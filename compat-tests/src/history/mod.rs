//! A load that writes down what it asked for and what it was told, and the properties that the
//! record, together with the trees at the end, must have whatever happened to the servers.
//!
//! Checked: acknowledged writes are in the tree as they were written, with the zxid they were
//! answered with, and what has no known outcome is there whole or not at all; zxids are unique and
//! agree with real time; a session's view never goes back and includes its own writes; sessions end
//! by being closed or by silence; ephemerals live as long as their sessions; a watch fires before
//! the new value is shown, and once.

mod check;
mod properties;
mod recorder;
mod recording;
mod watcher;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use recorder::Recorder;
pub use recording::Recording;
pub use watcher::Watched;

use crate::roaming::Roaming;

/// One request of a writer.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Who asked.
    pub session: i64,
    /// What for.
    pub what: What,
    /// When it was sent.
    pub invoked: Instant,
    /// When its outcome was known.
    pub returned: Instant,
    /// What came of it.
    pub outcome: Outcome,
}

/// The requests that writers send. Only the writer that owns a path ever writes there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A new node, of a name that is used once.
    Create {
        /// Where.
        path: String,
        /// Unlike any other value.
        data: Vec<u8>,
        /// Whether it goes with the session.
        ephemeral: bool,
    },
    /// Two new nodes by one multi.
    CreatePair([String; 2]),
    /// The next value of the writer's counter, each larger than those before.
    Set {
        /// Where.
        path: String,
        /// Written in decimal.
        value: u64,
    },
    /// A node created earlier.
    Delete {
        /// Where.
        path: String,
    },
    /// The value of the writer's own counter.
    Read {
        /// Where.
        path: String,
        /// What was found, if there was an answer.
        value: Option<u64>,
    },
}

/// What a writer was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done, and the answer carried this zxid.
    Done(i64),
    /// It was not done.
    Refused(i32),
    /// No answer: done, or not.
    Unknown,
}

/// A session that a server said has expired.
#[derive(Clone, Copy, Debug)]
pub struct Lost {
    /// Which one.
    pub session: i64,
    /// As negotiated.
    pub timeout: Duration,
    /// How long the client had heard nothing.
    pub silence: Duration,
}

/// What one writer did.
#[derive(Debug)]
pub struct Written {
    /// In the order in which they were sent; never two at a time.
    pub operations: Vec<Operation>,
    /// Its sessions that expired.
    pub lost: Vec<Lost>,
    /// Answers whose zxid was below one seen before.
    pub went_back: Vec<String>,
    /// Connections made, over all its sessions.
    pub connections: usize,
    /// The session it has at the end.
    pub session: Option<Roaming>,
}

/// What all of them did.
#[derive(Debug)]
pub struct History {
    /// The writers' records.
    pub written: Vec<Written>,
    /// The watchers' records.
    pub watched: Vec<Watched>,
    /// All requests, answers and events of both.
    pub recorder: Arc<Recorder>,
}

impl Operation {
    /// Whether it was a write that was acknowledged.
    fn is_acknowledged_write(&self) -> bool {
        matches!(self.outcome, Outcome::Done(_)) && !matches!(self.what, What::Read { .. })
    }
}

impl History {
    /// How many writes were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.acknowledgements().len()
    }

    /// The longest time in which no write of any writer was acknowledged.
    pub fn longest_gap(&self) -> Duration {
        let mut times: Vec<Instant> = self
            .acknowledgements()
            .iter()
            .map(|operation| operation.returned)
            .collect();
        times.sort();
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        gaps.max().unwrap_or_default()
    }

    /// A line for the suite's output.
    pub fn summary(&self) -> String {
        let operations: usize = self.written.iter().map(|w| w.operations.len()).sum();
        let connections: usize = self.written.iter().map(|w| w.connections).sum();
        let lost = self.expired();
        let events: usize = self.watched.iter().map(|watched| watched.events).sum();
        format!(
            "{operations} requests, {} acknowledged writes, {connections} connections, {events} \
             events, {lost} sessions expired; longest gap between accepted writes {:.3} s",
            self.acknowledged(),
            self.longest_gap().as_secs_f64()
        )
    }

    /// How many sessions of writers and watchers have expired.
    pub fn expired(&self) -> usize {
        let written = self.written.iter().map(|written| written.lost.len());
        let watched = self.watched.iter().map(|watched| watched.lost.len());
        written.chain(watched).sum()
    }

    /// Ends all sessions that are still open.
    pub fn close_sessions(&mut self) {
        for written in &mut self.written {
            if let Some(session) = written.session.take() {
                session.close();
            }
        }
    }

    fn acknowledgements(&self) -> Vec<&Operation> {
        let all = self.written.iter().flat_map(|written| &written.operations);
        all.filter(|operation| operation.is_acknowledged_write())
            .collect()
    }
}
