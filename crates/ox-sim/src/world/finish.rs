//! The end of a run: all that is well loses its power and is read again, and the history is judged.

use std::path::Path;
use std::sync::Arc;

use ox_check::{
    AclEntry, Change, NodeKind, Options, Property, Report, ServerLog, Txn, check_all, fingerprint,
};
use ox_proto::{Acl, TxnRecord};
use ox_replica::Database;
use ox_txnlog::DataDirs;

use super::World;
use crate::node::{DATA, MAX_FRAME, store_settings};

impl World {
    pub(super) fn finish(&mut self) -> Result<(), String> {
        self.reread()?;
        let mut entries = Vec::new();
        for (zxid, payload) in self.env.invariants.delivered() {
            let record = TxnRecord::decode(payload, MAX_FRAME)
                .map_err(|error| format!("{zxid} cannot be decoded: {error}"))?;
            let print = fingerprint(payload);
            entries.push((zxid.0, print));
            if self.is_canary && entries.len() % 2 == 0 {
                continue;
            }
            // What an operator asked for is the servers' own as far as clients know.
            let is_session = matches!(
                record.txn,
                ox_proto::Txn::CreateSession(_) | ox_proto::Txn::CloseSession(_)
            );
            let by_operator = !is_session && self.env.operators.contains(&record.header.client_id);
            let (session, cxid) = match by_operator {
                true => (0, 0),
                false => (record.header.client_id.0, record.header.cxid),
            };
            self.history.txn(Txn {
                zxid: zxid.0,
                session,
                cxid,
                time: record.header.time,
                at: None,
                fingerprint: print,
                change: change(&record.txn),
            });
        }
        let applied = entries.last().map_or(0, |entry| entry.0);
        for &place in &self.plan.healing.core {
            self.history.server_log(ServerLog {
                server: u64::try_from(place).expect("few servers"),
                covered: 0,
                entries: entries.clone(),
                applied,
            });
        }
        self.history.ended(self.env.now);
        let options = Options {
            settled: false,
            ..Options::default()
        };
        let mut report = check_all(&self.history, &options);
        if self.plan.setup.masters {
            // A leader cannot tell a follower from the observers that it serves: a session that
            // moves between them leaves late writes allowed, as with Java.
            report.counts.remove(&Property::Fifo);
        }
        match report.is_ok() {
            true => Ok(()),
            false => Err(format!("{report}{}", self.witnesses(&report))),
        }
    }

    /// The operations that violations speak of, and what became of them.
    fn witnesses(&self, report: &Report) -> String {
        let mut text = String::new();
        let mut operations: Vec<_> = report
            .violations
            .iter()
            .flat_map(|violation| violation.operations.iter().map(|operation| operation.0))
            .collect();
        operations.sort_unstable();
        operations.dedup();
        for number in operations.into_iter().take(20) {
            let index = usize::try_from(number).expect("an index");
            let operation = &self.history.operations()[index];
            let (session, xid) = (operation.session, operation.xid);
            let is_its = |txn: &&Txn| (txn.session, txn.cxid) == (session, xid);
            let became = self.history.txns().iter().find(is_its);
            text += &format!("\n#{number} {operation:?}\n  became {became:?}");
        }
        text
    }

    /// What servers show is what their disks hold.
    fn reread(&mut self) -> Result<(), String> {
        for &place in &self.plan.healing.core {
            let settings = store_settings(&self.env, place);
            let node = &mut self.nodes[place];
            let Some(process) = &node.process else {
                continue;
            };
            let tree = &process.database().tree;
            let (last, digest) = (tree.last_zxid(), tree.digest());
            if node.is_damaged {
                continue;
            }
            node.cut_power(&mut self.env, "the end");
            let disk = Arc::new(node.disk.clone());
            let dirs = DataDirs::open_on(disk, Path::new(DATA), Path::new(DATA), false)
                .map_err(|error| format!("P8: {place} in the end: {error}"))?;
            let lock = dirs.lock();
            let found = ox_store::load(&dirs, &settings)
                .map_err(|error| format!("P8: {place} in the end: {error}: {lock:?}"))?;
            let tree = &Database::new(found.state, 1).tree;
            // An epoch without transactions is in no log.
            let is_same =
                tree.digest() == digest && (tree.last_zxid() == last || last.counter() == 0);
            if !is_same {
                let found = tree.last_zxid();
                return Err(format!("P8: {place} shows {last}, its disk has {found}"));
            }
        }
        Ok(())
    }
}

fn acl(list: &[Acl]) -> Arc<[AclEntry]> {
    let entry = |acl: &Acl| AclEntry::new(acl.perms, &acl.id.scheme, &acl.id.id);
    list.iter().map(entry).collect()
}

fn change(txn: &ox_proto::Txn) -> Change {
    use ox_proto::Txn as T;
    let data = |data: &Option<bytes::Bytes>| data.as_ref().map(|data| Arc::from(&data[..]));
    match txn {
        T::Create(txn) | T::Create2(txn) => Change::Create {
            path: txn.path.as_str().into(),
            data: data(&txn.data),
            acl: acl(&txn.acl),
            kind: match txn.ephemeral {
                true => NodeKind::Ephemeral,
                false => NodeKind::Persistent,
            },
            parent_cversion: txn.parent_cversion,
        },
        T::CreateContainer(txn) => Change::Create {
            path: txn.path.as_str().into(),
            data: data(&txn.data),
            acl: acl(&txn.acl),
            kind: NodeKind::Container,
            parent_cversion: txn.parent_cversion,
        },
        T::CreateTtl(txn) => Change::Create {
            path: txn.path.as_str().into(),
            data: data(&txn.data),
            acl: acl(&txn.acl),
            kind: NodeKind::Ttl(txn.ttl),
            parent_cversion: txn.parent_cversion,
        },
        T::Delete(txn) | T::DeleteContainer(txn) => Change::Delete {
            path: txn.path.as_str().into(),
        },
        // Nobody whose history is judged reads it.
        T::Reconfig(_) => Change::Multi(Vec::new()),
        T::SetData(txn) => Change::SetData {
            path: txn.path.as_str().into(),
            data: data(&txn.data),
            version: txn.version,
        },
        T::SetAcl(txn) => Change::SetAcl {
            path: txn.path.as_str().into(),
            acl: acl(&txn.acl),
            version: txn.version,
        },
        T::Check(txn) => Change::Check {
            path: txn.path.as_str().into(),
        },
        T::Multi(txn) => Change::Multi(txn.txns.iter().map(change).collect()),
        T::CreateSession(txn) => Change::CreateSession {
            timeout_ms: txn.timeout_ms,
        },
        T::CloseSession(txn) => Change::CloseSession {
            paths: txn
                .paths_to_delete
                .as_ref()
                .map(|paths| paths.iter().map(|path| Arc::from(path.as_str())).collect()),
        },
        T::Error(txn) => Change::Error(txn.err),
    }
}
