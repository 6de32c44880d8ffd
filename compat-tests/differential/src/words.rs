//! The four-letter words at the end of a script: what of them has to be the same.
//!
//! Lines with counters, times and ports of one run are compared by their shape, `#` for each number;
//! Java's `mntr` has hundreds of values of its own inner parts, of which ours has what operators
//! watch, so its values are compared one by one, those of `SAME` exactly.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::script::Label;
use crate::target::PATIENCE;

/// The words that are asked.
const WORDS: [&str; 5] = ["mntr", "srvr", "stat", "wchs", "dump"];

/// Values of `mntr` that depend on nothing but what was asked. Java's count of outstanding requests is
/// not one of them: it goes below 0 now and then.
const SAME: &[&str] = &[
    "zk_approximate_data_size",
    "zk_ephemerals_count",
    "zk_followers",
    "zk_global_sessions",
    "zk_learners",
    "zk_local_sessions",
    "zk_peer_state",
    "zk_server_state",
    "zk_synced_followers",
    "zk_synced_non_voting_followers",
    "zk_synced_observers",
    "zk_watch_count",
    "zk_znode_count",
];

/// Values of `mntr` that Java shows only once there is something to count.
const LATER: &[&str] = &["zk_fsync_threshold_exceed_count"];

/// Comparable lines by word. `mntr` is a line for each value.
pub type Words = BTreeMap<&'static str, Vec<String>>;

/// Asks a server, whose sessions of a script are these.
pub fn ask(server: SocketAddr, sessions: &BTreeMap<Label, i64>) -> io::Result<Words> {
    let mut words = Words::new();
    for word in WORDS {
        let text = answer(server, word)?;
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let lines: Vec<String> = match word {
            "mntr" => lines.map(value).collect(),
            "dump" => dump(lines, sessions),
            // The lines of connections have a slash in front.
            _ => lines
                .filter(|line| !line.starts_with(" /"))
                .map(report)
                .collect(),
        };
        words.insert(word, lines);
    }
    Ok(words)
}

/// What of two servers' words is not the same: the word, and the lines of each.
pub fn compare(reference: &Words, tried: &Words) -> Option<(&'static str, String, String)> {
    for word in WORDS {
        let (one, other) = (&reference[word], &tried[word]);
        let differs = match word {
            // Ours has fewer values, and no others.
            "mntr" => {
                let mut others = other.iter();
                others.any(|line| !one.contains(line) && !LATER.contains(&line.as_str()))
            }
            _ => one != other,
        };
        if differs {
            let only = |lines: &[String], others: &[String]| {
                let count = |of: &[String], wanted: &String| {
                    of.iter().filter(|line| line == &wanted).count()
                };
                let lines = lines
                    .iter()
                    .filter(|line| count(others, line) != count(lines, line))
                    .filter(|line| line.contains(' ') || word != "mntr");
                Vec::from_iter(lines.map(String::as_str)).join(" | ")
            };
            return Some((word, only(one, other), only(other, one)));
        }
    }
    None
}

fn answer(server: SocketAddr, word: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(word.as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A line of `mntr`.
fn value(line: &str) -> String {
    let (key, value) = line.split_once('\t').unwrap_or((line, ""));
    match SAME.contains(&key) {
        true => format!("{key} {value}"),
        false => key.to_owned(),
    }
}

/// A line of `srvr`, `stat` or `wchs`.
fn report(line: &str) -> String {
    let whole = ["Mode: ", "Node count: ", "Total watches:"];
    if whole.iter().any(|start| line.starts_with(start)) || line.contains(" watching ") {
        return line.to_owned();
    }
    match line.split_once(": ") {
        Some((name, _)) => name.to_owned(),
        None => masked(line),
    }
}

/// Sessions by whose they are, and their ephemerals in any order, up to the connections. Java lists
/// sessions too that have no ephemerals any more.
fn dump<'a>(lines: impl Iterator<Item = &'a str>, sessions: &BTreeMap<Label, i64>) -> Vec<String> {
    let mut all = Vec::new();
    let mut owner = String::new();
    for line in lines.take_while(|line| !line.starts_with("Connections dump")) {
        let text = line.trim();
        if text.contains(" expire at ") {
            continue;
        }
        if let Some(hex) = text.strip_prefix("0x") {
            let end = hex.find(|character: char| !character.is_ascii_hexdigit());
            let (id, rest) = hex.split_at(end.unwrap_or(hex.len()));
            let id = i64::from_str_radix(id, 16).unwrap_or_default();
            let known = sessions.iter().find(|(_, session)| **session == id);
            owner = known.map_or("ours".to_owned(), |(label, _)| format!("of {label}"));
            if !rest.starts_with(':') {
                all.push(format!("session {owner}{rest}"));
            }
        } else if text.starts_with('/') {
            all.push(format!("ephemeral {owner} {text}"));
        } else {
            owner = text.to_owned();
            all.push(masked(text));
        }
    }
    all.sort();
    all
}

/// `#` for every number.
fn masked(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        if !character.is_ascii_hexdigit() || character.is_ascii_alphabetic() {
            out.push(character);
        } else if !out.ends_with('#') {
            out.push('#');
        }
    }
    out
}
