//! A machine's disk: what is on it for good, what the cache holds, and the files that servers see.
//!
//! Invariant: a file's content is durable by sectors of 512 bytes, its name apart from it; a power
//! cut leaves any part of what was not synced. Handles of a process that is gone answer with
//! errors. Source: reliability.md 4.2.

mod crash;
mod damage;
mod file;
mod image;
mod lie;
mod lone;

pub use damage::Damage;
pub(crate) use file::SimDisk;
pub use image::DiskFault;
pub use lie::Lie;
pub use lone::LoneDisk;

/// What a disk writes whole or not at all.
pub(crate) const SECTOR: usize = 512;
