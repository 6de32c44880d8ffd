//! The operations, one method each.
//!
//! Paths are those below the chroot, both in arguments and in answers and events.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::{Bytes, BytesMut};
use ox_jute::{Decoder, Jute};
use ox_proto::{
    Acl, AddWatchMode, AddWatchRequest, AuthPacket, ClientInfo, Create2Response, CreateMode,
    CreateRequest, CreateTtlRequest, DeleteRequest, ErrorCode, EventType, GetAclResponse,
    GetAllChildrenNumberResponse, GetChildren2Response, GetDataResponse, GetEphemeralsRequest,
    GetEphemeralsResponse, MultiOp, OpCode, PathRequest, ReadRequest, ReconfigRequest,
    SetAclRequest, SetDataRequest, SetWatches2, Stat, StatResponse, SyncRequest, WatcherEvent,
    WatcherType, WatchesRequest, WhoAmIResponse, Zxid, path,
};
use tokio::sync::{mpsc, oneshot};

use crate::connection::{Call, Connection, MAX_REPLY, Waiting};
use crate::{ConnectOptions, Error, OpResult, Reply, Servers, Session, handshake};

/// Requests that may queue for the connection before a caller waits.
const QUEUE: usize = 1024;

/// A connection and its session. Clones share both; the connection closes with the last of them,
/// and the session then lives on until it expires or is re-attached.
#[derive(Clone, Debug)]
pub struct Client {
    servers: Arc<Servers>,
    options: ConnectOptions,
    session: Session,
    last_zxid: Arc<AtomicI64>,
    calls: mpsc::Sender<Call>,
}

/// The watch events of one connection, in order. They pile up unread until this is dropped.
#[derive(Debug)]
pub struct Events {
    received: mpsc::UnboundedReceiver<(Zxid, WatcherEvent)>,
    chroot: String,
}

/// A watch has fired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventType,
    /// Where.
    pub path: String,
    /// The transaction that did it; -1 if the server does not say.
    pub zxid: Zxid,
}

impl Events {
    /// The next event; `None` when the connection has ended.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let (zxid, event) = self.received.recv().await?;
            if let Some(kind) = EventType::from_code(event.r#type) {
                let path = below(&self.chroot, event.path);
                return Some(Event { kind, path, zxid });
            }
        }
    }
}

/// What create is to make.
#[derive(Clone, Debug)]
pub struct Creation {
    /// Its path, without the sequence number.
    pub path: String,
    /// Its data; null differs from empty.
    pub data: Option<Bytes>,
    /// Its acl.
    pub acl: Vec<Acl>,
    /// Its kind.
    pub mode: CreateMode,
    /// Time to live in milliseconds, for the kinds that have one.
    pub ttl_ms: i64,
}

impl Creation {
    /// A persistent znode that everybody may do everything with.
    pub fn new(path: impl Into<String>, data: impl Into<Bytes>) -> Self {
        Self {
            path: path.into(),
            data: Some(data.into()),
            acl: vec![Acl::world(Acl::ALL)],
            mode: CreateMode::Persistent,
            ttl_ms: -1,
        }
    }

    /// The same with another mode.
    pub fn with_mode(self, mode: CreateMode) -> Self {
        Self { mode, ..self }
    }
}

/// The answer of getData.
pub type NodeData = GetDataResponse;

/// The answer of getACL.
pub type Acls = GetAclResponse;

impl Client {
    /// Opens a session, or goes on with the one in `options`, at the first server that takes it.
    pub async fn connect(
        servers: &Servers,
        options: &ConnectOptions,
    ) -> Result<(Self, Events), Error> {
        let (stream, session, input) = handshake::connect(servers, options).await?;
        let (calls, queue) = mpsc::channel(QUEUE);
        let (events, received) = mpsc::unbounded_channel();
        let last_zxid = Arc::new(AtomicI64::new(session.last_zxid.0));
        let connection = Connection {
            calls: queue,
            events,
            last_zxid: last_zxid.clone(),
            session_timeout: session.timeout,
            input,
            output: BytesMut::new(),
            waiting: Waiting::default(),
        };
        tokio::spawn(connection.run(stream));
        let events = Events {
            received,
            chroot: servers.chroot.clone(),
        };
        let client = Self {
            servers: Arc::new(servers.clone()),
            options: options.clone(),
            session,
            last_zxid,
            calls,
        };
        Ok((client, events))
    }

    /// A new connection with the same session. Watches and identities added by
    /// [`Client::add_auth`] are gone; the caller leaves them again.
    pub async fn reconnect(&self) -> Result<(Self, Events), Error> {
        let options = ConnectOptions {
            session: Some(self.session()),
            ..self.options.clone()
        };
        Self::connect(&self.servers, &options).await
    }

    /// The session, with the highest zxid seen so far.
    pub fn session(&self) -> Session {
        Session {
            last_zxid: Zxid(self.last_zxid.load(Ordering::Relaxed)),
            ..self.session.clone()
        }
    }

    /// Any operation: sends `record`, waits for the answer. Paths are taken as they are.
    pub async fn call(&self, op: OpCode, record: &impl Jute) -> Result<Reply, Error> {
        let mut body = Vec::new();
        record.encode(&mut body);
        self.send(op, body).await
    }

