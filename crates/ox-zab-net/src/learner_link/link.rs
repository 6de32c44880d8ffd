//! The owner's end of a link.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ox_jute::Jute;
use ox_proto::{PacketType, QuorumPacket, Zxid};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::outbound::{MAX_QUEUED, Outbound, Source};

/// Names a link. Not used again while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

impl LinkId {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// What a link's owner and its task share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) id: LinkId,
    pub(super) outbound: Outbound,
    /// In milliseconds.
    read_timeout: AtomicU64,
    /// When something that a source produced last went out.
    streamed: Mutex<Option<Instant>>,
    /// Its owner has dropped it, or the mesh ends.
    pub(super) dropped: CancellationToken,
}

impl Shared {
    pub(super) fn new(dropped: CancellationToken, read_timeout: Duration) -> Arc<Self> {
        let shared = Self {
            id: LinkId::next(),
            outbound: Outbound::new(MAX_QUEUED),
            read_timeout: AtomicU64::new(0),
            streamed: Mutex::new(None),
            dropped,
        };
        shared.set_read_timeout(read_timeout);
        Arc::new(shared)
    }

    pub(super) fn read_timeout(&self) -> Duration {
        Duration::from_millis(self.read_timeout.load(Ordering::Relaxed))
    }

    /// Something that a source produced has gone out just now.
    pub(super) fn streamed(&self) {
        *self.streamed.lock() = Some(Instant::now());
    }

    /// When something that a source produced last went out, if that was after `earlier`.
    pub(super) fn streamed_after(&self, earlier: Instant) -> Option<Instant> {
        self.streamed.lock().filter(|&last| earlier < last)
    }

    fn set_read_timeout(&self, timeout: Duration) {
        let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        self.read_timeout.store(millis, Ordering::Relaxed);
    }
}

/// A stream of packets to a peer. What is queued goes out in order, at [`Self::flush`] at the
/// latest; nothing here waits. The link is closed when this is dropped, and what is still queued
/// then is lost.
#[derive(Debug)]
pub struct Link {
    shared: Arc<Shared>,
}

impl Link {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Its name in events.
    pub fn id(&self) -> LinkId {
        self.shared.id
    }

    /// Queues a packet.
    pub fn send(&self, packet: &QuorumPacket) {
        self.shared.outbound.append(|out| packet.encode(out));
    }

    /// Queues a packet without identities, straight from the bytes of its data.
    pub fn write(&self, r#type: PacketType, zxid: Zxid, data: Option<&[u8]>) {
        self.shared
            .outbound
            .append(|out| QuorumPacket::write(r#type, zxid, data, out));
    }

    /// Queues whole packets that are encoded already.
    pub fn append(&self, packets: &[u8]) {
        self.shared
            .outbound
            .append(|out| out.extend_from_slice(packets));
    }

    /// Queues something that is only produced when everything before it has gone out.
    pub fn append_source(&self, source: Box<dyn Source>) {
        self.shared.outbound.append_source(source);
    }

    /// Lets all that is queued go out. To be called once for many packets: each call may cost a
    /// switch to another thread, and what it finds goes to the system in one piece.
    pub fn flush(&self) {
        self.shared.outbound.flush();
    }

    /// Bytes that are queued and not yet taken by the system; what sources will produce is not
    /// counted.
    pub fn queued_bytes(&self) -> usize {
        self.shared.outbound.bytes()
    }

    /// Changes how long the peer may stay silent, from the next time that something comes from it
    /// or goes to it.
    pub fn set_read_timeout(&self, timeout: Duration) {
        self.shared.set_read_timeout(timeout);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.dropped.cancel();
    }
}
