//! What has come in from the others and is not yet looked at: their messages, and that one of them
//! has gone.
//!
//! Invariants: at most [`CAPACITY`] messages; when there are more, the oldest of whoever sends one
//! more goes, and only if there is none of it the oldest of all: who floods us drives out its own.
//! Votes are told again, so what is lost is only late. That a server has gone is told once, so it is never
//! lost, unless that server has spoken since: then it is true no more. There is at most one such
//! word per server of a configuration. Source: `QuorumCnxManager.recvQueue`; quorum.md 2.3.

use std::collections::VecDeque;
use std::sync::Arc;

use ox_proto::ServerId;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Java's.
const CAPACITY: usize = 100;

/// What the others tell, and what their connections do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A message.
    Message {
        /// Who sent it, by its connection.
        from: ServerId,
        /// What it says.
        message: Vec<u8>,
    },
    /// A member has closed or lost the connection that was kept, and there is no other with it.
    Closed {
        /// Who.
        server: ServerId,
    },
}

#[derive(Debug, Default)]
pub(super) struct Inbox {
    heard: Mutex<VecDeque<Heard>>,
    arrived: Notify,
}

impl Inbox {
    pub(super) fn put(&self, from: ServerId, message: Vec<u8>) {
        let mut heard = self.heard.lock();
        heard.retain(|heard| *heard != Heard::Closed { server: from });
        let is_message = |heard: &Heard| matches!(heard, Heard::Message { .. });
        if heard.iter().filter(|heard| is_message(heard)).count() == CAPACITY {
            let is_its_own = |heard: &Heard| matches!(heard, Heard::Message { from: sender, .. } if *sender == from);
            let own = heard.iter().position(is_its_own);
            if let Some(oldest) = own.or_else(|| heard.iter().position(is_message)) {
                heard.remove(oldest);
            }
        }
        heard.push_back(Heard::Message { from, message });
        drop(heard);
        self.arrived.notify_one();
    }

    /// A member has gone. Called before a later connection with it can put anything in.
    pub(super) fn closed(&self, server: ServerId) {
        let closed = Heard::Closed { server };
        let mut heard = self.heard.lock();
        if !heard.contains(&closed) {
            heard.push_back(closed);
        }
        drop(heard);
        self.arrived.notify_one();
    }
}

/// The receiving end of an election mesh.
#[derive(Debug)]
pub struct Votes {
    pub(super) inbox: Arc<Inbox>,
}

impl Votes {
    /// The next thing heard. Never ready while there is none, also after the mesh has ended. May be
    /// dropped at any time.
    pub async fn next(&mut self) -> Heard {
        loop {
            let heard = self.inbox.heard.lock().pop_front();
            match heard {
                Some(heard) => return heard,
                None => self.inbox.arrived.notified().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox() -> (Arc<Inbox>, Votes) {
        let inbox = Arc::new(Inbox::default());
        let votes = Votes {
            inbox: Arc::clone(&inbox),
        };
        (inbox, votes)
    }

    fn message(from: i64, number: u8) -> Heard {
        Heard::Message {
            from: ServerId(from),
            message: vec![number],
        }
    }

    fn closed(server: i64) -> Heard {
        Heard::Closed {
            server: ServerId(server),
        }
    }

    #[tokio::test]
    async fn the_oldest_message_goes_when_there_are_too_many() {
        let (inbox, mut votes) = inbox();
        for number in 0..=100 {
            inbox.put(ServerId(1), vec![number]);
        }
        for number in 1..=100 {
            assert_eq!(votes.next().await, message(1, number));
        }
    }

    #[tokio::test]
    async fn who_sends_too_much_drives_out_its_own() {
        let (inbox, mut votes) = inbox();
        inbox.put(ServerId(2), vec![7]);
        for number in 0..200 {
            inbox.put(ServerId(1), vec![number]);
        }
        assert_eq!(votes.next().await, message(2, 7));
        for number in 101..200 {
            assert_eq!(votes.next().await, message(1, number));
        }
        assert_eq!(*inbox.heard.lock(), []);
    }

    #[tokio::test]
    async fn that_a_server_has_gone_outlives_all_messages_but_its_own() {
        let (inbox, mut votes) = inbox();
        inbox.closed(ServerId(2));
        inbox.put(ServerId(3), vec![7]);
        inbox.closed(ServerId(3));
        inbox.closed(ServerId(2));
        for number in 0..=100 {
            inbox.put(ServerId(1), vec![number]);
        }
        inbox.put(ServerId(3), vec![8]);
        assert_eq!(votes.next().await, closed(2));
        for number in 2..=100 {
            assert_eq!(votes.next().await, message(1, number));
        }
        assert_eq!(votes.next().await, message(3, 8));
        assert_eq!(*inbox.heard.lock(), []);
    }
}
