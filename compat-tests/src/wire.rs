//! A raw client: bytes to a socket and back, with nothing of the crates under test in it.
//!
//! Field orders are those of `zookeeper.jute`; integers are big-endian, lengths come first.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

pub use ox_check::Stat;

/// How long an answer may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Operation codes.
pub mod op {
    #![expect(missing_docs, reason = "the names are ZooKeeper's")]
    pub const CREATE: i32 = 1;
    pub const DELETE: i32 = 2;
    pub const EXISTS: i32 = 3;
    pub const GET_DATA: i32 = 4;
    pub const SET_DATA: i32 = 5;
    pub const GET_ACL: i32 = 6;
    pub const SET_ACL: i32 = 7;
    pub const GET_CHILDREN: i32 = 8;
    pub const SYNC: i32 = 9;
    pub const PING: i32 = 11;
    pub const GET_CHILDREN2: i32 = 12;
    pub const CHECK: i32 = 13;
    pub const MULTI: i32 = 14;
    pub const CREATE2: i32 = 15;
    pub const RECONFIG: i32 = 16;
    pub const CHECK_WATCHES: i32 = 17;
    pub const REMOVE_WATCHES: i32 = 18;
    pub const CREATE_CONTAINER: i32 = 19;
    pub const DELETE_CONTAINER: i32 = 20;
    pub const CREATE_TTL: i32 = 21;
    pub const MULTI_READ: i32 = 22;
    pub const AUTH: i32 = 100;
    pub const SET_WATCHES: i32 = 101;
    pub const SASL: i32 = 102;
    pub const GET_EPHEMERALS: i32 = 103;
    pub const GET_ALL_CHILDREN_NUMBER: i32 = 104;
    pub const SET_WATCHES2: i32 = 105;
    pub const ADD_WATCH: i32 = 106;
    pub const WHO_AM_I: i32 = 107;
    pub const CREATE_SESSION: i32 = -10;
    pub const CLOSE_SESSION: i32 = -11;
}

/// Writes jute fields.
#[derive(Clone, Debug, Default)]
pub struct Fields(pub Vec<u8>);

