//! `oxkeeper version`. Scripts take the number that follows `Apache ZooKeeper, version `, so it is
//! the version Oxkeeper is compatible with that stands there (operations.md 2.1).

use std::io::Write;
use std::process::ExitCode;

/// The one line.
pub(crate) const LINE: &str = concat!(
    "Apache ZooKeeper, version 3.9.5 compatible: Oxkeeper ",
    env!("CARGO_PKG_VERSION")
);

pub(crate) fn run() -> ExitCode {
    match writeln!(std::io::stdout(), "{LINE}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
