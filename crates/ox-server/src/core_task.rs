//! The task that owns the core: connections and the log speak to it, it speaks to their queues.
//!
//! It waits for nobody: what it has for a connection or for the log goes into a queue. Invariant:
//! what a turn has for a client is queued before the lock on the database is let go, so what is
//! queued after a read of the new state comes after the events that announce it.

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use ox_proto::{ConnectRequest, Id, SessionId, Zxid};
use ox_replica::{Answers, ClientRequest, Core, Input, Output};
use ox_session::ClientId;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::sleep_until;

use crate::admin::Answered;
use crate::client::Client;
use crate::log_thread::{Batch, LogQueue};
use crate::shared::Shared;

/// Inputs per turn: readers wait while a turn lasts.
const TURN: usize = 64;

/// What connections ask of the core.
#[derive(Debug)]
pub(crate) enum Message {
    /// Its first packet.
    Connect {
        client: Arc<Client>,
        ids: Arc<[Id]>,
        request: ConnectRequest,
    },
    /// Its requests, in order.
    Requests {
        client: ClientId,
        requests: Vec<ClientRequest>,
        /// What they take up of [`Shared::intake`].
        room: OwnedSemaphorePermit,
    },
    /// It has ended.
    Disconnected { client: ClientId },
    /// Which sessions expire when, in monotonic milliseconds.
    SessionsByExpiry(oneshot::Sender<BTreeMap<i64, Vec<SessionId>>>),
}

/// The core and what it writes to.
pub(crate) struct CoreTask {
    shared: Arc<Shared>,
    core: Core,
    log: Arc<LogQueue>,
    /// The connections that the core knows, by slot.
    clients: Vec<Option<Arc<Client>>>,
    /// Those with something new in their queue.
    to_wake: Vec<ClientId>,
    batch: Batch,
    /// What the requests of this turn take up of the intake.
    room: Option<OwnedSemaphorePermit>,
    /// The same of transactions that the log has, up to each zxid.
    room_in_log: VecDeque<(Zxid, OwnedSemaphorePermit)>,
}

impl CoreTask {
    pub(crate) fn new(shared: Arc<Shared>, core: Core, log: Arc<LogQueue>) -> Self {
        let (clients, to_wake) = (Vec::new(), Vec::new());
        Self {
            shared,
            core,
            log,
            clients,
            to_wake,
            batch: Batch::default(),
            room: None,
            room_in_log: VecDeque::new(),
        }
    }

    /// Runs until every connection has ended and all that they asked for is on disk.
    pub(crate) async fn run(
        mut self,
        mut messages: mpsc::Receiver<Message>,
        mut flushed: mpsc::Receiver<Zxid>,
    ) {
        let mut turn = Vec::with_capacity(TURN);
        let mut alarm = pin!(sleep_until(Instant::now().into()));
        let mut open = true;
        self.perform();
        while open || self.core.outstanding() > 0 {
            let due = self.shared.clock.at(self.core.poll_timeout()).into();
            if alarm.deadline() != due {
                alarm.as_mut().reset(due);
            }
            tokio::select! {
                biased;
                // It is rarely due; the others may have something at all times.
                () = &mut alarm => {
                    turn.extend(self.shared.touches.lock().drain().map(Input::Touched));
                    turn.push(Input::Timeout);
                }
                Some(zxid) = flushed.recv() => {
                    while self.room_in_log.pop_front_if(|(last, _)| *last <= zxid).is_some() {}
                    turn.push(Input::Flushed(zxid));
                }
                message = messages.recv(), if open && self.has_room() => match message {
                    Some(message) => self.accept(message, &mut turn),
                    None => open = false,
                },
            }
            while turn.len() < TURN
                && self.has_room()
                && let Ok(message) = messages.try_recv()
            {
                self.accept(message, &mut turn);
            }
            self.turn(&mut turn);
        }
        self.log.close();
    }

    /// Client writes wait in their connections while so many proposals wait for the disk.
    fn has_room(&self) -> bool {
        let limit = self.shared.config.limits.global_outstanding;
        self.core.outstanding() < usize::try_from(limit).unwrap_or(usize::MAX)
    }

