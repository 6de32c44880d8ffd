//! Runs a script on one service and keeps all that it says.
//!
//! Invariant: when a step ends, everything it has caused has happened on every server, and every event
//! of it has come: each connection has answered a ping that was sent after the last server had applied
//! the last transaction known of.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Shutdown;
use std::time::Instant;

use compat_tests::wire::{Connection, Fields, Incoming, op, request};

use crate::reader::Kind;
use crate::script::{Connect, Cut, Given, Label, Password, Request, Script, Step, Zxid};
use crate::target::{PATIENCE, Target};

/// All that a service has said to the connections of a script.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    /// By connection, in the order it came.
    pub seen: BTreeMap<Label, Vec<Seen>>,
    /// What the service has given out.
    pub given: Given,
    /// Transactions that have ended a session, whose ephemerals go in no particular order.
    pub endings: BTreeSet<i64>,
}

/// Something a client has seen.
#[derive(Clone, Debug)]
pub struct Seen {
    /// In which step.
    pub step: usize,
    /// What it was.
    pub what: What,
}

/// Something a client can see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A frame, without its length.
    Frame(Kind, Vec<u8>),
    /// The server has closed the connection.
    Closed,
    /// What should have come has not.
    Silence,
}

/// Runs a script; an error is one of the service as such, not of a connection of the script.
pub fn run(script: &Script, target: &mut Target) -> io::Result<Transcript> {
    let base = target.rest()?;
    let mut run = Run {
        target,
        open: BTreeMap::new(),
        highest: base,
        answered: base,
        step: 0,
        transcript: Transcript::default(),
    };
    run.transcript.given.base = base;
    for (number, step) in script.steps.iter().enumerate() {
        run.step = number;
        run.step(step)?;
    }
    Ok(run.transcript)
}

struct Run<'a> {
    target: &'a mut Target,
    open: BTreeMap<Label, Open>,
    /// The highest zxid that was told of.
    highest: i64,
    /// The highest of an answer to a request of the script.
    answered: i64,
    step: usize,
    transcript: Transcript,
}

struct Open {
    connection: Connection,
    server: usize,
}

