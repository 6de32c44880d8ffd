//! What the core wants sent and written, in order, in one arena.
//!
//! Invariant: effects leave in the order in which they arose, so an event enters a client's queue
//! before the answer that its transaction gave, and before any read that can see it. An event for
//! many clients is encoded once.

use std::collections::VecDeque;
use std::ops::Range;

use ox_proto::{EventType, OpCode, SessionId, Xid, Zxid};
use ox_session::ClientId;
use ox_zab::LinkId;

use crate::database::Database;
use crate::mode::Mode;
use crate::reply;
use crate::state::StateImage;

/// What the core wants done. The bytes are the core's until the next call.
#[derive(Debug)]
pub enum Output<'a> {
    /// Write this payload to the log; `Flushed` must follow.
    Append {
        /// Its zxid.
        zxid: Zxid,
        /// The transaction, encoded.
        payload: &'a [u8],
    },
    /// Queue these frames for a client.
    Send {
        /// The connection.
        client: ClientId,
        /// Whole frames.
        frames: &'a [u8],
        /// The request that they answer; `None` with events.
        answers: Option<Answers>,
    },
    /// The connection has its session; requests may follow.
    Established {
        /// The connection.
        client: ClientId,
        /// The session, new or taken up again.
        session: SessionId,
        /// The timeout granted, in milliseconds.
        timeout_ms: i32,
        /// Of a new session: the last transaction that is applied.
        created: Option<Zxid>,
        /// The connect response, a whole frame.
        frame: &'a [u8],
    },
    /// Close the connection once all that was queued has left.
    Close {
        /// The connection.
        client: ClientId,
    },
    /// The connection is forgotten; its name may be given to another.
    Release {
        /// The connection.
        client: ClientId,
    },
    /// Something for the other members, or for the disk besides the log.
    Peer(ox_zab::Output),
    /// Send a learner the whole state.
    State {
        /// The learner.
        link: LinkId,
        /// The first part, or all of it.
        begin: Vec<u8>,
        /// What is to be read of the rest, if there is one.
        image: StateImage,
    },
    /// What this server is to clients from now on.
    Mode {
        /// `None` while it serves none.
        mode: Option<Mode>,
        /// The epoch of the leader; 0 without one.
        epoch: u32,
    },
}

/// The request to which frames are the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answers {
    /// What was asked.
    pub op: OpCode,
    /// The client's number for it.
    pub xid: Xid,
    /// When it was read, in the driver's own unit.
    pub received: i64,
    /// Whether it went through the log.
    pub write: bool,
}

#[derive(Debug)]
enum Step {
    Append {
        zxid: Zxid,
        payload: Range<usize>,
    },
    Send {
        client: ClientId,
        frames: Range<usize>,
        answers: Option<Answers>,
    },
    Established {
        client: ClientId,
        session: SessionId,
        timeout_ms: i32,
        created: Option<Zxid>,
        frame: Range<usize>,
    },
    Close {
        client: ClientId,
    },
    Release {
        client: ClientId,
    },
    Peer(ox_zab::Output),
    State {
        link: LinkId,
        begin: Vec<u8>,
        image: Box<StateImage>,
    },
    Mode {
        mode: Option<Mode>,
        epoch: u32,
    },
}

/// Effects that nobody has taken yet.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    bytes: Vec<u8>,
    steps: VecDeque<Step>,
    /// The event encoded last, for all its watchers.
    event: Option<(Zxid, EventType, String, Range<usize>)>,
}

impl Effects {
    /// How much memory the arena keeps when it is empty.
    const KEPT_CAPACITY: usize = 1 << 20;

