//! The server: configuration, sockets, disk, tasks.

pub mod config;
pub mod logging;
