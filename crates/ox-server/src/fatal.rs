//! Ends of the process that nothing survives, and their exit codes.
//!
//! Source: `org.apache.zookeeper.server.ExitCode`; operations.md 1.2 and 11.1. Where Java's
//! standalone server shuts down and exits with 0 after a failed log write, ours exits with 1, so
//! that whatever supervises it sees a failure.

use std::error::Error;

use ox_store::DiskError;

/// Something unexpected.
const UNEXPECTED: i32 = 1;
/// A snapshot could not be written.
const SNAPSHOT: i32 = 10;
/// The history that the leader asks for cannot be gone back to.
const TRUNCATION: i32 = 13;

/// The disk cannot keep what was handed to it.
pub(crate) fn disk_failed(error: &DiskError) -> ! {
    tracing::error!(
        "Severe unrecoverable error, from thread : SyncThread:0: {}; nothing is acknowledged any \
         more, and the server ends: free space or repair the disk, then start it again",
        chain(error),
    );
    exit(match error {
        DiskError::Truncate(_) => TRUNCATION,
        DiskError::Log(_) | DiskError::Epoch(_) | DiskError::Load(_) => UNEXPECTED,
        DiskError::Install(_) => SNAPSHOT,
    })
}

/// A snapshot cannot be written.
pub(crate) fn snapshot_failed(error: &dyn Error) -> ! {
    tracing::error!(
        "Severe unrecoverable error, exiting: cannot snapshot: {}",
        chain(error)
    );
    exit(SNAPSHOT)
}

fn exit(code: i32) -> ! {
    tracing::error!("Exiting with code {code}");
    std::process::exit(code)
}

/// An error with all that caused it, on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
