//! The messages that have come in and are not yet looked at.
//!
//! Invariant: at most [`CAPACITY`]; the oldest goes first when there are more. Votes are told
//! again, so what is lost is only late. Source: `QuorumCnxManager.recvQueue`; quorum.md 2.3.

use std::collections::VecDeque;
use std::sync::Arc;

use ox_proto::ServerId;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Java's.
const CAPACITY: usize = 100;

#[derive(Debug, Default)]
pub(super) struct Inbox {
    messages: Mutex<VecDeque<(ServerId, Vec<u8>)>>,
    arrived: Notify,
}

impl Inbox {
    pub(super) fn put(&self, from: ServerId, message: Vec<u8>) {
        let mut messages = self.messages.lock();
        if messages.len() == CAPACITY {
            messages.pop_front();
        }
        messages.push_back((from, message));
        drop(messages);
        self.arrived.notify_one();
    }
}

/// The receiving end of an election mesh.
#[derive(Debug)]
pub struct Votes {
    pub(super) inbox: Arc<Inbox>,
}

impl Votes {
    /// The next message and who sent it, by its connection. Never ready while there is none, also
    /// after the mesh has ended. May be dropped at any time.
    pub async fn next(&mut self) -> (ServerId, Vec<u8>) {
        loop {
            let message = self.inbox.messages.lock().pop_front();
            match message {
                Some(message) => return message,
                None => self.inbox.arrived.notified().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_message_goes_when_there_are_too_many() {
        let inbox = Arc::new(Inbox::default());
        let mut votes = Votes {
            inbox: Arc::clone(&inbox),
        };
        for number in 0..=100 {
            inbox.put(ServerId(1), vec![number]);
        }
        for number in 1..=100 {
            assert_eq!(votes.next().await, (ServerId(1), vec![number]));
        }
    }
}
