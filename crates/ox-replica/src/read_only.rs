//! A member without a leader that serves reads to clients that ask for no more.
//!
//! Invariant: it changes nothing but its own local sessions, and ends when the election does.
//! Source: `ReadOnlyZooKeeperServer.java`, `ReadOnlyRequestProcessor.java`, `QuorumPeer.java`;
//! client-protocol.md 2.7 and 11.7, quorum.md 12.1.

use ox_proto::SessionId;
use ox_session::ClientId;

use crate::core::{Core, Now, Stage};
use crate::database::Database;
use crate::local::Local;
use crate::mode::Mode;

/// How long a member elects before it serves reads, in milliseconds; a tick, if that is longer.
const PATIENCE_MS: i64 = 2000;

/// The state of a read-only server.
#[derive(Debug)]
pub(crate) struct ReadOnly {
    pub(crate) local: Option<Local>,
}

impl Core {
    /// Notes how long this server has been electing.
    pub(crate) fn watch_election(&mut self, now: Now) {
        if self.peer.is_electing() {
            self.electing_since.get_or_insert(now.monotonic_ms);
        } else {
            self.electing_since = None;
        }
    }

    /// When to serve reads, unless there is a leader by then, in monotonic milliseconds.
    pub(crate) fn read_only_from(&self) -> i64 {
        match (&self.stage, self.electing_since) {
            (Stage::Idle, Some(since)) if self.settings.read_only => {
                since.saturating_add(PATIENCE_MS.max(self.settings.tick_ms))
            }
            _ => i64::MAX,
        }
    }

    /// Serves reads once the election has taken long enough.
    pub(crate) fn serve_reads_if_due(&mut self, now: Now, database: &mut Database) {
        if self.read_only_from() <= now.monotonic_ms {
            let local = Local::new(&self.settings);
            self.begin(now, database, Mode::ReadOnly, 0);
            self.stage = Stage::ReadOnly(ReadOnly { local });
        }
    }

    /// Serves no reads any more once the election is over: what comes then is not for clients of
    /// a server without a leader.
    pub(crate) fn end_read_only(&mut self, database: &mut Database) {
        if matches!(self.stage, Stage::ReadOnly(_)) && !self.peer.is_electing() {
            self.retire(database);
        }
    }

    /// A client wants to take up a session that is not one of ours. Whether it exists only a
    /// leader knows.
    pub(crate) fn reattach_read_only(
        &mut self,
        client: ClientId,
        session: SessionId,
        read_only: Option<bool>,
    ) {
        match self.stage.local() {
            Some(_) => self.refuse(client, session, read_only),
            // Java cannot tell it from one that it has not heard of yet, and lets it read.
            None => self.establish(client, session, read_only, None),
        }
    }
}
