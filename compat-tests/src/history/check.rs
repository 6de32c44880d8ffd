//! The properties of a history, judged from the record and the tree at the end.
//!
//! Invariant: what is reported is wrong whatever the servers went through; what only looks odd (an
//! unknown outcome, a session that ended after silence) is not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{History, Lost, Operation, Outcome, What, Written};
use crate::tree::Node;

/// A session may end this much before its timeout has passed for the client: the leader has heard
/// it before the client got the answer, and of what a follower answers that has lost the leader it
/// hears nothing, for `syncLimit`, two seconds in most tests.
const SLACK: Duration = Duration::from_secs(3);

/// Violations that a failed check shows.
const SHOWN: usize = 20;

/// NoNode.
const NO_NODE: i32 = -101;

type Tree = BTreeMap<String, Node>;

impl History {
    /// Panics unless the history has all properties; `tree` is what the servers agree on while the
    /// sessions are still open.
    #[track_caller]
    pub fn check(&self, tree: &Tree) {
        expect_none(&self.violations(tree));
    }

    /// Panics if any ephemeral has outlived its session, once all are closed.
    #[track_caller]
    pub fn check_closed(&self, tree: &Tree) {
        let all = self.written.iter().flat_map(|written| &written.operations);
        let sessions: BTreeSet<i64> = all.map(|operation| operation.session).collect();
        let left: Vec<String> = tree
            .iter()
            .filter(|(_, node)| sessions.contains(&node.stat.ephemeral_owner))
            .map(|(path, node)| format!("{path} has outlived {:#x}", node.stat.ephemeral_owner))
            .collect();
        expect_none(&left);
    }

    fn violations(&self, tree: &Tree) -> Vec<String> {
        let mut wrong = self.real_time_order();
        for written in &self.written {
            wrong.extend(written.went_back.iter().cloned());
            wrong.extend(written.lost.iter().filter_map(too_early));
            wrong.extend(own_reads(written));
            wrong.extend(counters(written, tree));
            wrong.extend(nodes(written, tree));
        }
        for watched in &self.watched {
            wrong.extend(watched.went_back.iter().cloned());
            wrong.extend(watched.violations.iter().cloned());
            wrong.extend(watched.lost.iter().filter_map(|silence| {
                too_early(&Lost {
                    session: 0,
                    timeout: watched.timeout,
                    silence: *silence,
                })
            }));
        }
        wrong
    }

    /// Acknowledged writes have zxids of their own, and one that was answered before another was
    /// sent has the lower one.
    fn real_time_order(&self) -> Vec<String> {
        let mut by_zxid: Vec<(i64, &Operation)> = self
            .acknowledgements()
            .into_iter()
            .filter_map(|operation| match operation.outcome {
                Outcome::Done(zxid) => Some((zxid, operation)),
                Outcome::Refused(_) | Outcome::Unknown => None,
            })
            .collect();
        by_zxid.sort_by_key(|(zxid, _)| *zxid);
        let mut wrong = Vec::new();
        let mut last_sent: Option<&Operation> = None;
        let mut before = None;
        for (zxid, operation) in by_zxid {
            if before == Some(zxid) {
                wrong.push(format!("two writes with zxid {zxid:#x}: {operation:?}"));
            }
            before = Some(zxid);
            if let Some(sent) = last_sent.filter(|sent| operation.returned < sent.invoked) {
                wrong.push(format!(
                    "{operation:?} has a higher zxid than the later {sent:?}"
                ));
            }
            if last_sent.is_none_or(|sent| sent.invoked < operation.invoked) {
                last_sent = Some(operation);
            }
        }
        wrong
    }
}

#[track_caller]
fn expect_none(wrong: &[String]) {
    assert!(
        wrong.is_empty(),
        "{} violations:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(SHOWN)].join("\n")
    );
}

fn too_early(lost: &Lost) -> Option<String> {
    (lost.silence + SLACK < lost.timeout).then(|| format!("a session was lost: {lost:?}"))
}

/// A writer's reads see its last write, or a later one whose outcome it does not know, and never
/// again an older value than one they have shown.
fn own_reads(written: &Written) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut least = 0;
    let mut unknown = BTreeSet::new();
    for operation in &written.operations {
        match (&operation.what, operation.outcome) {
            (What::Set { value, .. }, Outcome::Done(_)) => least = *value,
            (What::Set { value, .. }, Outcome::Unknown) => {
                unknown.insert(*value);
            }
            (What::Read { value, .. }, Outcome::Done(_)) => match *value {
                Some(value) if value == least => {}
                Some(value) if least < value && unknown.contains(&value) => least = value,
                _ => wrong.push(format!("{operation:?}, and {least} was written")),
            },
            (What::Set { .. } | What::Read { .. }, Outcome::Refused(_)) => {
                wrong.push(format!("refused: {operation:?}"));
            }
            (What::Read { .. }, Outcome::Unknown)
            | (What::Create { .. } | What::CreatePair(_) | What::Delete { .. }, _) => {}
        }
    }
    wrong
}

