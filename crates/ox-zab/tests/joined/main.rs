//! Whole members against each other, and against hand-made ones.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod early;
mod laggard;
mod lonely;
mod master;
mod promised;
mod reconfig;
mod world;
