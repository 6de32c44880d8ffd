//! The same scripts on Apache ZooKeeper 3.9.5 and on Oxkeeper, and every byte compared.
//!
//! A seed draws a script ([`draw`]); both services run it at once ([`drive`]); what each has said is
//! written in terms that do not depend on time and place ([`normal`]) and compared ([`pair`]).

pub mod deliberate;
pub mod draw;
pub mod drive;
pub mod hunt;
pub mod normal;
pub mod pair;
pub mod reader;
pub mod script;
pub mod services;
mod show;
pub mod shrink;
pub mod target;
pub mod words;
