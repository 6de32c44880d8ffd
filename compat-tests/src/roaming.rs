//! A client that knows all servers of an ensemble: it goes to the next one when a connection
//! breaks, keeps its session, and sets its data watches again, as the libraries do.
//!
//! Invariant: every answer's zxid is held against the highest one this session has seen, on
//! whatever server; a session's view never goes back.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ox_check::{ConnectionId, OpId};

use crate::ensemble::DEADLINE;
use crate::history::Recorder;
use crate::server::LOOK;
use crate::wire::{
    Client, Event, Fields, Reply, SET_WATCHES_XID, connect_request, data_watches, op, password,
};

/// How long a server may take to answer a ConnectRequest before the next one is tried: a server
/// that is about to serve may take a connection and never answer.
const HANDSHAKE: Duration = Duration::from_secs(1);

/// Session expired, and session moved to another server.
const EXPIRED: i32 = -112;
const MOVED: i32 = -118;

/// A session that moves between servers.
#[derive(Debug)]
pub struct Roaming {
    servers: Vec<SocketAddr>,
    /// Which of the servers is, or was last, connected to.
    at: usize,
    client: Option<Client>,
    notes: Notes,
    /// The number of the session's next request, whatever the connection.
    next_xid: i32,
    /// Session id; 0 before there is one.
    pub session: i64,
    /// As negotiated.
    pub timeout_ms: i32,
    /// The highest zxid an answer carried.
    pub last_zxid: i64,
    /// When the last answer came.
    heard: Instant,
    watched: BTreeSet<String>,
    /// How often a connection was made.
    pub connections: usize,
    /// Answers whose zxid was below one seen before.
    pub went_back: Vec<String>,
}

/// What became of a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It was answered, perhaps by an error.
    Reply(Reply),
    /// The connection ended first: it was done, will be done, or never. So many events had come on
    /// it that were not taken.
    Unknown(usize),
    /// The session is no more, after this long without an answer from any server.
    Expired(Duration),
}

impl Roaming {
    /// A new session, on the server at index `first` of them if that one serves.
    #[track_caller]
    pub fn open(
        servers: &[SocketAddr],
        first: usize,
        timeout_ms: i32,
        recorder: &Arc<Recorder>,
    ) -> Self {
        let mut roaming = Self {
            servers: servers.to_vec(),
            at: first,
            client: None,
            notes: Notes::new(recorder),
            next_xid: 1,
            session: 0,
            timeout_ms,
            last_zxid: 0,
            heard: Instant::now(),
            watched: BTreeSet::new(),
            connections: 0,
            went_back: Vec::new(),
        };
        assert!(
            roaming.connect().is_ok(),
            "a new session cannot have expired"
        );
        roaming
    }

    /// Which of the servers is connected to.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Sends a request and waits for what becomes of it, connecting first if need be.
    #[track_caller]
    pub fn call(&mut self, opcode: i32, body: &Fields) -> Answer {
        if let Err(silence) = self.connect() {
            return Answer::Expired(silence);
        }
        let client = self.client.as_mut().expect("just connected");
        let operation = self.notes.invoke(client.next_xid(), opcode, body);
        let xid = client.send(opcode, body);
        self.next_xid = client.next_xid();
        let reply = self.reply(xid);
        if let Ok(reply) = &reply {
            self.notes.recorder.returned(operation, opcode, reply);
        }
        match reply {
            Err(_) => self.give_up(),
            Ok(reply) if reply.error == MOVED => self.give_up(),
            Ok(reply) if reply.error == EXPIRED => Answer::Expired(self.heard.elapsed()),
            Ok(reply) => {
                self.see(reply.zxid);
                Answer::Reply(reply)
            }
        }
    }

    /// As `call`, repeated until there is an answer: only for what may be done twice.
    #[track_caller]
    pub fn insist(&mut self, opcode: i32, body: &Fields) -> Reply {
        loop {
            match self.call(opcode, body) {
                Answer::Reply(reply) => return reply,
                Answer::Unknown(_) => {}
                Answer::Expired(silence) => panic!("the session has expired after {silence:?}"),
            }
        }
    }

    /// Events that have come so far, all of them before the last answer.
    pub fn take_events(&mut self) -> Vec<Event> {
        self.notes.events = 0;
        let events = self.client.as_mut().map(|client| client.events.drain(..));
        events.into_iter().flatten().collect()
    }

    /// Keeps a data watch alive over connections: after the next one it is set again.
    pub fn watches(&mut self, path: &str) {
        self.watched.insert(path.to_owned());
    }

    /// The data watch has fired.
    pub fn watched_no_more(&mut self, path: &str) {
        self.watched.remove(path);
    }

    /// Drops the connection and takes the session to the next server.
    pub fn leave(&mut self) {
        self.move_to((self.at + 1) % self.servers.len());
    }

    /// Drops the connection and takes the session to a server of choice.
    pub fn move_to(&mut self, index: usize) {
        self.client = None;
        self.notes.disconnected();
        self.at = index;
    }

