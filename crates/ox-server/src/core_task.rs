//! The task that owns the core: connections and the log speak to it, it speaks to their queues.
//!
//! It waits for nobody: what it has for a connection or for the log goes into a queue. Invariant:
//! what a turn has for a client is queued before the lock on the database is let go, so what is
//! queued after a read of the new state comes after the events that announce it.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use ox_proto::{ConnectRequest, Id, OpCode, PeerState, Zxid};
use ox_replica::{Answers, ClientRequest, Core, Input, Mode, Output, TrackedSessions};
use ox_session::ClientId;
use ox_store::Done;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::sleep_until;

use crate::admin::Answered;
use crate::admin::metrics::Metrics;
use crate::answer_count::AnswerCount;
use crate::client::Client;
use crate::ensemble::{Arrival, Incoming, Member};
use crate::log_thread::{Batch, LogQueue, LogReport};
use crate::shared::Shared;
use crate::standing::Standing;

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
    /// Which sessions are watched over.
    Sessions(oneshot::Sender<TrackedSessions>),
}

/// The core and what it writes to.
pub(crate) struct CoreTask {
    shared: Arc<Shared>,
    core: Core,
    log: Arc<LogQueue>,
    /// `None` on a server that is alone.
    member: Option<Member>,
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
    pub(crate) fn new(
        shared: Arc<Shared>,
        core: Core,
        log: Arc<LogQueue>,
        member: Option<Member>,
    ) -> Self {
        let (clients, to_wake) = (Vec::new(), Vec::new());
        let mut task = Self {
            shared,
            core,
            log,
            member,
            clients,
            to_wake,
            batch: Batch::default(),
            room: None,
            room_in_log: VecDeque::new(),
        };
        // Before anybody can ask, a server that is alone serves.
        task.perform();
        task.tell_standing();
        task
    }

    /// Runs until every connection has ended and, on a server that is alone, all that they asked
    /// for is on disk.
    pub(crate) async fn run(
        mut self,
        mut messages: mpsc::Receiver<Message>,
        mut reports: mpsc::Receiver<LogReport>,
        mut incoming: Option<Incoming>,
    ) {
        let mut turn = Vec::with_capacity(TURN);
        let tick = self.shared.config.sessions.tick;
        // A session that nobody but readers have touched lives on from when the core hears of it.
        let mut hear = Instant::now() + tick;
        let mut alarm = pin!(sleep_until(Instant::now().into()));
        let mut open = true;
        while open || self.has_to_finish() {
            let timeout = self.shared.clock.at(self.core.poll_timeout());
            let due = timeout.min(hear).into();
            if alarm.deadline() != due {
                alarm.as_mut().reset(due);
            }
            tokio::select! {
                biased;
                // It is rarely due; the others may have something at all times.
                () = &mut alarm => {
                    self.take_touches(&mut turn);
                    let now = Instant::now();
                    hear = now + tick;
                    if timeout <= now {
                        let delivered = self.member.as_ref().is_none_or(Member::delivered);
                        turn.push(Input::Timeout { delivered });
                    }
                }
                Some(report) = reports.recv() => {
                    self.accept_report(report, &mut turn);
                }
                arrival = arrive(&mut incoming) => self.accept_arrival(arrival, &mut turn),
                message = messages.recv(), if open && self.has_room() => match message {
                    Some(message) => self.accept(message, &mut turn),
                    None => open = false,
                },
            }
            while turn.len() < TURN
                && let Some(event) = incoming.as_mut().and_then(Incoming::try_next)
            {
                self.accept_arrival(Arrival::Event(event), &mut turn);
            }
            while turn.len() < TURN
                && let Ok(report) = reports.try_recv()
            {
                self.accept_report(report, &mut turn);
            }
            while turn.len() < TURN
                && self.has_room()
                && let Ok(message) = messages.try_recv()
            {
                self.accept(message, &mut turn);
            }
            self.turn(&mut turn);
            while let Some(answer) = self.member.as_mut().and_then(Member::poll_answer) {
                turn.push(answer);
                self.turn(&mut turn);
            }
            self.tell_standing();
        }
        self.log.close();
        if let Some(member) = self.member {
            member.shutdown().await;
        }
    }

    /// A server that is alone ends when what was asked of it is on disk; the others of an ensemble
    /// go on without us.
    fn has_to_finish(&self) -> bool {
        self.member.is_none() && self.core.outstanding() > 0
    }

    /// The sessions heard from by reads that did not come here.
    fn take_touches(&self, turn: &mut Vec<Input>) {
        turn.extend(self.shared.touches.lock().drain().map(Input::Touched));
    }

    fn accept_arrival(&mut self, arrival: Arrival, turn: &mut Vec<Input>) {
        // The leader may ask for them.
        self.take_touches(turn);
        if let Some(member) = &mut self.member {
            member.inputs(arrival, turn);
        }
    }

    fn accept_report(&mut self, report: LogReport, turn: &mut Vec<Input>) {
        turn.push(match report {
            LogReport::Flushed(zxid) => {
                while self
                    .room_in_log
                    .pop_front_if(|(last, _)| *last <= zxid)
                    .is_some()
                {}
                Input::Flushed(zxid)
            }
            LogReport::Done(Done::Done(done)) => Input::Peer(ox_zab::Input::Done(done)),
            LogReport::Done(Done::Reloaded(done, state)) => Input::Reloaded { done, state },
        });
    }

