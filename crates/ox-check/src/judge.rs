//! What a write must become, given the tree behind all transactions before it.
//!
//! Source: client-protocol.md 4.4, 4.5, 5.3 and 6.5.

use std::fmt::Write;

use crate::access::{ADMIN, CREATE, DELETE, Identities, READ, WRITE};
use crate::model::{self, Header, Node, State, View};
use crate::request::{CreateMode, Request, error};
use crate::txn::{Change, NodeKind};

/// Znodes that cannot be deleted.
const RESERVED: [&str; 4] = ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"];

/// The longest time to live, in milliseconds.
const MAX_TTL: i64 = (1 << 40) - 1;

/// What comes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// This change.
    Change(Change),
    /// This error.
    Error(i32),
    /// The part of a multi with this index fails with this error.
    FailedPart(usize, i32),
    /// Anything: the request is not modelled.
    Anything,
}

/// What comes of `request` in a state that it may try changes on.
pub(crate) fn expect(
    view: &mut View<'_>,
    header: Header,
    identities: &Identities<'_>,
    request: &Request,
) -> Expected {
    match request {
        Request::Multi(parts) => multi(view, header, identities, parts),
        Request::CloseSession | Request::OtherWrite => Expected::Anything,
        _ => match one(view, identities, request) {
            Ok(change) => Expected::Change(change),
            Err(code) => Expected::Error(code),
        },
    }
}

fn multi(
    view: &mut View<'_>,
    header: Header,
    identities: &Identities<'_>,
    parts: &[Request],
) -> Expected {
    let mut changes = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let tried = one(view, identities, part).and_then(|change| {
            model::apply(view, header, &change)?;
            Ok(change)
        });
        match tried {
            Ok(change) => changes.push(change),
            Err(code) => return Expected::FailedPart(index, code),
        }
    }
    Expected::Change(Change::Multi(changes))
}

fn one<S: State>(state: &S, identities: &Identities<'_>, request: &Request) -> Result<Change, i32> {
    match request {
        Request::Create { .. } => create(state, identities, request),
        Request::Delete { path, version } => {
            if !is_quick_path(path) || RESERVED.contains(&&**path) {
                return Err(error::BAD_ARGUMENTS);
            }
            let parent = state.node(model::parent(path).unwrap_or("/"));
            let parent = parent.ok_or(error::NO_NODE)?;
            allow(identities, parent, DELETE)?;
            let node = state.node(path).ok_or(error::NO_NODE)?;
            same_version(*version, node.version)?;
            match node.children {
                0 => Ok(Change::Delete { path: path.clone() }),
                _ => Err(error::NOT_EMPTY),
            }
        }
        Request::SetData {
            path,
            data,
            version,
        } => {
            let node = checked(state, path)?;
            allow(identities, node, WRITE)?;
            same_version(*version, node.version)?;
            Ok(Change::SetData {
                path: path.clone(),
                data: data.clone(),
                version: node.version.wrapping_add(1),
            })
        }
        Request::SetAcl { path, acl, version } => {
            if !is_full_path(path) {
                return Err(error::BAD_ARGUMENTS);
            }
            let acl = identities.expand(acl).ok_or(error::INVALID_ACL)?;
            let node = state.node(path).ok_or(error::NO_NODE)?;
            allow(identities, node, ADMIN)?;
            same_version(*version, node.aversion)?;
            Ok(Change::SetAcl {
                path: path.clone(),
                acl,
                version: node.aversion.wrapping_add(1),
            })
        }
        Request::Check { path, version } => {
            let node = checked(state, path)?;
            allow(identities, node, READ)?;
            same_version(*version, node.version)?;
            Ok(Change::Check { path: path.clone() })
        }
        _ => Err(error::MARSHALLING_ERROR),
    }
}

fn create<S: State>(
    state: &S,
    identities: &Identities<'_>,
    request: &Request,
) -> Result<Change, i32> {
    let Request::Create {
        path,
        data,
        acl,
        mode,
    } = request
    else {
        return Err(error::MARSHALLING_ERROR);
    };
    let kind = match mode {
        CreateMode::Persistent | CreateMode::PersistentSequential => NodeKind::Persistent,
        CreateMode::Ephemeral | CreateMode::EphemeralSequential => NodeKind::Ephemeral,
        CreateMode::Container => NodeKind::Container,
        CreateMode::Ttl(ttl) | CreateMode::SequentialTtl(ttl) => NodeKind::Ttl(*ttl),
    };
    if matches!(kind, NodeKind::Ttl(ttl) if !(1..=MAX_TTL).contains(&ttl)) || !is_quick_path(path) {
        return Err(error::BAD_ARGUMENTS);
    }
    let acl = identities.expand(acl).ok_or(error::INVALID_ACL)?;
    let parent = state.node(parent_of_new(path)).ok_or(error::NO_NODE)?;
    allow(identities, parent, CREATE)?;
    let path = match mode.is_sequential() {
        true => numbered(path, parent.cversion).into(),
        false => path.clone(),
    };
    if !is_full_path(&path) {
        return Err(error::BAD_ARGUMENTS);
    }
    if state.node(&path).is_some() {
        return Err(error::NODE_EXISTS);
    }
    if parent.session() != 0 {
        return Err(error::NO_CHILDREN_FOR_EPHEMERALS);
    }
    Ok(Change::Create {
        path,
        data: data.clone(),
        acl,
        kind,
        parent_cversion: parent.cversion.wrapping_add(1),
    })
}

/// The parent of a path that may end in a slash, for a number to follow.
fn parent_of_new(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((parent, _)) => parent,
    }
}

/// The name of a sequential znode.
pub(crate) fn numbered(path: &str, number: i32) -> String {
    let mut name = path.to_owned();
    write!(name, "{number:010}").expect("a string takes all");
    name
}

fn checked<'a, S: State>(state: &'a S, path: &str) -> Result<&'a Node, i32> {
    if !is_full_path(path) {
        return Err(error::BAD_ARGUMENTS);
    }
    state.node(path).ok_or(error::NO_NODE)
}

fn allow(identities: &Identities<'_>, node: &Node, perm: i32) -> Result<(), i32> {
    match identities.may(&node.acl, perm) {
        true => Ok(()),
        false => Err(error::NO_AUTH),
    }
}

fn same_version(asked: i32, found: i32) -> Result<(), i32> {
    match asked {
        -1 => Ok(()),
        version if version == found => Ok(()),
        _ => Err(error::BAD_VERSION),
    }
}

fn is_quick_path(path: &str) -> bool {
    path.contains('/') && !path.contains('\0')
}

fn is_full_path(path: &str) -> bool {
    let plain = |c: char| {
        !matches!(
            c,
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..
        )
    };
    let sound = |name: &str| !matches!(name, "" | "." | "..");
    let Some(names) = path.strip_prefix('/') else {
        return false;
    };
    path.chars().all(plain) && (names.is_empty() || names.split('/').all(sound))
}
