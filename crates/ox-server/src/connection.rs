//! One client's connection: bytes in, requests, answers, bytes out.
//!
//! It decodes all that has arrived, answers the reads among it under one lock and hands the socket
//! all answers in one write. Writes, and reads behind them, go to the core. Invariants: answers
//! leave in the order of the requests; memory is bounded by what one frame may hold and by the
//! marks in [`client`](crate::client), however fast the client sends and however slowly it reads.
//! Source: `NIOServerCnxn.java`; client-protocol.md chapters 1, 2, 9.2 and 12.

mod sasl;

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ox_jute::{Decoder, Frames, Jute, decode, end_frame, start_frame};
use ox_proto::{
    AuthPacket, ConnectRequest, ErrorCode, Id, OpCode, ReplyHeader, RequestHeader, Xid, Zxid,
};
use ox_replica::{AuthSettings, Authentication, ClientRequest, Reader, Refusal, Work};
use ox_sasl::Exchange;
use ox_tls::TLS_HANDSHAKE;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::address;
use crate::admin::{Answered, Word};
use crate::answer_count::AnswerCount;
use crate::client::{Client, HIGH_WATER};
use crate::core_task::{Message, millis, zxid_of_reply};
use crate::door::{self, Entry};
use crate::identities;
use crate::shared::{INTAKE, Shared};
use crate::socket::Socket;
use crate::words;

pub(crate) use sasl::random_nonce;

/// Requests that one connection may have in the core.
const MAX_IN_CORE: usize = 1024;

/// Reads among them: each may come back as large as a znode can be, all in one turn.
const MAX_READS_IN_CORE: usize = 16;

/// How long a run of reads may keep the database from the core, in microseconds.
const MAX_RUN: i64 = 5_000;

/// Reads of a run between two looks at the clock.
const READS_PER_LOOK: usize = 16;

/// Bytes of a request's header: xid and operation.
const HEADER_LENGTH: usize = 8;

/// How much is read from a socket at once.
const READ_SIZE: usize = 64 << 10;

/// How long a client may take to read the last bytes of a connection that is closing.
const LINGER: Duration = Duration::from_secs(5);

thread_local! {
    /// Where sockets are read into. Connections that wait hold no buffer.
    static SCRATCH: std::cell::RefCell<Box<[u8; READ_SIZE]>> =
        std::cell::RefCell::new(Box::new([0; READ_SIZE]));
}

/// Serves one connection to its end.
pub(crate) async fn run(
    stream: TcpStream,
    client: Arc<Client>,
    shared: Arc<Shared>,
    core: mpsc::Sender<Message>,
    stop: CancellationToken,
) {
    let entry = tokio::select! {
        entry = door::open(stream, &client, &shared) => entry,
        () = stop.cancelled() => None,
    };
    let Some(entry) = entry else {
        shared.metrics.connection_drop_count.add(1);
        shared.clients.ended(&client);
        shared.clients.release(client.id);
        return;
    };
    let mut connection = Connection::new(entry, Arc::clone(&client), Arc::clone(&shared), core);
    let ending = tokio::select! {
        ending = connection.serve() => ending,
        () = stop.cancelled() => Ok(()),
    };
    match ending {
        Ok(()) => tracing::debug!(client = %client.address, "connection closed"),
        Err(Ending::Client(reason)) => {
            let session = client.session().unwrap_or_default();
            tracing::info!(client = %client.address, %session, "closing connection: {reason}");
        }
        Err(Ending::Io(error)) => {
            tracing::debug!(client = %client.address, %error, "connection lost");
        }
    }
    shared.metrics.connection_drop_count.add(1);
    shared.clients.ended(&client);
    if connection.known_to_core {
        // The core is there as long as connections are.
        let _ = connection
            .core
            .send(Message::Disconnected { client: client.id })
            .await;
    } else {
        shared.clients.release(client.id);
    }
}

/// Why a connection ends before its client says so.
enum Ending {
    /// The client did what it may not, or nothing for too long.
    Client(String),
    /// The socket failed, or the client hung up.
    Io(io::Error),
}

