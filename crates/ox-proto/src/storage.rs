//! The header of logs and snapshots. Source: storage.md 1.

use ox_jute::records;

records! {
    /// Begins every log and snapshot file.
    FileHeader { magic: i32, version: i32, dbid: i64 }
}
