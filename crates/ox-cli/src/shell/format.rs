//! How the shell prints stats, acls, data, lists and events.

use std::fmt::Write;

use ox_client::Event;
use ox_proto::{Acl, Stat};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The eleven lines of a stat.
pub(crate) fn stat(stat: &Stat, zone: &TimeZone) -> String {
    format!(
        "cZxid = {:#x}\nctime = {}\nmZxid = {:#x}\nmtime = {}\npZxid = {:#x}\ncversion = {}\n\
         dataVersion = {}\naclVersion = {}\nephemeralOwner = {:#x}\ndataLength = {}\n\
         numChildren = {}",
        stat.czxid,
        date(stat.ctime, zone),
        stat.mzxid,
        date(stat.mtime, zone),
        stat.pzxid,
        stat.cversion,
        stat.version,
        stat.aversion,
        stat.ephemeral_owner,
        stat.data_length,
        stat.num_children,
    )
}

/// A time in milliseconds since 1970 as Java's `Date` prints it.
fn date(ms: i64, zone: &TimeZone) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(time) => time
            .to_zoned(zone.clone())
            .strftime("%a %b %d %H:%M:%S %Z %Y")
            .to_string(),
        // Only a server that makes times up gets here.
        Err(_) => format!("{ms} ms"),
    }
}

/// The zone of this machine.
pub(crate) fn zone() -> TimeZone {
    TimeZone::try_system().unwrap_or(TimeZone::UTC)
}

/// `[a, b, c]`.
pub(crate) fn list(items: &[String]) -> String {
    format!("[{}]", items.join(", "))
}

/// Two lines per entry.
pub(crate) fn acl(entries: &[Acl]) -> String {
    entries
        .iter()
        .map(|Acl { perms, id }| format!("'{},'{}\n: {}", id.scheme, id.id, permissions(*perms)))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The letters of permissions, in Java's order.
const PERMISSIONS: [(char, i32); 5] = [
    ('c', Acl::CREATE),
    ('d', Acl::DELETE),
    ('r', Acl::READ),
    ('w', Acl::WRITE),
    ('a', Acl::ADMIN),
];

fn permissions(perms: i32) -> String {
    PERMISSIONS
        .iter()
        .filter(|(_, bit)| perms & bit != 0)
        .map(|(letter, _)| letter)
        .collect()
}

/// The permission that a letter stands for.
pub(crate) fn permission(letter: char) -> Option<i32> {
    PERMISSIONS
        .iter()
        .find(|(known, _)| *known == letter)
        .map(|&(_, bit)| bit)
}

/// A table of sixteen bytes a row, in hexadecimal and as ASCII; nothing for no bytes.
pub(crate) fn hex_dump(data: &[u8]) -> String {
    const EDGE: &str =
        "+--------+-------------------------------------------------+----------------+";
    if data.is_empty() {
        return String::new();
    }
    let mut out = format!(
        "         +-------------------------------------------------+\n         |{}|\n{EDGE}\n",
        "  0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f "
    );
    for (row, bytes) in data.chunks(16).enumerate() {
        let hex: String = bytes.iter().map(|byte| format!(" {byte:02x}")).collect();
        let text: String = bytes
            .iter()
            .map(|&byte| match byte {
                b' '..=b'~' => char::from(byte),
                _ => '.',
            })
            .collect();
        // Writing to a string does not fail.
        let _ = writeln!(out, "|{:08x}|{hex:<48} |{text:<16}|", row * 16);
    }
    out + EDGE
}

/// What is printed of a watch event.
pub(crate) fn event(event: &Event) -> String {
    watched(
        "SyncConnected",
        &format!("{:?}", event.kind),
        &event.path,
        event.zxid.0,
    )
}

/// What is printed when the session's state changes.
pub(crate) fn state(state: &str) -> String {
    watched(state, "None", "null", -1)
}

/// What is printed when a watch was taken away.
pub(crate) fn removed(kind: &str, path: &str) -> String {
    watched("SyncConnected", kind, path, -1)
}

fn watched(state: &str, kind: &str, path: &str, zxid: i64) -> String {
    format!("\nWATCHER::\n\nWatchedEvent state:{state} type:{kind} path:{path} zxid: {zxid}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_javas() {
        let zone = TimeZone::UTC;
        assert_eq!(date(0, &zone), "Thu Jan 01 00:00:00 UTC 1970");
        assert_eq!(
            date(1_795_341_592_123, &zone),
            "Sun Nov 22 09:59:52 UTC 2026"
        );
    }

    #[test]
    fn permissions_are_letters_in_javas_order() {
        assert_eq!(permissions(31), "cdrwa");
        assert_eq!(permissions(9), "dr");
        assert_eq!(permission('a'), Some(16));
        assert_eq!(permission('x'), None);
    }

    #[test]
    fn a_hex_dump_has_sixteen_bytes_a_row() {
        let dump = hex_dump(b"0123456789abcdef\xc3\xa4");
        let rows: Vec<_> = dump.lines().skip(3).collect();
        assert_eq!(
            rows[0],
            "|00000000| 30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66 |0123456789abcdef|"
        );
        assert_eq!(
            rows[1],
            "|00000010| c3 a4                                           |..              |"
        );
        assert_eq!(rows.len(), 3);
        assert_eq!(hex_dump(b""), "");
    }
}
