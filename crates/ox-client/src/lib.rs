//! A small ZooKeeper client for the shell, the benchmarks and the tests.
//!
//! One [`Client`] is one connection. Requests are answered in the order in which they were sent;
//! a connection that ends is an error that the caller sees, and [`Client::reconnect`] goes on with
//! the same session. [`Pipeline`] is the same protocol for a load generator.

mod client;
mod connection;
mod error;
mod handshake;
mod multi;
mod pipeline;

pub use client::{Acls, Client, Creation, Event, Events, NodeData};
pub use connection::Reply;
pub use error::Error;
pub use handshake::{ConnectOptions, Servers, Session};
pub use multi::OpResult;
pub use pipeline::Pipeline;
