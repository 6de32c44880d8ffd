//! A stretch of the log on its way to a learner: proposals and their commits.
//!
//! Source: `LearnerHandler.queueCommittedProposals`; quorum.md 6.4, storage.md 11.2.

use std::io;

use ox_proto::{PacketType, QuorumPacket, Zxid};
use ox_txnlog::{DataDirs, LogCursor};

/// Bytes that are read at a time.
const PIECE: usize = 256 << 10;

/// Sends what stands in the log behind one zxid, up to another.
pub struct LogPieces {
    dirs: DataDirs,
    max_record: usize,
    after: Zxid,
    to: Zxid,
    /// `None` before the first piece.
    cursor: Option<LogCursor>,
}

impl LogPieces {
    /// Begins behind `after`; no record longer than `max_record` bytes is believed.
    pub fn new(dirs: &DataDirs, max_record: usize, after: Zxid, to: Zxid) -> Self {
        Self {
            dirs: dirs.clone(),
            max_record,
            after,
            to,
            cursor: None,
        }
    }

    /// Appends the next piece to `out`. False if that was the last.
    pub fn append(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        let cursor = match &mut self.cursor {
            Some(cursor) => cursor,
            None => {
                let opened = LogCursor::open(&self.dirs, self.after, self.max_record);
                let cursor = opened.map_err(io::Error::other)?.ok_or_else(gone)?;
                self.cursor.insert(cursor)
            }
        };
        while out.len() < PIECE {
            let record = cursor.next_record().map_err(io::Error::other)?;
            let (zxid, payload) = record.ok_or_else(gone)?;
            if zxid <= self.after {
                continue;
            }
            if zxid <= self.to {
                QuorumPacket::write(PacketType::Proposal, zxid, Some(payload), out);
                QuorumPacket::write(PacketType::Commit, zxid, None, out);
            }
            if zxid >= self.to {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The learner comes again, and gets a snapshot then.
fn gone() -> io::Error {
    io::Error::other("a part of the log is not there any more")
}