/// The counter holds the last acknowledged value or an unknown later one, and was set as often as
/// that allows.
fn counters(written: &Written, tree: &Tree) -> Vec<String> {
    let mut path = None;
    let mut done = (0, 0, None);
    let mut unknown = BTreeSet::new();
    for operation in &written.operations {
        let What::Set { path: set, value } = &operation.what else {
            continue;
        };
        path = Some(set);
        match operation.outcome {
            Outcome::Done(zxid) => done = (done.0 + 1, *value, Some(zxid)),
            Outcome::Unknown => {
                unknown.insert(*value);
            }
            Outcome::Refused(_) => {}
        }
    }
    let Some(path) = path else {
        return Vec::new();
    };
    let Some(node) = tree.get(path) else {
        return vec![format!("{path} is gone")];
    };
    let (times, last, zxid) = done;
    let text = String::from_utf8_lossy(node.data.as_deref().unwrap_or_default());
    let found: Option<u64> = text.parse().ok();
    let as_acknowledged = found == Some(last) && zxid.is_none_or(|zxid| zxid == node.stat.mzxid);
    let as_unknown = found.is_some_and(|value| last < value && unknown.contains(&value));
    let sets = usize::try_from(node.stat.version).unwrap_or(usize::MAX);
    if (as_acknowledged || as_unknown) && times <= sets && sets <= times + unknown.len() {
        return Vec::new();
    }
    vec![format!(
        "{path}: {text:?}, set {sets} times at last by {:#x}; acknowledged were {times} sets, the \
         last {last} by {zxid:x?}; unknown {unknown:?}",
        node.stat.mzxid
    )]
}

/// What is known of a node that a writer created.
#[derive(Clone, Copy, Debug)]
struct Made<'a> {
    data: &'a [u8],
    ephemeral: Option<i64>,
    created: Outcome,
    deleted: Option<Outcome>,
}

/// Every acknowledged node is there as it was written, deleted ones are not, and nothing is there
/// that nobody wrote.
fn nodes(written: &Written, tree: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut made: BTreeMap<&str, Made<'_>> = BTreeMap::new();
    let lost: BTreeSet<i64> = written.lost.iter().map(|lost| lost.session).collect();
    for operation in &written.operations {
        let created = operation.outcome;
        match &operation.what {
            What::Create {
                path,
                data,
                ephemeral,
            } => {
                let ephemeral = ephemeral.then_some(operation.session);
                let deleted = None;
                made.insert(
                    path,
                    Made {
                        data,
                        ephemeral,
                        created,
                        deleted,
                    },
                );
            }
            What::CreatePair(paths) => {
                for path in paths {
                    let made_now = Made {
                        data: path.as_bytes(),
                        ephemeral: None,
                        created,
                        deleted: None,
                    };
                    made.insert(path, made_now);
                }
                let there = paths.each_ref().map(|path| tree.contains_key(path));
                if there[0] != there[1] {
                    wrong.push(format!("a multi was done by half: {operation:?}"));
                }
            }
            What::Delete { path } => match made.get_mut(path.as_str()) {
                Some(made) => made.deleted = Some(operation.outcome),
                None => wrong.push(format!("nobody made what was deleted: {operation:?}")),
            },
            What::Set { .. } | What::Read { .. } => {}
        }
    }
    for (path, made) in &made {
        wrong.extend(node(path, *made, tree.get(*path), &lost));
    }
    let folder = made.keys().next().and_then(|path| path.rsplit_once('/'));
    if let Some((folder, _)) = folder {
        let prefix = format!("{folder}/");
        let known = |path: &str| made.contains_key(path) || path.ends_with("/counter");
        let strangers = tree
            .keys()
            .filter(|path| path.starts_with(&prefix) && !known(path));
        wrong.extend(strangers.map(|path| format!("nobody made {path}")));
    }
    wrong
}

fn node(path: &str, made: Made<'_>, found: Option<&Node>, lost: &BTreeSet<i64>) -> Option<String> {
    let session_lost = made
        .ephemeral
        .is_some_and(|session| lost.contains(&session));
    let must_be_gone = session_lost || matches!(made.deleted, Some(Outcome::Done(_)));
    let Some(node) = found else {
        let excused = must_be_gone
            || matches!(made.created, Outcome::Unknown)
            || matches!(made.deleted, Some(Outcome::Unknown));
        return (!excused).then(|| format!("{path} is lost: {made:x?}"));
    };
    let as_written = node.data.as_deref() == Some(made.data)
        && node.stat.ephemeral_owner == made.ephemeral.unwrap_or_default();
    match made.created {
        Outcome::Refused(_) => return Some(format!("{path} was refused and is there: {made:x?}")),
        Outcome::Done(zxid) if zxid != node.stat.czxid => {
            return Some(format!("{path} has another czxid: {made:x?} {node:x?}"));
        }
        Outcome::Done(_) | Outcome::Unknown => {}
    }
    if must_be_gone {
        return Some(format!("{path} should be gone: {made:x?} {node:x?}"));
    }
    if made.deleted == Some(Outcome::Refused(NO_NODE)) {
        return Some(format!("{path} was said not to be there: {made:x?}"));
    }
    (!as_written).then(|| format!("{path} is not as written: {made:x?} {node:x?}"))
}

#[cfg(test)]
mod tests;
