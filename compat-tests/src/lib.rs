//! What the compat tests share: starting a server, speaking its bytes, counting results.
//!
//! Everything here stands on std sockets and its own few lines of codec, not on the crates under
//! test, so that a mistake made once in the codec cannot hide on both sides of the wire.

pub mod cache;
pub mod comparison;
pub mod ensemble;
pub mod faults;
pub mod fixtures;
pub mod history;
pub mod load;
pub mod pki;
pub mod ports;
pub mod programs;
pub mod roaming;
pub mod server;
pub mod service;
pub mod state;
pub mod suite;
pub mod synchronization;
pub mod tree;
pub mod txnlog;
pub mod wire;
