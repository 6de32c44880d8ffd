//! The core and the database together, as a server drives them.

mod ensemble;
mod local_sessions;
mod members;
mod random;
mod random_members;
mod read_only;
mod reconfig;
mod scenarios;
mod server;
