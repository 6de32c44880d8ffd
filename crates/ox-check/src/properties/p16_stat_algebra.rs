//! Each stat agrees with the log by counting alone: the version is the number of sets up to mzxid,
//! cversion that of children made and deleted up to pzxid, and so on. A second opinion, without
//! the model.
//!
//! Source: reliability.md 3.2 P16; client-protocol.md 6.1 and 6.2.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::case::Case;
use crate::history::OpId;
use crate::report::{Property, Report};
use crate::request::{Answer, Outcome, Request, Stat};
use crate::txn::{Change, NodeKind, Txn};

/// What has happened to a znode between its creation and its deletion.
#[derive(Debug, Default)]
struct Life {
    owner: i64,
    /// Of its creation and of each set: zxid, time, bytes.
    sets: Vec<(i64, i64, usize)>,
    /// Zxids of new acls.
    acls: Vec<i64>,
    /// Of each child made or deleted: zxid, and how many children there are then.
    children: Vec<(i64, i32)>,
}

type Lives = BTreeMap<Arc<str>, BTreeMap<i64, Life>>;

#[derive(Default)]
struct Book {
    lives: Lives,
    owned: BTreeMap<i64, BTreeSet<Arc<str>>>,
}

pub(crate) fn check(case: &Case<'_>, report: &mut Report) {
    let mut book = Book::default();
    for txn in case.txns.iter().filter(|txn| !txn.change.failed()) {
        book.note(txn, &txn.change);
    }
    for (id, operation) in &case.replies {
        let exact = case.options.exact_reads || operation.request.is_write();
        let look = Look {
            zxid: operation.zxid,
            exact,
        };
        look.at(&book, *id, &operation.request, &operation.outcome, report);
    }
}

impl Book {
    fn note(&mut self, txn: &Txn, change: &Change) {
        match change {
            Change::Create {
                path, data, kind, ..
            } => {
                let mut life = Life::default();
                let bytes = data.as_ref().map_or(0, |data| data.len());
                life.sets.push((txn.zxid, txn.time, bytes));
                if *kind == NodeKind::Ephemeral {
                    life.owner = txn.session;
                    let owned = self.owned.entry(txn.session).or_default();
                    owned.insert(Arc::clone(path));
                }
                let lives = self.lives.entry(Arc::clone(path)).or_default();
                lives.insert(txn.zxid, life);
                self.child(path, txn.zxid, 1);
            }
            Change::Delete { path } => self.delete(path, txn.zxid),
            Change::SetData { path, data, .. } => {
                let bytes = data.as_ref().map_or(0, |data| data.len());
                if let Some(life) = self.life(path) {
                    life.sets.push((txn.zxid, txn.time, bytes));
                }
            }
            Change::SetAcl { path, .. } => {
                if let Some(life) = self.life(path) {
                    life.acls.push(txn.zxid);
                }
            }
            Change::Multi(parts) => {
                for part in parts {
                    self.note(txn, part);
                }
            }
            Change::CloseSession { .. } => {
                for path in self.owned.remove(&txn.session).unwrap_or_default() {
                    self.delete(&path, txn.zxid);
                }
            }
            Change::Check { .. } | Change::CreateSession { .. } | Change::Error(_) => {}
        }
    }

    fn delete(&mut self, path: &str, zxid: i64) {
        let owner = self.life(path).map_or(0, |life| life.owner);
        if let Some(owned) = self.owned.get_mut(&owner) {
            owned.remove(path);
        }
        self.child(path, zxid, -1);
    }

    fn child(&mut self, path: &str, zxid: i64, change: i32) {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        if let Some(life) = self.life(parent) {
            let before = life.children.last().map_or(0, |(_, count)| *count);
            life.children.push((zxid, before + change));
        }
    }

    /// The last life of a path.
    fn life(&mut self, path: &str) -> Option<&mut Life> {
        let last = self.lives.get_mut(path)?.last_entry()?;
        Some(last.into_mut())
    }
}

/// The stats of one answer.
struct Look {
    zxid: i64,
    exact: bool,
}

