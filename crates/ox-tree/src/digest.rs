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
    if is_excluded(path) {
        return 0;
    }
    let path = if path == path::ROOT { "" } else { path };
    let mut hasher = Hasher::new();
    hasher.update(path.as_bytes());
    hasher.update(data.unwrap_or_default());
    finish(hasher, stat)
}

/// True for paths that do not count.
pub(crate) fn is_excluded(path: &str) -> bool {
    path.starts_with("/zookeeper/")
}

/// The digest, once path and data are in.
pub(crate) fn finish(mut hasher: Hasher, stat: &StatPersisted) -> i64 {
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
    hasher.update(&bytes);
    i64::from(hasher.finalize())
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
