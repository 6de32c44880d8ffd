//! The server: configuration, sockets, disk, tasks.

pub mod admin;
pub mod config;
pub mod logging;
