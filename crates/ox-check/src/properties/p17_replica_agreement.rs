//! The trees of all servers have the same digest behind the same transaction, and it is that of
//! the tree which the log makes.
//!
//! Source: reliability.md 3.2 P17; storage.md 9.

use std::collections::BTreeMap;

use crate::case::Case;
use crate::history::Digest;
use crate::report::{Property, Report};

pub(crate) fn check(case: &Case<'_>, report: &mut Report) {
    let mut wrong = |text| report.add(Property::ReplicaAgreement, &[], text);
    let mut first: BTreeMap<i64, &Digest> = BTreeMap::new();
    for digest in &case.history.digests {
        let Digest { server, zxid, .. } = *digest;
        let other = *first.entry(zxid).or_insert(digest);
        if other.digest != digest.digest {
            wrong(format!(
                "behind {zxid:#x} server {server} has {:#x}, server {} {:#x}",
                digest.digest, other.server, other.digest
            ));
            continue;
        }
        let expected = case.model.digest_at(case.count(zxid));
        if digest.digest != expected {
            wrong(format!(
                "behind {zxid:#x} server {server} has {:#x}, the log makes {expected:#x}",
                digest.digest
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, create, set};

    fn world() -> World {
        let mut world = World::new();
        let a = world.connect(1);
        world.write(a, create("/x"));
        world.write(a, set("/x", "1"));
        world.keep_logs(3);
        world
    }

    #[test]
    fn all_trees_are_alike() {
        world().check_good();
    }

    #[test]
    fn one_that_differs_is_seen() {
        let mut world = world();
        world.history.digests[4].digest += 1;
        world.check_breaks(Property::ReplicaAgreement);
    }

    #[test]
    fn all_that_differ_from_the_log_are_seen() {
        let mut world = world();
        for digest in world
            .history
            .digests
            .iter_mut()
            .filter(|digest| digest.zxid == 3)
        {
            digest.digest += 1;
        }
        world.check_breaks(Property::ReplicaAgreement);
    }
}