    async fn send(&self, op: OpCode, body: Vec<u8>) -> Result<Reply, Error> {
        let (reply, answer) = oneshot::channel();
        let call = Call { op, body, reply };
        self.calls
            .send(call)
            .await
            .map_err(|_| Error::ConnectionLoss)?;
        answer.await.map_err(|_| Error::ConnectionLoss)?
    }

    async fn ask<R: Jute>(&self, op: OpCode, record: &impl Jute) -> Result<R, Error> {
        let reply = self.call(op, record).await?;
        Ok(R::decode(&mut decoder(&reply))?)
    }

    /// `path` with the chroot before it: as the server knows it.
    pub fn absolute(&self, path: &str) -> String {
        match (self.servers.chroot.as_str(), path) {
            ("", _) => path.to_owned(),
            (chroot, path::ROOT) => chroot.to_owned(),
            (chroot, _) => format!("{chroot}{path}"),
        }
    }

    fn below(&self, path: String) -> String {
        below(&self.servers.chroot, path)
    }

    /// Makes a znode; answers its path, with the sequence number if it has one, and its stat.
    pub async fn create(&self, creation: Creation) -> Result<(String, Stat), Error> {
        let flags = creation.mode.flags();
        let path = self.absolute(&creation.path);
        let data = creation.data;
        let acl = Some(creation.acl.into_iter().map(Into::into).collect());
        let response: Create2Response = if creation.mode.is_ttl() {
            let request = CreateTtlRequest {
                path,
                data,
                acl,
                flags,
                ttl: creation.ttl_ms,
            };
            self.ask(OpCode::CreateTtl, &request).await?
        } else {
            let op = match creation.mode {
                CreateMode::Container => OpCode::CreateContainer,
                _ => OpCode::Create2,
            };
            let request = CreateRequest {
                path,
                data,
                acl,
                flags,
            };
            self.ask(op, &request).await?
        };
        Ok((self.below(response.path), response.stat))
    }

    /// Deletes a znode without children; version -1 matches any.
    pub async fn delete(&self, path: &str, version: i32) -> Result<(), Error> {
        let path = self.absolute(path);
        let request = DeleteRequest { path, version };
        self.call(OpCode::Delete, &request).await?;
        Ok(())
    }

