//! The digest of a tree: the sum of a CRC-32 over path, data and stat of each znode.
//!
//! Source: storage.md 9.

use std::sync::OnceLock;

use crate::model::Node;

/// What a znode adds to the digest of its tree.
pub(crate) fn of_node(path: &str, node: &Node) -> i64 {
    if path.starts_with("/zookeeper/") {
        return 0;
    }
    let path = if path == "/" { "" } else { path };
    let mut crc = update(!0, path.as_bytes());
    crc = update(crc, node.data.as_deref().unwrap_or_default());
    let longs = [node.czxid, node.mzxid, node.pzxid, node.ctime, node.mtime];
    for long in longs {
        crc = update(crc, &long.to_be_bytes());
    }
    for int in [node.version, node.cversion, node.aversion] {
        crc = update(crc, &int.to_be_bytes());
    }
    i64::from(!update(crc, &node.owner.to_be_bytes()))
}

fn update(crc: u32, bytes: &[u8]) -> u32 {
    static TABLE: OnceLock<[u32; 256]> = OnceLock::new();
    let table = TABLE.get_or_init(table);
    bytes.iter().fold(crc, |crc, byte| {
        let low = crc.to_le_bytes()[0] ^ byte;
        table[usize::from(low)] ^ (crc >> 8)
    })
}

fn table() -> [u32; 256] {
    let mut table = [0; 256];
    for (value, entry) in (0_u32..).zip(&mut table) {
        *entry = (0..8).fold(value, |crc, _| match crc & 1 {
            0 => crc >> 1,
            _ => (crc >> 1) ^ 0xedb8_8320,
        });
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn znodes_have_the_digests_of_the_worked_example() {
        let zero = Node::default();
        assert_eq!(of_node("/", &zero), 68_323_592);
        assert_eq!(of_node("/zookeeper", &zero), 1_303_661_912);
        assert_eq!(of_node("/zookeeper/quota", &zero), 0);
        let time = 1_795_341_857_838;
        let made = Node {
            data: Some(b"root of torn".as_slice().into()),
            czxid: 2,
            mzxid: 2,
            pzxid: 2,
            ctime: time,
            mtime: time,
            ..zero
        };
        assert_eq!(of_node("/t", &made), 1_646_243_157);
    }
}
