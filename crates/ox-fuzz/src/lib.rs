//! Damaged and hostile bytes for everything that reads bytes from a socket or a disk.
//!
//! Each target is a function of bytes that must not panic, nor take more memory than the length of
//! its input justifies, nor much time; where it can, it also checks that what was read is written
//! as the same bytes again, and that the state machine behind the reader goes on. The engine
//! damages the inputs of a corpus by a seed. Built with counters (`make fuzz`) it also keeps the
//! inputs that reach new code. What was found once stays in `regressions`.

mod coverage;
mod disk;
mod engine;
mod memory;
mod mutate;
mod random;
mod targets;

pub use engine::{
    Budget, Failure, Fault, Outcome, Target, catch_panics, folder, inputs, judge, run,
};
pub use targets::TARGETS;

#[global_allocator]
static ALLOCATOR: memory::Counted = memory::Counted;
