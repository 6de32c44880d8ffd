//! The connections of the learner port: two lanes each, in order, until an end is lost.

use std::collections::VecDeque;

use ox_proto::{QuorumPacket, Zxid};

use crate::disk::Snapshot;

/// A server by its place; strangers have places behind those of the members.
pub(crate) type Place = usize;

/// What is on its way.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Item {
    Packet(QuorumPacket),
    /// The sender's state, taken when its turn comes.
    State,
    /// The same, taken.
    Taken(Snapshot),
    End,
}

/// One direction.
#[derive(Clone, Debug, Hash, Default)]
pub(crate) struct Lane {
    pub(crate) items: VecDeque<Item>,
    /// An event will take out the first.
    pub(crate) is_moving: bool,
}

/// One end.
#[derive(Clone, Debug, Hash)]
pub(crate) struct End {
    pub(crate) place: Place,
    /// It takes nothing any more.
    pub(crate) is_over: bool,
    /// What is on its way to it.
    pub(crate) lane: Lane,
    /// So much silence ends it, and when it was heard from.
    pub(crate) patience: Option<i64>,
    pub(crate) heard: i64,
    pub(crate) is_watched: bool,
    /// Of the SNAP packet that came last.
    pub(crate) snap: Zxid,
    /// Of the proposals that came, oldest first, those whose commit has not; and the newest.
    pub(crate) uncommitted: VecDeque<Zxid>,
    pub(crate) proposed: Option<Zxid>,
}

impl End {
    fn new(place: Place, now: i64) -> Self {
        Self {
            place,
            is_over: false,
            lane: Lane::default(),
            patience: None,
            heard: now,
            is_watched: false,
            snap: Zxid::ZERO,
            uncommitted: VecDeque::new(),
            proposed: None,
        }
    }
}

#[derive(Clone, Debug, Hash)]
pub(crate) struct Link {
    /// The dialer's end, then the acceptor's.
    pub(crate) ends: [End; 2],
    /// The epoch that the acceptor leads in, once it has said so.
    pub(crate) epoch: Option<u32>,
    /// The acceptor is a follower that serves observers.
    pub(crate) by_master: bool,
    /// Which epoch the dialer had accepted, once the acceptor has heard it.
    pub(crate) accepted: Option<u32>,
}

impl Link {
    pub(crate) fn new(dialer: Place, acceptor: Place, now: i64) -> Self {
        Self {
            ends: [dialer, acceptor].map(|place| End::new(place, now)),
            epoch: None,
            by_master: false,
            accepted: None,
        }
    }

    /// Which end is at a place.
    pub(crate) fn side(&self, place: Place) -> usize {
        usize::from(self.ends[0].place != place)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.ends.iter().all(|end| end.is_over)
    }
}
