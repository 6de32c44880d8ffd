//! Zab, without IO: broadcast in a quorum.