impl From<io::Error> for Ending {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

struct Connection {
    socket: Socket,
    client: Arc<Client>,
    shared: Arc<Shared>,
    core: mpsc::Sender<Message>,
    known_to_core: bool,
    ids: Arc<[Id]>,
    /// Those among them that come from its certificate.
    certificate_ids: Vec<Id>,
    /// Whether the database has not heard of the newest identities.
    ids_are_news: bool,
    /// How far its authentication by SASL has come.
    sasl: Exchange,
    /// An authentication has failed: what follows does not count.
    is_refused: bool,
    /// Bytes that are no whole frame yet.
    partial: Vec<u8>,
    /// Requests that neither this task nor the core has taken up.
    requests: VecDeque<ClientRequest>,
    /// Reads handed to the core since it last had nothing of this connection.
    reads_in_core: usize,
    /// Bytes on their way into the socket, and how many of them have left.
    outgoing: Vec<u8>,
    sent: usize,
}

impl Connection {
    fn new(
        entry: Entry,
        client: Arc<Client>,
        shared: Arc<Shared>,
        core: mpsc::Sender<Message>,
    ) -> Self {
        let address = address::text(client.address.ip());
        let Entry {
            socket,
            ids: certificate_ids,
        } = entry;
        let address_id = AuthSettings::address_id(&address);
        let ids = [address_id]
            .into_iter()
            .chain(certificate_ids.iter().cloned());
        Self {
            socket,
            client,
            shared,
            core,
            known_to_core: false,
            ids: ids.collect(),
            certificate_ids,
            ids_are_news: false,
            sasl: Exchange::default(),
            is_refused: false,
            partial: Vec::new(),
            requests: VecDeque::new(),
            reads_in_core: 0,
            outgoing: Vec::new(),
            sent: 0,
        }
    }

    async fn serve(&mut self) -> Result<(), Ending> {
        let patience = self.shared.config.limits.sessionless_timeout;
        let Ok(request) = timeout(patience, self.handshake()).await else {
            self.shared.metrics.sessionless_connections_expired.add(1);
            return Err(Ending::Client(
                "no connect request within the time for it".into(),
            ));
        };
        let Some(request) = request? else {
            return self.finish().await;
        };
        self.shared.metrics.connection_request_count.add(1);
        self.client.stats(|stats| stats.received(1));
        self.client.asks(self.shared.clock.micros());
        let (client, ids) = (Arc::clone(&self.client), Arc::clone(&self.ids));
        self.tell(Message::Connect {
            client,
            ids,
            request,
        })
        .await?;
        self.known_to_core = true;
        // Nothing is read before the session is there; what has come with the packet waits.
        while self.client.session().is_none() {
            self.client.woken().await;
            if self.client.is_closing() {
                return self.finish().await;
            }
        }
        self.decode(&[])?;
        self.converse().await
    }

    /// Reads the first packet. `None` if it was a four-letter word, whose answer is queued.
    async fn handshake(&mut self) -> Result<Option<ConnectRequest>, Ending> {
        while self.partial.len() < 4 {
            self.read_more().await?;
        }
        if let Some(first) = self.partial.first_chunk::<4>()
            && let Some(word) = Word::recognize(*first)
        {
            self.shared.metrics.packets_received.add(1);
            self.client.stats(|stats| stats.received(1));
            let argument = match word {
                Word::Stmk => self.read_argument().await,
                _ => None,
            };
            let answer = words::answer(&self.shared, &self.core, &self.client, word, argument);
            let answer = answer.await;
            self.client
                .write(|out, _| out.extend_from_slice(answer.as_bytes()));
            return Ok(None);
        }
        loop {
            let mut frames = Frames::new(&self.partial, self.max_frame());
            let frame = frames
                .next_frame()
                .map_err(|error| self.length_error(&error))?;
            if let Some(frame) = frame {
                let request = decode(frame)
                    .map_err(|error| Ending::Client(format!("bad connect request: {error}")))?;
                let rest = frames.rest().len();
                self.partial.drain(..self.partial.len() - rest);
                self.shared.metrics.packets_received.add(1);
                return Ok(Some(request));
            }
            self.read_more().await?;
        }
    }

    /// The eight bytes behind `stmk`.
    async fn read_argument(&mut self) -> Option<i64> {
        while self.partial.len() < 12 {
            self.read_more().await.ok()?;
        }
        let bytes = self.partial[4..].first_chunk::<8>()?;
        Some(i64::from_be_bytes(*bytes))
    }

