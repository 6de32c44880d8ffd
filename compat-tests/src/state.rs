//! What a started server has found on its disk, as far as it can be seen from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::server::Server;

/// Tree digest a server logged when it had loaded its data: Apache in decimal (`digest is N`),
/// Oxkeeper in hexadecimal (`digest=0x..`).
#[track_caller]
pub fn logged_digest(server: &Server) -> i64 {
    let log = server.log();
    let decimal = log
        .rsplit_once("digest is ")
        .map(|(_, rest)| word(rest, char::is_numeric, '-'));
    let hexadecimal = log
        .rsplit_once("digest=0x")
        .map(|(_, rest)| word(rest, |character| character.is_ascii_hexdigit(), '-'));
    match (hexadecimal, decimal) {
        (Some(text), _) => {
            let bits = u64::from_str_radix(text, 16).expect("a hexadecimal digest");
            i64::from_be_bytes(bits.to_be_bytes())
        }
        (None, Some(text)) => text.parse().expect("a decimal digest"),
        (None, None) => panic!("no digest in the log:\n{log}"),
    }
}

fn word(text: &str, part: impl Fn(char) -> bool, sign: char) -> &str {
    let end = text
        .find(|character| character != sign && !part(character))
        .unwrap_or(text.len());
    &text[..end]
}

/// Sessions and ephemerals as `dump` lists them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dump {
    /// Session id -> milliseconds from now to its expiry bucket, good to about a second.
    pub sessions: BTreeMap<i64, i64>,
    /// Session id -> its ephemerals.
    pub ephemerals: BTreeMap<i64, BTreeSet<String>>,
}

/// Reads `dump`; the server must run with `TZ=UTC`.
#[track_caller]
pub fn dump(server: &Server) -> Dump {
    let text = server.four_letter_word("dump").expect("dump is answered");
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let now = i64::try_from(now.as_millis()).expect("a date") % DAY_MS;
    let mut dump = Dump::default();
    let mut until = 0;
    let mut owner = None;
    let mut lines = text.lines();
    for line in lines
        .by_ref()
        .take_while(|line| !line.starts_with("ephemeral nodes dump"))
    {
        if let Some((_, date)) = line.split_once(" expire at ") {
            until = (time_of_day(date) - now).rem_euclid(DAY_MS);
        } else if let Some(id) = line.trim().strip_prefix("0x") {
            dump.sessions.insert(session(id), until);
        }
    }
    for line in lines.take_while(|line| !line.starts_with("Connections dump")) {
        if let Some(id) = line.strip_prefix("0x") {
            owner = Some(session(id.trim_end_matches(':')));
        } else if let (Some(owner), Some(path)) = (owner, line.strip_prefix('\t')) {
            dump.ephemerals
                .entry(owner)
                .or_default()
                .insert(path.to_owned());
        }
    }
    dump
}

const DAY_MS: i64 = 86_400_000;

/// Milliseconds since midnight of a date like `Sun Nov 22 09:55:15 UTC 2026:`.
#[track_caller]
fn time_of_day(date: &str) -> i64 {
    let clock = date
        .split_whitespace()
        .nth(3)
        .unwrap_or_else(|| panic!("no time in {date}"));
    let parts: Vec<i64> = clock
        .split(':')
        .map(|part| part.parse().expect("a number"))
        .collect();
    (parts[0] * 3600 + parts[1] * 60 + parts[2]) * 1000
}

#[track_caller]
fn session(hex: &str) -> i64 {
    let bits = u64::from_str_radix(hex, 16).expect("a session id");
    i64::from_be_bytes(bits.to_be_bytes())
}
