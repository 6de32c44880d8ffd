//! What is to happen, in the order of virtual time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use ox_zab::{LinkId, LogSearch};

use crate::net::ConnId;

/// A server's machine by its number, from 0.
pub(crate) type Place = usize;

/// Something that happens.
#[derive(Debug)]
pub(crate) enum Event {
    /// The next piece reaches a side of a connection.
    Deliver { conn: ConnId, side: usize },
    /// A dialer's first packet reaches its target, or is sent anew.
    Dial { dial: usize },
    /// A dialer hears what came of it.
    Dialed { dial: usize },
    /// A dialer tries again.
    Redial {
        place: Place,
        life: u64,
        link: LinkId,
    },
    /// The core's time has come.
    Timer { place: Place, life: u64, turn: u64 },
    /// The disk has done the oldest thing it was asked for.
    Disk { place: Place, life: u64 },
    /// Perhaps nothing was asked of the disk for a while.
    Idle {
        place: Place,
        life: u64,
        batches: u64,
    },
    /// A snapshot goes on.
    Snapshot { place: Place, life: u64 },
    /// A link's next piece of state or log is read.
    Pull {
        place: Place,
        life: u64,
        link: LinkId,
    },
    /// Perhaps a link was silent for too long.
    Silence {
        place: Place,
        life: u64,
        link: LinkId,
    },
    /// A client's connection without a session has lasted too long, perhaps.
    Sessionless {
        place: Place,
        life: u64,
        conn: ConnId,
    },
    /// What the log can do for a learner is known.
    Found {
        place: Place,
        life: u64,
        link: LinkId,
        found: LogSearch,
    },
    /// Old files are deleted.
    Purge { place: Place, life: u64 },
    /// A machine's process starts.
    Start { place: Place, life: u64 },
    /// A client's time has come.
    Client { client: usize, turn: u64 },
    /// A client's next operation is due.
    Operation { number: usize },
    /// A fault begins.
    Fault { number: usize },
    /// A fault ends.
    FaultEnds { number: usize },
}

/// Whose process must run for it to happen.
pub(crate) fn concerned(event: &Event) -> Option<Place> {
    match *event {
        Event::Redial { place, .. }
        | Event::Timer { place, .. }
        | Event::Disk { place, .. }
        | Event::Idle { place, .. }
        | Event::Snapshot { place, .. }
        | Event::Pull { place, .. }
        | Event::Silence { place, .. }
        | Event::Sessionless { place, .. }
        | Event::Found { place, .. }
        | Event::Purge { place, .. } => Some(place),
        Event::Dialed { .. }
        | Event::Deliver { .. }
        | Event::Dial { .. }
        | Event::Start { .. }
        | Event::Client { .. }
        | Event::Operation { .. }
        | Event::Fault { .. }
        | Event::FaultEnds { .. } => None,
    }
}

struct Item {
    at: i64,
    number: u64,
    event: Event,
}

impl Ord for Item {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Item {}

/// All that is to happen. What is due at one time happens in the order of being put in.
#[derive(Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Item>,
    number: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, at: i64, event: Event) {
        self.number += 1;
        let number = self.number;
        self.heap.push(Item { at, number, event });
    }

    pub(crate) fn pop(&mut self) -> Option<(i64, Event)> {
        self.heap.pop().map(|item| (item.at, item.event))
    }

    /// When the next thing is due.
    pub(crate) fn next_at(&self) -> Option<i64> {
        self.heap.peek().map(|item| item.at)
    }
}
