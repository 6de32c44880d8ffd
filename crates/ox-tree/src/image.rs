//! The tree, and the sessions beside it, as the bytes of a snapshot between its header and its
//! first seal; there and back, a piece at a time.
//!
//! Invariant: the image may be fuzzy, taken while transactions are applied. It then holds at least
//! everything that was there when it was begun and still is, and replaying all later transactions
//! gives the tree as it is now. Nothing here reads or writes a file. Source:
//! `org.apache.zookeeper.server.util.SerializeUtils`, `DataTree.serialize`; storage.md 6.2 and 7.
//!
//! Layout: int count of sessions, each a long id and an int timeout; int count of acl lists, each
//! a long number and a vector; for every znode, parents first, a ustring path (empty for the
//! root), a buffer, the long number of its acl (-1 for the open one) and a StatPersisted; the
//! ustring `/` to end.

mod loader;
mod writer;

pub use loader::{Fed, ImageError, ImageLoader};
pub use writer::ImageWriter;

/// The number of the acl that lets everybody do everything; it is in no table.
const OPEN_NUMBER: i64 = -1;

#[cfg(test)]
mod tests;
