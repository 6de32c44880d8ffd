//! The table of what Oxkeeper does otherwise on purpose, and the requests that show it.
//!
//! Scripts hold none of these, for what follows would differ too. Each is a short script of its own. Ours
//! must answer exactly as the table has it; what the reference answers is not compared, and where it
//! would not survive, it is not asked.
//!
//! Reasons in full: `docs/decisions/0008-what-is-not-mimicked.md` and 0006.

mod requests;

use crate::drive::{Transcript, What};
use crate::script::{Connect, Password, Request, Script, Step};
use requests::*;

/// One deliberate difference.
#[derive(Clone, Copy, Debug)]
pub struct Deliberate {
    /// What it is about.
    pub name: &'static str,
    /// Why it is so.
    pub reason: &'static str,
    /// Whether the reference is asked too.
    pub reference: Reference,
    /// Where the connection is.
    at: At,
    /// The requests, in one piece on a connection with a session, and how ours answers each.
    requests: &'static [(Make, Ours)],
    /// Whether ours closes the connection then.
    pub closes: bool,
}

/// The server that is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// A follower, or the only server.
    Follower,
    /// The leader of an ensemble, when the session has gone to a follower meanwhile.
    LeaderThatWasLeft,
}

/// Makes a request with this xid.
type Make = fn(i32) -> Request;

/// What is done with the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// It is asked, and may answer what it likes.
    Asked,
    /// It would end, or never answer again; in an ensemble only where this says so.
    Spared {
        /// Whether it survives as a server alone.
        in_ensembles_only: bool,
    },
}

/// How ours answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ours {
    /// A reply of a header with this error and no more.
    Error(i32),
    /// A reply of a header with this error and anything.
    Header(i32),
    /// No reply.
    Nothing,
}

const NO_SURVIVOR: Reference = Reference::Spared {
    in_ensembles_only: false,
};
const NO_ENSEMBLE: Reference = Reference::Spared {
    in_ensembles_only: true,
};

/// All of them.
pub const TABLE: &[Deliberate] = &[
    Deliberate {
        name: "deleteContainer from a client",
        reason: "an internal opcode: Java executes it, without a look at acls",
        reference: Reference::Asked,
        at: At::Follower,
        requests: &[(delete_container, Ours::Error(-6))],
        closes: true,
    },
    Deliberate {
        name: "an unknown opcode behind writes",
        reason: "Java's answer may overtake theirs, or swallow them",
        reference: Reference::Asked,
        at: At::Follower,
        requests: &[
            (create_open, Ours::Header(0)),
            (missing, Ours::Error(-101)),
            (unknown, Ours::Error(-6)),
        ],
        closes: true,
    },
    Deliberate {
        name: "requests behind closeSession",
        reason: "Java's threads leave it to chance whether they are answered -112",
        reference: Reference::Asked,
        at: At::Follower,
        requests: &[(close, Ours::Error(0)), (missing, Ours::Nothing)],
        closes: true,
    },
    Deliberate {
        name: "setWatches with a null in a list",
        reason: "Java tells half of the events, or takes the null for a path, before it fails",
        reference: Reference::Asked,
        at: At::Follower,
        requests: &[(set_watches_null_path, Ours::Error(-5))],
        closes: false,
    },
    Deliberate {
        name: "setWatches2 with a null list",
        reason: "Java tells half of the events before it fails",
        reference: Reference::Asked,
        at: At::Follower,
        requests: &[(set_watches_null_list, Ours::Error(-5))],
        closes: false,
    },
    Deliberate {
        name: "removeWatches of a null path",
        reason: "no path is no path: -5; Java finds no watch on null, -121",
        reference: Reference::Asked,
        at: At::Follower,
        requests: &[(remove_null, Ours::Error(-5))],
        closes: false,
    },
    Deliberate {
        name: "multiRead of a null path",
        reason: "Java adds the results so far to an error, and no client reads them",
        reference: Reference::Asked,
        at: At::Follower,
        requests: &[(multi_read_null, Ours::Error(-5))],
        closes: false,
    },
    Deliberate {
        name: "multi with a null acl",
        reason: "takes a zxid like every other multi that cannot be decoded; in Java none",
        reference: NO_ENSEMBLE,
        at: At::Follower,
        requests: &[(multi_null_acl, Ours::Error(-5))],
        closes: false,
    },
    Deliberate {
        name: "create of a null path with wrong flags",
        reason: "a path that is not there is found missing first: -5; Java looks at the flags, -8",
        reference: Reference::Asked,
        at: At::Follower,
        requests: &[(create_null_wrong, Ours::Error(-5))],
        closes: false,
    },
    Deliberate {
        name: "children of a container that was to be ephemeral",
        reason: "Java refuses them, -108, until it has made the container",
        reference: Reference::Asked,
        at: At::Follower,
        requests: &[
            (ephemeral_container, Ours::Header(0)),
            (child_of_container, Ours::Header(0)),
        ],
        closes: false,
    },
    Deliberate {
        name: "createTTL without a TTL mode",
        reason: "Java ends, and ends again at each start",
        reference: NO_SURVIVOR,
        at: At::Follower,
        requests: &[(ttl_without_mode, Ours::Error(-8))],
        closes: false,
    },
    Deliberate {
        name: "create of /zookeeper/quota/zookeeper_limits",
        reason: "Java ends, and ends again at each start; here a plain znode",
        reference: NO_SURVIVOR,
        at: At::Follower,
        requests: &[(limits_of_the_root, Ours::Header(0))],
        closes: false,
    },
    Deliberate {
        name: "delete of a zookeeper_limits above /zookeeper/quota",
        reason: "Java ends, and ends again at each start; here an ordinary delete",
        reference: NO_SURVIVOR,
        at: At::Follower,
        requests: &[
            (misplaced_limits, Ours::Header(0)),
            (delete_misplaced, Ours::Error(0)),
        ],
        closes: false,
    },
    Deliberate {
        name: "a zookeeper_stats that does not parse, and a write below",
        reason: "Java ends, and ends again at each start; here usage is counted anew",
        reference: NO_SURVIVOR,
        at: At::Follower,
        requests: &[
            (quota_folder, Ours::Header(0)),
            (quota_limits, Ours::Header(0)),
            (quota_stats, Ours::Header(0)),
            (spoil_stats, Ours::Header(0)),
            (create_below, Ours::Header(0)),
            (delete_below, Ours::Error(0)),
        ],
        closes: false,
    },
    Deliberate {
        name: "a write that cannot be decoded, in an ensemble",
        reason: "Java proposes it under the last zxid again, and the ensemble comes to a stop",
        reference: NO_ENSEMBLE,
        at: At::Follower,
        requests: &[(cut_create, Ours::Error(-5))],
        closes: false,
    },
    Deliberate {
        name: "a multi that cannot be decoded, by way of a follower",
        reason: "answered there, for a Java leader might be stopped by it; in Java it takes a zxid",
        reference: Reference::Asked,
        at: At::Follower,
        requests: &[(empty_sequence, Ours::Error(-5))],
        closes: false,
    },
    Deliberate {
        name: "reads at a leader whose client has gone elsewhere with its session",
        reason: "ours asks whose the session is before it writes; Java's leader for reads too",
        reference: Reference::Asked,
        at: At::LeaderThatWasLeft,
        requests: &[(exists_nowhere, Ours::Error(-101))],
        closes: false,
    },
    Deliberate {
        name: "an empty multi where a session was before it went elsewhere",
        reason: "a write like any other: the connection ends; Java has nothing in it to check",
        reference: Reference::Asked,
        at: At::LeaderThatWasLeft,
        requests: &[(empty_multi, Ours::Nothing)],
        closes: true,
    },
    Deliberate {
        name: "createSession from a client",
        reason: "an internal opcode: Java executes it",
        reference: Reference::Asked,
        at: At::Follower,
        requests: &[(create_session, Ours::Error(-6))],
        closes: true,
    },
];

