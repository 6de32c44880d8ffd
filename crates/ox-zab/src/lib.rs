//! Zab, without IO: election, discovery of the new epoch, synchronization, broadcast.
//!
//! A member of an ensemble is a [`Peer`]. Events go in by [`Input`], effects come out by
//! [`Output`], time is an argument; no driver has an order to remember beyond that of the outputs.
//! Source: Zab paper; quorum.md chapters 3 and 6 to 9.

mod broadcast;
mod configs;
mod context;
mod election;
mod event;
mod history;
mod leader;
mod learner;
mod learner_handler;
mod master_choice;
mod observer_master;
mod peer;
mod quorum;
mod random;
mod settings;
mod sync;
#[cfg(test)]
mod testing;

pub use context::Epochs;
pub use election::{Election, ElectionOutput, ElectionSettings, ElectionTiming, Vote};
pub use event::{DiskDone, DiskRequest, Input, LinkId, LogSearch, Output, Role};
pub use history::{Entry, History};
pub use peer::{Membership, Peer};
pub use quorum::{Quorums, Tracker, contains_quorum};
pub use settings::{LeaderSettings, ObserverSettings, ZabSettings};