impl Run<'_> {
    fn step(&mut self, step: &Step) -> io::Result<()> {
        match step {
            Step::Connect(connect) => {
                self.connect(connect)?;
                self.answers(connect.label, &connect.behind);
                self.settle(self.server(connect.server))
            }
            Step::Batch { on, requests } => {
                let Some(open) = self.open.get_mut(on) else {
                    return Ok(());
                };
                let server = open.server;
                let given = &self.transcript.given;
                let frames = requests.iter().flat_map(|request| request.frame(given));
                open.connection.send(&frames.collect::<Vec<u8>>());
                self.answers(*on, requests);
                self.settle(server)
            }
            Step::Drop(label) => {
                self.leave(*label);
                Ok(())
            }
            Step::Expire { of, server } => self.expire(*of, self.server(*server)),
            Step::Collect(count) => {
                self.wait_for(0, self.answered + count)?;
                self.settle(0)
            }
        }
    }

    /// A script for three servers may run on one.
    fn server(&self, wanted: usize) -> usize {
        wanted % self.target.members.len()
    }

    fn connect(&mut self, connect: &Connect) -> io::Result<()> {
        let server = self.server(connect.server);
        let mut connection = Connection::open(self.target.members[server].address)?;
        let given = &self.transcript.given;
        let mut bytes = connect.frame(given);
        let behind = connect.behind.iter();
        bytes.extend(behind.flat_map(|request| request.frame(given)));
        connection.send(&bytes);
        let label = connect.label;
        match connection.receive(PATIENCE) {
            Incoming::Frame(frame) => {
                if let Some(id) = frame.get(8..16) {
                    let id = i64::from_be_bytes(id.try_into().expect("eight bytes"));
                    if id != 0 {
                        self.transcript.given.sessions.insert(label, id);
                    }
                }
                self.saw(label, What::Frame(Kind::Connect, frame));
                self.open.insert(label, Open { connection, server });
            }
            Incoming::Closed => self.saw(label, What::Closed),
            Incoming::Silence => self.saw(label, What::Silence),
        }
        Ok(())
    }

    /// Waits for an answer to each of the requests.
    fn answers(&mut self, label: Label, requests: &[Request]) {
        for request in requests {
            let opcode = request.opcode().unwrap_or_default();
            while let Some(open) = self.open.get_mut(&label) {
                match open.connection.receive(PATIENCE) {
                    Incoming::Frame(frame) => {
                        let kind = self.kind(opcode, &frame);
                        self.answered = self.answered.max(zxid(&frame).unwrap_or_default());
                        if opcode == op::CLOSE_SESSION
                            && kind != Kind::Event
                            && let Some(zxid) = zxid(&frame)
                        {
                            self.transcript.endings.insert(zxid);
                        }
                        self.saw(label, What::Frame(kind, frame));
                        if kind != Kind::Event {
                            break;
                        }
                    }
                    Incoming::Closed => self.closed(label),
                    Incoming::Silence => {
                        self.saw(label, What::Silence);
                        return;
                    }
                }
            }
        }
    }

    /// Takes note of a frame's zxid; what the frame is.
    fn kind(&mut self, opcode: i32, frame: &[u8]) -> Kind {
        self.highest = self.highest.max(zxid(frame).unwrap_or_default());
        if frame.starts_with(&NOTIFICATION) {
            Kind::Event
        } else {
            Kind::Reply(opcode)
        }
    }

    fn expire(&mut self, of: Label, server: usize) -> io::Result<()> {
        let mut connect = Connect::plain(of, server);
        connect.session_of = Some(of);
        connect.password = Password::Right;
        connect.timeout = 0;
        connect.last_zxid = Zxid::Literal(0);
        connect.cut = Cut::None;
        if !self.transcript.given.sessions.contains_key(&of) {
            return Ok(());
        }
        // Its server might learn of the move only now and then; so it does not stand in the way.
        self.leave(of);
        if 1 < self.target.members.len() {
            // Its old server may have a touch with the old timeout still to report.
            std::thread::sleep(REPORT);
        }
        self.connect(&connect)?;
        let taken = self.open.contains_key(&of);
        self.leave(of);
        let answer = self.transcript.seen[&of].last();
        let refused = answer.is_some_and(|seen| match &seen.what {
            What::Frame(_, frame) => frame.get(4..8) == Some(&[0; 4]),
            What::Closed | What::Silence => true,
        });
        if taken && !refused {
            let before = self.target.rest()?;
            self.wait_for(server, self.highest + 1)?;
            let after = self.target.rest()?;
            self.transcript.endings.extend(before + 1..=after);
        }
        self.settle(server)
    }

    /// Waits for transactions that nobody asks for.
    fn wait_for(&mut self, server: usize, wanted: i64) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.target.applied(server)? < wanted {
            if deadline < Instant::now() {
                // What has not happened shows in the zxids that follow.
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Waits until everything has happened that this step has caused, by way of this server.
    fn settle(&mut self, server: usize) -> io::Result<()> {
        self.highest = self.highest.max(self.target.applied(server)?);
        self.target.wait_for(self.highest)?;
        let ping = request(PING_XID, op::PING, &Fields::new());
        let labels: Vec<Label> = self.open.keys().copied().collect();
        for open in self.open.values_mut() {
            open.connection.send(&ping);
        }
        for label in labels {
            while let Some(open) = self.open.get_mut(&label) {
                match open.connection.receive(PATIENCE) {
                    Incoming::Frame(frame) if frame.starts_with(&PING_XID.to_be_bytes()) => break,
                    Incoming::Frame(frame) => {
                        let kind = self.kind(0, &frame);
                        self.saw(label, What::Frame(kind, frame));
                    }
                    Incoming::Closed => self.closed(label),
                    Incoming::Silence => {
                        self.saw(label, What::Silence);
                        self.open.remove(&label);
                    }
                }
            }
        }
        Ok(())
    }

    /// Closes the client's end, and waits until the server knows.
    fn leave(&mut self, label: Label) {
        if let Some(mut open) = self.open.remove(&label) {
            // It fails where the server has closed before.
            let _ = open.connection.stream().shutdown(Shutdown::Write);
            while let Incoming::Frame(_) = open.connection.receive(PATIENCE) {}
        }
    }

    fn closed(&mut self, label: Label) {
        self.open.remove(&label);
        self.saw(label, What::Closed);
    }

    fn saw(&mut self, label: Label, what: What) {
        let seen = self.transcript.seen.entry(label).or_default();
        seen.push(Seen {
            step: self.step,
            what,
        });
    }
}

const PING_XID: i32 = -2;
/// The xid of events.
const NOTIFICATION: [u8; 4] = [0xff; 4];
/// Pause between two looks at something that only time brings.
const LOOK: std::time::Duration = std::time::Duration::from_millis(5);

/// Three times what a learner takes at most to report which sessions it has heard from: half a tick.
const REPORT: std::time::Duration = std::time::Duration::from_millis(150);

fn zxid(frame: &[u8]) -> Option<i64> {
    let bytes = frame.get(4..12)?;
    Some(i64::from_be_bytes(bytes.try_into().ok()?))
}
