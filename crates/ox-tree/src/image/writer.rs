//! A tree to an image.
//!
//! Invariant: between two chunks the tree may change. The walk goes depth first and through the
//! children of a znode from the back, so it never misses one that stays, whatever takes the place
//! of one that goes. A znode made after the beginning is left out: its record makes it again, and
//! with it all that belongs to it (a create2 found done already would not raise the parent's
//! cversion). So a path is written twice only if the walk meets it at two places.

use ox_jute::Jute;
use ox_mutant::{Mutant, is_on};
use ox_proto::{SessionId, path};

use super::OPEN_NUMBER;
use crate::acl_table::OPEN;
use crate::tree::{DataTree, ROOT};

/// A chunk ends at so many bytes, however few znodes they are, for the tree is locked meanwhile.
const CHUNK_BYTES: usize = 1 << 20;

/// How far the image of a tree has come.
pub struct ImageWriter {
    /// What has a greater czxid was made later.
    newest_czxid: i64,
    root_written: bool,
    /// From the root down to where the walk is.
    walk: Vec<Frame>,
}

/// A znode whose children are being written.
struct Frame {
    id: u32,
    /// Tells the znode from a later one with the same number.
    czxid: i64,
    /// So many children, from the first, are still to come.
    left: usize,
}

impl ImageWriter {
    /// Begins the image of everything up to `tree.last_zxid()`, with sessions and acl lists.
    pub fn begin(
        tree: &DataTree,
        sessions: impl Iterator<Item = (SessionId, i32)>,
        out: &mut Vec<u8>,
    ) -> Self {
        let sessions: Vec<(SessionId, i32)> = sessions.collect();
        encode_count(sessions.len(), out);
        for (session, timeout_ms) in sessions {
            session.encode(out);
            timeout_ms.encode(out);
        }
        let lists = tree.acls.lists();
        encode_count(lists.len(), out);
        for (number, list) in lists {
            i64::from(number).encode(out);
            encode_count(list.len(), out);
            for acl in list.iter() {
                acl.encode(out);
            }
        }
        Self {
            newest_czxid: tree.newest_czxid(),
            root_written: false,
            walk: Vec::new(),
        }
    }

    /// Appends at most `max_nodes` znodes. False after the last, with which the end is marked.
    pub fn chunk(&mut self, tree: &DataTree, max_nodes: usize, out: &mut Vec<u8>) -> bool {
        let full = out.len() + CHUNK_BYTES;
        for _ in 0..max_nodes {
            if out.len() >= full {
                return true;
            }
            let Some(id) = self.next(tree) else {
                path::ROOT.to_owned().encode(out);
                return false;
            };
            write_node(tree, id, out);
        }
        true
    }

    fn next(&mut self, tree: &DataTree) -> Option<u32> {
        if !self.root_written {
            self.root_written = true;
            self.enter(tree, ROOT);
            return Some(ROOT);
        }
        while let Some(frame) = self.walk.last_mut() {
            let node = &tree.nodes[frame.id];
            let is_same = !node.blob.is_vacant() && node.czxid == frame.czxid;
            let children = if is_same {
                tree.child_ids(frame.id)
            } else {
                &[]
            };
            let mut rest = children[..frame.left.min(children.len())]
                .iter()
                .copied()
                .enumerate();
            let newest_czxid = self.newest_czxid;
            match rest.rfind(|(_, id)| tree.nodes[*id].czxid <= newest_czxid || is_on(Mutant::I02))
            {
                Some((place, id)) => {
                    frame.left = place;
                    self.enter(tree, id);
                    return Some(id);
                }
                None => {
                    self.walk.pop();
                }
            }
        }
        None
    }

    fn enter(&mut self, tree: &DataTree, id: u32) {
        let left = tree.child_ids(id).len();
        if left > 0 {
            self.walk.push(Frame {
                id,
                czxid: tree.nodes[id].czxid,
                left,
            });
        }
    }
}

fn write_node(tree: &DataTree, id: u32, out: &mut Vec<u8>) {
    let node = &tree.nodes[id];
    if id == ROOT {
        encode_bytes(&[], out);
    } else {
        let (parent, name) = (tree.parent_path(id), node.blob.name());
        encode_count(parent.len() + 1 + name.len(), out);
        out.extend_from_slice(parent.as_bytes());
        out.push(b'/');
        out.extend_from_slice(name);
    }
    match node.blob.data() {
        Some(data) => encode_bytes(data, out),
        None => (-1_i32).encode(out),
    }
    match node.acl.number() {
        OPEN => OPEN_NUMBER.encode(out),
        _ if is_on(Mutant::I04) => OPEN_NUMBER.encode(out),
        number => i64::from(number).encode(out),
    }
    tree.stat_persisted(id).encode(out);
}

fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    encode_count(bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn encode_count(count: usize, out: &mut Vec<u8>) {
    i32::try_from(count).expect("fits a jute int").encode(out);
}
