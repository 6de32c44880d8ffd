//! A whole state: one that takes the place of another, and one on its way to a learner.
//!
//! Source: `ZKDatabase.serializeSnapshot`; quorum.md 4.3.

use std::collections::BTreeMap;
use std::fmt;

use ox_jute::Jute;
use ox_mutant::{Mutant, is_on};
use ox_proto::SessionId;
use ox_tree::DataTree;
use ox_tree::image::ImageWriter;

use crate::database::{Database, DigestLog};

/// A whole state, in place of another.
pub struct State {
    /// The znodes; its last zxid is set.
    pub tree: DataTree,
    /// The sessions with their timeouts in milliseconds.
    pub sessions: BTreeMap<SessionId, i32>,
    /// The digests that the tree has had.
    pub digests: DigestLog,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "State({} znodes)", self.tree.node_count())
    }
}

/// The state as a learner is sent it: the image of a snapshot and a signature behind it.
///
/// It begins with the znodes of one moment, and of a small tree these are all. What is read later
/// is from later moments; the proposals behind it make it whole.
pub struct StateImage {
    generation: u64,
    writer: ImageWriter,
    goes_on: bool,
}

impl StateImage {
    /// Ends every state.
    const SIGNATURE: &str = "BenWasHere";

    /// Znodes that are read at once at the beginning, while nothing else can happen.
    const AT_ONCE: usize = 4096;

    /// Bytes that are read at once at the beginning.
    const BYTES_AT_ONCE: usize = 2 << 20;

    /// Begins the image and appends its first part to `out`.
    pub fn begin(database: &Database, out: &mut Vec<u8>) -> Self {
        let sessions = database
            .sessions
            .iter()
            .map(|(&id, &timeout_ms)| (id, timeout_ms))
            .filter(|_| !is_on(Mutant::I05));
        let writer = ImageWriter::begin(&database.tree, sessions, out);
        let mut image = Self {
            generation: database.generation,
            writer,
            goes_on: true,
        };
        let mut left = Self::AT_ONCE;
        while image.goes_on && left > 0 && out.len() < Self::BYTES_AT_ONCE {
            let znodes = left.min(Self::AT_ONCE / 16);
            image.append(database, znodes, out);
            left -= znodes;
        }
        image
    }

    /// Whether there is more to come.
    pub fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// Appends at most so many more znodes. False, and nothing done, if another state has taken
    /// the place of the one that was begun with.
    pub fn append(&mut self, database: &Database, znodes: usize, out: &mut Vec<u8>) -> bool {
        if database.generation != self.generation {
            return false;
        }
        self.goes_on = self.writer.chunk(&database.tree, znodes, out);
        if !self.goes_on {
            Self::SIGNATURE.to_owned().encode(out);
        }
        true
    }
}

impl fmt::Debug for StateImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateImage")
            .field("goes_on", &self.goes_on)
            .finish_non_exhaustive()
    }
}
