//! TLS as ZooKeeper has it: key stores and trust stores of Java's kinds, whom to trust, handshakes
//! of clients and between servers, and the names of certificates.
//!
//! Invariant: whoever holds a [`Stream`] writes plain bytes, and does not ask what lies below. No
//! reason and no log line tells a password. Absent: what a connection is for, and who may do what.

mod context;
mod handshake;
mod host;
mod name;
mod quorum;
mod settings;
mod store;
mod stream;
mod suites;
mod trust;

pub use context::{Context, LoadError};
pub use handshake::HandshakeError;
pub use name::subject;
pub use ox_secret::Secret;
pub use quorum::{QuorumTls, TLS_HANDSHAKE, begins_with_tls, check_address};
pub use settings::{ClientAuth, Settings};
pub use store::{Password, Reason, StoreError, StoreFile, StoreKind};
pub use stream::{Reading, Stream, Writing};
pub use suites::{Protocol, Suite};
pub use trust::TrustError;