    async fn read_more(&mut self) -> Result<(), Ending> {
        loop {
            self.socket.readable().await?;
            match with_scratch(|scratch| -> io::Result<usize> {
                let count = self.socket.receive(scratch)?;
                self.partial.extend_from_slice(&scratch[..count]);
                Ok(count)
            }) {
                Ok(0) => return Err(Ending::Io(ErrorKind::UnexpectedEof.into())),
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Requests and answers, until one side ends it.
    async fn converse(&mut self) -> Result<(), Ending> {
        let client = Arc::clone(&self.client);
        loop {
            self.dispatch().await?;
            if self.client.is_closing() {
                return self.finish().await;
            }
            self.take_outgoing();
            self.write_some()?;
            let writing = self.sent < self.outgoing.len() || self.socket.has_unsent();
            if !writing && !self.requests.is_empty() && self.client.in_core() == 0 {
                // Others have their turn: without this not even the sockets would be looked at.
                tokio::task::yield_now().await;
                continue;
            }
            let reading = self.may_read();
            client.set_read_paused(!reading);
            tokio::select! {
                () = client.woken() => {}
                ready = self.socket.readable(), if reading => {
                    ready?;
                    self.read_some()?;
                }
                ready = self.socket.writable(), if writing => ready?,
            }
        }
    }

    /// Whether more requests are welcome: all earlier ones are taken up, and the client reads.
    fn may_read(&self) -> bool {
        let unsent = self.outgoing.len() - self.sent;
        self.requests.is_empty()
            && unsent + self.client.queued() < HIGH_WATER
            && self.client.in_core() < MAX_IN_CORE
    }

    /// Reads what the socket has and decodes it.
    fn read_some(&mut self) -> Result<(), Ending> {
        with_scratch(|scratch| match self.socket.receive(scratch) {
            Ok(0) => Err(Ending::Io(ErrorKind::UnexpectedEof.into())),
            Ok(count) => self.decode(&scratch[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.into()),
        })
    }

    /// Turns what has arrived into requests; keeps what is no whole frame.
    fn decode(&mut self, arrived: &[u8]) -> Result<(), Ending> {
        if self.partial.is_empty() {
            let rest = self.decode_frames(arrived)?;
            self.partial
                .extend_from_slice(&arrived[arrived.len() - rest..]);
        } else {
            let mut bytes = std::mem::take(&mut self.partial);
            bytes.extend_from_slice(arrived);
            let rest = self.decode_frames(&bytes)?;
            bytes.drain(..bytes.len() - rest);
            if bytes.is_empty() && bytes.capacity() > READ_SIZE {
                bytes = Vec::new();
            }
            self.partial = bytes;
        }
        Ok(())
    }

    /// Decodes every whole frame; answers how many bytes are left.
    fn decode_frames(&mut self, bytes: &[u8]) -> Result<usize, Ending> {
        let received = self.shared.clock.micros();
        let mut frames = Frames::new(bytes, self.max_frame());
        let mut packets = 0;
        while let Some(frame) = frames
            .next_frame()
            .map_err(|error| self.length_error(&error))?
        {
            packets += 1;
            self.decode_packet(frame, received)?;
            if self.is_refused {
                return Ok(0);
            }
        }
        if packets > 0 {
            let metrics = &self.shared.metrics;
            metrics.packets_received.add(packets);
            let left = frames.rest().len();
            metrics
                .bytes_received_count
                .add(u64::try_from(bytes.len() - left).unwrap_or(0));
            self.client.stats(|stats| stats.received(packets));
        }
        Ok(frames.rest().len())
    }

    fn decode_packet(&mut self, packet: &[u8], received: i64) -> Result<(), Ending> {
        let mut input = Decoder::new(packet).with_limit(self.max_length());
        let header = RequestHeader::decode(&mut input)
            .map_err(|error| Ending::Client(format!("bad request header: {error}")))?;
        let xid = header.xid;
        let op = OpCode::from_code(header.r#type);
        match op {
            Some(OpCode::Auth) => return self.authenticate(xid, &mut input),
            Some(OpCode::Sasl) => return self.sasl(xid, &mut input),
            _ => {}
        }
        let work = match self.shared.auth.satisfied_by(&self.ids) {
            true => Work::decode(op, &mut input),
            false => Work::Refused(Refusal {
                error: ErrorCode::SessionClosedRequireSaslAuth,
                zxid: Some(0),
                close: true,
            }),
        };
        let op = op.unwrap_or(OpCode::Error);
        let ids = Arc::clone(&self.ids);
        // What a learner forwards is what the client wrote.
        let may_be_forwarded = self.shared.config.ensemble.is_some() && work.goes_to_leader();
        let body = may_be_forwarded.then(|| Bytes::copy_from_slice(&packet[HEADER_LENGTH..]));
        self.requests.push_back(ClientRequest {
            xid,
            op,
            work,
            ids,
            received,
            size: packet.len(),
            body,
        });
        Ok(())
    }

    /// Answered at once: an auth packet may overtake requests that are being worked on.
    fn authenticate(&mut self, xid: Xid, input: &mut Decoder<'_>) -> Result<(), Ending> {
        let packet = AuthPacket::decode(input)
            .map_err(|error| Ending::Client(format!("bad auth packet: {error}")))?;
        let address = address::text(self.client.address.ip());
        let scheme = packet.scheme.as_deref();
        let outcome = match AuthSettings::is_of_certificates(scheme) {
            true if self.certificate_ids.is_empty() => Authentication::Failed,
            true => Authentication::Granted(self.certificate_ids.clone()),
            false => self
                .shared
                .auth
                .authenticate(scheme, packet.auth.as_deref(), &address),
        };
        let ids = match outcome {
            Authentication::Granted(granted) => {
                identities::with_more(&self.ids, granted, self.max_frame())
            }
            Authentication::Failed => None,
        };
        match ids {
            Some(ids) => {
                self.ids = ids;
                self.ids_are_news = true;
                self.reply_now(xid, ErrorCode::Ok, |_| {});
            }
            None => {
                self.shared.metrics.auth_failed_count.add(1);
                let scheme = packet.scheme.unwrap_or_default();
                tracing::warn!(client = %self.client.address, scheme, "authentication failed");
                self.reply_now(xid, ErrorCode::AuthFailed, |_| {});
                self.client.close();
                self.is_refused = true;
            }
        }
        Ok(())
    }

    fn reply_now(&self, xid: Xid, error: ErrorCode, body: impl FnOnce(&mut Vec<u8>)) {
        self.shared.metrics.packets_sent.add(1);
        self.client.write(|out, stats| {
            let start = start_frame(out);
            ReplyHeader {
                xid,
                zxid: Zxid::ZERO,
                err: error.code(),
            }
            .encode(out);
            body(out);
            end_frame(out, start);
            stats.sent(1);
        });
    }

    /// Takes up requests: reads are answered here unless a write of this client is before them.
    async fn dispatch(&mut self) -> Result<(), Ending> {
        if std::mem::take(&mut self.ids_are_news) {
            let mut database = self.shared.database.write();
            database.identify(self.client.id, Arc::clone(&self.ids));
        }
        if self.client.in_core() == 0 {
            self.reads_in_core = 0;
            self.answer_reads();
        }
        let mut batch = Vec::new();
        let room = MAX_IN_CORE.saturating_sub(self.client.in_core());
        while batch.len() < room
            && let Some(request) = self.requests.front()
        {
            // With nothing in the core, the first request left is a write, or the client is slow.
            let behind_a_write = !batch.is_empty() || self.client.in_core() > 0;
            if !request.work.goes_to_leader() {
                if !behind_a_write || self.reads_in_core == MAX_READS_IN_CORE {
                    break;
                }
                self.reads_in_core += 1;
            }
            batch.extend(self.requests.pop_front());
        }
        if batch.is_empty() {
            return Ok(());
        }
        // The core may be long in coming to them, while the disk is slow.
        if let Some(session) = self.client.session() {
            self.shared.touches.lock().touch(session);
        }
        let room = self.take_room(&batch).await?;
        self.client.handed_over(batch.len());
        self.tell(Message::Requests {
            client: self.client.id,
            requests: batch,
            room,
        })
        .await
    }

    /// Waits until the server has memory for these requests. All of it is for one that needs more.
    async fn take_room(&self, batch: &[ClientRequest]) -> Result<OwnedSemaphorePermit, Ending> {
        let bytes: usize = batch.iter().map(|request| request.size).sum();
        let room = u32::try_from(bytes).unwrap_or(INTAKE).min(INTAKE);
        let intake = Arc::clone(&self.shared.intake);
        let closed = |_| Ending::Client("the server is stopping".into());
        intake.acquire_many_owned(room).await.map_err(closed)
    }

    /// Answers the reads before the first write, all under one lock.
    fn answer_reads(&mut self) {
        let reads = self
            .requests
            .iter()
            .take_while(|request| !request.work.goes_to_leader())
            .count();
        // However large the answers before were: a client that reads is waited for.
        if reads == 0 || self.client.queued() >= HIGH_WATER {
            return;
        }
        let Some(session) = self.client.session() else {
            return;
        };
        let shared = Arc::clone(&self.shared);
        let reader = Reader {
            client: self.client.id,
            session,
            auth: &shared.auth,
        };
        let answering = Answering {
            shared: &shared,
            client: &self.client,
        };
        let requests = &mut self.requests;
        if requests
            .range(..reads)
            .any(|request| request.work.changes_watches())
        {
            let mut database = shared.database.write();
            database.tree.warm(paths(requests.range(..reads)));
            answering.run(requests, reads, |request, out| {
                database.answer_and_watch(reader, request, out);
            });
        } else {
            let database = shared.database.read();
            database.tree.warm(paths(requests.range(..reads)));
            answering.run(requests, reads, |request, out| {
                database.answer(reader, request, out)
            });
        }
        shared.touches.lock().touch(session);
    }

    /// Takes what is queued if all before it has left.
    fn take_outgoing(&mut self) {
        if self.sent < self.outgoing.len() {
            return;
        }
        self.outgoing.clear();
        if self.outgoing.capacity() > HIGH_WATER {
            self.outgoing = Vec::new();
        }
        self.sent = 0;
        self.client.take_queued(&mut self.outgoing);
    }

    fn write_some(&mut self) -> Result<(), Ending> {
        while self.sent < self.outgoing.len() {
            match self.socket.send(&self.outgoing[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.socket.flush()?)
    }

    /// Sends all that is queued and closes the connection, so that the client sees its end and not
    /// a reset.
    async fn finish(&mut self) -> Result<(), Ending> {
        timeout(LINGER, self.flush_and_shut_down())
            .await
            .unwrap_or(Ok(()))
    }

    async fn flush_and_shut_down(&mut self) -> Result<(), Ending> {
        loop {
            self.take_outgoing();
            if self.outgoing.is_empty() && !self.socket.has_unsent() {
                break;
            }
            self.write_some()?;
            if self.sent < self.outgoing.len() || self.socket.has_unsent() {
                self.socket.writable().await?;
            }
        }
        self.socket.shut_down().await?;
        // What the client still sends would turn the end into a reset.
        loop {
            self.socket.readable().await?;
            match with_scratch(|scratch| self.socket.receive(scratch)) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(Ending::Io(error)),
            }
        }
    }

    async fn tell(&self, message: Message) -> Result<(), Ending> {
        let gone = |_| Ending::Client("the server is stopping".into());
        self.core.send(message).await.map_err(gone)
    }

    fn max_frame(&self) -> usize {
        self.shared.config.limits.jute_max_buffer
    }

    fn max_length(&self) -> usize {
        let limits = &self.shared.config.limits;
        limits
            .jute_max_buffer
            .saturating_add(limits.jute_extra_size)
    }

    fn length_error(&self, error: &ox_jute::FrameError) -> Ending {
        let ox_jute::FrameError::Length { length, limit } = error;
        // What a handshake begins with: its type and its version.
        let meaning = match length.to_be_bytes() {
            [TLS_HANDSHAKE, 3, ..] => ": this is a TLS ClientHello, and this port is without TLS",
            _ => "",
        };
        Ending::Client(format!(
            "Len error. A message from /{} with advertised length of {length} is either a \
             malformed message or too large to process (length is greater than \
             jute.maxbuffer={limit}){meaning}",
            self.client.address,
        ))
    }
}

/// The znodes that requests are about.
fn paths<'a>(requests: impl Iterator<Item = &'a ClientRequest>) -> impl Iterator<Item = &'a str> {
    requests.filter_map(|request| request.work.path())
}

/// Answers a run of reads.
struct Answering<'a> {
    shared: &'a Shared,
    client: &'a Client,
}

impl Answering<'_> {
    /// Answers the first `reads` requests, or fewer if the client lets too much pile up, if they
    /// take long or if one of them ends the connection. The database is held by the caller, so the order of the answers
    /// is the order of what they saw.
    fn run(
        &self,
        requests: &mut VecDeque<ClientRequest>,
        reads: usize,
        mut answer: impl FnMut(&ClientRequest, &mut Vec<u8>),
    ) {
        let mut close = false;
        self.client.write(|out, stats| {
            let now = self.shared.clock.micros();
            let mut count = AnswerCount::new(&self.shared.metrics);
            let mut is_over = false;
            while count.answers() < reads
                && out.len() < HIGH_WATER
                && !close
                && !is_over
                && let Some(request) = requests.pop_front()
            {
                let at = out.len();
                answer(&request, out);
                close = matches!(&request.work, Work::Refused(refusal) if refusal.close);
                let latency_ms = millis(now - request.received);
                count.add(false, latency_ms, out.len() - at);
                is_over = count.answers().is_multiple_of(READS_PER_LOOK)
                    && now + MAX_RUN < self.shared.clock.micros();
                stats.answered(Answered {
                    op: request.op,
                    cxid: request.xid.0,
                    zxid: zxid_of_reply(&out[at..]),
                    at_ms: millis(now),
                    latency_ms,
                });
            }
            stats.sent(u64::try_from(count.answers()).unwrap_or(0));
            count.finish();
        });
        if close {
            self.client.close();
        }
    }
}

fn with_scratch<T>(use_it: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| use_it(&mut scratch[..]))
}
