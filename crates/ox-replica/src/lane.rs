//! One client's order: a read waits for that client's earlier writes, and is answered before its
//! later ones are applied.
//!
//! Invariant: what waits begins with a write; reads stand only behind one. Source:
//! `CommitProcessor.java`; client-protocol.md 3.4, quorum.md 10.3.

use std::collections::VecDeque;

use ox_proto::Zxid;

use crate::request::ClientRequest;

/// Requests of one client that wait, in the order they came.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
enum Waiting {
    /// For the commit of its transaction.
    Write(Zxid),
    /// For the write before it.
    Read(ClientRequest),
}

impl Lane {
    /// True if nothing waits: a read may be answered at once.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Remembers a write that has been proposed.
    pub(crate) fn push_write(&mut self, zxid: Zxid) {
        self.waiting.push_back(Waiting::Write(zxid));
    }

    /// Keeps a read behind the writes before it.
    pub(crate) fn push_read(&mut self, request: ClientRequest) {
        assert!(!self.is_empty(), "a read waits behind a write only");
        self.waiting.push_back(Waiting::Read(request));
    }

    /// The write at the front has been applied.
    pub(crate) fn committed(&mut self, zxid: Zxid) {
        match self.waiting.pop_front() {
            Some(Waiting::Write(first)) if first == zxid => {}
            other => panic!("commit order: {zxid} while {other:?} is first"),
        }
    }

    /// The next read that waits for nothing any more.
    pub(crate) fn pop_read(&mut self) -> Option<ClientRequest> {
        match self
            .waiting
            .pop_front_if(|first| matches!(first, Waiting::Read(_)))
        {
            Some(Waiting::Read(request)) => Some(request),
            Some(Waiting::Write(_)) | None => None,
        }
    }
}
