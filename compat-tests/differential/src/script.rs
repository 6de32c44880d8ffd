//! What a script is made of: steps, each on one connection or on the clock, and the bytes they send.
//!
//! Invariant: a script says everything, so the same script is the same requests on any server; only
//! what a server has given out itself (session ids, passwords, zxids) is filled in when it is sent.

use std::collections::BTreeMap;

use compat_tests::wire::{Fields, password};

/// Number of a connection of a script: every `Connect` has one of its own.
pub type Label = usize;

/// A drawn script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// One after the other; between two of them everything comes to rest.
    pub steps: Vec<Step>,
}

/// One step of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Opens a connection with a ConnectRequest.
    Connect(Connect),
    /// Sends requests in one piece and waits for what comes back.
    Batch {
        /// On which connection.
        on: Label,
        /// In this order.
        requests: Vec<Request>,
    },
    /// The client's end of the connection is closed; its session stays.
    Drop(Label),
    /// The session of a connection is taken up with the shortest timeout, left alone, and expires.
    Expire {
        /// Whose session.
        of: Label,
        /// By way of which server.
        server: usize,
    },
    /// Waits until the server has collected this many containers or znodes with a TTL.
    Collect(i64),
}

/// A new connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// Its number.
    pub label: Label,
    /// 0 is the leader, or the only server.
    pub server: usize,
    /// A field of the ConnectRequest.
    pub version: i32,
    /// A field of the ConnectRequest.
    pub last_zxid: Zxid,
    /// A field of the ConnectRequest, in milliseconds.
    pub timeout: i32,
    /// Whose session is taken up; none for a new one.
    pub session_of: Option<Label>,
    /// A field of the ConnectRequest.
    pub password: Password,
    /// The byte at the end, which old clients do not send.
    pub read_only: Option<u8>,
    /// Bytes more, or fewer, than the request has.
    pub cut: Cut,
    /// Sent in one piece with the ConnectRequest.
    pub behind: Vec<Request>,
}

/// What a ConnectRequest proves itself by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Password {
    Right,
    Wrong,
    Zeros,
    Null,
    Empty,
}

/// A zxid as a script can know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zxid {
    /// This number.
    Literal(i64),
    /// So many after the last one before the script.
    Base(i64),
}

/// How many bytes of a body are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// All.
    None,
    /// So many fewer.
    Short(usize),
    /// So many zeros more.
    Long(usize),
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A header and the fields of a body.
    Op {
        /// Of the header.
        xid: i32,
        /// Of the header.
        opcode: i32,
        /// Fields in the order of the wire.
        body: Vec<Field>,
        /// Whether the body is whole.
        cut: Cut,
    },
    /// Any length and any bytes.
    Frame {
        /// What stands before the payload.
        length: i32,
        /// What follows.
        payload: Vec<u8>,
    },
}

/// One field with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// As in `zookeeper.jute`.
    pub name: &'static str,
    /// What is sent.
    pub part: Part,
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are jute's")]
pub enum Part {
    Byte(u8),
    Int(i32),
    Long(i64),
    Zxid(Zxid),
    /// A string or a buffer; `None` is null.
    Text(Option<Vec<u8>>),
    /// A vector whose count is right.
    Vector(Vec<Vec<Field>>),
    /// Records one after the other without a count, as in a multi.
    Sequence(Vec<Vec<Field>>),
}

/// What the servers have given out so far.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The last zxid before the script.
    pub base: i64,
    /// Session ids by connection.
    pub sessions: BTreeMap<Label, i64>,
}

impl Given {
    fn zxid(&self, zxid: Zxid) -> i64 {
        match zxid {
            Zxid::Literal(zxid) => zxid,
            Zxid::Base(more) => self.base + more,
        }
    }
}

impl Connect {
    /// A new session with a long timeout, as a client of today opens it.
    pub fn plain(label: Label, server: usize) -> Self {
        Self {
            label,
            server,
            version: 0,
            last_zxid: Zxid::Literal(0),
            timeout: 30_000,
            session_of: None,
            password: Password::Zeros,
            read_only: Some(0),
            cut: Cut::None,
            behind: Vec::new(),
        }
    }

