//! What a quota says of a subtree is what the subtree holds, and no znode is created in it while a
//! hard limit is reached.
//!
//! A leader asks for limits in what is committed, not in what is proposed. So a creation that
//! passes one is wrong only if the limit was reached in every state from the newest that anybody
//! had seen when it was asked for, to the last one before it. Source: client-protocol.md 10.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::case::Case;
use crate::history::Operation;
use crate::report::{Property, Report};
use crate::request::{Answer, Outcome, Request};
use crate::txn::Change;

const QUOTA: &str = "/zookeeper/quota";

pub(crate) fn check(case: &Case<'_>, report: &mut Report) {
    let governed = governed(case);
    if governed.is_empty() {
        return;
    }
    for (id, read) in &case.replies {
        if let Err(text) = shown(case, read) {
            report.add(Property::Quotas, &[*id], text);
        }
    }
    enforced(case, &governed, report);
}

/// The paths that were ever given limits.
fn governed(case: &Case<'_>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut look = |change: &Change| {
        if let Change::Create { path, .. } = change {
            let path = path.strip_prefix(QUOTA);
            let path = path.and_then(|path| path.strip_suffix("/zookeeper_limits"));
            found.extend(path.filter(|path| !path.is_empty()).map(str::to_owned));
        }
    };
    for txn in &case.txns {
        match &txn.change {
            Change::Multi(parts) if !txn.change.failed() => parts.iter().for_each(&mut look),
            change => look(change),
        }
    }
    found
}

/// How many znodes and how many bytes a subtree holds behind so many transactions.
fn usage(case: &Case<'_>, path: &str, count: usize) -> (i64, i64) {
    let top = case.model.node_at(path, count);
    let below = case.model.below(path, count).map(|(_, node)| node);
    let mut sum = (0, 0);
    for node in top.into_iter().chain(below) {
        let bytes = node.data.as_ref().map_or(0, |data| data.len());
        sum = (sum.0 + 1, sum.1 + i64::try_from(bytes).unwrap_or(i64::MAX));
    }
    sum
}

/// A number in the text of limits or of usage.
fn number(text: &[u8], key: &str) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let mut pairs = text.split([',', ';']);
    pairs.find_map(|pair| pair.strip_prefix(key)?.strip_prefix('=')?.parse().ok())
}

/// A hard limit of znodes there, if both the limits and the usage have their znodes.
fn limit(case: &Case<'_>, path: &str, count: usize) -> Option<i64> {
    case.model
        .node_at(&format!("{QUOTA}{path}/zookeeper_stats"), count)?;
    let limits = format!("{QUOTA}{path}/zookeeper_limits");
    let limits = case.model.node_at(&limits, count)?.data.clone()?;
    number(&limits, "countHardLimit").filter(|limit| 0 <= *limit)
}

/// Whether a read of a usage shows what there is.
fn shown(case: &Case<'_>, read: &Operation) -> Result<(), String> {
    let (Request::GetData { path, .. }, Outcome::Ok(Answer::Data(Some(data), _))) =
        (&read.request, &read.outcome)
    else {
        return Ok(());
    };
    let path = path.strip_prefix(QUOTA);
    let Some(path) = path.and_then(|path| path.strip_suffix("/zookeeper_stats")) else {
        return Ok(());
    };
    let count = case.count(read.zxid);
    if !case.options.exact_reads || limit(case, path, count).is_none() {
        return Ok(());
    }
    let told = (number(data, "count"), number(data, "bytes"));
    let (znodes, bytes) = usage(case, path, count);
    match told == (Some(znodes), Some(bytes)) {
        true => Ok(()),
        false => Err(format!(
            "{path} is said to hold {told:?}, it holds {znodes} znodes of {bytes} bytes"
        )),
    }
}

