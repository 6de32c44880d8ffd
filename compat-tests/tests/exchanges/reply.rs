//! Frames taken apart into fields, and which of them may differ between two runs.

use std::collections::BTreeMap;

use compat_tests::wire::{Record, op, password};

/// What a frame has to be read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A ConnectResponse.
    Connect,
    /// A ReplyHeader and the body of this opcode; events may come before it.
    Reply(i32),
}

impl Kind {
    pub(crate) fn of_request(sent: &[u8], has_session: bool) -> Self {
        if !has_session {
            return if sent.is_empty() {
                Self::Reply(0)
            } else {
                Self::Connect
            };
        }
        let opcode = sent.get(8..12).map_or(0, |bytes| {
            i32::from_be_bytes(bytes.try_into().expect("four bytes"))
        });
        // Java answers a client's createSession with a bare ConnectResponse.
        if opcode == op::CREATE_SESSION {
            Self::Connect
        } else {
            Self::Reply(opcode)
        }
    }
}

/// One field, by the rule of its comparison.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Field {
    /// Compared as it is.
    Fixed(&'static str, Vec<u8>),
    /// Equal after the moves of intended differences.
    Zxid(&'static str, i64),
    /// Any, but always the same one for the same captured one.
    Session(i64),
    /// The function of the session id before it.
    Password(Vec<u8>),
    /// Creation and modification time.
    Times(i64, i64),
    /// Order means nothing.
    Set(Vec<Vec<u8>>),
}

/// The frames that have to come, and whether the server closes after them.
#[derive(Clone, Debug)]
pub(crate) struct Expectation {
    pub(crate) frames: Vec<Vec<u8>>,
    pub(crate) closes: bool,
    /// How far zxids of these frames lie from those of this run's capture.
    pub(crate) zxids_off_by: i64,
}

impl Expectation {
    pub(crate) fn captured(received_hex: &str, closes: bool) -> Self {
        let mut rest = Record(&hex::decode(received_hex).expect("hexadecimal"))
            .0
            .to_vec();
        let mut frames = Vec::new();
        while !rest.is_empty() {
            let mut record = Record(&rest);
            frames.push(record.buffer().expect("a frame is not null").to_vec());
            rest = record.0.to_vec();
        }
        Self {
            frames,
            closes,
            zxids_off_by: 0,
        }
    }
}

/// What this run knows of how its values map to captured ones.
#[derive(Debug, Default)]
pub(crate) struct Context {
    /// The server of the item at hand: each has its own zxids.
    pub(crate) server: String,
    /// (server, first captured zxid that is moved, by how much).
    moves: Vec<(String, i64, i64)>,
    /// Captured session id -> ours.
    sessions: BTreeMap<i64, i64>,
}

impl Context {
    pub(crate) fn move_zxids(&mut self, server: &str, from: i64, by: i64) {
        self.moves.push((server.to_owned(), from, by));
    }

    pub(crate) fn compare(
        &mut self,
        kind: Kind,
        received: &[Vec<u8>],
        expected: &Expectation,
    ) -> Result<(), String> {
        for (index, (ours, theirs)) in received.iter().zip(&expected.frames).enumerate() {
            let (found, wanted) = (fields(kind, ours), fields(kind, theirs));
            let same = found.len() == wanted.len()
                && found
                    .iter()
                    .zip(&wanted)
                    .all(|(found, wanted)| self.same(found, wanted, expected.zxids_off_by));
            if !same {
                return Err(format!(
                    "frame {index}\n      got      {found:?}\n      expected {wanted:?}{}",
                    self.moved_note()
                ));
            }
            // Splitting into fields loses nothing, so equal fields of equal lengths are equal bytes.
            if ours.len() != theirs.len() {
                return Err(format!(
                    "frame {index}: {} bytes, not {}",
                    ours.len(),
                    theirs.len()
                ));
            }
        }
        Ok(())
    }

    fn same(&mut self, found: &Field, wanted: &Field, off_by: i64) -> bool {
        match (found, wanted) {
            (Field::Zxid(_, found), Field::Zxid(_, wanted)) => *found == self.zxid(*wanted, off_by),
            (Field::Session(0), Field::Session(0)) => true,
            (Field::Session(found), Field::Session(wanted)) => {
                let high_byte = found.to_be_bytes()[0];
                let ours = *self.sessions.entry(*wanted).or_insert(*found);
                let uses = self
                    .sessions
                    .values()
                    .filter(|&&session| session == ours)
                    .count();
                ours == *found && uses == 1 && high_byte == wanted.to_be_bytes()[0]
            }
            (Field::Times(ctime, mtime), Field::Times(wanted_ctime, wanted_mtime)) => {
                (ctime == mtime) == (wanted_ctime == wanted_mtime)
                    && (*ctime == 0) == (*wanted_ctime == 0)
                    && (*mtime == 0) == (*wanted_mtime == 0)
                    && ctime <= mtime
            }
            (Field::Password(found), Field::Password(_)) => {
                // The field before it is the session id; both were checked one by one.
                found.iter().all(|&byte| byte == 0) || self.knows_password(found)
            }
            (found, wanted) => found == wanted,
        }
    }

    fn knows_password(&self, found: &[u8]) -> bool {
        self.sessions
            .values()
            .any(|&session| password(session) == found)
    }

    /// A captured zxid in this run's counting.
    fn zxid(&self, captured: i64, off_by: i64) -> i64 {
        if captured <= 0 {
            return captured;
        }
        let captured = captured + off_by;
        let moved: i64 = self
            .moves
            .iter()
            .filter(|(server, from, _)| *server == self.server && *from <= captured)
            .map(|(_, _, by)| by)
            .sum();
        captured + moved
    }

    fn moved_note(&self) -> String {
        let by: i64 = self
            .moves
            .iter()
            .filter(|(server, ..)| *server == self.server)
            .map(|m| m.2)
            .sum();
        if by == 0 {
            String::new()
        } else {
            format!("\n      (zxids moved by {by} so far)")
        }
    }
}

fn fields(kind: Kind, frame: &[u8]) -> Vec<Field> {
    let mut record = Record(frame);
    let mut out = Vec::new();
    match kind {
        // A bare ReplyHeader is shorter than any ConnectResponse.
        Kind::Connect if frame.len() > 16 => {
            out.push(Field::Fixed("version and timeout", record.take(8).to_vec()));
            out.push(Field::Session(record.long()));
            out.push(Field::Password(
                record.buffer().unwrap_or_default().to_vec(),
            ));
        }
        Kind::Connect | Kind::Reply(_) => {
            let xid = record.int();
            out.push(Field::Fixed("xid", xid.to_be_bytes().to_vec()));
            out.push(Field::Zxid("header", record.long()));
            let error = record.int();
            out.push(Field::Fixed("err", error.to_be_bytes().to_vec()));
            if let Kind::Reply(opcode) = kind
                && xid != -1
                && error == 0
            {
                body(opcode, &mut record, &mut out);
            }
        }
    }
    out.push(Field::Fixed("rest", record.0.to_vec()));
    out
}

fn body(opcode: i32, record: &mut Record<'_>, out: &mut Vec<Field>) {
    match opcode {
        op::CREATE => string("path", record, out),
        op::CREATE2 | op::CREATE_CONTAINER | op::CREATE_TTL => {
            string("path", record, out);
            stat(record, out);
        }
        op::EXISTS | op::SET_DATA | op::SET_ACL => stat(record, out),
        op::GET_DATA => {
            string("data", record, out);
            stat(record, out);
        }
        op::GET_ACL => {
            out.push(Field::Fixed(
                "acl",
                format!("{:?}", record.acl()).into_bytes(),
            ));
            stat(record, out);
        }
        op::GET_CHILDREN | op::GET_EPHEMERALS => set(record, out),
        op::GET_CHILDREN2 => {
            set(record, out);
            stat(record, out);
        }
        op::MULTI | op::MULTI_READ => loop {
            let header = record.take(9);
            out.push(Field::Fixed("result", header.to_vec()));
            let mut header = Record(header);
            let (result, done) = (header.int(), header.take(1) != [0]);
            if done {
                break;
            }
            if result == -1 {
                out.push(Field::Fixed("err", record.take(4).to_vec()));
            } else {
                body(result, record, out);
            }
        },
        op::WHO_AM_I => {
            let count = record.int();
            let mut ids: Vec<Vec<u8>> = (0..count)
                .map(|_| format!("{}:{}", record.string(), record.string()).into_bytes())
                .collect();
            ids.sort();
            out.push(Field::Set(ids));
        }
        // Everything else is compared whole, as the rest.
        _ => {}
    }
}

fn string(name: &'static str, record: &mut Record<'_>, out: &mut Vec<Field>) {
    out.push(Field::Fixed(
        name,
        format!("{:?}", record.buffer()).into_bytes(),
    ));
}

fn set(record: &mut Record<'_>, out: &mut Vec<Field>) {
    let mut names: Vec<Vec<u8>> = record
        .strings()
        .into_iter()
        .map(String::into_bytes)
        .collect();
    names.sort();
    out.push(Field::Set(names));
}

fn stat(record: &mut Record<'_>, out: &mut Vec<Field>) {
    out.push(Field::Zxid("czxid", record.long()));
    out.push(Field::Zxid("mzxid", record.long()));
    out.push(Field::Times(record.long(), record.long()));
    out.push(Field::Fixed(
        "version, cversion, aversion",
        record.take(12).to_vec(),
    ));
    out.push(Field::Session(record.long()));
    out.push(Field::Fixed(
        "dataLength, numChildren",
        record.take(8).to_vec(),
    ));
    out.push(Field::Zxid("pzxid", record.long()));
}
