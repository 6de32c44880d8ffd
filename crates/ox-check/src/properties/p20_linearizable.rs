//! Writes, and reads that follow a sync at once, are linearizable for each znode, by their times
//! and results alone: no zxid is looked at, so this is a second opinion on the others.
//!
//! Unknown outcomes are looked up in the log. Source: reliability.md 3.2 P20 and 3.3.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::case::{Case, ids};
use crate::history::{OpId, Operation};
use crate::linear::{Call, Value, Verdict, search};
use crate::report::{Property, Report};
use crate::request::{Answer, CreateMode, Outcome, Request, error};
use crate::txn::Change;

/// Calls of one znode that are looked at.
const MOST_CALLS: usize = 5_000;

/// Steps of one search.
const STEPS: usize = 3_000_000;

/// Steps of all searches together.
const ALL_STEPS: usize = 10 * STEPS;

/// Data and version; `None` where nothing is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Register(Option<(Option<Arc<[u8]>>, i32)>);

/// What was asked, and what came of it.
#[derive(Clone, Debug)]
enum Access {
    Create(Option<Arc<[u8]>>, Result<(), i32>),
    /// With the version that was expected, and the one that came of it if that was said.
    Set(Option<Arc<[u8]>>, i32, Result<Option<i32>, i32>),
    Delete(i32, Result<(), i32>),
    Read(Register),
}

impl Value for Register {
    type Operation = Access;

    fn step(&self, access: &Access) -> Option<Self> {
        let matches = |asked: i32, found: i32| asked == -1 || asked == found;
        match (access, &self.0) {
            (Access::Read(shown), _) => (shown == self).then(|| self.clone()),
            (Access::Create(data, Ok(())), None) => Some(Self(Some((data.clone(), 0)))),
            (Access::Create(_, Err(error::NODE_EXISTS)), Some(_))
            | (Access::Set(_, _, Err(error::NO_NODE)), None)
            | (Access::Delete(_, Err(error::NO_NODE)), None) => Some(self.clone()),
            (Access::Set(data, asked, Ok(told)), Some((_, version))) => {
                let next = version.wrapping_add(1);
                let fits = matches(*asked, *version) && told.is_none_or(|told| told == next);
                fits.then(|| Self(Some((data.clone(), next))))
            }
            (Access::Delete(asked, Ok(())), Some((_, version))) => {
                matches(*asked, *version).then_some(Self(None))
            }
            (
                Access::Set(_, asked, Err(error::BAD_VERSION))
                | Access::Delete(asked, Err(error::BAD_VERSION)),
                Some((_, version)),
            ) => (!matches(*asked, *version)).then(|| self.clone()),
            (Access::Create(..) | Access::Set(..) | Access::Delete(..), _) => None,
        }
    }
}

pub(crate) fn check(case: &Case<'_>, report: &mut Report) {
    let committed: BTreeMap<OpId, &Change> = case
        .txns
        .iter()
        .filter_map(|txn| Some((case.write_of(txn)?.0, &txn.change)))
        .collect();
    let mut keys: BTreeMap<&Arc<str>, Vec<(OpId, Call<Access>)>> = BTreeMap::new();
    let mut unfit = unfit(case);
    let mut sync: BTreeMap<_, &Operation> = BTreeMap::new();
    for (id, operation) in ids(case.history) {
        let before = sync.remove(&operation.connection);
        match &operation.request {
            Request::Sync { .. } if matches!(operation.outcome, Outcome::Ok(_)) => {
                sync.insert(operation.connection, operation);
            }
            Request::GetData { path, .. } => {
                if let Some(call) = before.and_then(|sync| read(case, sync, operation)) {
                    keys.entry(path).or_default().push((id, call));
                }
            }
            Request::Multi(parts) => {
                unfit.extend(parts.iter().filter_map(Request::path).map(|path| &**path));
            }
            request => match (
                request.path(),
                write(operation, committed.get(&id).copied()),
            ) {
                (Some(path), Write::Is(call)) => keys.entry(path).or_default().push((id, call)),
                (Some(path), Write::Unfit) => unfit.extend([&**path]),
                (None, _) | (Some(_), Write::No) => {}
            },
        }
    }
    // Servers write what stands below it on their own.
    keys.retain(|path, _| !path.starts_with("/zookeeper/"));
    let mut left = ALL_STEPS;
    for (path, calls) in keys.iter().filter(|(path, _)| !unfit.contains(&****path)) {
        judge(case, path, calls, &mut left, report);
    }
}