    /// Says what this server is, for those who ask.
    fn tell_standing(&self) {
        if self.member.is_none() {
            return;
        }
        let peer = self.core.peer();
        let mut standing = self.shared.standing.lock();
        note_election(&self.shared, &mut standing, peer.state());
        standing.state = Some(peer.state());
        standing.leader = peer.leader();
        standing.learners = peer.learners();
        standing.pending_syncs = self.core.pending_syncs();
        standing.local_sessions = self.core.local_sessions();
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
            Message::Sessions(answer) => {
                // Whoever asked may have gone.
                let _ = answer.send(self.core.tracked_sessions());
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
        let shared = Arc::clone(&self.shared);
        let now = shared.clock.micros();
        let mut count = AnswerCount::new(&shared.metrics);
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Append { zxid, payload } => {
                    if self.member.is_some() {
                        self.shared.metrics.proposal_size.record(payload.len());
                    }
                    self.batch.push(zxid, payload);
                }
                Output::Send {
                    client: id,
                    frames,
                    answers,
                } => {
                    if let Some(client) = &self.clients[slot(id)] {
                        match answers {
                            Some(answers) => deliver(client, frames, answers, now, &mut count),
                            None => deliver_event(&shared.metrics, client, frames),
                        }
                        wake_later(&mut self.to_wake, id);
                    }
                }
                Output::Established {
                    client: id,
                    session,
                    timeout_ms,
                    created,
                    frame,
                } => {
                    if let Some(client) = &self.clients[slot(id)] {
                        self.shared.metrics.packets_sent.add(1);
                        client.write(|out, stats| {
                            out.extend_from_slice(frame);
                            stats.sent(1);
                            if let Some(zxid) = created {
                                stats.answered(first_answer(client, zxid, now));
                            }
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
                Output::Mode { mode, epoch } => {
                    if let Some(member) = &mut self.member {
                        member.follows(mode == Some(Mode::Follower));
                    }
                    take_mode(&self.shared, mode, epoch);
                }
                Output::Peer(ox_zab::Output::Disk(request)) => {
                    // Behind what was appended before it.
                    if self.batch.last().is_some() {
                        self.log.push(&mut self.batch);
                    }
                    self.log.request(request);
                }
                Output::State { link, begin, image } => {
                    if let Some(member) = &self.member {
                        member.send_state(link, &begin, image);
                    }
                }
                Output::Peer(output) => {
                    if let Some(member) = &mut self.member {
                        member.perform(output);
                    }
                }
            }
        }
        count.finish();
        // What goes out to a member in a turn goes out in one piece.
        if let Some(member) = &self.member {
            member.flush();
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

/// The next thing from the ensemble; never, without one.
async fn arrive(incoming: &mut Option<Incoming>) -> Arrival {
    match incoming {
        Some(incoming) => incoming.next().await,
        None => std::future::pending().await,
    }
}

/// Clients are served from now on, or none are. The database is held by the caller.
fn take_mode(shared: &Shared, mode: Option<Mode>, epoch: u32) {
    let mut standing = shared.standing.lock();
    standing.mode = mode;
    standing.serves = mode.is_some() && (mode != Some(Mode::Leader) || leader_serves(shared));
    standing.since = shared.clock.micros();
    standing.epoch = epoch;
    drop(standing);
    shared.metrics.proposal_size.reset();
    match mode {
        Some(Mode::ReadOnly) => tracing::info!("serving reads only: there is no leader"),
        Some(mode) => tracing::info!("serving clients, {mode} in epoch {epoch:#x}"),
        None => tracing::info!("serving no clients: there is no leader"),
    }
}

fn leader_serves(shared: &Shared) -> bool {
    let ensemble = shared.config.ensemble.as_ref();
    ensemble.is_none_or(|own| own.settings.leader.serves_clients)
}

/// Counts elections and their times.
fn note_election(shared: &Shared, standing: &mut Standing, state: PeerState) {
    let now = shared.clock.micros();
    match (state, standing.electing_since) {
        (PeerState::Looking, None) => {
            standing.electing_since = Some(now);
            shared.metrics.looking_count.add(1);
        }
        (PeerState::Leading | PeerState::Following | PeerState::Observing, Some(since)) => {
            standing.electing_since = None;
            shared.metrics.election_time.record(millis(now - since));
        }
        (PeerState::Looking, Some(_))
        | (PeerState::Leading | PeerState::Following | PeerState::Observing, None) => {}
    }
}

/// A client is often sent several things in a row; one wake-up is enough for them.
fn wake_later(to_wake: &mut Vec<ClientId>, client: ClientId) {
    if to_wake.last() != Some(&client) {
        to_wake.push(client);
    }
}

/// A new session is the answer to the first request of its connection.
fn first_answer(client: &Client, zxid: Zxid, now: i64) -> Answered {
    Answered {
        op: OpCode::CreateSession,
        cxid: 0,
        zxid,
        at_ms: millis(now),
        latency_ms: millis(now - client.asked()),
    }
}

/// Queues an event for a client, and counts it.
fn deliver_event(metrics: &Metrics, client: &Client, frame: &[u8]) {
    metrics.packets_sent.add(1);
    let bytes = u64::try_from(frame.len()).unwrap_or(u64::MAX);
    metrics.watch_bytes.add(bytes);
    client.write_event(frame);
}

/// Queues an answer for a client, and counts it.
fn deliver(client: &Client, frame: &[u8], answers: Answers, now: i64, count: &mut AnswerCount<'_>) {
    let latency_ms = millis(now - answers.received);
    count.add(answers.write, latency_ms, frame.len());
    client.write(|out, stats| {
        out.extend_from_slice(frame);
        stats.sent(1);
        stats.answered(Answered {
            op: answers.op,
            cxid: answers.xid.0,
            zxid: zxid_of_reply(frame),
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
