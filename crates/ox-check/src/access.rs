//! Who may do what: identities of a request and the acls they meet.
//!
//! Source: client-protocol.md 9.

use std::sync::Arc;

use crate::history::Connection;
use crate::request::AclEntry;

pub(crate) const READ: i32 = 1;
pub(crate) const WRITE: i32 = 2;
pub(crate) const CREATE: i32 = 4;
pub(crate) const DELETE: i32 = 8;
pub(crate) const ADMIN: i32 = 16;

/// The identities that a connection had at some point.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identities<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) stamp: u32,
}

impl Identities<'_> {
    fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.connection.identities.iter();
        all.filter(|(stamp, _, _)| *stamp <= self.stamp)
            .map(|(_, scheme, id)| (&**scheme, &**id))
    }

    /// Whether an acl grants one of these permissions.
    pub(crate) fn may(&self, acl: &[AclEntry], perms: i32) -> bool {
        let holds = |entry: &AclEntry| {
            let anyone = &*entry.scheme == "world" && &*entry.id == "anyone";
            let mine = |(scheme, id)| scheme == &*entry.scheme && id == &*entry.id;
            entry.perms & perms != 0 && (anyone || self.all().any(mine))
        };
        acl.is_empty() || acl.iter().any(holds) || self.all().any(|(scheme, _)| scheme == "super")
    }

    /// The acl that is stored when this one is asked for; `None` if it cannot be.
    pub(crate) fn expand(&self, asked: &Arc<[AclEntry]>) -> Option<Arc<[AclEntry]>> {
        let is_auth = |entry: &AclEntry| &*entry.scheme == "auth";
        let simple = asked.len() == 1 && !is_auth(&asked[0]);
        if simple {
            return Some(Arc::clone(asked));
        }
        let mut unique: Vec<&AclEntry> = Vec::new();
        for entry in asked.iter().filter(|entry| !entry.scheme.is_empty()) {
            if !unique.contains(&entry) {
                unique.push(entry);
            }
        }
        let mut stored = Vec::new();
        for entry in unique {
            if !is_auth(entry) {
                stored.push(entry.clone());
                continue;
            }
            let own = self
                .all()
                .filter(|(scheme, _)| matches!(*scheme, "digest" | "sasl" | "x509"));
            let own: Vec<AclEntry> = own
                .map(|(scheme, id)| AclEntry::new(entry.perms, scheme, id))
                .collect();
            if own.is_empty() {
                return None;
            }
            stored.extend(own);
        }
        (!stored.is_empty()).then(|| stored.into())
    }

    /// The acl as getACL shows it.
    pub(crate) fn shown(&self, acl: &Arc<[AclEntry]>) -> Arc<[AclEntry]> {
        if self.may(acl, ADMIN) {
            return Arc::clone(acl);
        }
        let mask = |entry: &AclEntry| match entry.id.split_once(':') {
            Some((user, _)) if &*entry.scheme == "digest" => {
                AclEntry::new(entry.perms, "digest", &format!("{user}:x"))
            }
            _ => entry.clone(),
        };
        acl.iter().map(mask).collect()
    }
}