    fn accept(&mut self, message: Message, turn: &mut Vec<Input>) {
        turn.push(match message {
            Message::Connect {
                client,
                ids,
                request,
            } => {
                let id = client.id;
                self.remember(client);
                Input::Connect {
                    client: id,
                    ids,
                    request,
                }
            }
            Message::Requests {
                client,
                requests,
                room,
            } => {
                match &mut self.room {
                    Some(taken) => taken.merge(room),
                    None => self.room = Some(room),
                }
                Input::Requests { client, requests }
            }
            Message::Disconnected { client } => Input::Disconnected { client },
            Message::SessionsByExpiry(answer) => {
                // Whoever asked may have gone.
                let _ = answer.send(self.core.sessions_by_expiry());
                return;
            }
        });
    }

    fn turn(&mut self, turn: &mut Vec<Input>) {
        let shared = Arc::clone(&self.shared);
        let now = shared.clock.now();
        {
            let mut database = shared.database.write();
            for input in turn.drain(..) {
                self.core.handle(now, input, &mut database);
            }
            self.perform();
        }
        for id in self.to_wake.drain(..) {
            if let Some(client) = &self.clients[slot(id)] {
                client.wake();
            }
        }
    }

    /// Hands every effect to its owner.
    fn perform(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Append { zxid, payload } => self.batch.push(zxid, payload),
                Output::Send {
                    client: id,
                    frames,
                    answers,
                } => {
                    if let Some(client) = &self.clients[slot(id)] {
                        deliver(&self.shared, client, frames, answers);
                        wake_later(&mut self.to_wake, id);
                    }
                }
                Output::Established {
                    client: id,
                    session,
                    timeout_ms,
                    frame,
                } => {
                    if let Some(client) = &self.clients[slot(id)] {
                        self.shared.metrics.packets_sent.add(1);
                        client.write(|out, stats| {
                            out.extend_from_slice(frame);
                            stats.sent(1);
                        });
                        client.establish(session, timeout_ms);
                        wake_later(&mut self.to_wake, id);
                        tracing::debug!(
                            client = %client.address, %session, timeout_ms, "session established"
                        );
                    }
                }
                Output::Close { client: id } => {
                    if let Some(client) = &self.clients[slot(id)] {
                        client.close();
                        wake_later(&mut self.to_wake, id);
                    }
                }
                Output::Release { client } => {
                    self.clients[slot(client)] = None;
                    self.shared.clients.release(client);
                }
            }
        }
        // What a turn has brought takes up room until it is on disk.
        let room = self.room.take();
        if let Some(last) = self.batch.last() {
            self.room_in_log.extend(room.map(|room| (last, room)));
            self.log.push(&mut self.batch);
        }
    }

    fn remember(&mut self, client: Arc<Client>) {
        let slot = slot(client.id);
        if self.clients.len() <= slot {
            self.clients.resize(slot + 1, None);
        }
        self.clients[slot] = Some(client);
    }
}

/// A client is often sent several things in a row; one wake-up is enough for them.
fn wake_later(to_wake: &mut Vec<ClientId>, client: ClientId) {
    if to_wake.last() != Some(&client) {
        to_wake.push(client);
    }
}

/// Queues frames for a client, and counts them.
fn deliver(shared: &Shared, client: &Client, frames: &[u8], answers: Option<Answers>) {
    let metrics = &shared.metrics;
    let bytes = u64::try_from(frames.len()).unwrap_or(u64::MAX);
    metrics.packets_sent.add(1);
    let Some(Answers {
        op,
        xid,
        received,
        write,
    }) = answers
    else {
        metrics.watch_bytes.add(bytes);
        client.write_event(frames);
        return;
    };
    let now = shared.clock.micros();
    let latency_ms = millis(now - received);
    metrics.response_bytes.add(bytes);
    metrics
        .client_response_size
        .record(frames.len().saturating_sub(4));
    if write {
        metrics.write_answered(latency_ms);
    } else {
        metrics.read_answered(latency_ms, 1);
    }
    client.write(|out, stats| {
        out.extend_from_slice(frames);
        stats.sent(1);
        let zxid = zxid_of_reply(frames);
        stats.answered(Answered {
            op,
            cxid: xid.0,
            zxid,
            at_ms: millis(now),
            latency_ms,
        });
    });
    client.answered();
}

/// The zxid in the header of a frame.
pub(crate) fn zxid_of_reply(frame: &[u8]) -> Zxid {
    let bytes = frame.get(8..16).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(Zxid(-1), |bytes| Zxid(i64::from_be_bytes(bytes)))
}

/// Microseconds in whole milliseconds.
pub(crate) fn millis(micros: i64) -> u64 {
    u64::try_from(micros / 1000).unwrap_or(0)
}

fn slot(id: ClientId) -> usize {
    usize::try_from(id.0).expect("a slot is an index")
}
