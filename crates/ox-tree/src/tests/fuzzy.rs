//! Images taken while transactions are applied, and what replaying those makes of them.

use ox_proto::{SessionId, Zxid};
use proptest::prelude::*;

use super::model::{Model, OPTIONS, Wish, any_wish};
use crate::DataTree;
use crate::image::{ImageLoader, ImageWriter};

/// Loads an image that is handed over in windows that grow by `step` until a record fits.
fn load(image: &[u8], step: usize) -> (DataTree, Vec<(SessionId, i32)>) {
    let mut loader = ImageLoader::new(3, OPTIONS);
    let (mut start, mut end) = (0, 0);
    loop {
        let fed = loader.feed(&image[start..end]).unwrap();
        start += fed.consumed;
        if fed.done {
            assert_eq!(start, image.len());
            return loader.finish().unwrap();
        }
        assert!(end < image.len(), "the image has no end");
        end = (end + step).min(image.len());
    }
}

/// Takes an image after `before`, with `between` applied a few at a time between its chunks.
fn check(before: &[Wish], between: &[Wish], nodes_per_chunk: usize, wishes_per_gap: usize) {
    let mut tree = DataTree::new(7, OPTIONS);
    let mut model = Model::new();
    for wish in before {
        let (header, txn) = model.execute(wish);
        tree.apply(&header, &txn, &mut |_| {});
    }
    let begun_at = tree.last_zxid();
    let sessions = [(SessionId(1), 4_000), (SessionId(-2), 60_000)];
    let mut image = Vec::new();
    let mut writer = ImageWriter::begin(&tree, sessions.into_iter(), &mut image);
    let mut log = Vec::new();
    let mut gaps = between.chunks(wishes_per_gap);
    while writer.chunk(&tree, nodes_per_chunk, &mut image) {
        for wish in gaps.next().unwrap_or_default() {
            let (header, txn) = model.execute(wish);
            tree.apply(&header, &txn, &mut |_| {});
            log.push((header, txn));
        }
    }
    let (mut loaded, loaded_sessions) = load(&image, 1 + image.len() / 3);
    assert_eq!(loaded_sessions, sessions);
    loaded.set_last_zxid(begun_at);
    for (header, txn) in &log {
        loaded.apply(header, txn, &mut |_| {});
    }
    model.assert_equals(&tree);
    model.assert_equals(&loaded);
    // Replaying what an exact image holds already changes nothing either.
    let mut exact = Vec::new();
    let mut writer = ImageWriter::begin(&tree, std::iter::empty(), &mut exact);
    while writer.chunk(&tree, nodes_per_chunk, &mut exact) {}
    let (mut again, _) = load(&exact, 1 << 16);
    again.set_last_zxid(Zxid(model.zxid));
    model.assert_equals(&again);
}

proptest! {
    #[test]
    fn replay_makes_a_fuzzy_image_whole(
        before in proptest::collection::vec(any_wish(), 0..80),
        between in proptest::collection::vec(any_wish(), 0..80),
        nodes_per_chunk in 1_usize..6,
        wishes_per_gap in 1_usize..12,
    ) {
        check(&before, &between, nodes_per_chunk, wishes_per_gap);
    }
}
