//! The image of a state, as snapshots hold it and leaders send it, without the seals around it.
//!
//! The first byte says in what pieces it comes. What is taken in can be written, and comes to the
//! same again.

use ox_tree::DataTree;
use ox_tree::image::{ImageLoader, ImageWriter};

use super::{HASH_SEED, MAX_RECORD, TREE, split_mode};
use crate::engine::Target;

pub(super) const TARGET: Target = Target {
    name: "image",
    run,
    memory: (4 << 20, 512),
    longest: 8192,
    words: &[
        b"\0\0\0\x01/",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\0\0\0\x1f",
        b"/zookeeper/quota",
        b"zookeeper_limits",
    ],
    short: 3000,
};

fn run(bytes: &[u8]) {
    let (piece, image) = split_mode(bytes);
    let Some((tree, sessions)) = read(image, 1 + 16 * usize::from(piece)) else {
        return;
    };
    let mut written = Vec::new();
    let mut writer = ImageWriter::begin(&tree, sessions.into_iter(), &mut written);
    while writer.chunk(&tree, 7, &mut written) {}
    let (again, _) = read(&written, written.len()).expect("an image of ours");
    assert_eq!(again.node_count(), tree.node_count(), "znodes");
    assert_eq!(again.digest(), tree.digest(), "digest");
}

type Found = (DataTree, Vec<(ox_proto::SessionId, i32)>);

fn read(image: &[u8], piece: usize) -> Option<Found> {
    let mut loader = ImageLoader::new(HASH_SEED, TREE).with_limit(MAX_RECORD);
    let (mut from, mut to) = (0, 0);
    loop {
        to = (to + piece).min(image.len());
        let fed = loader.feed(&image[from..to]).ok()?;
        from += fed.consumed;
        assert!(from <= to, "more was taken than there is");
        if fed.done {
            return loader.finish().ok();
        }
        if to == image.len() {
            return None;
        }
    }
}