/// Paths that have been changed by something else than a plain write of their own: numbered
/// znodes, parts of a multi, what goes with a session or was deleted by a server.
fn unfit<'a>(case: &Case<'a>) -> BTreeSet<&'a str> {
    let mut unfit = BTreeSet::new();
    for txn in &case.txns {
        match &txn.change {
            Change::Multi(parts) => unfit.extend(parts.iter().filter_map(path_of)),
            Change::CloseSession { paths } => unfit.extend(paths.iter().flatten().map(|p| &**p)),
            change => {
                let asked = case
                    .write_of(txn)
                    .and_then(|(_, write)| write.request.path());
                unfit
                    .extend(path_of(change).filter(|path| asked.is_none_or(|own| **own != **path)));
            }
        }
    }
    unfit
}

fn path_of(change: &Change) -> Option<&str> {
    match change {
        Change::Create { path, .. }
        | Change::Delete { path }
        | Change::SetData { path, .. }
        | Change::SetAcl { path, .. } => Some(path),
        Change::Check { .. }
        | Change::Multi(_)
        | Change::CreateSession { .. }
        | Change::CloseSession { .. }
        | Change::Error(_) => None,
    }
}

fn judge(
    case: &Case<'_>,
    path: &str,
    calls: &[(OpId, Call<Access>)],
    left: &mut usize,
    report: &mut Report,
) {
    let only: Vec<Call<Access>> = calls.iter().map(|(_, call)| call.clone()).collect();
    let most = STEPS.min(*left);
    let mut steps = most;
    let verdict = match only.len() {
        0..=MOST_CALLS => search(&Register(None), &only, &mut steps),
        _ => Verdict::Undecided,
    };
    *left -= most - steps;
    match verdict {
        Verdict::Linearizable => {}
        Verdict::Broken(at) => {
            let (id, call) = &calls[at];
            let text = format!("{path}: no order explains {:?}", call.operation);
            report.add(Property::Linearizable, &[*id], text);
        }
        Verdict::Undecided => {
            report.undecided += 1;
            if !case.options.limited {
                let text = format!("{path}: not decided, {} calls", calls.len());
                report.add(Property::Linearizable, &[], text);
            }
        }
    }
}

/// A read behind a sync; together they are one call. None while leaders change.
fn read(case: &Case<'_>, sync: &Operation, read: &Operation) -> Option<Call<Access>> {
    let (returned, _) = read.returned?;
    let shown = match &read.outcome {
        Outcome::Ok(Answer::Data(data, stat)) => Register(Some((data.clone(), stat.version))),
        Outcome::Error(error::NO_NODE) => Register(None),
        _ => return None,
    };
    let mut unstable = case.history.unstable.iter();
    let excused = unstable.any(|(from, until)| *from <= returned && sync.invoked <= *until);
    (!excused).then_some(Call {
        called: sync.invoked,
        returned,
        operation: Access::Read(shown),
    })
}

/// What a request is for the znode it names.
enum Write {
    /// Of no concern.
    No,
    /// Nothing that a register knows: then the znode is left out.
    Unfit,
    Is(Call<Access>),
}