impl Deliberate {
    /// Its requests, on a connection of their own.
    pub fn script(&self) -> Script {
        let numbered = (FIRST_XID..).zip(self.requests);
        let requests = numbered.map(|(xid, (make, _))| make(xid)).collect();
        let mut steps = Vec::new();
        let connect = |label, server| Connect::plain(label, server);
        match self.at {
            // A server alone is this one too.
            At::Follower => steps.push(Step::Connect(connect(0, FOLLOWER))),
            At::LeaderThatWasLeft => {
                let mut other = connect(1, FOLLOWER);
                other.session_of = Some(0);
                other.password = Password::Right;
                steps.push(Step::Connect(connect(0, 0)));
                steps.push(Step::Connect(other));
            }
        }
        steps.push(Step::Batch { on: 0, requests });
        Script { steps }
    }

    /// Whether it can show in a service of so many servers.
    pub fn shows(&self, servers: usize) -> bool {
        self.at == At::Follower || 1 < servers
    }

    /// Whether the reference is asked in a service of so many servers.
    pub fn asks_reference(&self, servers: usize) -> bool {
        match self.reference {
            Reference::Asked => true,
            Reference::Spared { in_ensembles_only } => in_ensembles_only && servers == 1,
        }
    }

    /// What is wrong with how ours has answered.
    pub fn check(&self, transcript: &Transcript) -> Result<(), String> {
        let seen = transcript.seen.get(&0).into_iter().flatten();
        let last = self.script().steps.len() - 1;
        let answers = || seen.clone().filter(|seen| seen.step == last);
        let frames: Vec<&Vec<u8>> = answers()
            .filter_map(|seen| match &seen.what {
                What::Frame(_, frame) => Some(frame),
                What::Closed | What::Silence => None,
            })
            .collect();
        let closed = answers().any(|seen| seen.what == What::Closed);
        let numbered = (FIRST_XID..).zip(self.requests);
        let answered = numbered.filter(|(_, (_, ours))| *ours != Ours::Nothing);
        let wanted: Vec<(i32, Ours)> = answered.map(|(xid, (_, ours))| (xid, *ours)).collect();
        if frames.len() != wanted.len() {
            return Err(format!("{} frames, not {}", frames.len(), wanted.len()));
        }
        for ((xid, ours), frame) in wanted.into_iter().zip(frames) {
            let word = |at: usize| {
                let bytes = frame.get(at..at + 4);
                bytes.map(|bytes| i32::from_be_bytes(bytes.try_into().expect("four bytes")))
            };
            let (error, alone) = match ours {
                Ours::Error(error) => (error, true),
                Ours::Header(error) => (error, false),
                Ours::Nothing => continue,
            };
            if word(0) != Some(xid) || word(12) != Some(error) || (alone && frame.len() != 16) {
                return Err(format!("xid {xid} is to be {ours:?}"));
            }
        }
        match (closed, self.closes) {
            (true, false) => Err("the connection is closed".to_owned()),
            (false, true) => Err("the connection is left open".to_owned()),
            _ => Ok(()),
        }
    }
}

/// The server of scripts to which they go.
const FOLLOWER: usize = 1;

/// The xid of the first request.
const FIRST_XID: i32 = 1000;