    /// The frame of the ConnectRequest.
    pub fn frame(&self, given: &Given) -> Vec<u8> {
        let session = self
            .session_of
            .and_then(|label| given.sessions.get(&label).copied())
            .unwrap_or_default();
        let right = password(session);
        let bytes: Option<Vec<u8>> = match self.password {
            Password::Right => Some(right.to_vec()),
            Password::Wrong => Some(right.iter().map(|byte| !byte).collect()),
            Password::Zeros => Some(vec![0; 16]),
            Password::Null => None,
            Password::Empty => Some(Vec::new()),
        };
        let fields = Fields::new()
            .int(self.version)
            .long(given.zxid(self.last_zxid))
            .int(self.timeout)
            .long(session)
            .buffer(bytes.as_deref())
            .raw(self.read_only.as_slice());
        self.cut.apply(fields.0)
    }
}

impl Request {
    /// A whole request.
    pub fn op(xid: i32, opcode: i32, body: Vec<Field>) -> Self {
        Self::Op {
            xid,
            opcode,
            body,
            cut: Cut::None,
        }
    }

    /// Its opcode, if it has one.
    pub fn opcode(&self) -> Option<i32> {
        match self {
            Self::Op { opcode, .. } => Some(*opcode),
            Self::Frame { .. } => None,
        }
    }

    /// Its bytes with the length in front.
    pub fn frame(&self, given: &Given) -> Vec<u8> {
        match self {
            Self::Op {
                xid,
                opcode,
                body,
                cut,
            } => {
                let head = Fields::new().int(*xid).int(*opcode);
                let fields = body
                    .iter()
                    .fold(head, |bytes, field| field.put(bytes, given));
                cut.apply(fields.0)
            }
            Self::Frame { length, payload } => Fields::new().int(*length).raw(payload).0,
        }
    }
}

impl Cut {
    /// Cuts a payload, and puts its length in front.
    fn apply(self, mut payload: Vec<u8>) -> Vec<u8> {
        match self {
            Self::None => {}
            Self::Short(fewer) => payload.truncate(payload.len().saturating_sub(fewer)),
            Self::Long(more) => payload.resize(payload.len() + more, 0),
        }
        Fields(payload).framed()
    }
}

impl Field {
    fn put(&self, bytes: Fields, given: &Given) -> Fields {
        match &self.part {
            Part::Byte(value) => bytes.raw(&[*value]),
            Part::Int(value) => bytes.int(*value),
            Part::Long(value) => bytes.long(*value),
            Part::Zxid(zxid) => bytes.long(given.zxid(*zxid)),
            Part::Text(text) => bytes.buffer(text.as_deref()),
            Part::Vector(records) => {
                let count = i32::try_from(records.len()).expect("a drawn vector is short");
                put_all(bytes.int(count), records, given)
            }
            Part::Sequence(records) => put_all(bytes, records, given),
        }
    }
}

fn put_all(bytes: Fields, records: &[Vec<Field>], given: &Given) -> Fields {
    records
        .iter()
        .flatten()
        .fold(bytes, |bytes, field| field.put(bytes, given))
}

/// A field of text.
pub fn text(name: &'static str, text: impl Into<Vec<u8>>) -> Field {
    Field {
        name,
        part: Part::Text(Some(text.into())),
    }
}

/// A field of text that may be null.
pub fn nullable(name: &'static str, text: Option<Vec<u8>>) -> Field {
    Field {
        name,
        part: Part::Text(text),
    }
}

/// A field of four bytes.
pub fn int(name: &'static str, value: i32) -> Field {
    Field {
        name,
        part: Part::Int(value),
    }
}

/// A field of eight bytes.
pub fn long(name: &'static str, value: i64) -> Field {
    Field {
        name,
        part: Part::Long(value),
    }
}

/// A field of one byte.
pub fn byte(name: &'static str, value: u8) -> Field {
    Field {
        name,
        part: Part::Byte(value),
    }
}
