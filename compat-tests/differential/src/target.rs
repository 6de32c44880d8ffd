//! One service that scripts run on: its servers, a client of our own on each, and a clean slate.
//!
//! Invariant: between scripts there is nothing but what a fresh server has, apart from counters that
//! never go back; and all servers have applied the same.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use compat_tests::wire::{Client, Fields, Record, Reply, op};

/// How long anything may take before it counts as not coming.
pub const PATIENCE: Duration = Duration::from_secs(4);

/// What the servers' superDigest is made of.
pub const SUPER: &[u8] = b"super:secret";

/// Timeout of our own sessions: none of them ends before the run.
const OWN_TIMEOUT_MS: i32 = 600_000;

/// Znodes that every fresh server has.
pub const SYSTEM: [&str; 4] = ["/", "/zookeeper", "/zookeeper/config", "/zookeeper/quota"];

/// A service under test.
#[derive(Debug)]
pub struct Target {
    /// Whether it is what the other is compared with.
    pub is_reference: bool,
    /// The leader first; scripts name them by their place here.
    pub members: Vec<Member>,
    /// What the system's znodes hold on a fresh server: data and acl, as on the wire.
    fresh: BTreeMap<&'static str, (Vec<u8>, Vec<u8>)>,
}

/// A server of it.
#[derive(Debug)]
pub struct Member {
    /// Where clients connect.
    pub address: SocketAddr,
    /// Its server id; 1 for a server alone.
    pub sid: u8,
    own: Client,
}

/// A znode as its server tells of it, bodies of replies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Of getData.
    pub data: Vec<u8>,
    /// Of getACL.
    pub acl: Vec<u8>,
}

impl Target {
    /// Of servers that serve.
    pub fn open(is_reference: bool, servers: &[(u8, SocketAddr)]) -> io::Result<Self> {
        let mut members = Vec::new();
        for (sid, address) in servers {
            let mut own = Client::handshake(*address, 0, &[0; 16], OWN_TIMEOUT_MS)?;
            let auth = Fields::new().int(0).string("digest").buffer(Some(SUPER));
            own.call_with_xid(-4, op::AUTH, &auth);
            members.push(Member {
                address: *address,
                sid: *sid,
                own,
            });
        }
        let mut target = Self {
            is_reference,
            members,
            fresh: BTreeMap::new(),
        };
        let tree = target.tree(0)?;
        for path in SYSTEM {
            let node = &tree[path.as_bytes()];
            let stat = node.data.len().saturating_sub(STAT_BYTES);
            let acl = node.acl.len().saturating_sub(STAT_BYTES);
            let pair = (node.data[..stat].to_vec(), node.acl[..acl].to_vec());
            target.fresh.insert(path, pair);
        }
        Ok(target)
    }

    /// The last zxid that a server has applied.
    pub fn applied(&mut self, server: usize) -> io::Result<i64> {
        let own = &mut self.members[server].own;
        own.send_ping();
        Ok(own.reply_within(PATIENCE)?.zxid)
    }

    /// Waits until all servers have applied this zxid.
    pub fn wait_for(&mut self, zxid: i64) -> io::Result<()> {
        for server in 0..self.members.len() {
            let deadline = Instant::now() + PATIENCE;
            while self.applied(server)? < zxid {
                if deadline < Instant::now() {
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
        }
        Ok(())
    }

    /// Waits until all servers have applied the same; that zxid.
    pub fn rest(&mut self) -> io::Result<i64> {
        let zxid = self.applied(0)?;
        self.wait_for(zxid)?;
        Ok(zxid)
    }

    /// All znodes, as a server has them.
    pub fn tree(&mut self, server: usize) -> io::Result<BTreeMap<Vec<u8>, Node>> {
        let own = &mut self.members[server].own;
        let mut nodes = BTreeMap::new();
        let mut level = vec![b"/".to_vec()];
        while !level.is_empty() {
            for path in &level {
                let path = Fields::new().buffer(Some(path));
                own.send(op::GET_DATA, &path.clone().boolean(false));
                own.send(op::GET_ACL, &path);
                own.send(op::GET_CHILDREN, &path.boolean(false));
            }
            for path in std::mem::take(&mut level) {
                let data = success(own)?.body;
                let acl = success(own)?.body;
                let body = success(own)?.body;
                let mut record = Record(&body);
                for _ in 0..record.int() {
                    let name = record.buffer().unwrap_or_default();
                    let slash: &[u8] = if path == b"/" { b"" } else { &path };
                    level.push([slash, b"/", name].concat());
                }
                nodes.insert(path, Node { data, acl });
            }
        }
        Ok(nodes)
    }

    /// Deletes all that a fresh server does not have, and ends these sessions.
    pub fn clean(&mut self, sessions: &[i64]) -> io::Result<()> {
        for session in sessions {
            // One that has ended is refused.
            let mut client = Client::attach(self.members[0].address, *session, 30_000)?;
            if client.timeout_ms != 0 {
                client.send(op::CLOSE_SESSION, &Fields::new());
                client.reply_within(PATIENCE)?;
            }
        }
        let tree = self.tree(0)?;
        let own = &mut self.members[0].own;
        let mut sent = 0;
        for path in tree.keys().rev() {
            let path = path.as_slice();
            if SYSTEM.iter().any(|system| system.as_bytes() == path) {
                continue;
            }
            own.send(op::DELETE, &Fields::new().buffer(Some(path)).int(-1));
            sent += 1;
        }
        for (path, (data, acl)) in &self.fresh {
            let node = &tree[path.as_bytes()];
            let path = Fields::new().string(path);
            if !node.data.starts_with(data) || node.data.len() != data.len() + STAT_BYTES {
                own.send(op::SET_DATA, &path.clone().raw(data).int(-1));
                sent += 1;
            }
            if !node.acl.starts_with(acl) || node.acl.len() != acl.len() + STAT_BYTES {
                own.send(op::SET_ACL, &path.raw(acl).int(-1));
                sent += 1;
            }
        }
        for _ in 0..sent {
            success(own)?;
        }
        self.rest()?;
        Ok(())
    }
}

/// Length of a Stat on the wire.
const STAT_BYTES: usize = 68;

fn success(client: &mut Client) -> io::Result<Reply> {
    let reply = client.reply_within(PATIENCE)?;
    match reply.error {
        0 => Ok(reply),
        error => Err(io::Error::other(format!("our own request: {error}"))),
    }
}
