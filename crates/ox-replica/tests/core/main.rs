//! The core and the database together, as a server drives them.

mod random;
mod scenarios;
mod server;
