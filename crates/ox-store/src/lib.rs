//! What a server keeps on its disk, without threads: how it starts from it, and what is written.
//!
//! Invariants: what a call has returned for is durable, in the order that the Durability chapter of
//! the architecture gives; after the first error nothing more is to be written. Time, threads and
//! the locks on database and folders are the caller's, so a simulated server runs the same code on
//! a simulated disk. Absent: what a transaction means, and when anything is due.

mod config_files;
mod image;
mod load;
mod log_pieces;
mod received;
mod repair;
mod search;
mod settings;
mod start;
mod store;
mod trigger;

pub use config_files::ConfigFiles;
pub use image::{Progress, SnapshotImage};
pub use load::{Found, LoadError, load};
pub use log_pieces::LogPieces;
pub use received::ReceivedState;
pub use search::search;
pub use settings::{MemberSettings, StoreSettings};
pub use start::{StartError, Started, start};
pub use store::{DiskError, Done, Lend, Store};
