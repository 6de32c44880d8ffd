//! A whole tree read over the wire, to be compared with what it should be.

use std::collections::BTreeMap;
use std::fmt;

use crate::wire::{Client, Fields, Record, Stat, op};

/// All a client can see of one node.
#[derive(Clone, PartialEq, Eq)]
pub struct Node {
    /// Null and empty are different.
    pub data: Option<Vec<u8>>,
    /// As on the wire.
    pub stat: Stat,
    /// Entries of (perms, scheme, id).
    pub acl: Vec<(i32, String, String)>,
}

impl fmt::Debug for Node {
    /// Data as text: most of what tests write is that.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data = self
            .data
            .as_ref()
            .map(|data| data.escape_ascii().to_string());
        formatter
            .debug_struct("Node")
            .field("data", &data)
            .field("stat", &self.stat)
            .field("acl", &self.acl)
            .finish()
    }
}

/// All nodes by path; the server must let this client read everything (skipACL).
#[track_caller]
pub fn read(client: &mut Client) -> BTreeMap<String, Node> {
    let mut nodes = BTreeMap::new();
    let mut paths = vec!["/".to_owned()];
    while !paths.is_empty() {
        // Many at once: a round trip for each of them would take most of the time.
        let batch = paths.split_off(paths.len().saturating_sub(BATCH));
        for path in &batch {
            client.send(op::GET_DATA, &Fields::new().string(path).boolean(false));
            client.send(op::GET_ACL, &Fields::new().string(path));
            client.send(op::GET_CHILDREN, &Fields::new().string(path).boolean(false));
        }
        for path in batch {
            let mut body = || {
                let reply = client
                    .reply()
                    .unwrap_or_else(|error| panic!("{path}: {error}"));
                assert_eq!(reply.error, 0, "{path}");
                reply.body
            };
            let body_of_data = body();
            let mut record = Record(&body_of_data);
            let (data, stat) = (record.buffer().map(<[u8]>::to_vec), record.stat());
            let acl = Record(&body()).acl();
            let prefix = if path == "/" { "" } else { path.as_str() };
            paths.extend(
                Record(&body())
                    .strings()
                    .iter()
                    .map(|name| format!("{prefix}/{name}")),
            );
            nodes.insert(path, Node { data, stat, acl });
        }
    }
    nodes
}

/// Nodes that are asked for at a time.
const BATCH: usize = 50;

/// Panics with the paths that differ and how, if any do.
#[track_caller]
pub fn compare(what: &str, found: &BTreeMap<String, Node>, expected: &BTreeMap<String, Node>) {
    let mut differences = Vec::new();
    for (path, node) in expected {
        match found.get(path) {
            None => differences.push(format!("{path}: missing")),
            Some(other) if other != node => {
                differences.push(format!(
                    "{path}:\n   found    {other:?}\n   expected {node:?}"
                ));
            }
            Some(_) => {}
        }
    }
    for path in found.keys().filter(|path| !expected.contains_key(*path)) {
        differences.push(format!("{path}: should not be there"));
    }
    assert!(
        differences.is_empty(),
        "{what}: {} of {} nodes differ:\n{}",
        differences.len(),
        expected.len(),
        differences[..differences.len().min(20)].join("\n")
    );
}
