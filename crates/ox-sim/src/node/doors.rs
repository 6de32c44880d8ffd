//! The connections of clients, as `connection.rs` of ox-server serves them: it decodes all that has
//! arrived, answers reads with no write before them on the spot, and hands the rest to the core.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use ox_jute::{Decoder, Frames, Jute, decode};
use ox_proto::{ConnectRequest, Id, OpCode, RequestHeader, SessionId};
use ox_replica::{AuthSettings, ClientRequest, Database, Input, Reader, Work};
use ox_session::{ClientId, TouchTable};
use slab::Slab;

use crate::clock::Clock;
use crate::env::Env;
use crate::net::ConnId;

/// Requests that one connection may have in the core, and reads among them.
const MAX_IN_CORE: usize = 1024;
const MAX_READS_IN_CORE: usize = 16;

/// The longest frame.
pub(crate) const MAX_FRAME: usize = 0xfffff;

/// Bytes of a request's header.
const HEADER_LENGTH: usize = 8;

struct Door {
    conn: ConnId,
    ids: Arc<[Id]>,
    partial: Vec<u8>,
    requests: VecDeque<ClientRequest>,
    has_asked: bool,
    session: Option<SessionId>,
    in_core: usize,
    reads_in_core: usize,
    out: Vec<u8>,
    is_closing: bool,
}

pub(crate) struct Doors {
    /// `None` where the connection has ended and the core has not released it.
    doors: Slab<Option<Door>>,
    by_conn: BTreeMap<ConnId, ClientId>,
    woken: BTreeSet<ClientId>,
    touches: TouchTable,
    auth: AuthSettings,
    clock: Clock,
}

impl Doors {
    pub(crate) fn new(auth: AuthSettings, clock: Clock) -> Self {
        Self {
            doors: Slab::default(),
            by_conn: BTreeMap::new(),
            woken: BTreeSet::new(),
            touches: TouchTable::new(),
            auth,
            clock,
        }
    }

    /// The sessions heard from by reads that did not come to the core.
    pub(crate) fn touches(&mut self) -> impl Iterator<Item = Input> + use<> {
        let touches = self.touches.drain();
        touches.map(|(session, at_ms)| Input::Touched { session, at_ms })
    }

    pub(crate) fn has(&self, conn: ConnId) -> bool {
        self.by_conn.contains_key(&conn)
    }

    pub(crate) fn accepted(&mut self, conn: ConnId, machine: usize) {
        let address = format!("10.0.0.{machine}");
        let door = Door {
            conn,
            ids: [AuthSettings::address_id(&address)].into(),
            partial: Vec::new(),
            requests: VecDeque::new(),
            has_asked: false,
            session: None,
            in_core: 0,
            reads_in_core: 0,
            out: Vec::new(),
            is_closing: false,
        };
        let client = client_of(self.doors.insert(Some(door)));
        self.by_conn.insert(conn, client);
    }

    fn door(&mut self, client: ClientId) -> Option<&mut Door> {
        self.doors.get_mut(slot(client)).and_then(Option::as_mut)
    }

    /// Whether a connection still has no session.
    pub(crate) fn is_sessionless(&mut self, conn: ConnId) -> bool {
        let client = self.by_conn.get(&conn).copied();
        let door = client.and_then(|client| self.door(client));
        door.is_some_and(|door| !door.has_asked)
    }

    /// Bytes have come.
    pub(crate) fn arrived(
        &mut self,
        env: &mut Env,
        conn: ConnId,
        bytes: &[u8],
        database: &mut Database,
        inputs: &mut Vec<Input>,
    ) {
        let Some(&client) = self.by_conn.get(&conn) else {
            return;
        };
        let Some(door) = self.door(client) else {
            return;
        };
        door.partial.extend_from_slice(bytes);
        self.go_on(env, client, database, inputs);
    }

    /// Does what a connection can do by now.
    fn go_on(
        &mut self,
        env: &mut Env,
        client: ClientId,
        database: &mut Database,
        inputs: &mut Vec<Input>,
    ) {
        let Some(door) = self.door(client) else {
            return;
        };
        let went_well = match (door.has_asked, door.session) {
            (false, _) => door.ask(client, inputs),
            (true, None) => Ok(()),
            (true, Some(_)) => door.decode(env.now),
        };
        let conn = door.conn;
        if went_well.is_err() {
            return self.ended(env, conn, inputs);
        }
        let now_ms = self.clock.now(env.now).monotonic_ms;
        self.dispatch(client, now_ms, database, inputs);
        self.flush(env, client, inputs);
    }

