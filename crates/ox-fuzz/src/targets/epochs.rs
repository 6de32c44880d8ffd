//! The files of the epochs, with anything in them.
//!
//! Eight bytes are the last zxid; what follows are the files, each up to the next zero. A start
//! that succeeds leaves files from which the next one finds the same.

use ox_proto::Zxid;
use ox_txnlog::EpochFiles;

use crate::disk::dirs_with;
use crate::engine::Target;

pub(super) const TARGET: Target = Target {
    name: "epochs",
    run,
    memory: (16 << 10, 16),
    longest: 512,
    words: &[
        b"1",
        b"-1",
        b"\0",
        b"4294967295",
        b"9223372036854775807",
        b" 2\n",
        b"+3",
    ],
    short: 6000,
};

const NAMES: [&str; 4] = [
    "acceptedEpoch",
    "currentEpoch",
    "currentEpoch.tmp",
    "acceptedEpoch.tmp",
];

fn run(bytes: &[u8]) {
    let Some((zxid, files)) = bytes.split_first_chunk::<8>() else {
        return;
    };
    let contents = files.split(|byte| *byte == 0).map(<[u8]>::to_vec);
    // One that is left out is missing.
    let files: Vec<(&str, Vec<u8>)> = NAMES
        .into_iter()
        .zip(contents)
        .filter(|(_, content)| content != b"none")
        .collect();
    let dirs = dirs_with(&files);
    let last = Zxid(i64::from_be_bytes(*zxid).max(-1));
    let epochs = EpochFiles::open(&dirs);
    if let Ok(found) = epochs.load(last) {
        assert!(found.current <= found.accepted, "{found:?}");
        let again = epochs.load(last).expect("a start after a start");
        assert_eq!(again, found, "the next start finds something else");
    }
}
