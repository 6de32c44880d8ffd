//! Names and bytes of the files: headers, log entries, file names.
//!
//! ```text
//! header     int magic | int version 2 | long dbid
//! log entry  long crc | int length | payload | byte 0x42
//! ```
//!
//! A log is a header, entries, and zeros to the end of the file. `crc` is the Adler-32 of the
//! payload alone, zero extended. Everything is big endian. Source: storage.md 2, 3 and 7.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use ox_jute::Jute;
use ox_proto::{FileHeader, Zxid};

use crate::disk::Disk;

/// "ZKLG".
pub(crate) const LOG_MAGIC: i32 = 0x5A4B_4C47;
/// What stands in our logs where Java writes 0 and never looks ("oxkeeper"). A log that says so
/// was cut clean by whoever began another one behind it.
pub(crate) const LOG_DBID: i64 = 0x6f78_6b65_6570_6572;
/// "ZKSN".
pub(crate) const SNAPSHOT_MAGIC: i32 = 0x5A4B_534E;
/// Bytes of a file header.
pub(crate) const HEADER_LENGTH: usize = 16;
/// Where the length stands within an entry.
pub(crate) const LENGTH_AT: usize = 8;
/// Bytes of an entry before its payload.
pub(crate) const PREFIX_LENGTH: usize = 12;
/// Bytes of an entry besides its payload.
pub(crate) const ENTRY_OVERHEAD: usize = PREFIX_LENGTH + 1;
/// Ends every entry.
pub(crate) const END_OF_RECORD: u8 = 0x42;
/// The smallest payload that can be a transaction: its header.
pub(crate) const TXN_HEADER_LENGTH: usize = 32;
/// Where the zxid stands within a payload.
const ZXID_AT: usize = 12;

/// The most bytes that are written to a log between two syncs, unless one record alone is longer.
///
/// Recovery leans on it: a valid record further than this behind a damaged place was written
/// after the sync of that place, so the damage is not what a crash left (storage.md 5.4).
pub(crate) const MAX_BATCH: usize = 4 << 20;

/// How a snapshot is stored; also the last part of its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compression {
    /// As it is.
    #[default]
    None,
    /// gzip.
    Gz,
    /// The stream format of snappy-java.
    Snappy,
}

impl Compression {
    pub(crate) const ALL: [Self; 3] = [Self::None, Self::Gz, Self::Snappy];

    fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gz => ".gz",
            Self::Snappy => ".snappy",
        }
    }
}

/// The bytes that begin a file.
pub(crate) fn header(magic: i32, dbid: i64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_LENGTH);
    FileHeader {
        magic,
        version: 2,
        dbid,
    }
    .encode(&mut bytes);
    bytes
}

/// Appends an entry with this payload.
pub(crate) fn push_entry(payload: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(payload.len()).expect("the log checks the length of a record");
    out.extend_from_slice(&u64::from(checksum(payload)).to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(payload);
    out.push(END_OF_RECORD);
}

/// The Adler-32 of `bytes`.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    simd_adler32::adler32(&bytes)
}

/// The zxid within a payload; `None` if it is shorter than a transaction's header.
pub(crate) fn zxid_of(payload: &[u8]) -> Option<Zxid> {
    let header = payload.get(..TXN_HEADER_LENGTH)?;
    Some(Zxid(i64_at(header, ZXID_AT)))
}

/// The long at `at`, which is within `bytes`.
pub(crate) fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// The int at `at`, which is within `bytes`.
pub(crate) fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// The name of the log whose first record has this zxid.
pub fn log_name(zxid: Zxid) -> String {
    format!("log.{:x}", zxid.0)
}

/// The zxid in a log's name; `None` if the name is not a log's.
pub fn parse_log_name(name: &OsStr) -> Option<Zxid> {
    parse_hex(name.to_str()?.strip_prefix("log.")?)
}

/// The name of the snapshot that was begun at this zxid.
pub(crate) fn snapshot_name(zxid: Zxid, compression: Compression) -> String {
    format!("snapshot.{:x}{}", zxid.0, compression.extension())
}

