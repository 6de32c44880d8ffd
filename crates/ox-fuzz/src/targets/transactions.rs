//! Payloads of the log, each behind its length, applied to a tree.
//!
//! A peer may send any of them, so the tree must take them all; what was read is written as bytes
//! that mean the same, and the digest that the tree keeps is that of its znodes.

use ox_jute::Frames;
use ox_proto::{OpCode, TxnRecord};
use ox_tree::DataTree;
use ox_tree::image::{ImageLoader, ImageWriter};

use super::{HASH_SEED, MAX_RECORD, TREE};
use crate::engine::Target;

pub(super) const TARGET: Target = Target {
    name: "transactions",
    run,
    memory: (4 << 20, 512),
    longest: 8192,
    words: &[
        b"\0\0\0\x01/",
        b"\0\0\0\x02/a",
        b"\0\0\0\x04/a/b",
        b"/zookeeper/quota/a/zookeeper_limits",
        b"/zookeeper/quota/a/zookeeper_stats",
        b"\0\0\0\x0e",
        b"\xff\xff\xff\xf5",
        b"\xff\xff\xff\xff",
    ],
    short: 2500,
};

fn run(bytes: &[u8]) {
    let mut tree = DataTree::new(HASH_SEED, TREE);
    let mut frames = Frames::new(bytes, MAX_RECORD);
    while let Ok(Some(payload)) = frames.next_frame() {
        let Ok(record) = TxnRecord::decode(payload, MAX_RECORD) else {
            continue;
        };
        check_codec(&record);
        tree.apply(&record.header, &record.txn, &mut |_| {});
    }
    check_image(&tree);
}

fn check_codec(record: &TxnRecord) {
    // Without a list the end of a session cannot be told from a digest.
    if record.header.op == OpCode::CloseSession {
        return;
    }
    let mut encoded = Vec::new();
    record.encode(&mut encoded);
    let again = TxnRecord::decode(&encoded, MAX_RECORD).expect("what was encoded can be decoded");
    // Written as Java writes them, characters beyond U+FFFF come back as others.
    if !encoded.contains(&0xed) {
        assert_eq!(again, *record);
    }
}

/// The tree written out and read in again is the same.
fn check_image(tree: &DataTree) {
    let mut image = Vec::new();
    let mut writer = ImageWriter::begin(tree, [].into_iter(), &mut image);
    while writer.chunk(tree, 50, &mut image) {}
    let mut loader = ImageLoader::new(HASH_SEED, TREE);
    let fed = loader.feed(&image).expect("an image of ours");
    assert!(
        fed.done && fed.consumed == image.len(),
        "an image that goes on"
    );
    let (again, _) = loader.finish().expect("an image of ours");
    assert_eq!(again.node_count(), tree.node_count(), "znodes");
    assert_eq!(again.digest(), tree.digest(), "digest");
}
