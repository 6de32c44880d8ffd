//! A leader's whole state, as it is taken in.
//!
//! Source: `LearnerHandler`, `ZKDatabase.deserializeSnapshot`; quorum.md 4.3.

use std::collections::BTreeMap;

use ox_proto::Zxid;
use ox_replica::{DigestLog, State};
use ox_tree::image::{ImageError, ImageLoader};

use crate::settings::StoreSettings;

/// A state of which a part has come.
pub struct ReceivedState(ImageLoader);

impl ReceivedState {
    /// Nothing has come yet.
    pub fn new(settings: &StoreSettings) -> Self {
        let loader = ImageLoader::new(settings.hash_seed, settings.tree);
        Self(loader.with_limit(settings.max_record))
    }

    /// Takes whole records off the front of `window`: how many bytes those were, and whether that
    /// was the end.
    pub fn feed(&mut self, window: &[u8]) -> Result<(usize, bool), ImageError> {
        let fed = self.0.feed(window)?;
        Ok((fed.consumed, fed.done))
    }

    /// The state; `zxid` is what the SNAP packet named.
    pub fn finish(self, zxid: Zxid) -> Result<Box<State>, ImageError> {
        let (mut tree, sessions) = self.0.finish()?;
        tree.set_last_zxid(zxid);
        Ok(Box::new(State {
            tree,
            sessions: sessions.into_iter().collect::<BTreeMap<_, _>>(),
            digests: DigestLog::default(),
        }))
    }
}
