//! A server starts from a snapshot file that holds anything.
//!
//! The first byte says how it is stored: as it is, by gzip or by snappy.

use ox_store::load;

use super::log::settings;
use super::split_mode;
use crate::disk::dirs_with;
use crate::engine::Target;

pub(super) const TARGET: Target = Target {
    name: "snapshot",
    run,
    // What is compressed may be much longer than the file.
    memory: (16 << 20, 4096),
    longest: 16 << 10,
    words: &[
        b"ZKSN\0\0\0\x02\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x1f\x8b\x08",
        b"\x82SNAPPY\0",
        b"\0\0\0\x01/",
        b"\xff\xff\xff\xff",
    ],
    short: 600,
};

fn run(bytes: &[u8]) {
    let (mode, file) = split_mode(bytes);
    let name = match mode % 3 {
        0 => "snapshot.5",
        1 => "snapshot.5.gz",
        _ => "snapshot.5.snappy",
    };
    let dirs = dirs_with(&[(name, file.to_vec())]);
    if let Ok(found) = load(&dirs, &settings()) {
        assert_eq!(found.state.tree.last_zxid().0, 5);
    }
}