    /// Takes up requests: reads are answered here unless a write of this client is before them.
    fn dispatch(
        &mut self,
        client: ClientId,
        now_ms: i64,
        database: &mut Database,
        inputs: &mut Vec<Input>,
    ) {
        let Self {
            doors,
            touches,
            auth,
            ..
        } = self;
        let Some(door) = doors.get_mut(slot(client)).and_then(Option::as_mut) else {
            return;
        };
        let Some(session) = door.session else {
            return;
        };
        if door.in_core == 0 {
            door.reads_in_core = 0;
            let reader = Reader {
                client,
                session,
                auth,
            };
            while !door.is_closing
                && let Some(request) = door
                    .requests
                    .pop_front_if(|request| !request.work.goes_to_leader())
            {
                match request.work.changes_watches() {
                    true => database.answer_and_watch(reader, &request, &mut door.out),
                    false => database.answer(reader, &request, &mut door.out),
                }
                door.is_closing |= matches!(&request.work, Work::Refused(refusal) if refusal.close);
                touches.touch(session, now_ms);
            }
        }
        let mut batch = Vec::new();
        let room = MAX_IN_CORE.saturating_sub(door.in_core);
        while batch.len() < room
            && let Some(request) = door.requests.front()
        {
            let behind_a_write = !batch.is_empty() || door.in_core > 0;
            if !request.work.goes_to_leader() {
                if !behind_a_write || door.reads_in_core == MAX_READS_IN_CORE {
                    break;
                }
                door.reads_in_core += 1;
            }
            batch.extend(door.requests.pop_front());
        }
        if !batch.is_empty() {
            touches.touch(session, now_ms);
            door.in_core += batch.len();
            inputs.push(Input::Requests {
                client,
                requests: batch,
            });
        }
    }

    /// Sends what is queued; ends the connection if that was all there will be.
    fn flush(&mut self, env: &mut Env, client: ClientId, inputs: &mut Vec<Input>) {
        let Some(door) = self.door(client) else {
            return;
        };
        let (conn, is_closing) = (door.conn, door.is_closing);
        let out = std::mem::take(&mut door.out);
        if !out.is_empty() {
            env.send(conn, 1, out);
        }
        if is_closing {
            self.ended(env, conn, inputs);
        }
    }

    /// A connection is over.
    pub(crate) fn ended(&mut self, env: &mut Env, conn: ConnId, inputs: &mut Vec<Input>) {
        env.close(conn, 1);
        let Some(client) = self.by_conn.remove(&conn) else {
            return;
        };
        let door = self.doors.get_mut(slot(client)).and_then(Option::take);
        match door.is_some_and(|door| door.has_asked) {
            true => inputs.push(Input::Disconnected { client }),
            false => {
                self.doors.remove(slot(client));
            }
        }
    }

    /// The core's turn is over: whoever has something new goes on.
    pub(crate) fn after_turn(
        &mut self,
        env: &mut Env,
        database: &mut Database,
        inputs: &mut Vec<Input>,
    ) {
        for client in std::mem::take(&mut self.woken) {
            self.go_on(env, client, database, inputs);
        }
    }

    pub(crate) fn send(&mut self, client: ClientId, frames: &[u8], is_answer: bool) {
        if let Some(door) = self.door(client) {
            if !door.is_closing {
                door.out.extend_from_slice(frames);
            }
            if is_answer {
                door.in_core -= 1;
            }
            self.woken.insert(client);
        }
    }

    pub(crate) fn established(&mut self, client: ClientId, session: SessionId, frame: &[u8]) {
        if let Some(door) = self.door(client) {
            door.out.extend_from_slice(frame);
            door.session = Some(session);
            self.woken.insert(client);
        }
    }

    pub(crate) fn close(&mut self, client: ClientId) {
        if let Some(door) = self.door(client) {
            door.is_closing = true;
            self.woken.insert(client);
        }
    }

    pub(crate) fn release(&mut self, client: ClientId) {
        if self.doors.contains(slot(client)) {
            self.doors.remove(slot(client));
        }
    }
}

impl Door {
    /// The first packet.
    fn ask(&mut self, client: ClientId, inputs: &mut Vec<Input>) -> Result<(), ()> {
        let mut frames = Frames::new(&self.partial, MAX_FRAME);
        let Some(frame) = frames.next_frame().map_err(|_| ())? else {
            return Ok(());
        };
        let request: ConnectRequest = decode(frame).map_err(|_| ())?;
        let rest = frames.rest().len();
        self.partial.drain(..self.partial.len() - rest);
        self.has_asked = true;
        inputs.push(Input::Connect {
            client,
            ids: Arc::clone(&self.ids),
            request,
        });
        Ok(())
    }

    /// Turns what has arrived into requests.
    fn decode(&mut self, now: i64) -> Result<(), ()> {
        let bytes = std::mem::take(&mut self.partial);
        let mut frames = Frames::new(&bytes, MAX_FRAME);
        while let Some(frame) = frames.next_frame().map_err(|_| ())? {
            self.decode_packet(frame, now)?;
        }
        self.partial = frames.rest().to_vec();
        Ok(())
    }

    fn decode_packet(&mut self, packet: &[u8], received: i64) -> Result<(), ()> {
        let mut input = Decoder::new(packet).with_limit(MAX_FRAME);
        let header = RequestHeader::decode(&mut input).map_err(|_| ())?;
        let op = OpCode::from_code(header.r#type);
        let work = Work::decode(op, &mut input);
        let may_be_forwarded = work.goes_to_leader();
        let body = may_be_forwarded.then(|| Bytes::copy_from_slice(&packet[HEADER_LENGTH..]));
        self.requests.push_back(ClientRequest {
            xid: header.xid,
            op: op.unwrap_or(OpCode::Error),
            work,
            ids: Arc::clone(&self.ids),
            received,
            size: packet.len(),
            body,
        });
        Ok(())
    }
}

fn slot(client: ClientId) -> usize {
    usize::try_from(client.0).expect("a slot is an index")
}

fn client_of(slot: usize) -> ClientId {
    ClientId(u32::try_from(slot).expect("few connections"))
}
