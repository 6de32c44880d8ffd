//! The whole state, on its way to a learner and from a leader.
//!
//! Source: `LearnerHandler`, `ZKDatabase.serializeSnapshot`; quorum.md 4.3.

use std::any::Any;
use std::io;
use std::sync::Arc;

use ox_proto::Zxid;
use ox_replica::{State, StateImage};
use ox_store::{ReceivedState, StoreSettings};
use ox_tree::image::ImageError;
use ox_zab_net::{BoxError, SnapshotSink, Source};

use crate::shared::Shared;

/// Znodes per read lock, as for snapshots.
const CHUNK: usize = 200;

/// Sends the rest of a state.
pub(super) struct StateSource {
    shared: Arc<Shared>,
    image: StateImage,
}

impl StateSource {
    pub(super) fn new(shared: Arc<Shared>, image: StateImage) -> Self {
        Self { shared, image }
    }
}

impl Source for StateSource {
    fn next(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        let database = self.shared.database.read();
        match self.image.append(&database, CHUNK, out) {
            true => Ok(self.image.goes_on()),
            false => Err(io::Error::other("another state has taken its place")),
        }
    }
}

/// Takes a leader's state in.
pub(super) struct StateSink(ReceivedState);

impl StateSink {
    pub(super) fn new(settings: &StoreSettings) -> Self {
        Self(ReceivedState::new(settings))
    }

    /// The state that was taken in; `zxid` is what the SNAP packet named.
    pub(super) fn finish(
        sink: Box<dyn SnapshotSink>,
        zxid: Zxid,
    ) -> Result<Box<State>, ImageError> {
        let sink: Box<dyn Any> = sink;
        let sink = sink
            .downcast::<Self>()
            .expect("links are given sinks of this type");
        sink.0.finish(zxid)
    }
}

impl SnapshotSink for StateSink {
    fn feed(&mut self, window: &[u8]) -> Result<(usize, bool), BoxError> {
        Ok(self.0.feed(window)?)
    }
}
