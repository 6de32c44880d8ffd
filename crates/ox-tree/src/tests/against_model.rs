//! Whatever is asked for, the tree is what the plain map says.

use ox_proto::{ErrorCode, Txn};
use proptest::prelude::*;

use super::model::{Model, OPTIONS, any_wish};
use crate::{ChangeKind, DataTree};

proptest! {
    #[test]
    fn the_tree_is_what_a_plain_map_would_be(
        wishes in proptest::collection::vec(any_wish(), 0..60),
        seed: u64,
    ) {
        let mut tree = DataTree::new(seed, OPTIONS);
        let mut model = Model::new();
        for wish in &wishes {
            let before = model.clone();
            let (header, txn) = model.execute(wish);
            let (mut created, mut deleted) = (0, 0);
            let outcome = tree.apply(&header, &txn, &mut |change| match change.kind {
                ChangeKind::Created => created += 1,
                ChangeKind::Deleted => deleted += 1,
                ChangeKind::DataChanged => {}
            });
            prop_assert_eq!(before.nodes.len() + created - deleted, model.nodes.len());
            let failed = match &txn {
                Txn::Error(_) => true,
                Txn::Multi(multi) => multi.txns.iter().any(|txn| matches!(txn, Txn::Error(_))),
                _ => false,
            };
            prop_assert_eq!(outcome.error != ErrorCode::Ok, failed);
            model.assert_equals(&tree);
        }
    }
}