    /// Ends the session.
    #[track_caller]
    pub fn close(mut self) {
        // Once done, a second try finds the session expired; that is as good.
        while matches!(
            self.call(op::CLOSE_SESSION, &Fields::new()),
            Answer::Unknown(_)
        ) {}
    }

    /// Connects if there is no connection; an error, with the silence before it, if the session
    /// has expired.
    #[track_caller]
    fn connect(&mut self) -> Result<(), Duration> {
        let deadline = Instant::now() + DEADLINE;
        let mut tried = 0;
        while self.client.is_none() {
            assert!(
                Instant::now() < deadline,
                "none of {:?} took session {:#x} (zxid {:#x}) in {DEADLINE:?}",
                self.servers,
                self.session,
                self.last_zxid
            );
            match self.dial() {
                Ok(client) if client.timeout_ms <= 0 || client.session == 0 => {
                    return Err(self.heard.elapsed());
                }
                Ok(client) => self.take_up(client),
                Err(_) => {
                    self.leave();
                    tried += 1;
                    if tried % self.servers.len() == 0 {
                        std::thread::sleep(LOOK);
                    }
                }
            }
        }
        Ok(())
    }

    fn give_up(&mut self) -> Answer {
        let events = self.take_events().len();
        self.leave();
        Answer::Unknown(events)
    }

    fn dial(&self) -> io::Result<Client> {
        let secret = if self.session == 0 {
            [0; 16]
        } else {
            password(self.session)
        };
        let request = connect_request(self.session, &secret, self.timeout_ms, self.last_zxid);
        Client::dial(self.servers[self.at], &request, HANDSHAKE)
    }

    fn take_up(&mut self, mut client: Client) {
        self.heard = Instant::now();
        self.connections += 1;
        self.session = client.session;
        self.timeout_ms = client.timeout_ms;
        client.number_from(self.next_xid);
        self.notes
            .connected(client.session, self.servers[self.at], client.timeout_ms);
        if !self.watched.is_empty() {
            let paths: Vec<&str> = self.watched.iter().map(String::as_str).collect();
            let body = data_watches(self.last_zxid, &paths);
            let operation = self.notes.invoke(SET_WATCHES_XID, op::SET_WATCHES, &body);
            self.notes.set_watches = Some(operation);
            client.set_data_watches(&body);
        }
        self.client = Some(client);
    }

    /// The reply to a request; those to setWatches before it are passed over.
    fn reply(&mut self, xid: i32) -> io::Result<Reply> {
        let patience = Duration::from_millis(u64::from(self.timeout_ms.unsigned_abs()) / 3);
        let client = self.client.as_mut().expect("the caller has connected");
        loop {
            let reply = client.reply_within(patience);
            self.notes.events(&client.events);
            let reply = reply?;
            self.heard = Instant::now();
            if reply.xid == xid {
                return Ok(reply);
            }
            assert_eq!(reply.xid, SET_WATCHES_XID, "an answer to another request");
            let operation = self.notes.set_watches.take().expect("sent once");
            self.notes
                .recorder
                .returned(operation, op::SET_WATCHES, &reply);
        }
    }

    fn see(&mut self, zxid: i64) {
        if zxid < self.last_zxid {
            self.went_back.push(format!(
                "session {:#x} saw {:#x} and then {zxid:#x} at {}",
                self.session, self.last_zxid, self.servers[self.at]
            ));
        }
        self.last_zxid = self.last_zxid.max(zxid);
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        self.disconnected();
    }
}

/// What is written down of a session's connection.
#[derive(Debug)]
struct Notes {
    recorder: Arc<Recorder>,
    /// The connection there is, or was last.
    connection: Option<ConnectionId>,
    /// A request to set watches that has no answer yet.
    set_watches: Option<OpId>,
    /// Of the events that wait in the client, so many are written down.
    events: usize,
}

impl Notes {
    fn new(recorder: &Arc<Recorder>) -> Self {
        Self {
            recorder: Arc::clone(recorder),
            connection: None,
            set_watches: None,
            events: 0,
        }
    }

    fn connected(&mut self, session: i64, server: SocketAddr, timeout_ms: i32) {
        let connection = self.recorder.connected(session, server, timeout_ms);
        self.connection = Some(connection);
    }

    fn disconnected(&mut self) {
        self.set_watches = None;
        self.events = 0;
        if let Some(connection) = self.connection.take() {
            self.recorder.disconnected(connection);
        }
    }

    fn invoke(&self, xid: i32, opcode: i32, body: &Fields) -> OpId {
        let connection = self.connection.expect("there is a connection");
        self.recorder.invoke(connection, xid, opcode, body)
    }

    fn events(&mut self, waiting: &std::collections::VecDeque<Event>) {
        let connection = self.connection.expect("there is a connection");
        for event in waiting.iter().skip(self.events) {
            self.recorder.event(connection, event);
        }
        self.events = waiting.len();
    }
}
