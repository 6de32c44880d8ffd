//! A server starts from a log file that holds anything.
//!
//! With an odd first byte the checksums are made right, so that what is inside is looked at.
//! Whatever the start makes of it, the next start finds the same.

use ox_store::{StoreSettings, load};
use ox_txnlog::{Compression, DataDirs, LogConfig};
use simd_adler32::adler32;

use super::{HASH_SEED, MAX_RECORD, TREE, split_mode};
use crate::disk::dirs_with;
use crate::engine::Target;

pub(super) const TARGET: Target = Target {
    name: "log",
    run,
    memory: (4 << 20, 256),
    longest: 16 << 10,
    words: &[
        b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0",
        b"B",
        b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        b"\0\0\0\x01/",
        b"\xff\xff\xff\xff",
        b"\0\0\0\x01\0\0\0\x01",
    ],
    short: 1500,
};

const HEADER: usize = 16;

/// The snapshot of a fresh server.
const FRESH: &[u8] = include_bytes!("../../corpus/snapshot/fresh");

fn run(bytes: &[u8]) {
    let (mode, file) = split_mode(bytes);
    let mut file = file.to_vec();
    if mode & 1 == 1 {
        seal(&mut file);
    }
    // The first byte of a snapshot's input says how it is stored.
    let snapshot = FRESH[1..].to_vec();
    let dirs = dirs_with(&[("snapshot.0", snapshot), ("log.1", file)]);
    let first = start(&dirs);
    assert_eq!(start(&dirs), first, "the next start finds something else");
}

/// Last zxid, digest and znodes, or what is wrong.
fn start(dirs: &DataDirs) -> Result<(i64, i64, usize), String> {
    let found = load(dirs, &settings()).map_err(|error| format!("{error:?}"))?;
    let tree = found.state.tree;
    Ok((tree.last_zxid().0, tree.digest(), tree.node_count()))
}

pub(super) fn settings() -> StoreSettings {
    StoreSettings {
        config_files: None,
        log: LogConfig::default(),
        compression: Compression::None,
        tree: TREE,
        max_record: MAX_RECORD,
        trust_empty: false,
        member: None,
        snapshot_every_txns: 1000,
        snapshot_every_bytes: None,
        hash_seed: HASH_SEED,
    }
}

/// Writes the right checksum in front of each entry that is whole.
fn seal(file: &mut [u8]) {
    let mut at = HEADER;
    while let Some(length) = file.get(at + 8..at + 12) {
        let length = i32::from_be_bytes(length.try_into().expect("four bytes"));
        let Some(end) = usize::try_from(length).ok().map(|length| at + 12 + length) else {
            return;
        };
        let Some(payload) = file.get(at + 12..end) else {
            return;
        };
        let sum = u64::from(adler32(&payload));
        file[at..at + 8].copy_from_slice(&sum.to_be_bytes());
        at = end + 1;
    }
}
