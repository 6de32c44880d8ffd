//! Which sessions were heard from since somebody last asked, and when.
//!
//! A touch may be fetched long after it happened, so it carries its time: counted from the fetching,
//! a silent session would live for its timeout twice. Connections note touches here, behind a lock of its own, and the owner of the tracker fetches
//! them all at once, so that a ping costs no turn of the core. Source: client-protocol.md 11.2.

use std::{collections::BTreeMap, mem};

use ox_proto::SessionId;

/// The sessions touched since the last [`drain`](Self::drain), each once, with the monotonic time
/// in ms of the last touch.
#[derive(Debug, Default)]
pub struct TouchTable {
    touched: BTreeMap<SessionId, i64>,
}

impl TouchTable {
    /// A table in which nothing is touched.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that a packet of this session has come in now.
    pub fn touch(&mut self, id: SessionId, now: i64) {
        self.touched.insert(id, now);
    }

    /// Takes the touched sessions out, in the order of their ids, and when they were. Give them to the tracker before
    /// it is asked who has expired.
    pub fn drain(&mut self) -> impl Iterator<Item = (SessionId, i64)> + use<> {
        mem::take(&mut self.touched).into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_touched_session_comes_out_once_with_its_last_time() {
        let mut table = TouchTable::new();
        for (id, now) in [(7, 100), (-3, 200), (7, 300)] {
            table.touch(SessionId(id), now);
        }
        assert_eq!(
            table.drain().collect::<Vec<_>>(),
            [(SessionId(-3), 200), (SessionId(7), 300)]
        );
        assert_eq!(table.drain().next(), None);
    }
}
