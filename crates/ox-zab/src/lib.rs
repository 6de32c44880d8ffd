//! Zab, without IO: a leader's broadcast in a quorum.
//!
//! Today the quorum is this server alone: a proposal commits once it is on stable storage here.
//! Events go in by [`Input`], effects come out by [`Output`]; no driver has an order to remember.
//! Source: Zab paper, section on broadcast; quorum.md 6.5.

mod broadcast;
mod election;
mod quorum;

pub use broadcast::{Broadcast, Input, Output};
pub use election::{Election, ElectionOutput, ElectionSettings, ElectionTiming, Vote};
pub use quorum::{Quorums, Tracker, contains_quorum};
