//! Reads: answered from the committed tree, watches left and taken.
//!
//! Invariant: what a read returns and the watch it leaves are one step, for the caller holds the
//! database whole while both happen. Source: `FinalRequestProcessor.java`, `DataTree.java`;
//! client-protocol.md 4.5, 5.2, 7.3 and 7.6.

use std::sync::Arc;

use ox_jute::Jute;
use ox_mutant::{Mutant, is_on};
use ox_proto::{
    Acl, AddWatchMode, ErrorCode, ErrorResponse, EventType, Id, MultiHeader, MultiOp, PathRequest,
    ReadRequest, Request, SessionId, SetWatches2, WatcherType, WatchesRequest, Xid, Zxid,
};
use ox_session::{ClientId, WatchKind};
use ox_tree::Node;

use crate::acl::Verdicts;
use crate::auth::AuthSettings;
use crate::database::Database;
use crate::reply;
use crate::request::{ClientRequest, Work};

/// How large the answer to a multiRead may be before one more znode is read into it, in bytes. One
/// request can ask for the same large znode tens of thousands of times.
const MAX_MULTI_READ: usize = 16 << 20;

/// Who reads.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// The connection; its watches are under this name.
    pub client: ClientId,
    /// Its session.
    pub session: SessionId,
    /// The schemes that give its identities their worth.
    pub auth: &'a AuthSettings,
}

/// How a read went, and the watch it leaves.
struct Answer {
    error: ErrorCode,
    watch: Option<WatchKind>,
}

impl Answer {
    fn of(error: ErrorCode) -> Self {
        Self { error, watch: None }
    }
}

impl Database {
    /// Appends the answer to a request that neither writes nor changes watches.
    pub fn answer(&self, reader: Reader<'_>, request: &ClientRequest, out: &mut Vec<u8>) {
        let zxid = shown(self.tree.last_zxid());
        let xid = request.xid;
        match &request.work {
            Work::Refused(refusal) => {
                let zxid = refusal.zxid.map_or(zxid, Zxid);
                reply::header(out, xid, zxid, refusal.error);
            }
            Work::Request(Request::Ping) => {
                reply::header(out, Xid::PING, zxid, ErrorCode::Ok);
            }
            Work::Request(body) => reply::write(out, xid, zxid, |out| {
                self.read(reader, &request.ids, body, out).error
            }),
            Work::Undecodable(error) => {
                reply::header(out, xid, zxid, *error);
            }
        }
    }