    /// The stat of a znode, or `None` if there is none; `watch` is left in either case.
    pub async fn exists(&self, path: &str, watch: bool) -> Result<Option<Stat>, Error> {
        let request = self.read_request(path, watch);
        match self.ask::<StatResponse>(OpCode::Exists, &request).await {
            Ok(response) => Ok(Some(response.stat)),
            Err(Error::Server(ErrorCode::NoNode)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Data and stat.
    pub async fn data(&self, path: &str, watch: bool) -> Result<NodeData, Error> {
        self.ask(OpCode::GetData, &self.read_request(path, watch))
            .await
    }

    /// The names of the children, in no order, and the stat.
    pub async fn children(&self, path: &str, watch: bool) -> Result<GetChildren2Response, Error> {
        self.ask(OpCode::GetChildren2, &self.read_request(path, watch))
            .await
    }

    fn read_request(&self, path: &str, watch: bool) -> ReadRequest {
        let path = self.absolute(path);
        ReadRequest { path, watch }
    }

    /// Replaces the data; version -1 matches any.
    pub async fn set_data(
        &self,
        path: &str,
        data: Option<Bytes>,
        version: i32,
    ) -> Result<Stat, Error> {
        let request = SetDataRequest {
            path: self.absolute(path),
            data,
            version,
        };
        let response: StatResponse = self.ask(OpCode::SetData, &request).await?;
        Ok(response.stat)
    }

    /// The acl and the stat.
    pub async fn acl(&self, path: &str) -> Result<Acls, Error> {
        let path = self.absolute(path);
        self.ask(OpCode::GetAcl, &PathRequest { path }).await
    }

    /// Replaces the acl; version is compared with the aversion, -1 matches any.
    pub async fn set_acl(&self, path: &str, acl: Vec<Acl>, version: i32) -> Result<Stat, Error> {
        let request = SetAclRequest {
            path: self.absolute(path),
            acl: Some(acl.into_iter().map(Into::into).collect()),
            version,
        };
        let response: StatResponse = self.ask(OpCode::SetAcl, &request).await?;
        Ok(response.stat)
    }

    /// Waits until the server has caught up with the leader.
    pub async fn sync(&self, path: &str) -> Result<(), Error> {
        let path = Some(self.absolute(path));
        self.call(OpCode::Sync, &SyncRequest { path }).await?;
        Ok(())
    }

    /// Carries out all the writes or none: if any result is an [`OpResult::Error`], none. Paths
    /// are taken and answered as the server knows them (see [`Client::absolute`]).
    pub async fn multi(&self, ops: &[MultiOp]) -> Result<Vec<OpResult>, Error> {
        self.send_multi(OpCode::Multi, ops).await
    }

    /// Carries out each of the reads.
    pub async fn multi_read(&self, ops: &[MultiOp]) -> Result<Vec<OpResult>, Error> {
        self.send_multi(OpCode::MultiRead, ops).await
    }

    async fn send_multi(&self, op: OpCode, ops: &[MultiOp]) -> Result<Vec<OpResult>, Error> {
        let mut body = Vec::new();
        MultiOp::encode_all(ops, &mut body);
        let reply = self.send(op, body).await?;
        Ok(OpResult::decode_all(&mut decoder(&reply))?)
    }

    /// Leaves a watch that stays.
    pub async fn add_watch(&self, path: &str, mode: AddWatchMode) -> Result<(), Error> {
        let request = AddWatchRequest {
            path: Some(self.absolute(path)),
            mode: mode.code(),
        };
        self.call(OpCode::AddWatch, &request).await?;
        Ok(())
    }

    /// Takes watches away.
    pub async fn remove_watches(&self, path: &str, kind: WatcherType) -> Result<(), Error> {
        let request = WatchesRequest {
            path: self.absolute(path),
            r#type: kind.code(),
        };
        self.call(OpCode::RemoveWatches, &request).await?;
        Ok(())
    }

    /// Leaves watches again after a [`Client::reconnect`]. Events for what was missed come before
    /// the answer.
    pub async fn set_watches(&self, watches: &SetWatches2) -> Result<(), Error> {
        let absolute = |paths: &[String]| {
            let paths = paths.iter();
            paths.map(|path| self.absolute(path)).collect()
        };
        let request = SetWatches2 {
            relative_zxid: watches.relative_zxid,
            data_watches: absolute(&watches.data_watches),
            exist_watches: absolute(&watches.exist_watches),
            child_watches: absolute(&watches.child_watches),
            persistent_watches: absolute(&watches.persistent_watches),
            persistent_recursive_watches: absolute(&watches.persistent_recursive_watches),
        };
        self.call(OpCode::SetWatches2, &request).await?;
        Ok(())
    }

    /// The paths of this session's ephemerals that begin with `prefix`.
    pub async fn ephemerals(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let prefix_path = Some(self.absolute(prefix));
        let request = GetEphemeralsRequest { prefix_path };
        let response: GetEphemeralsResponse = self.ask(OpCode::GetEphemerals, &request).await?;
        let paths = response.ephemerals.into_iter();
        Ok(paths.map(|path| self.below(path)).collect())
    }

    /// The number of descendants.
    pub async fn all_children_number(&self, path: &str) -> Result<i32, Error> {
        let path = self.absolute(path);
        let response: GetAllChildrenNumberResponse = self
            .ask(OpCode::GetAllChildrenNumber, &PathRequest { path })
            .await?;
        Ok(response.total_number)
    }

    /// Who this connection is to the server.
    pub async fn who_am_i(&self) -> Result<Vec<ClientInfo>, Error> {
        let reply = self.send(OpCode::WhoAmI, Vec::new()).await?;
        Ok(WhoAmIResponse::decode(&mut decoder(&reply))?.client_info)
    }

    /// Adds an identity to this connection. After a failure the server closes it.
    pub async fn add_auth(&self, scheme: &str, auth: Option<Bytes>) -> Result<(), Error> {
        let packet = AuthPacket {
            r#type: 0,
            scheme: Some(scheme.to_owned()),
            auth,
        };
        self.call(OpCode::Auth, &packet).await?;
        Ok(())
    }

    /// The members of the ensemble and the version of that text, from `/zookeeper/config` outside
    /// of any chroot.
    pub async fn config(&self, watch: bool) -> Result<NodeData, Error> {
        let path = path::CONFIG.to_owned();
        self.ask(OpCode::GetData, &ReadRequest { path, watch })
            .await
    }

    /// Changes the members of the ensemble; answers as [`Client::config`].
    pub async fn reconfig(&self, request: &ReconfigRequest) -> Result<NodeData, Error> {
        self.ask(OpCode::Reconfig, request).await
    }

    /// Ends the session, and its ephemerals with it.
    pub async fn close(self) -> Result<(), Error> {
        self.send(OpCode::CloseSession, Vec::new()).await?;
        Ok(())
    }
}

fn decoder(reply: &Reply) -> Decoder<'_> {
    Decoder::new(&reply.body).with_limit(MAX_REPLY)
}

/// `path` as seen from below `chroot`. A path elsewhere, such as that of the config, stays.
fn below(chroot: &str, path: String) -> String {
    match path.strip_prefix(chroot) {
        Some("") if !chroot.is_empty() => path::ROOT.to_owned(),
        Some(rest) if rest.starts_with('/') => rest.to_owned(),
        Some(_) | None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chroot_is_taken_off_the_paths_below_it_only() {
        for (chroot, full, seen) in [
            ("", "/a", "/a"),
            ("", "/", "/"),
            ("/x", "/x", "/"),
            ("/x", "/x/a", "/a"),
            ("/x", "/xy", "/xy"),
            ("/x", "/zookeeper/config", "/zookeeper/config"),
        ] {
            assert_eq!(below(chroot, full.to_owned()), seen);
        }
    }
}
