//! Sessions, their expiry, and the watches that clients leave behind.
//!
//! A session lives in [`SessionTracker`]; what its connections hold on to lives in [`Watches`].
//! Neither has a clock: time is an argument, in milliseconds.

mod id;
mod touch;
mod tracker;
mod watch;

pub use id::{first_session_id, password};
pub use touch::TouchTable;
pub use tracker::SessionTracker;
pub use watch::{AclOf, ClientId, Trigger, WatchCounts, WatchKind, Watches};
