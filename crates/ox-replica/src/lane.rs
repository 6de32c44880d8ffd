//! One client's order: a read waits for that client's earlier writes, and is answered before its
//! later ones are applied.
//!
//! Invariant: what waits begins with a write; reads stand only behind one. Source:
//! `CommitProcessor.java`; client-protocol.md 3.4, quorum.md 10.3.

use std::collections::VecDeque;

use crate::request::ClientRequest;

/// Requests of one client that wait, in the order they came.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
enum Waiting {
    /// For its transaction, or on a learner for the leader's answer to a sync.
    Write,
    /// For the write before it.
    Read(ClientRequest),
}

impl Lane {
    /// True if nothing waits: a read may be answered at once.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Remembers a write that is on its way.
    pub(crate) fn push_write(&mut self) {
        self.waiting.push_back(Waiting::Write);
    }

    /// Keeps a read behind the writes before it.
    pub(crate) fn push_read(&mut self, request: ClientRequest) {
        assert!(!self.is_empty(), "a read waits behind a write only");
        self.waiting.push_back(Waiting::Read(request));
    }

    /// The write at the front has come through.
    pub(crate) fn committed(&mut self) {
        match self.waiting.pop_front() {
            Some(Waiting::Write) => {}
            other => panic!("a write has come through while {other:?} is first"),
        }
    }

    /// The next read that waits for nothing any more.
    pub(crate) fn pop_read(&mut self) -> Option<ClientRequest> {
        match self
            .waiting
            .pop_front_if(|first| matches!(first, Waiting::Read(_)))
        {
            Some(Waiting::Read(request)) => Some(request),
            Some(Waiting::Write) | None => None,
        }
    }

    /// Nothing that waits will come through.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }
}