impl Fields {
    /// No field yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// An int.
    #[must_use]
    pub fn int(mut self, value: i32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// A long.
    #[must_use]
    pub fn long(mut self, value: i64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// A boolean.
    #[must_use]
    pub fn boolean(mut self, value: bool) -> Self {
        self.0.push(u8::from(value));
        self
    }

    /// A buffer; `None` is null.
    #[must_use]
    pub fn buffer(self, value: Option<&[u8]>) -> Self {
        let Some(bytes) = value else {
            return self.int(-1);
        };
        let mut fields = self.int(i32::try_from(bytes.len()).expect("a test's buffer is short"));
        fields.0.extend(bytes);
        fields
    }

    /// A string.
    #[must_use]
    pub fn string(self, value: &str) -> Self {
        self.buffer(Some(value.as_bytes()))
    }

    /// A vector of strings.
    #[must_use]
    pub fn strings(self, values: &[&str]) -> Self {
        let count = i32::try_from(values.len()).expect("a test's vector is short");
        values
            .iter()
            .fold(self.int(count), |fields, value| fields.string(value))
    }

    /// An ACL list of (perms, scheme, id).
    #[must_use]
    pub fn acl(self, entries: &[AclEntry<'_>]) -> Self {
        let count = i32::try_from(entries.len()).expect("a test's vector is short");
        entries
            .iter()
            .fold(self.int(count), |fields, (perms, scheme, id)| {
                fields.int(*perms).string(scheme).string(id)
            })
    }

    /// Other bytes as they are.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// The fields with a length prefix.
    pub fn framed(self) -> Vec<u8> {
        Self::new().buffer(Some(&self.0)).0
    }
}

/// A framed request.
pub fn request(xid: i32, opcode: i32, body: &Fields) -> Vec<u8> {
    Fields::new().int(xid).int(opcode).raw(&body.0).framed()
}

/// A framed ConnectRequest.
pub fn connect_request(session: i64, password: &[u8], timeout_ms: i32, last_zxid: i64) -> Vec<u8> {
    Fields::new()
        .int(0)
        .long(last_zxid)
        .int(timeout_ms)
        .long(session)
        .buffer(Some(password))
        .boolean(false)
        .framed()
}

/// (perms, scheme, id).
pub type AclEntry<'a> = (i32, &'a str, &'a str);

/// World may do all.
pub const OPEN_ACL: &[AclEntry<'_>] = &[(31, "world", "anyone")];

/// Reads jute fields; panics at the end, since a server under test must not end a record early.
#[derive(Clone, Debug)]
pub struct Record<'a>(pub &'a [u8]);

impl<'a> Record<'a> {
    /// The next `count` bytes.
    #[track_caller]
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        assert!(
            count <= self.0.len(),
            "the record ends early: {count} of {}",
            hex::encode(self.0)
        );
        let (head, tail) = self.0.split_at(count);
        self.0 = tail;
        head
    }

    /// An int.
    #[track_caller]
    pub fn int(&mut self) -> i32 {
        i32::from_be_bytes(self.take(4).try_into().expect("four bytes"))
    }

    /// A boolean.
    #[track_caller]
    pub fn boolean(&mut self) -> bool {
        self.take(1) != [0]
    }

    /// A long.
    #[track_caller]
    pub fn long(&mut self) -> i64 {
        i64::from_be_bytes(self.take(8).try_into().expect("eight bytes"))
    }

    /// A buffer; `None` is null.
    #[track_caller]
    pub fn buffer(&mut self) -> Option<&'a [u8]> {
        let length = self.int();
        (length != -1).then(|| self.take(usize::try_from(length).expect("a length")))
    }

    /// A string; null counts as empty.
    #[track_caller]
    pub fn string(&mut self) -> String {
        String::from_utf8_lossy(self.buffer().unwrap_or_default()).into_owned()
    }

    /// A vector of strings.
    #[track_caller]
    pub fn strings(&mut self) -> Vec<String> {
        let count = self.int();
        (0..count).map(|_| self.string()).collect()
    }

    /// A Stat.
    #[track_caller]
    pub fn stat(&mut self) -> Stat {
        Stat {
            czxid: self.long(),
            mzxid: self.long(),
            ctime: self.long(),
            mtime: self.long(),
            version: self.int(),
            cversion: self.int(),
            aversion: self.int(),
            ephemeral_owner: self.long(),
            data_length: self.int(),
            num_children: self.int(),
            pzxid: self.long(),
        }
    }

    /// An ACL list of (perms, scheme, id).
    #[track_caller]
    pub fn acl(&mut self) -> Vec<(i32, String, String)> {
        let count = self.int();
        (0..count)
            .map(|_| (self.int(), self.string(), self.string()))
            .collect()
    }
}

/// The password of a session id (a pure function: every server of an ensemble knows it).
pub fn password(session: i64) -> [u8; 16] {
    const MULTIPLIER: u64 = 0x5_DEEC_E66D;
    const MASK: u64 = (1 << 48) - 1;
    let seed = u64::from_be_bytes(session.to_be_bytes()) ^ 0xB341_5C00;
    let mut state = (seed ^ MULTIPLIER) & MASK;
    let mut bytes = [0; 16];
    for word in bytes.chunks_exact_mut(4) {
        state = state.wrapping_mul(MULTIPLIER).wrapping_add(0xB) & MASK;
        word.copy_from_slice(&(state >> 16).to_le_bytes()[..4]);
    }
    bytes
}

/// What a read from a connection gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A frame, without its length prefix.
    Frame(Vec<u8>),
    /// The server has closed the connection.
    Closed,
    /// Nothing came in the time given.
    Silence,
}

/// One TCP connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    closed: bool,
}

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        // A server that has closed already is seen when we read.
        let _ = stream.set_nodelay(true);
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self::over(stream))
    }

    /// Over a socket that is connected already.
    pub fn over(stream: TcpStream) -> Self {
        Self {
            stream,
            received: Vec::new(),
            closed: false,
        }
    }

    /// Sends bytes; a connection closed by the server takes them silently.
    pub fn send(&mut self, bytes: &[u8]) {
        // The server may close while we write: the reading side will see it.
        let _ = self.stream.write_all(bytes);
    }

    /// Sends bytes.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next frame, if it comes within `patience`.
    pub fn receive(&mut self, patience: Duration) -> Incoming {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(frame) = self.buffered() {
                return Incoming::Frame(frame);
            }
            if self.closed {
                return Incoming::Closed;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Incoming::Silence;
            }
            self.stream
                .set_read_timeout(Some(left))
                .expect("a positive timeout");
            let mut chunk = [0; 64 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => self.closed = true,
                Ok(count) => self.received.extend(&chunk[..count]),
                Err(error) if is_timeout(&error) => return Incoming::Silence,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.closed = true,
            }
        }
    }

    /// The underlying socket.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    fn buffered(&mut self) -> Option<Vec<u8>> {
        let prefix: [u8; 4] = self.received.get(..4)?.try_into().expect("four bytes");
        let length = usize::try_from(i32::from_be_bytes(prefix)).expect("a server's frame length");
        let frame = self.received.get(4..4 + length)?.to_vec();
        self.received.drain(..4 + length);
        Some(frame)
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// A reply to an ordinary request.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Of the header.
    pub xid: i32,
    /// Of the header.
    pub zxid: i64,
    /// Of the header.
    pub error: i32,
    /// What follows the header.
    pub body: Vec<u8>,
}