    /// Appends the answer to any request that does not write, and leaves or takes its watches.
    pub fn answer_and_watch(
        &mut self,
        reader: Reader<'_>,
        request: &ClientRequest,
        out: &mut Vec<u8>,
    ) {
        let zxid = shown(self.tree.last_zxid());
        let xid = request.xid;
        match &request.work {
            Work::Request(Request::SetWatches(sets)) => {
                self.set_watches(reader.client, sets, out);
                reply::header(out, xid, zxid, ErrorCode::Ok);
            }
            Work::Request(Request::RemoveWatches(removal)) => {
                let removed = WatcherType::from_code(removal.r#type)
                    .map(|which| self.watches.remove(reader.client, &removal.path, which));
                reply::header(out, xid, zxid, watcher_found(removed));
            }
            Work::Request(Request::AddWatch(addition)) => reply::write(out, xid, zxid, |out| {
                let kind = match AddWatchMode::from_code(addition.mode) {
                    Some(AddWatchMode::Persistent) => WatchKind::Persistent,
                    Some(AddWatchMode::PersistentRecursive) => WatchKind::PersistentRecursive,
                    None => return ErrorCode::MarshallingError,
                };
                // Java notes a watch on null, which nothing ever fires.
                if let Some(path) = &addition.path {
                    self.watches.add(reader.client, path, kind);
                }
                ErrorResponse { err: 0 }.encode(out);
                ErrorCode::Ok
            }),
            Work::Request(
                body @ (Request::Exists(read)
                | Request::GetData(read)
                | Request::GetChildren(read)
                | Request::GetChildren2(read)),
            ) if read.watch => reply::write(out, xid, zxid, |out| {
                let answer = self.read(reader, &request.ids, body, out);
                if let Some(kind) = answer.watch {
                    self.watches.add(reader.client, &read.path, kind);
                }
                answer.error
            }),
            Work::Request(_) | Work::Undecodable(_) | Work::Refused(_) => {
                self.answer(reader, request, out);
            }
        }
    }

    fn read(&self, reader: Reader<'_>, ids: &[Id], request: &Request, out: &mut Vec<u8>) -> Answer {
        let permitted = |acl: &Arc<[Acl]>| reader.auth.permits(acl, Acl::READ, ids);
        match request {
            Request::Exists(read) => self.exists(reader.auth, ids, read, out),
            Request::GetData(read) => self.with_node(permitted, &read.path, |node| {
                write_data(node, out);
                node.stat().encode(out);
                Some(WatchKind::Data)
            }),
            Request::GetChildren(read) => self.with_node(permitted, &read.path, |node| {
                write_children(node, out);
                Some(WatchKind::Child)
            }),
            Request::GetChildren2(read) => self.with_node(permitted, &read.path, |node| {
                write_children(node, out);
                node.stat().encode(out);
                Some(WatchKind::Child)
            }),
            Request::GetAllChildrenNumber(read) => self.with_node(permitted, &read.path, |_| {
                let number = self.tree.descendants(&read.path).unwrap_or_default();
                number.encode(out);
                None
            }),
            Request::GetAcl(read) => Answer::of(self.acl(reader.auth, ids, read, out)),
            Request::GetEphemerals(list) => {
                let prefix = list.prefix_path.as_deref().unwrap_or_default();
                let all = stands_for_all(prefix);
                let paths = self.tree.ephemerals(reader.session);
                let paths: Vec<_> = paths
                    .filter(|path| all || path.starts_with(prefix))
                    .collect();
                paths.encode(out);
                Answer::of(ErrorCode::Ok)
            }
            Request::Sync(sync) => {
                sync.path.encode(out);
                Answer::of(ErrorCode::Ok)
            }
            Request::CheckWatches(check) => Answer::of(self.check_watches(reader.client, check)),
            Request::MultiRead(ops) => Answer::of(self.multi_read(reader.auth, ids, ops, out)),
            Request::WhoAmI => {
                let infos: Vec<_> = ids.iter().map(AuthSettings::client_info).collect();
                infos.encode(out);
                Answer::of(ErrorCode::Ok)
            }
            Request::Ping => Answer::of(ErrorCode::Ok),
            Request::Create(_)
            | Request::Delete(_)
            | Request::SetData(_)
            | Request::SetAcl(_)
            | Request::Multi(_)
            | Request::Reconfig(_)
            | Request::CloseSession
            | Request::RemoveWatches(_)
            | Request::SetWatches(_)
            | Request::AddWatch(_) => unreachable!("not a plain read: {request:?}"),
        }
    }

    /// Answers exists, which is the one read that a missing znode does not keep from watching.
    fn exists(
        &self,
        auth: &AuthSettings,
        ids: &[Id],
        read: &ReadRequest,
        out: &mut Vec<u8>,
    ) -> Answer {
        if read.path.contains('\0') {
            return Answer::of(ErrorCode::BadArguments);
        }
        let Some(node) = self.tree.node(&read.path) else {
            return Answer {
                error: ErrorCode::NoNode,
                watch: Some(WatchKind::Data).filter(|_| !is_on(Mutant::W02)),
            };
        };
        if !auth.permits(node.acl(), Acl::READ, ids) {
            return Answer::of(ErrorCode::NoAuth);
        }
        node.stat().encode(out);
        Answer {
            error: ErrorCode::Ok,
            watch: Some(WatchKind::Data),
        }
    }

    /// Answers from a znode that is there and may be read.
    fn with_node(
        &self,
        permitted: impl FnOnce(&Arc<[Acl]>) -> bool,
        path: &str,
        write: impl FnOnce(&Node<'_>) -> Option<WatchKind>,
    ) -> Answer {
        match self.tree.node(path) {
            None => Answer::of(ErrorCode::NoNode),
            Some(node) if !permitted(node.acl()) => Answer::of(ErrorCode::NoAuth),
            Some(node) => Answer {
                error: ErrorCode::Ok,
                watch: write(&node),
            },
        }
    }

    fn acl(
        &self,
        auth: &AuthSettings,
        ids: &[Id],
        read: &PathRequest,
        out: &mut Vec<u8>,
    ) -> ErrorCode {
        let Some(node) = self.tree.node(&read.path) else {
            return ErrorCode::NoNode;
        };
        if !auth.permits(node.acl(), Acl::READ | Acl::ADMIN, ids) {
            return ErrorCode::NoAuth;
        }
        match auth.permits(node.acl(), Acl::ADMIN, ids) {
            true => node.acl().to_vec().encode(out),
            false => ox_tree::acl::masked(node.acl()).encode(out),
        }
        node.stat().encode(out);
        ErrorCode::Ok
    }

    fn check_watches(&self, client: ClientId, check: &WatchesRequest) -> ErrorCode {
        let found = WatcherType::from_code(check.r#type)
            .map(|which| self.watches.contains(client, &check.path, which));
        watcher_found(found)
    }

    fn multi_read(
        &self,
        auth: &AuthSettings,
        ids: &[Id],
        ops: &[MultiOp],
        out: &mut Vec<u8>,
    ) -> ErrorCode {
        // Java answers writes here with an error and an empty list behind it.
        if ops.iter().any(|op| !op.is_read()) {
            MultiHeader::END.encode(out);
            return ErrorCode::MarshallingError;
        }
        let begin = out.len();
        let mut verdicts = Verdicts::default();
        let mut permitted = |acl: &Arc<[Acl]>| verdicts.permits(auth, acl, Acl::READ, ids);
        for op in ops {
            let start = out.len();
            if start - begin > MAX_MULTI_READ {
                out.truncate(begin);
                return ErrorCode::MarshallingError;
            }
            MultiHeader {
                r#type: op.op().code(),
                done: false,
                err: 0,
            }
            .encode(out);
            let answer = match op {
                MultiOp::GetData(read) => self.with_node(&mut permitted, &read.path, |node| {
                    write_data(node, out);
                    node.stat().encode(out);
                    None
                }),
                MultiOp::GetChildren(read) => self.with_node(&mut permitted, &read.path, |node| {
                    write_children(node, out);
                    None
                }),
                MultiOp::Create(_)
                | MultiOp::Delete(_)
                | MultiOp::SetData(_)
                | MultiOp::Check(_) => Answer::of(ErrorCode::MarshallingError),
            };
            if answer.error != ErrorCode::Ok {
                out.truncate(start);
                reply::multi_error(out, answer.error);
            }
        }
        MultiHeader::END.encode(out);
        ErrorCode::Ok
    }

    /// What a reconnecting client has missed is told at once; the rest is watched again.
    fn set_watches(&mut self, client: ClientId, sets: &SetWatches2, out: &mut Vec<u8>) {
        let since = sets.relative_zxid;
        let mut set = |path: &str, missed: Option<EventType>, kind| {
            if let Some(event) = missed {
                reply::event(out, Zxid(-1), event, path);
            }
            if missed.is_none() || is_on(Mutant::W05) {
                self.watches.add(client, path, kind);
            }
        };
        let stat = |path: &str| self.tree.node(path).map(|node| node.stat_persisted());
        for path in &sets.data_watches {
            let missed = match stat(path) {
                None => Some(EventType::NodeDeleted),
                Some(_) if is_on(Mutant::W04) => None,
                Some(stat) => (stat.mzxid > since).then_some(EventType::NodeDataChanged),
            };
            set(path, missed, WatchKind::Data);
        }
        for path in &sets.exist_watches {
            let missed = stat(path).map(|_| EventType::NodeCreated);
            set(path, missed, WatchKind::Data);
        }
        for path in &sets.child_watches {
            let missed = match stat(path) {
                None => Some(EventType::NodeDeleted),
                Some(stat) => (stat.pzxid > since).then_some(EventType::NodeChildrenChanged),
            };
            set(path, missed, WatchKind::Child);
        }
        for path in &sets.persistent_watches {
            set(path, None, WatchKind::Persistent);
        }
        for path in &sets.persistent_recursive_watches {
            set(path, None, WatchKind::PersistentRecursive);
        }
    }
}

/// The zxid that an answer bears for a tree of this one.
fn shown(last: Zxid) -> Zxid {
    Zxid(last.0 - i64::from(is_on(Mutant::R01)) + i64::from(is_on(Mutant::R04)))
}

/// `None` is a type of watcher that does not exist.
fn watcher_found(found: Option<bool>) -> ErrorCode {
    match found {
        Some(true) => ErrorCode::Ok,
        Some(false) => ErrorCode::NoWatcher,
        None => ErrorCode::MarshallingError,
    }
}

/// Straight from the tree: the one copy that a read costs.
fn write_data(node: &Node<'_>, out: &mut Vec<u8>) {
    match node.data() {
        None => (-1_i32).encode(out),
        Some(data) => {
            write_length(data.len(), out);
            out.extend_from_slice(data);
        }
    }
}

/// Names of znodes hold no characters that Java writes differently from UTF-8.
fn write_children(node: &Node<'_>, out: &mut Vec<u8>) {
    write_length(node.child_count(), out);
    for name in node.children() {
        write_length(name.len(), out);
        out.extend_from_slice(name.as_bytes());
    }
}

fn write_length(length: usize, out: &mut Vec<u8>) {
    i32::try_from(length)
        .expect("data and children fit a jute int")
        .encode(out);
}

/// True for a prefix of getEphemerals that means every path. Blank is what Java's `String.trim` takes
/// away: control characters too, but no space beyond ASCII.
fn stands_for_all(prefix: &str) -> bool {
    matches!(prefix.trim_matches(|character| character <= ' '), "" | "/")
}

/// True for requests that only the connection's own state can answer.
pub(crate) fn ends_connection(request: &ClientRequest) -> bool {
    matches!(&request.work, Work::Refused(refusal) if refusal.close)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_of_control_characters_are_blank_and_other_spaces_are_not() {
        for prefix in ["", "/", " / ", "\0\0", "\x1f/\t", "  "] {
            assert!(stands_for_all(prefix), "{prefix:?}");
        }
        for prefix in ["//", "/a", "a", "\u{a0}", "\u{2003}/", "\x7f"] {
            assert!(!stands_for_all(prefix), "{prefix:?}");
        }
    }
}