    /// Takes the next effect.
    pub(crate) fn poll(&mut self) -> Option<Output<'_>> {
        let Some(step) = self.steps.pop_front() else {
            self.bytes.clear();
            self.bytes.shrink_to(Self::KEPT_CAPACITY);
            self.event = None;
            return None;
        };
        Some(match step {
            Step::Append { zxid, payload } => Output::Append {
                zxid,
                payload: &self.bytes[payload],
            },
            Step::Send {
                client,
                frames,
                answers,
            } => Output::Send {
                client,
                frames: &self.bytes[frames],
                answers,
            },
            Step::Established {
                client,
                session,
                timeout_ms,
                created,
                frame,
            } => Output::Established {
                client,
                session,
                timeout_ms,
                created,
                frame: &self.bytes[frame],
            },
            Step::Close { client } => Output::Close { client },
            Step::Release { client } => Output::Release { client },
            Step::Peer(output) => Output::Peer(output),
            Step::State { link, begin, image } => Output::State {
                link,
                begin,
                image: *image,
            },
            Step::Mode { mode, epoch } => Output::Mode { mode, epoch },
        })
    }

    /// Writes a transaction for the log.
    pub(crate) fn append(&mut self, zxid: Zxid, payload: &[u8]) {
        let payload = self.write(|out| out.extend_from_slice(payload));
        self.steps.push_back(Step::Append { zxid, payload });
    }

    /// Writes an answer.
    pub(crate) fn answer(
        &mut self,
        client: ClientId,
        answers: Answers,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let frames = self.write(write);
        self.steps.push_back(Step::Send {
            client,
            frames,
            answers: Some(answers),
        });
    }

    /// Writes frames that answer no request of the pipeline.
    pub(crate) fn send(&mut self, client: ClientId, write: impl FnOnce(&mut Vec<u8>)) {
        let frames = self.write(write);
        self.steps.push_back(Step::Send {
            client,
            frames,
            answers: None,
        });
    }

    /// Writes a connect response.
    pub(crate) fn establish(
        &mut self,
        client: ClientId,
        session: SessionId,
        timeout_ms: i32,
        created: Option<Zxid>,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let frame = self.write(write);
        self.steps.push_back(Step::Established {
            client,
            session,
            timeout_ms,
            created,
            frame,
        });
    }

    /// Queues an event for one of its watchers.
    pub(crate) fn event(&mut self, client: ClientId, zxid: Zxid, event: EventType, path: &str) {
        let frames = match &self.event {
            Some((z, e, p, frames)) if (*z, *e, p.as_str()) == (zxid, event, path) => {
                frames.clone()
            }
            _ => {
                let frames = self.write(|out| reply::event(out, zxid, event, path));
                self.event = Some((zxid, event, path.to_owned(), frames.clone()));
                frames
            }
        };
        self.steps.push_back(Step::Send {
            client,
            frames,
            answers: None,
        });
    }

    /// How many effects wait.
    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    /// Breaks the invariant: these effects leave behind all others.
    pub(crate) fn delay(&mut self, effects: Range<usize>) {
        let delayed: Vec<_> = self.steps.drain(effects).collect();
        self.steps.extend(delayed);
    }

    pub(crate) fn close(&mut self, client: ClientId) {
        self.steps.push_back(Step::Close { client });
    }

    pub(crate) fn release(&mut self, client: ClientId) {
        self.steps.push_back(Step::Release { client });
    }

    /// Begins to send a learner the whole state, as it is at this moment.
    pub(crate) fn state(&mut self, link: LinkId, database: &Database) {
        let mut begin = Vec::new();
        let image = Box::new(StateImage::begin(database, &mut begin));
        self.steps.push_back(Step::State { link, begin, image });
    }

    pub(crate) fn peer(&mut self, output: ox_zab::Output) {
        self.steps.push_back(Step::Peer(output));
    }

    pub(crate) fn mode(&mut self, mode: Option<Mode>, epoch: u32) {
        self.steps.push_back(Step::Mode { mode, epoch });
    }

    fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Range<usize> {
        let start = self.bytes.len();
        write(&mut self.bytes);
        start..self.bytes.len()
    }
}