/// A watch event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Zxid of its header.
    pub zxid: i64,
    /// 1 created, 2 deleted, 3 data changed, 4 children changed.
    pub kind: i32,
    /// Path it tells of.
    pub path: String,
}

/// A client with a session.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
    /// Session id.
    pub session: i64,
    /// Negotiated timeout in milliseconds; 0 = refused.
    pub timeout_ms: i32,
    /// Events that came before or between replies.
    pub events: VecDeque<Event>,
    next_xid: i32,
}

impl Client {
    /// Opens a new session; panics if the server refuses.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        let client = Self::handshake(address, 0, &[0; 16], 30_000).expect("a handshake");
        assert_ne!(client.timeout_ms, 0, "the server refused a new session");
        client
    }

    /// Takes up a session by its id and computed password; `timeout_ms` is 0 when refused.
    pub fn attach(address: SocketAddr, session: i64, timeout_ms: i32) -> io::Result<Self> {
        Self::handshake(address, session, &password(session), timeout_ms)
    }

    /// Any ConnectRequest.
    pub fn handshake(
        address: SocketAddr,
        session: i64,
        password: &[u8],
        timeout_ms: i32,
    ) -> io::Result<Self> {
        let request = connect_request(session, password, timeout_ms, 0);
        Self::dial(address, &request, PATIENCE)
    }

    /// Connects with a framed ConnectRequest, whose answer must come in the time given.
    pub fn dial(address: SocketAddr, request: &[u8], patience: Duration) -> io::Result<Self> {
        let mut connection = Connection::open(address)?;
        connection.send(request);
        let Incoming::Frame(frame) = connection.receive(patience) else {
            return Err(io::Error::other("no ConnectResponse"));
        };
        let mut record = Record(&frame);
        record.int();
        let timeout_ms = record.int();
        let session = record.long();
        Ok(Self {
            connection,
            session,
            timeout_ms,
            events: VecDeque::new(),
            next_xid: 1,
        })
    }

    /// The number of the next request.
    pub fn next_xid(&self) -> i32 {
        self.next_xid
    }

    /// Goes on with the numbers of an earlier connection of the session, as the libraries do: a
    /// server holds a late request of that one against commits for the session by its number.
    pub fn number_from(&mut self, xid: i32) {
        self.next_xid = xid;
    }

    /// Sends a request and returns its xid.
    pub fn send(&mut self, opcode: i32, body: &Fields) -> i32 {
        let xid = self.next_xid;
        self.next_xid += 1;
        self.connection.send(&request(xid, opcode, body));
        xid
    }

    /// The next reply; events on the way are kept. An error when the connection ends or is silent.
    pub fn reply(&mut self) -> io::Result<Reply> {
        self.reply_within(PATIENCE)
    }

    /// As `reply`, with a patience of one's own for each frame.
    pub fn reply_within(&mut self, patience: Duration) -> io::Result<Reply> {
        loop {
            if let Some(reply) = self.take_in(patience)? {
                return Ok(reply);
            }
        }
    }

    /// The next event; panics when it does not come, or a reply does.
    #[track_caller]
    pub fn event(&mut self) -> Event {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            match self.take_in(PATIENCE) {
                Ok(None) => {}
                Ok(Some(reply)) => panic!("a reply and no event: {reply:?}"),
                Err(error) => panic!("no event: {error}"),
            }
        }
    }

    /// Receives one frame: a reply, or an event that is kept.
    fn take_in(&mut self, patience: Duration) -> io::Result<Option<Reply>> {
        let frame = match self.connection.receive(patience) {
            Incoming::Frame(frame) => frame,
            Incoming::Closed => return Err(io::ErrorKind::ConnectionReset.into()),
            Incoming::Silence => return Err(io::ErrorKind::TimedOut.into()),
        };
        let mut record = Record(&frame);
        let (xid, zxid, error) = (record.int(), record.long(), record.int());
        if xid != -1 {
            return Ok(Some(Reply {
                xid,
                zxid,
                error,
                body: record.0.to_vec(),
            }));
        }
        let (kind, _state) = (record.int(), record.int());
        self.events.push_back(Event {
            zxid,
            kind,
            path: record.string(),
        });
        Ok(None)
    }

    /// Sends a request and waits for its reply; panics when there is none.
    #[track_caller]
    pub fn call(&mut self, opcode: i32, body: &Fields) -> Reply {
        let xid = self.send(opcode, body);
        match self.reply() {
            Ok(reply) => {
                let expected = if opcode == op::PING { -2 } else { xid };
                assert_eq!(reply.xid, expected, "replies out of order");
                reply
            }
            Err(error) => panic!("no reply to opcode {opcode}: {error}"),
        }
    }

    /// Sends a request with an xid that means something (-4, auth) and waits for its reply.
    #[track_caller]
    pub fn call_with_xid(&mut self, xid: i32, opcode: i32, body: &Fields) -> Reply {
        self.connection.send(&request(xid, opcode, body));
        let reply = self.reply();
        let reply = reply.unwrap_or_else(|error| panic!("no reply to opcode {opcode}: {error}"));
        assert_eq!(reply.xid, xid, "replies out of order");
        reply
    }

    /// As `call`, and the reply must be a success.
    #[track_caller]
    pub fn ok(&mut self, opcode: i32, body: &Fields) -> Reply {
        let reply = self.call(opcode, body);
        assert_eq!(reply.error, 0, "opcode {opcode}");
        reply
    }

    /// Creates a node and returns its path.
    #[track_caller]
    pub fn create(&mut self, path: &str, data: &[u8], flags: i32) -> String {
        let reply = self.ok(op::CREATE, &create(path, data, flags));
        Record(&reply.body).string()
    }

    /// Data and Stat, or `None` if there is no such node.
    #[track_caller]
    pub fn get(&mut self, path: &str) -> Option<(Option<Vec<u8>>, Stat)> {
        let reply = self.call(op::GET_DATA, &Fields::new().string(path).boolean(false));
        if reply.error == -101 {
            return None;
        }
        assert_eq!(reply.error, 0, "getData {path}");
        let mut record = Record(&reply.body);
        Some((record.buffer().map(<[u8]>::to_vec), record.stat()))
    }

    /// Children, sorted.
    #[track_caller]
    pub fn children(&mut self, path: &str) -> Vec<String> {
        let reply = self.ok(op::GET_CHILDREN, &Fields::new().string(path).boolean(false));
        let mut names = Record(&reply.body).strings();
        names.sort();
        names
    }

    /// Sets data watches as a client does that has connected again: those whose node has changed
    /// since `relative_zxid` fire at once, before the answer.
    pub fn set_data_watches(&mut self, body: &Fields) {
        self.connection
            .send(&request(SET_WATCHES_XID, op::SET_WATCHES, body));
    }

    /// Sends a ping and does not wait for its answer, which has the xid -2.
    pub fn send_ping(&mut self) {
        self.connection.send(&request(-2, op::PING, &Fields::new()));
    }

    /// Ends the session.
    pub fn close(mut self) {
        self.send(op::CLOSE_SESSION, &Fields::new());
        // The reply only tells that it is done; a server that is gone has no session to end.
        let _ = self.reply();
    }

    /// The underlying connection.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

/// The number of every request to set watches.
pub const SET_WATCHES_XID: i32 = -8;

/// Body of a request to set data watches on a new connection, from a client that has seen a zxid.
pub fn data_watches(relative_zxid: i64, paths: &[&str]) -> Fields {
    let none: &[&str] = &[];
    Fields::new()
        .long(relative_zxid)
        .strings(paths)
        .strings(none)
        .strings(none)
}

/// Body of a create request with an open ACL.
pub fn create(path: &str, data: &[u8], flags: i32) -> Fields {
    Fields::new()
        .string(path)
        .buffer(Some(data))
        .acl(OPEN_ACL)
        .int(flags)
}

/// Connects from a loopback address of one's own choice.
pub fn connect_from(source: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&socket, &SocketAddr::from((source, 0)))?;
    connect(&socket, &to)?;
    Ok(TcpStream::from(socket))
}