fn write(operation: &Operation, committed: Option<&Change>) -> Write {
    let returned = operation.returned.map_or(i64::MAX, |(at, _)| at);
    let told = match (&operation.outcome, committed) {
        (Outcome::Ok(Answer::Stat(stat)), _) => Ok(Some(stat.version)),
        (Outcome::Ok(_), _) => Ok(None),
        (Outcome::Error(code), _) | (Outcome::Unknown, Some(Change::Error(code))) => Err(*code),
        (Outcome::Unknown, Some(_)) => Ok(None),
        (Outcome::Unknown, None) => return Write::No,
    };
    let access = match &operation.request {
        Request::Create { data, mode, .. } => match (mode, told) {
            (CreateMode::Persistent, Ok(_)) => Access::Create(data.clone(), Ok(())),
            (CreateMode::Persistent, Err(error::NODE_EXISTS)) => {
                Access::Create(data.clone(), Err(error::NODE_EXISTS))
            }
            (CreateMode::Persistent, Err(_)) => return Write::No,
            (mode, _) if mode.is_sequential() => return Write::No,
            _ => return Write::Unfit,
        },
        Request::SetData { data, version, .. } => match told {
            Err(code) if code != error::NO_NODE && code != error::BAD_VERSION => return Write::No,
            told => Access::Set(data.clone(), *version, told),
        },
        Request::Delete { version, .. } => match told {
            Err(code) if code != error::NO_NODE && code != error::BAD_VERSION => return Write::No,
            // The parent may be missing: that is a znode of its own.
            told => Access::Delete(*version, told.map(|_| ())),
        },
        _ => return Write::No,
    };
    Write::Is(Call {
        called: operation.invoked,
        returned,
        operation: access,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, create, get, set};

    /// Two clients set and read; zxids are wiped out in the last step of each test.
    fn world() -> (World, [OpId; 2]) {
        let mut world = World::new();
        let [a, b] = [world.connect(1), world.connect(2)];
        world.write(a, create("/x"));
        let mut reads = Vec::new();
        for value in ["1", "2"] {
            world.write(a, set("/x", value));
            let path = "/x".into();
            world.read(b, Request::Sync { path });
            reads.push(world.read(b, get("/x")));
        }
        (world, [reads[0], reads[1]])
    }

    #[track_caller]
    fn breaks(world: &World) -> bool {
        let report = world.report();
        0 < report.count(Property::Linearizable)
    }

    #[test]
    fn a_register_is_linearizable() {
        world().0.check_good();
    }

    #[test]
    fn a_stale_read_is_seen() {
        let (mut world, [first, second]) = world();
        world.operation(second).outcome = world.operation(first).outcome.clone();
        assert!(breaks(&world));
    }

    #[test]
    fn a_lost_write_is_seen() {
        let (mut world, [_, second]) = world();
        world.operation(second).outcome = Outcome::Error(error::NO_NODE);
        assert!(breaks(&world));
    }

    #[test]
    fn a_version_given_twice_is_seen() {
        let (mut world, _) = world();
        let first = world.history.operations[1].outcome.clone();
        world.history.operations[4].outcome = first;
        assert!(breaks(&world));
    }

    #[test]
    fn a_read_without_sync_may_be_stale() {
        let (mut world, [first, second]) = world();
        let stale = world.operation(first).outcome.clone();
        let b = world.operation(second).connection;
        let read = world.read(b, get("/x"));
        world.operation(read).outcome = stale;
        assert!(!breaks(&world));
    }

    #[test]
    fn unknown_writes_are_looked_up_in_the_log() {
        let (mut world, [_, second]) = world();
        let b = world.operation(second).connection;
        let lost = world.send(b, set("/x", "3"));
        assert!(!breaks(&world), "not done");
        world.execute(lost);
        let c = world.connect(3);
        let path = "/x".into();
        world.read(c, Request::Sync { path });
        world.read(c, get("/x"));
        world.check_good();
        world.history.txns.pop();
        world.history.txns.pop();
        assert!(breaks(&world), "shown, and not done");
    }

    #[test]
    fn what_is_not_decided_is_no_success() {
        let mut world = World::new();
        let a = world.connect(1);
        world.write(a, create("/x"));
        for _ in 0..MOST_CALLS {
            world.write(a, set("/x", "1"));
        }
        world.check_breaks(Property::Linearizable);
        world.options.limited = true;
        world.check_good();
        assert_eq!(world.report().undecided, 1);
    }
}
