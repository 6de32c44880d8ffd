//! The table of what may differ between two services, and frames written in its terms.
//!
//! Invariant: what is not named here is compared byte for byte.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use compat_tests::wire::password;

use crate::drive::{Seen, Transcript, What};
use crate::reader::{Kind, Token, Value, tokens};
use crate::script::Label;
use crate::target::Target;

/// What may differ, and what it is compared as.
pub const MAY_DIFFER: &[(&str, &str)] = &[
    (
        "zxid",
        "its distance from the last one before the script; one before that is only that",
    ),
    (
        "wall time",
        "whose transaction's it is: one zxid has one time; 0 is 0",
    ),
    (
        "session id",
        "whose it is by first sight, and whether its first byte is its server's id",
    ),
    (
        "password",
        "right for the session, or 16 zeros, or its bytes",
    ),
    (
        "children, ephemerals, whoAmI",
        "sorted: Java's order is that of its hash tables",
    ),
    (
        "identities behind an auth entry of an acl",
        "neighbours of equal perms and scheme digest sorted: the same hash tables",
    ),
    (
        "events of one closeSession",
        "sorted: ephemerals go in the order of a hash table",
    ),
    (
        "four-letter words",
        "numbers that count what was or time it; of mntr what ours has; dump up to the connections",
    ),
    (
        "ports in /zookeeper/config",
        "whose port it is by the order of the text",
    ),
];

/// A line for each thing a connection has seen: the step, and what it was in comparable terms.
pub type Story = Vec<(usize, String)>;

/// Writes what a service says in terms that do not depend on when and where it ran.
#[derive(Debug)]
pub struct Normal<'a> {
    target: &'a Target,
    transcript: &'a Transcript,
    /// The time of each transaction, as first told.
    times: BTreeMap<i64, i64>,
    last_session: i64,
}

impl<'a> Normal<'a> {
    /// For what one service has said.
    pub fn new(target: &'a Target, transcript: &'a Transcript) -> Self {
        Self {
            target,
            transcript,
            times: BTreeMap::new(),
            last_session: 0,
        }
    }

    /// All connections' stories.
    pub fn stories(&mut self) -> BTreeMap<Label, Story> {
        let seen = &self.transcript.seen;
        seen.iter()
            .map(|(label, seen)| (*label, self.story(seen)))
            .collect()
    }

    fn story(&mut self, seen: &[Seen]) -> Story {
        let mut story: Story = Vec::new();
        // Where a run of events begins that come in no particular order, and of which transaction.
        let mut unordered: Option<(usize, i64)> = None;
        for seen in seen {
            let ending = ending(&seen.what).filter(|zxid| self.transcript.endings.contains(zxid));
            if unordered.map(|(_, zxid)| zxid) != ending {
                if let Some((from, _)) = unordered {
                    story[from..].sort_by(|a, b| a.1.cmp(&b.1));
                }
                unordered = ending.map(|zxid| (story.len(), zxid));
            }
            story.push((seen.step, self.line(&seen.what)));
        }
        if let Some((from, _)) = unordered {
            story[from..].sort_by(|a, b| a.1.cmp(&b.1));
        }
        story
    }

    /// What was seen, on one line.
    pub fn line(&mut self, what: &What) -> String {
        match what {
            What::Frame(kind, frame) => {
                let head = match kind {
                    Kind::Connect => "connected".to_owned(),
                    Kind::Reply(opcode) => format!("reply to {opcode}"),
                    Kind::Event => "event".to_owned(),
                };
                tokens(*kind, frame).iter().fold(head, |mut line, token| {
                    let value = self.value(token);
                    let _ = write!(line, " {}={value}", token.name);
                    line
                })
            }
            What::Closed => "closed".to_owned(),
            What::Silence => "no answer".to_owned(),
        }
    }

    fn value(&mut self, token: &Token) -> String {
        match &token.value {
            Value::Int(value) => value.to_string(),
            Value::Bytes(bytes) => format!("{} bytes {}", bytes.len(), hex::encode(bytes)),
            Value::Text(text) => readable(self.without_ports(text.as_deref()).as_deref()),
            Value::Zxid(zxid) => self.zxid(*zxid),
            Value::Session(session) => self.session(*session),
            Value::Password(bytes) => self.password(bytes.as_deref()),
            Value::Time { zxid, ms } => self.time(*zxid, *ms),
            Value::Names(names) => {
                let mut texts: Vec<String> =
                    names.iter().map(|name| readable(name.as_deref())).collect();
                texts.sort();
                format!("[{}]", texts.join(" "))
            }
        }
    }

    fn zxid(&self, zxid: i64) -> String {
        let base = self.transcript.given.base;
        match zxid {
            ..=0 => zxid.to_string(),
            _ if zxid <= base => "before".to_owned(),
            _ => format!("+{}", zxid - base),
        }
    }

    fn time(&mut self, zxid: i64, ms: i64) -> String {
        if ms == 0 {
            return "0".to_owned();
        }
        if zxid <= self.transcript.given.base {
            return "before".to_owned();
        }
        match *self.times.entry(zxid).or_insert(ms) {
            time if time == ms => format!("of {}", self.zxid(zxid)),
            time => format!("{} ms after that of {}", ms - time, self.zxid(zxid)),
        }
    }

    fn session(&mut self, session: i64) -> String {
        self.last_session = session;
        if session == 0 {
            return "0".to_owned();
        }
        let sessions = &self.transcript.given.sessions;
        let Some((label, _)) = sessions.iter().find(|(_, id)| **id == session) else {
            return format!("unknown {session:#x}");
        };
        let sid = session.to_be_bytes()[0];
        let server = self.target.members.iter().position(|m| m.sid == sid);
        match server {
            Some(server) => format!("of connection {label} on server {server}"),
            None => format!("of connection {label} on no server"),
        }
    }

    fn password(&self, bytes: Option<&[u8]>) -> String {
        match bytes {
            Some(bytes) if bytes == password(self.last_session) => "right".to_owned(),
            other => readable(other),
        }
    }

    /// The text of /zookeeper/config with each port by its place in it.
    fn without_ports(&self, text: Option<&[u8]>) -> Option<Vec<u8>> {
        let text = text?;
        if !text.starts_with(b"server.1=127.0.0.1:") {
            return Some(text.to_vec());
        }
        let mut out = Vec::new();
        for part in text.split_inclusive(|byte| *byte == b':') {
            let digits = part.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 5 {
                out.extend(b"PORT.");
                out.extend(&part[digits..]);
            } else {
                out.extend(part);
            }
        }
        Some(out)
    }
}

/// The zxid of an event.
fn ending(what: &What) -> Option<i64> {
    match what {
        What::Frame(Kind::Event, frame) => {
            let bytes = frame.get(4..12)?;
            Some(i64::from_be_bytes(bytes.try_into().ok()?))
        }
        _ => None,
    }
}

/// Text as it is where that says all, with escapes for the rest; null is null.
pub fn readable(text: Option<&[u8]>) -> String {
    match text {
        None => "null".to_owned(),
        Some(text) if 200 < text.len() => {
            let first = text[0];
            if text.iter().all(|byte| *byte == first) {
                return format!("{} times {:?}", text.len(), char::from(first));
            }
            format!("\"{}\"", text.escape_ascii())
        }
        Some(text) => format!("\"{}\"", text.escape_ascii()),
    }
}
