//! Zab, without IO: who is enough to decide, the election of a leader, and its broadcast.
//!
//! The broadcast's quorum is today this server alone: a proposal commits once it is on stable
//! storage here. Events go in, effects come out as values; no driver has an order to remember.
//! Source: Zab paper; quorum.md chapters 1, 3 and 6.

mod broadcast;
mod election;
mod quorum;

pub use broadcast::{Broadcast, Input, Output};
pub use election::{Election, ElectionOutput, ElectionSettings, ElectionTiming, Vote};
pub use quorum::{Quorums, Tracker, contains_quorum};
