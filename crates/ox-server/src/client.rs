//! What a connection's task and the core share of a client.
//!
//! Invariant: bytes leave in the order in which they were queued; after `close` nothing is queued
//! any more. Whoever queues an answer or an event holds the database at that moment, so the order
//! here is the order of the database.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicUsize, Ordering};

use ox_proto::SessionId;
use ox_session::ClientId;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::admin::ConnectionStats;
use crate::clients::Port;

/// Bytes queued beyond which a connection is not read any further: its client is not reading.
pub(crate) const HIGH_WATER: usize = 1 << 20;

/// Bytes of events queued beyond which a client that does not read is disconnected: what comes
/// without being asked for must not fill the memory. Answers are bounded by what a connection may
/// have asked for.
const OVERFLOW: usize = 4 << 20;

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: ClientId,
    pub(crate) address: SocketAddr,
    /// Where it came in.
    pub(crate) port: Port,
    /// When it connected, in milliseconds since 1970.
    pub(crate) established_ms: i64,
    queue: Mutex<Queue>,
    wake: Notify,
    /// Requests that the core has and that are not answered yet.
    in_core: AtomicUsize,
    /// When it asked for a session, in the clock's microseconds.
    asked: AtomicI64,
    session: AtomicI64,
    timeout_ms: AtomicI32,
    read_paused: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    /// How many of them are events.
    events: usize,
    closing: bool,
    stats: ConnectionStats,
}

impl Client {
    pub(crate) fn new(id: ClientId, address: SocketAddr, port: Port, established_ms: i64) -> Self {
        Self {
            id,
            address,
            port,
            established_ms,
            queue: Mutex::default(),
            wake: Notify::new(),
            in_core: AtomicUsize::new(0),
            asked: AtomicI64::new(0),
            session: AtomicI64::new(SessionId::NONE.0),
            timeout_ms: AtomicI32::new(0),
            read_paused: AtomicBool::new(false),
        }
    }

    /// The client asks for a session.
    pub(crate) fn asks(&self, now: i64) {
        self.asked.store(now, Ordering::Relaxed);
    }

    /// When that was.
    pub(crate) fn asked(&self) -> i64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// The session, once there is one.
    pub(crate) fn session(&self) -> Option<SessionId> {
        let session = SessionId(self.session.load(Ordering::Acquire));
        (session != SessionId::NONE).then_some(session)
    }

    /// The session timeout granted, in milliseconds.
    pub(crate) fn timeout_ms(&self) -> i32 {
        self.timeout_ms.load(Ordering::Relaxed)
    }

    /// The connection has its session.
    pub(crate) fn establish(&self, session: SessionId, timeout_ms: i32) {
        self.timeout_ms.store(timeout_ms, Ordering::Relaxed);
        self.session.store(session.0, Ordering::Release);
    }

    /// Lets `write` queue whole frames, and count them.
    pub(crate) fn write(&self, write: impl FnOnce(&mut Vec<u8>, &mut ConnectionStats)) {
        let mut queue = self.queue.lock();
        if !queue.closing {
            let Queue { bytes, stats, .. } = &mut *queue;
            write(bytes, stats);
        }
    }

    /// Queues an event, and counts it. A client that has let too many pile up is cut off instead.
    pub(crate) fn write_event(&self, frame: &[u8]) {
        let mut queue = self.queue.lock();
        if queue.closing {
            return;
        }
        if queue.events > OVERFLOW {
            tracing::warn!(
                client = %self.address,
                bytes = queue.bytes.len(),
                "closing a connection whose client does not read (output_limit)",
            );
            queue.bytes = Vec::new();
            queue.closing = true;
            return;
        }
        queue.bytes.extend_from_slice(frame);
        queue.events += frame.len();
        queue.stats.sent(1);
    }

    /// What the connection has counted.
    pub(crate) fn stats<T>(&self, look: impl FnOnce(&mut ConnectionStats) -> T) -> T {
        look(&mut self.queue.lock().stats)
    }

    /// How many bytes are queued.
    pub(crate) fn queued(&self) -> usize {
        self.queue.lock().bytes.len()
    }

    /// Swaps what is queued for `empty`.
    pub(crate) fn take_queued(&self, empty: &mut Vec<u8>) {
        let mut queue = self.queue.lock();
        std::mem::swap(&mut queue.bytes, empty);
        queue.events = 0;
    }

    /// Whether the connection is to end.
    pub(crate) fn is_closing(&self) -> bool {
        self.queue.lock().closing
    }

    /// Ends the connection once what is queued has left.
    pub(crate) fn close(&self) {
        self.queue.lock().closing = true;
    }

    /// Wakes the connection's task.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits for [`wake`](Self::wake).
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// `count` requests go to the core.
    pub(crate) fn handed_over(&self, count: usize) {
        self.in_core.fetch_add(count, Ordering::AcqRel);
    }

    /// The core has answered one, and its answer is queued.
    pub(crate) fn answered(&self) {
        self.in_core.fetch_sub(1, Ordering::AcqRel);
    }

    /// Requests that the core has not answered.
    pub(crate) fn in_core(&self) -> usize {
        self.in_core.load(Ordering::Acquire)
    }

    /// Notes whether the connection is being read.
    pub(crate) fn set_read_paused(&self, paused: bool) {
        self.read_paused.store(paused, Ordering::Relaxed);
    }

    /// Whether the connection is being read.
    pub(crate) fn is_read_paused(&self) -> bool {
        self.read_paused.load(Ordering::Relaxed)
    }
}
