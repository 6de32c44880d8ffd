//! The digest of a znode, version 2.
//!
//! CRC-32 over the path, the data and the stored stat. The digest of a tree is the wrapping sum
//! of its znodes'. Source: `org.apache.zookeeper.server.DigestCalculator`; storage.md 9.

use crc32fast::Hasher;
use ox_proto::StatPersisted;
use ox_proto::path;

/// The version of the digest that is made here.
pub const VERSION: i32 = 2;

/// The digest of one znode. Below `/zookeeper/` it is 0, for servers differ there.
pub fn node_digest(path: &str, data: Option<&[u8]>, stat: &StatPersisted) -> i64 {
    DigestPrefix::new(path, data).digest(stat).into()
}

/// What path and data add to the digest of a znode; its stat is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DigestPrefix {
    /// CRC-32 of both; `None` for znodes that do not count.
    crc: Option<u32>,
}

impl DigestPrefix {
    /// Of a znode that does not count.
    pub(crate) const NONE: Self = Self { crc: None };

    /// Of any znode.
    pub fn new(path: &str, data: Option<&[u8]>) -> Self {
        if is_excluded(path) {
            return Self::NONE;
        }
        let path = if path == path::ROOT { "" } else { path };
        Self::of_parts(&[path.as_bytes(), data.unwrap_or_default()])
    }

    /// Of path and data in pieces.
    pub(crate) fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hasher = Hasher::new();
        for part in parts {
            hasher.update(part);
        }
        let crc = Some(hasher.finalize());
        Self { crc }
    }

    /// The digest of the znode with this stat.
    pub fn digest(self, stat: &StatPersisted) -> u32 {
        self.crc.map_or(0, |crc| {
            let mut hasher = Hasher::new_with_initial(crc);
            hasher.update(&stat_bytes(stat));
            hasher.finalize()
        })
    }
}

/// True for paths that do not count.
pub(crate) fn is_excluded(path: &str) -> bool {
    path.starts_with("/zookeeper/")
}

fn stat_bytes(stat: &StatPersisted) -> [u8; 60] {
    let mut bytes = [0; 60];
    let fields = [
        &stat.czxid.to_be_bytes()[..],
        &stat.mzxid.to_be_bytes(),
        &stat.pzxid.to_be_bytes(),
        &stat.ctime.to_be_bytes(),
        &stat.mtime.to_be_bytes(),
        &stat.version.to_be_bytes(),
        &stat.cversion.to_be_bytes(),
        &stat.aversion.to_be_bytes(),
        &stat.ephemeral_owner.to_be_bytes(),
    ];
    let mut rest = &mut bytes[..];
    for field in fields {
        let (head, tail) = rest.split_at_mut(field.len());
        head.copy_from_slice(field);
        rest = tail;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn znodes_have_the_digests_of_the_worked_example() {
        // storage.md 9.3, from the directory d-torn-base.
        let zero = StatPersisted::default();
        assert_eq!(node_digest("/", Some(b""), &zero), 68_323_592);
        assert_eq!(node_digest("", None, &zero), 68_323_592);
        assert_eq!(node_digest("/zookeeper", Some(b""), &zero), 1_303_661_912);
        assert_eq!(node_digest("/zookeeper/quota", Some(b""), &zero), 0);
        let time = 1_795_341_857_838;
        let stat = StatPersisted {
            czxid: 2,
            mzxid: 2,
            ctime: time,
            mtime: time,
            pzxid: 2,
            ..zero.clone()
        };
        assert_eq!(
            node_digest("/t", Some(b"root of torn"), &stat),
            1_646_243_157
        );
        let root = StatPersisted {
            pzxid: 2,
            cversion: 1,
            ..zero
        };
        assert_eq!(node_digest("/", Some(b""), &root), 51_738_866);
    }
}
