//! Which sessions were heard from since somebody last asked.
//!
//! Connections note touches here, behind a lock of its own, and the owner of the tracker fetches
//! them all at once, so that a ping costs no turn of the core. Source: client-protocol.md 11.2.

use std::{collections::BTreeSet, mem};

use ox_proto::SessionId;

/// The sessions touched since the last [`drain`](Self::drain), each once.
#[derive(Debug, Default)]
pub struct TouchTable {
    touched: BTreeSet<SessionId>,
}

impl TouchTable {
    /// A table in which nothing is touched.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that a packet of this session has come in.
    pub fn touch(&mut self, id: SessionId) {
        self.touched.insert(id);
    }

    /// Takes the touched sessions out, in the order of their ids. Give them to the tracker before
    /// it is asked who has expired.
    pub fn drain(&mut self) -> impl Iterator<Item = SessionId> + use<> {
        mem::take(&mut self.touched).into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_touched_session_comes_out_once() {
        let mut table = TouchTable::new();
        for id in [7, -3, 7] {
            table.touch(SessionId(id));
        }
        assert_eq!(
            table.drain().collect::<Vec<_>>(),
            [SessionId(-3), SessionId(7)]
        );
        assert_eq!(table.drain().next(), None);
    }
}