impl Look {
    fn at(&self, book: &Book, id: OpId, request: &Request, outcome: &Outcome, report: &mut Report) {
        let (path, stat, bytes) = match (request, outcome) {
            // Those of a multi are of a moment within it.
            (Request::MultiRead(parts), Outcome::Ok(Answer::Multi(outcomes))) => {
                for (part, outcome) in parts.iter().zip(outcomes) {
                    self.at(book, id, part, outcome, report);
                }
                return;
            }
            (_, Outcome::Ok(Answer::Created(path, stat))) => (Some(path), stat, None),
            (_, Outcome::Ok(Answer::Data(data, stat))) => {
                let bytes = data.as_ref().map_or(0, |data| data.len());
                (request.path(), stat, Some(bytes))
            }
            (
                _,
                Outcome::Ok(
                    Answer::Stat(stat) | Answer::Acl(_, stat) | Answer::Children(_, Some(stat)),
                ),
            ) => (request.path(), stat, None),
            _ => return,
        };
        let Some(path) = path.filter(|path| &***path != "/" && !path.starts_with("/zookeeper"))
        else {
            return;
        };
        let shown = usize::try_from(stat.data_length).unwrap_or(usize::MAX);
        if bytes.is_some_and(|bytes| bytes != shown) {
            let text = format!("{path}: {bytes:?} bytes, dataLength {shown}");
            report.add(Property::StatAlgebra, &[id], text);
        }
        let lives = book.lives.get(path);
        let Some(life) = lives.and_then(|lives| lives.get(&stat.czxid)) else {
            let text = format!("{path} was not created by {:#x}", stat.czxid);
            report.add(Property::StatAlgebra, &[id], text);
            return;
        };
        let expected = self.expected(life, stat);
        if expected != *stat {
            let text = format!("{path}: {stat:?}, counted {expected:?}");
            report.add(Property::StatAlgebra, &[id], text);
        }
    }

    /// The stat of a znode that was last set by `stat.mzxid`, and whose children were last changed
    /// by `stat.pzxid`.
    fn expected(&self, life: &Life, stat: &Stat) -> Stat {
        let int = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let upto = |zxid| life.sets.partition_point(|set| set.0 <= zxid);
        let sets = upto(stat.mzxid).max(1);
        let (mzxid, mtime, bytes) = life.sets[sets - 1];
        let (czxid, ctime, _) = life.sets[0];
        let changes = life.children.partition_point(|child| child.0 <= stat.pzxid);
        let last = changes.checked_sub(1).map(|last| life.children[last]);
        let (pzxid, num_children) = last.unwrap_or((czxid, 0));
        let acls = int(life.acls.partition_point(|acl| *acl <= self.zxid));
        Stat {
            czxid,
            mzxid,
            ctime,
            mtime,
            version: int(sets - 1),
            cversion: int(changes),
            aversion: match self.exact {
                true => acls,
                false => stat.aversion.clamp(0, acls.max(0) + 1),
            },
            ephemeral_owner: life.owner,
            data_length: int(bytes),
            num_children,
            pzxid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{CreateMode, open_acl};
    use crate::testing::{World, children, create, create_as, delete, exists, get, set};

    fn world() -> World {
        let mut world = World::new();
        let [a, b] = [world.connect(1), world.connect(2)];
        world.write(a, create("/x"));
        world.write(a, create("/x/y"));
        world.write(a, create_as("/x/e", CreateMode::Ephemeral));
        world.write(a, Request::Multi(vec![set("/x", "1"), set("/x", "22")]));
        world.write(
            a,
            Request::SetAcl {
                path: "/x".into(),
                acl: open_acl(),
                version: -1,
            },
        );
        world.write(a, delete("/x/y"));
        world.read(b, exists("/x/e"));
        world.write(a, Request::CloseSession);
        world.read(b, children("/x"));
        world.write(b, create("/x/y"));
        world.read(b, get("/x"));
        world
    }

    #[test]
    fn stats_agree_with_the_log() {
        world().check_good();
    }

    #[track_caller]
    fn check(damage: impl FnOnce(&mut Stat)) {
        let mut world = world();
        let last = world.history.operations.len() - 1;
        match &mut world.history.operations[last].outcome {
            Outcome::Ok(Answer::Data(_, stat)) => damage(stat),
            outcome => panic!("{outcome:?}"),
        }
        world.check_breaks(Property::StatAlgebra);
    }

    #[test]
    fn every_field_counts() {
        check(|stat| stat.czxid += 1);
        check(|stat| stat.mzxid -= 1);
        check(|stat| stat.ctime += 1);
        check(|stat| stat.mtime += 1);
        check(|stat| stat.version += 1);
        check(|stat| stat.cversion -= 1);
        check(|stat| stat.aversion -= 1);
        check(|stat| stat.ephemeral_owner += 1);
        check(|stat| stat.data_length += 1);
        check(|stat| stat.num_children += 1);
        check(|stat| stat.pzxid += 1);
    }
}
