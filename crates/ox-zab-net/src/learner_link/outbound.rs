//! What is queued for a peer.
//!
//! Invariant: putting in never waits, and wakes nobody before [`Outbound::flush`]. What is queued
//! between two wake-ups of the writer goes out in one piece, up to [`BATCH`]. More bytes than may
//! wait end the link.

use std::collections::VecDeque;
use std::fmt;
use std::io;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Bytes that may wait for one peer, packets of a whole synchronization and the proposals behind
/// it. A learner that is so far behind does better to start anew.
pub(super) const MAX_QUEUED: usize = 256 << 20;

/// What goes out in one piece. Longer buffers would be costly to let grow.
const BATCH: usize = 1 << 20;

/// Produces bytes when their turn has come, such as a whole tree or a stretch of the log.
pub trait Source: Send {
    /// Appends some of its bytes, best some tens of kilobytes; false when there are no more. Called
    /// where it may take its time.
    ///
    /// # Errors
    /// They cannot be produced. The link is closed: what has gone out is of no use.
    fn next(&mut self, out: &mut Vec<u8>) -> io::Result<bool>;
}

/// What goes out next.
pub(super) enum Item {
    Bytes(Vec<u8>),
    Source(Box<dyn Source>),
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    /// Queued, and taken but not yet written.
    bytes: usize,
    /// An empty buffer to be used next.
    spare: Vec<u8>,
    /// Something was queued that the writer has not been woken for.
    unflushed: bool,
    /// The link has ended, or is about to: nothing is queued any more.
    closed: bool,
}

/// One peer's queue.
pub(super) struct Outbound {
    /// More bytes must not be queued.
    max_queued: usize,
    queue: Mutex<Queue>,
    wake: Notify,
    overflown: CancellationToken,
}

impl Outbound {
    /// An empty queue for so many bytes.
    pub(super) fn new(max_queued: usize) -> Self {
        Self {
            max_queued,
            queue: Mutex::default(),
            wake: Notify::new(),
            overflown: CancellationToken::new(),
        }
    }

    /// Lets `encode` append to the queue.
    pub(super) fn append(&self, encode: impl FnOnce(&mut Vec<u8>)) {
        let mut queue = self.queue.lock();
        let queue = &mut *queue;
        if queue.closed {
            return;
        }
        if !matches!(queue.items.back(), Some(Item::Bytes(bytes)) if bytes.len() < BATCH) {
            let buffer = std::mem::take(&mut queue.spare);
            queue.items.push_back(Item::Bytes(buffer));
        }
        if let Some(Item::Bytes(bytes)) = queue.items.back_mut() {
            let before = bytes.len();
            encode(bytes);
            queue.bytes += bytes.len() - before;
        }
        if self.max_queued < queue.bytes {
            queue.close();
            self.overflown.cancel();
        }
        queue.unflushed = true;
    }

    pub(super) fn append_source(&self, source: Box<dyn Source>) {
        let mut queue = self.queue.lock();
        if !queue.closed {
            queue.items.push_back(Item::Source(source));
            queue.unflushed = true;
        }
    }

    /// Wakes the writer if there is something new for it.
    pub(super) fn flush(&self) {
        if std::mem::take(&mut self.queue.lock().unflushed) {
            self.wake.notify_one();
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.queue.lock().bytes
    }

    /// The next item, as soon as there is one.
    pub(super) async fn next(&self) -> Item {
        loop {
            let item = self.queue.lock().items.pop_front();
            match item {
                Some(item) => return item,
                None => self.wake.notified().await,
            }
        }
    }

    /// Never ready until too many bytes are queued.
    pub(super) async fn overflown(&self) {
        self.overflown.cancelled().await;
    }

    /// An item of bytes has been written.
    pub(super) fn written(&self, mut item: Vec<u8>) {
        let mut queue = self.queue.lock();
        queue.bytes -= item.len();
        if item.capacity() <= 2 * BATCH {
            item.clear();
            queue.spare = item;
        }
    }

    /// The link has ended: lets go of all that is queued, and takes nothing more.
    pub(super) fn close(&self) {
        self.queue.lock().close();
    }
}

impl Queue {
    fn close(&mut self) {
        self.closed = true;
        self.items.clear();
        self.spare = Vec::new();
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = self.queue.lock();
        write!(
            f,
            "Outbound({} items, {} bytes)",
            queue.items.len(),
            queue.bytes
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Source for Nothing {
        fn next(&mut self, _: &mut Vec<u8>) -> io::Result<bool> {
            Ok(false)
        }
    }

    async fn bytes(outbound: &Outbound) -> Vec<u8> {
        match outbound.next().await {
            Item::Bytes(bytes) => bytes,
            Item::Source(_) => panic!("a source"),
        }
    }

    #[tokio::test]
    async fn what_is_queued_between_two_wake_ups_is_one_piece_and_sources_keep_their_place() {
        let outbound = Outbound::new(MAX_QUEUED);
        outbound.append(|out| out.push(1));
        outbound.append(|out| out.push(2));
        outbound.append_source(Box::new(Nothing));
        outbound.append(|out| out.push(3));
        let first = bytes(&outbound).await;
        assert_eq!(first, [1, 2]);
        assert_eq!(outbound.bytes(), 3);
        outbound.written(first);
        assert!(matches!(outbound.next().await, Item::Source(_)));
        assert_eq!(bytes(&outbound).await, [3]);
        assert_eq!(outbound.bytes(), 1);
    }

    #[tokio::test]
    async fn the_writer_is_woken_by_a_flush_and_by_nothing_before_it() {
        let outbound = Outbound::new(MAX_QUEUED);
        let mut next = std::pin::pin!(outbound.next());
        let waker = std::task::Waker::noop();
        let mut cx = std::task::Context::from_waker(waker);
        assert!(next.as_mut().poll(&mut cx).is_pending());
        outbound.append(|out| out.push(1));
        assert!(next.as_mut().poll(&mut cx).is_pending());
        outbound.flush();
        assert!(next.as_mut().poll(&mut cx).is_ready());
    }

    #[tokio::test]
    async fn a_queue_that_overflows_lets_go_of_everything_and_takes_nothing_more() {
        let outbound = Outbound::new(3);
        outbound.append(|out| out.extend_from_slice(&[1, 2]));
        outbound.append(|out| out.push(3));
        assert!(!outbound.overflown.is_cancelled());
        outbound.append(|out| out.push(0));
        outbound.overflown().await;
        outbound.append(|_| panic!("it is closed"));
        assert!(outbound.queue.lock().items.is_empty());
    }
}
