//! The server: configuration, sockets, disk, tasks.
//!
//! [`serve`] builds the owners of all state, lets them run, and joins them: the core task, the log
//! thread, the snapshot thread, one task per connection. Source: style and rules of the request's
//! road are in `docs/ARCHITECTURE.md`.

mod address;
pub mod admin;
mod answer_count;
mod assembly;
mod client;
mod clients;
mod clock;
pub mod config;
mod connection;
mod core_task;
mod door;
mod ensemble;
mod fatal;
mod folders;
mod identities;
mod listener;
mod log_thread;
pub mod logging;
mod purge_task;
mod shared;
mod snapshot_thread;
mod socket;
mod standing;
mod store_settings;
mod tls_reload;
mod words;

pub use assembly::{ServeError, serve};
