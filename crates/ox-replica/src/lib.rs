//! One whole server without sockets or disk.
//!
//! [`Database`] is what clients see: the tree, the sessions and the watches. [`Core`] is what
//! changes it: it prepares requests, has them logged, commits and applies them, and forms the
//! answers. Time, randomness and the disk's completion are inputs. Source: client-protocol.md,
//! quorum.md chapter 10.

mod acl;
mod auth;
mod connecting;
mod core;
mod database;
mod events;
mod lane;
mod leading;
mod learning;
mod local;
mod mode;
mod outcome_of;
mod pending;
mod prep;
mod read;
mod read_only;
mod reaper;
mod reconfig;
mod reply;
mod request;
mod settings;
mod state;

pub use auth::{AuthSettings, Authentication, DigestAlgorithm};
pub use core::{Answers, Core, Input, Now, Output, TrackedSessions};
pub use database::{Database, DigestLog};
pub use mode::Mode;
pub use read::Reader;
pub use request::{ClientRequest, Refusal, Work};
pub use settings::{LocalSessions, ReaperSettings, Settings};
pub use state::{State, StateImage};
