//! Reads the transaction logs of a server: what is on its disk, as the checks of `ox-check` want
//! it. A file ends before the first record that is not whole: its server may be writing it.
//!
//! Source: storage.md 3 and 4.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use ox_check::{AclEntry, Change, NodeKind, ServerLog, Txn, fingerprint};

use crate::wire::Record;

const MAGIC: &[u8] = b"ZKLG\0\0\0\x02";

/// Bytes of the database id behind that.
const DBID: usize = 8;

/// Of a failed part of a multi, and of a failed request.
const ERROR: i32 = -1;

/// What the logs of a server hold.
#[derive(Clone, Debug, Default)]
pub struct Logged {
    /// By zxid.
    pub txns: BTreeMap<i64, Txn>,
    /// The same, with what is in snapshots alone.
    pub log: ServerLog,
}

/// Reads all logs in a folder; `server` is the number of the server, `applied` what it has applied.
#[track_caller]
pub fn read(folder: &Path, server: u64, applied: i64) -> Logged {
    let mut logged = Logged::default();
    for (_, file) in numbered(folder, "log.") {
        for payload in payloads(&file) {
            let txn = decode(&payload);
            logged.log.entries.push((txn.zxid, txn.fingerprint));
            logged.txns.insert(txn.zxid, txn);
        }
    }
    logged.log.server = server;
    logged.log.applied = applied;
    logged.log.covered = covered(folder);
    logged
}

/// The oldest snapshot is that of an empty tree, unless one that came from a leader has taken the
/// place of all that was there.
fn covered(folder: &Path) -> i64 {
    let snapshots = numbered(folder, "snapshot.");
    snapshots.first().map_or(0, |(zxid, _)| *zxid)
}

/// The files whose names are this and a zxid, in the order of these.
fn numbered(folder: &Path, prefix: &str) -> Vec<(i64, std::path::PathBuf)> {
    let files = fs::read_dir(folder).expect("a server's folder").flatten();
    let mut files: Vec<_> = files
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let zxid = i64::from_str_radix(name.strip_prefix(prefix)?, 16).ok()?;
            Some((zxid, entry.path()))
        })
        .collect();
    files.sort();
    files
}

/// The payloads of a log, up to the zeros behind the last; none of one that has gone meanwhile.
fn payloads(path: &Path) -> Vec<Vec<u8>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
        read => read.expect("a log"),
    };
    let mut rest = bytes
        .strip_prefix(MAGIC)
        .and_then(|rest| rest.get(DBID..))
        .unwrap_or_else(|| panic!("{}: not a log", path.display()));
    let mut payloads = Vec::new();
    while rest.len() > 12 {
        let mut head = Record(rest);
        let checksum = head.long();
        let length = usize::try_from(head.int()).unwrap_or_default();
        if length == 0 || head.0.len() <= length {
            break;
        }
        let payload = head.take(length);
        if head.take(1) != b"B" || checksum != i64::from(adler32(payload)) {
            break;
        }
        payloads.push(payload.to_vec());
        rest = head.0;
    }
    payloads
}

fn adler32(bytes: &[u8]) -> u32 {
    const MODULUS: u32 = 65_521;
    let (low, high) = bytes.iter().fold((1, 0), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % MODULUS;
        (low, (high + low) % MODULUS)
    });
    high << 16 | low
}

fn decode(payload: &[u8]) -> Txn {
    let mut record = Record(payload);
    let (session, cxid) = (record.long(), record.int());
    let (zxid, time, kind) = (record.long(), record.long(), record.int());
    Txn {
        zxid,
        session,
        cxid,
        time,
        at: None,
        fingerprint: fingerprint(payload),
        change: change(kind, &mut record),
    }
}

fn change(kind: i32, record: &mut Record<'_>) -> Change {
    match kind {
        1 | 15 | 19 | 21 => {
            let path: Arc<str> = record.string().into();
            let data = record.buffer().map(Into::into);
            let acl = acl(record);
            let (node, parent_cversion) = match kind {
                19 => (NodeKind::Container, record.int()),
                21 => {
                    let parent_cversion = record.int();
                    (NodeKind::Ttl(record.long()), parent_cversion)
                }
                _ if record.boolean() => (NodeKind::Ephemeral, record.int()),
                _ => (NodeKind::Persistent, record.int()),
            };
            Change::Create {
                path,
                data,
                acl,
                kind: node,
                parent_cversion,
            }
        }
        2 | 20 => Change::Delete {
            path: record.string().into(),
        },
        5 | 16 => Change::SetData {
            path: record.string().into(),
            data: record.buffer().map(Into::into),
            version: record.int(),
        },
        7 => Change::SetAcl {
            path: record.string().into(),
            acl: acl(record),
            version: record.int(),
        },
        13 => Change::Check {
            path: record.string().into(),
        },
        14 => {
            let count = record.int();
            let part = |_| {
                let kind = record.int();
                let bytes = record.buffer().unwrap_or_default();
                change(kind, &mut Record(bytes))
            };
            Change::Multi((0..count).map(part).collect())
        }
        -10 => Change::CreateSession {
            timeout_ms: record.int(),
        },
        -11 => Change::CloseSession {
            // Oxkeeper always writes the list.
            paths: Some(record.strings().into_iter().map(Into::into).collect()),
        },
        ERROR => Change::Error(record.int()),
        other => panic!("a transaction of type {other}"),
    }
}

fn acl(record: &mut Record<'_>) -> Arc<[AclEntry]> {
    let entries = record.acl();
    let entry = |(perms, scheme, id): &(i32, String, String)| AclEntry::new(*perms, scheme, id);
    entries.iter().map(entry).collect()
}