/// No creation has succeeded that no state can have allowed.
fn enforced(case: &Case<'_>, governed: &BTreeSet<String>, report: &mut Report) {
    for (index, txn) in case.txns.iter().enumerate() {
        if txn.change.failed() {
            continue;
        }
        let created: Vec<&Arc<str>> = match &txn.change {
            Change::Multi(parts) => parts.iter().filter_map(created).collect(),
            change => created(change).into_iter().collect(),
        };
        let passes = created.into_iter().filter_map(|path| {
            let quota = governing(governed, path)?;
            Some((path, quota))
        });
        for (path, quota) in passes {
            let Some((id, write)) = case.write_of(txn) else {
                continue;
            };
            let seen = seen_before(case, write);
            let full = |count| {
                limit(case, quota, count).is_some_and(|limit| limit <= usage(case, quota, count).0)
            };
            if seen <= index && (seen..=index).all(full) {
                let text = format!("{:#x} creates {path}, {quota} was full", txn.zxid);
                report.add(Property::Quotas, &[id], text);
            }
        }
    }
}

fn created(change: &Change) -> Option<&Arc<str>> {
    match change {
        Change::Create { path, .. } => Some(path),
        _ => None,
    }
}

/// The deepest of them that is `path` or above it.
fn governing<'a>(governed: &'a BTreeSet<String>, path: &str) -> Option<&'a str> {
    let holds = |quota: &&String| {
        path.strip_prefix(quota.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    governed.iter().rev().find(holds).map(String::as_str)
}

/// How many transactions were applied by the leader for certain when this was asked for.
fn seen_before(case: &Case<'_>, write: &Operation) -> usize {
    let stamp = |operation: &Operation| operation.returned.map_or(u32::MAX, |(_, stamp)| stamp);
    let earlier = case
        .replies
        .partition_point(|(_, reply)| stamp(reply) < write.sent);
    let zxids = case.replies[..earlier].iter().map(|(_, reply)| reply.zxid);
    case.count(zxids.max().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::OpId;
    use crate::testing::{World, create, delete, get};

    const LIMITS: &str = "/zookeeper/quota/q/zookeeper_limits";
    const STATS: &str = "/zookeeper/quota/q/zookeeper_stats";

    /// A subtree that may hold three znodes, and holds them in the end.
    fn world() -> (World, crate::ConnectionId, OpId) {
        let mut world = World::new();
        let a = world.connect(1);
        world.write(a, create("/q"));
        world.write(a, create("/zookeeper/quota/q"));
        let Request::Create {
            path, acl, mode, ..
        } = create(LIMITS)
        else {
            unreachable!("it creates")
        };
        let data = Some(b"count=-1,bytes=-1=;countHardLimit=3".as_slice().into());
        world.write(
            a,
            Request::Create {
                path,
                data,
                acl,
                mode,
            },
        );
        world.write(a, create(STATS));
        world.write(a, create("/q/a"));
        world.write(a, create("/q/b"));
        let shown = world.read(a, get(STATS));
        say(&mut world, shown, "count=3,bytes=0");
        (world, a, shown)
    }

    /// Lets a read of the usage have shown this.
    fn say(world: &mut World, read: OpId, text: &str) {
        let Outcome::Ok(Answer::Data(data, _)) = &mut world.operation(read).outcome else {
            panic!("it is there")
        };
        *data = Some(text.as_bytes().into());
    }

    #[test]
    fn a_subtree_that_is_full_and_one_that_was_emptied() {
        let (mut world, a, _) = world();
        world.check_good();
        world.write(a, delete("/q/b"));
        world.write(a, create("/q/c"));
        world.check_good();
    }

    #[test]
    fn a_wrong_usage_is_seen() {
        let (mut world, _, shown) = world();
        say(&mut world, shown, "count=4,bytes=0");
        world.check_breaks(Property::Quotas);
    }

    #[test]
    fn a_creation_beyond_the_limit_is_seen() {
        let (mut alone, a, _) = world();
        alone.write(a, create("/q/c"));
        alone.check_breaks(Property::Quotas);
        let (mut multi, a, _) = world();
        multi.write(a, Request::Multi(vec![create("/x"), create("/q/c")]));
        multi.check_breaks(Property::Quotas);
    }

    #[test]
    fn one_that_was_on_its_way_is_not() {
        let (mut world, a, _) = world();
        world.write(a, delete("/q/b"));
        let [one, other] = [world.send(a, create("/q/c")), world.send(a, create("/q/d"))];
        for id in [one, other] {
            world.execute(id);
            world.answer(id);
        }
        world.check_good();
    }
}