/// What a snapshot's name says; `None` if the name is not a snapshot's.
pub(crate) fn parse_snapshot_name(name: &OsStr) -> Option<(Zxid, Compression)> {
    let rest = name.to_str()?.strip_prefix("snapshot.")?;
    let (digits, extension) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
    let compression = Compression::ALL
        .into_iter()
        .find(|compression| compression.extension() == extension)?;
    Some((parse_hex(digits)?, compression))
}

/// Lower-case hex of a number that Java, too, can parse: no sign, and not above `i64::MAX`.
pub(crate) fn parse_hex(digits: &str) -> Option<Zxid> {
    let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let parsed = || i64::from_str_radix(digits, 16).ok();
    digits.bytes().all(hex).then(parsed).flatten().map(Zxid)
}

/// The files of a folder for whose names `parse` finds a meaning, in no order.
pub(crate) fn list<T>(
    disk: &dyn Disk,
    dir: &Path,
    parse: impl Fn(&OsStr) -> Option<T>,
) -> io::Result<Vec<(PathBuf, T)>> {
    let mut found = Vec::new();
    for name in disk.list(dir)? {
        if let Some(meaning) = parse(&name) {
            found.push((dir.join(name), meaning));
        }
    }
    Ok(found)
}

/// The logs of a folder, oldest first.
pub(crate) fn logs(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<(PathBuf, Zxid)>> {
    let mut logs = list(disk, dir, parse_log_name)?;
    logs.sort_by(|(path, zxid), (other_path, other)| {
        zxid.cmp(other).then_with(|| path.cmp(other_path))
    });
    Ok(logs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_names_in_lower_case_hex_are_ours() {
        let log = |name: &str| parse_log_name(OsStr::new(name)).map(|zxid| zxid.0);
        assert_eq!(log("log.1f"), Some(0x1f));
        assert_eq!(log("log.200000011"), Some(0x2_0000_0011));
        for other in [
            "log.",
            "log.1F",
            "log.+1",
            "log.-1",
            "log.1.fixed",
            "log.old",
            "tmp.log.1",
            "log.8000000000000000",
            "LOG.1",
        ] {
            assert_eq!(log(other), None, "{other}");
        }
        let snapshot = |name: &str| parse_snapshot_name(OsStr::new(name));
        assert_eq!(snapshot("snapshot.0"), Some((Zxid(0), Compression::None)));
        assert_eq!(
            snapshot("snapshot.b8.gz"),
            Some((Zxid(0xb8), Compression::Gz))
        );
        assert_eq!(
            snapshot("snapshot.b8.snappy"),
            Some((Zxid(0xb8), Compression::Snappy))
        );
        for other in [
            "snapshot.81.tmp",
            "snapshot.1.gz.gz",
            "snapshot..gz",
            "snapshot",
        ] {
            assert_eq!(snapshot(other), None, "{other}");
        }
    }

    #[test]
    fn names_are_read_back() {
        for compression in Compression::ALL {
            let name = snapshot_name(Zxid(0xabc), compression);
            let read = parse_snapshot_name(OsStr::new(&name));
            assert_eq!(read, Some((Zxid(0xabc), compression)));
        }
        let name = log_name(Zxid(0x2_0000_0011));
        assert_eq!(parse_log_name(OsStr::new(&name)), Some(Zxid(0x2_0000_0011)));
    }

    /// The first record of a log that Java wrote.
    #[test]
    fn an_entry_is_checksum_length_payload_and_end_byte() {
        let payload = [
            0x01, 0, 0, 0x14, 0x04, 0x28, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0x01,
            0xa2, 0x02, 0xb6, 0xb4, 0x1c, 0xff, 0xff, 0xff, 0xf6, 0, 0, 0xea, 0x60, 0, 0, 0, 2, 0,
            0, 0, 0, 0x51, 0xc6, 0xd6, 0x60,
        ];
        let mut entry = Vec::new();
        push_entry(&payload, &mut entry);
        assert_eq!(
            entry[..12],
            [0, 0, 0, 0, 0x9e, 0x20, 0x09, 0xfa, 0, 0, 0, 48]
        );
        assert_eq!(entry[12..60], payload);
        assert_eq!(entry[60..], [0x42]);
        assert_eq!(zxid_of(&payload), Some(Zxid(1)));
        assert_eq!(header(LOG_MAGIC, 0), b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0");
    }
}
