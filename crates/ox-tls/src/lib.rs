//! TLS as ZooKeeper has it.
//!
//! Invariant: whoever holds a [`Stream`] writes plain bytes, and does not ask what lies below.

mod stream;

pub use stream::{Reading, Stream, Writing};
