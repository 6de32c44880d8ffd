//! Whole ensembles in one thread of virtual time: the production cores, their storage and their
//! bytes on the wire, on simulated networks, disks and clocks.
//!
//! Everything follows from a [`Plan`], and a plan from a seed. Source: reliability.md 4.

mod client;
mod clock;
mod disk;
mod draw;
mod env;
mod invariants;
mod mutants;
mod net;
mod node;
mod one_disk;
mod plan;
mod queue;
mod random;
mod run;
mod shrink;
mod small;
mod world;

pub use disk::{Damage, DiskFault, Lie, LoneDisk};
pub use draw::draw;
pub use mutants::{MutantArgs, run_mutants};
pub use plan::{Fault, Healing, Mode, Op, Part, Plan, Setup, Target, Timed, Timing};
pub use run::{run, run_canary, run_small, run_told};
pub use shrink::shrink;
pub use world::Outcome;
