//! The task that owns the socket.
//!
//! Invariants: requests leave in the order in which they were handed over, all that have queued in
//! one write; each reply belongs to the oldest request that waits, or the connection is given up;
//! an event is handed on before the replies that came after it.
//! Source: client-protocol.md 3.1, 3.4 and chapter 14; `org.apache.zookeeper.ClientCnxn`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ox_jute::{Decoder, Jute, end_frame, start_frame};
use ox_proto::{OpCode, ReplyHeader, RequestHeader, WatcherEvent, Xid, Zxid};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::Error;
use crate::error::check;

/// The longest reply that is read: a listing of some million children.
pub(crate) const MAX_REPLY: usize = 64 << 20;

/// Requests taken from the queue at a time, and so the most that leave in one write.
const BATCH: usize = 256;

/// With so many bytes unsent, no more requests are taken from the queue.
const MAX_UNSENT: usize = 1 << 20;

/// A request on its way to the task.
pub(crate) struct Call {
    pub(crate) op: OpCode,
    /// The encoded record.
    pub(crate) body: Vec<u8>,
    pub(crate) reply: oneshot::Sender<Result<Reply, Error>>,
}

/// An answer without an error.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The transaction of a write, or the last one that the server had applied.
    pub zxid: Zxid,
    /// The encoded record; empty for some operations.
    pub body: Bytes,
}

struct Pending {
    xid: Xid,
    reply: oneshot::Sender<Result<Reply, Error>>,
}

/// One connection from the end of its handshake on.
pub(crate) struct Connection {
    pub(crate) calls: mpsc::Receiver<Call>,
    pub(crate) events: mpsc::UnboundedSender<(Zxid, WatcherEvent)>,
    pub(crate) last_zxid: Arc<AtomicI64>,
    pub(crate) session_timeout: Duration,
    pub(crate) input: BytesMut,
    pub(crate) output: BytesMut,
    pub(crate) waiting: Waiting,
}

/// The requests without an answer yet, oldest first.
#[derive(Default)]
pub(crate) struct Waiting {
    pending: VecDeque<Pending>,
    last_xid: i32,
}

impl Connection {
    /// Serves until the handle is dropped or the connection ends. Whoever still waits then is
    /// told of a connection loss, by the end of its channel.
    pub(crate) async fn run(mut self, mut stream: TcpStream) {
        match self.serve(&mut stream).await {
            Ok(()) => tracing::debug!("connection closed"),
            Err(cause) => tracing::debug!(%cause, "connection lost"),
        }
    }

    async fn serve(&mut self, stream: &mut TcpStream) -> Result<(), ConnectionError> {
        // Java's client pings when a third of the timeout went by without a request, and gives a
        // server up that was silent for two thirds.
        let idle = self.session_timeout / 3;
        let (mut reader, mut writer) = stream.split();
        let mut batch = Vec::with_capacity(BATCH);
        let mut sent = Instant::now();
        let mut heard = sent;
        self.take_frames()?;
        loop {
            tokio::select! {
                biased;
                read = reader.read_buf(&mut self.input) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    heard = Instant::now();
                    self.take_frames()?;
                }
                taken = self.calls.recv_many(&mut batch, BATCH), if self.output.len() < MAX_UNSENT => {
                    if taken == 0 {
                        return Ok(());
                    }
                    for call in batch.drain(..) {
                        self.waiting.send(call, &mut self.output);
                    }
                }
                written = writer.write_buf(&mut self.output), if !self.output.is_empty() => {
                    written?;
                    sent = Instant::now();
                }
                () = sleep_until(heard + 2 * idle) => return Err(ConnectionError::Silent),
                () = sleep_until(sent + idle), if self.output.is_empty() => {
                    ping(&mut self.output);
                }
            }
        }
    }

    /// Hands on every whole frame that has arrived.
    fn take_frames(&mut self) -> Result<(), ConnectionError> {
        while let Some(frame) = next_frame(&mut self.input)? {
            self.take_frame(frame)?;
        }
        Ok(())
    }

    fn take_frame(&mut self, frame: Bytes) -> Result<(), ConnectionError> {
        let mut decoder = Decoder::new(&frame).with_limit(MAX_REPLY);
        let header = ReplyHeader::decode(&mut decoder)?;
        match header.xid {
            Xid::PING => Ok(()),
            Xid::NOTIFICATION => {
                let event = WatcherEvent::decode(&mut decoder)?;
                // Nobody may want to know.
                let _ = self.events.send((header.zxid, event));
                Ok(())
            }
            xid => {
                if 0 < header.zxid.0 && 0 < xid.0 {
                    self.last_zxid.store(header.zxid.0, Ordering::Relaxed);
                }
                let body = frame.slice_ref(decoder.remaining());
                let reply = check(header.err).map(|()| Reply {
                    zxid: header.zxid,
                    body,
                });
                self.waiting.answer(xid, reply)
            }
        }
    }
}

impl Waiting {
    fn send(&mut self, call: Call, output: &mut BytesMut) {
        let xid = match call.op {
            OpCode::Auth => Xid::AUTH,
            OpCode::SetWatches | OpCode::SetWatches2 => Xid::SET_WATCHES,
            _ => self.next_xid(),
        };
        request(xid, call.op, &call.body, output);
        self.pending.push_back(Pending {
            xid,
            reply: call.reply,
        });
    }

    fn next_xid(&mut self) -> Xid {
        self.last_xid = match self.last_xid {
            i32::MAX => 1,
            last => last + 1,
        };
        Xid(self.last_xid)
    }

    /// Replies to auth come as soon as the server has looked at it; all others in order.
    fn answer(&mut self, xid: Xid, reply: Result<Reply, Error>) -> Result<(), ConnectionError> {
        let place = match xid {
            Xid::AUTH => self.pending.iter().position(|call| call.xid == Xid::AUTH),
            _ => self.pending.iter().position(|call| call.xid != Xid::AUTH),
        };
        match place.and_then(|place| self.pending.remove(place)) {
            Some(call) if call.xid == xid => {
                // The caller may have stopped waiting.
                let _ = call.reply.send(reply);
                Ok(())
            }
            _ => Err(ConnectionError::Order(xid)),
        }
    }
}

/// Why the task gives the connection up.
#[derive(Debug, thiserror::Error)]
enum ConnectionError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Frame(#[from] ox_jute::FrameError),
    #[error(transparent)]
    Decode(#[from] ox_jute::DecodeError),
    #[error("the reply to {0:?} is not the one whose turn it is")]
    Order(Xid),
    #[error("the server is silent")]
    Silent,
}

fn next_frame(input: &mut BytesMut) -> Result<Option<Bytes>, ox_jute::FrameError> {
    let Some(length) = ox_jute::Frames::new(input, MAX_REPLY)
        .next_frame()?
        .map(<[u8]>::len)
    else {
        return Ok(None);
    };
    let frame = input.split_to(4 + length).freeze();
    Ok(Some(frame.slice(4..)))
}

fn request(xid: Xid, op: OpCode, body: &[u8], output: &mut BytesMut) {
    let mut frame = Vec::with_capacity(12 + body.len());
    let start = start_frame(&mut frame);
    RequestHeader {
        xid,
        r#type: op.code(),
    }
    .encode(&mut frame);
    frame.extend_from_slice(body);
    end_frame(&mut frame, start);
    output.extend_from_slice(&frame);
}

fn ping(output: &mut BytesMut) {
    request(Xid::PING, OpCode::Ping, &[], output);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `ops`, answers `xids` in turn, and tells whose answer came: the place among `ops`.
    #[track_caller]
    fn check(ops: &[OpCode], xids: &[i32], answered: &[usize], order_kept: bool) {
        let mut waiting = Waiting::default();
        let mut output = BytesMut::new();
        let mut callers: Vec<_> = ops
            .iter()
            .map(|&op| {
                let (reply, caller) = oneshot::channel();
                let body = Vec::new();
                waiting.send(Call { op, body, reply }, &mut output);
                caller
            })
            .collect();
        let mut kept = true;
        for &xid in xids {
            let reply = Ok(Reply {
                zxid: Zxid(1),
                body: Bytes::new(),
            });
            kept &= waiting.answer(Xid(xid), reply).is_ok();
        }
        assert_eq!(kept, order_kept);
        let done: Vec<_> = (0..ops.len())
            .filter(|&place| matches!(callers[place].try_recv(), Ok(Ok(_))))
            .collect();
        assert_eq!(done, answered);
    }

    #[test]
    fn replies_belong_to_requests_in_order() {
        let reads = [OpCode::GetData, OpCode::Exists, OpCode::GetData];
        check(&reads, &[1, 2], &[0, 1], true);
        check(&reads, &[2], &[], false);
        check(&reads, &[1, 2, 3, 4], &[0, 1, 2], false);
    }

    #[test]
    fn replies_to_auth_may_overtake() {
        let ops = [OpCode::GetData, OpCode::Auth, OpCode::GetData];
        check(&ops, &[-4], &[1], true);
        check(&ops, &[-4, 1, 2], &[0, 1, 2], true);
        check(&ops, &[1, 2, -4], &[0, 1, 2], true);
        check(&ops, &[-4, -4], &[1], false);
    }

    #[test]
    fn set_watches_waits_its_turn() {
        let ops = [OpCode::GetData, OpCode::SetWatches2, OpCode::GetData];
        check(&ops, &[1, -8, 2], &[0, 1, 2], true);
        check(&ops, &[-8], &[], false);
    }

    #[test]
    fn xids_stay_positive() {
        let mut waiting = Waiting {
            last_xid: i32::MAX,
            ..Waiting::default()
        };
        assert_eq!(waiting.next_xid(), Xid(1));
    }

    #[test]
    fn a_frame_is_taken_whole() {
        let mut output = BytesMut::new();
        request(Xid(7), OpCode::GetData, b"abc", &mut output);
        let mut part = BytesMut::from(&output[..output.len() - 1]);
        assert!(matches!(next_frame(&mut part), Ok(None)));
        let frame = next_frame(&mut output);
        assert_eq!(
            frame.as_ref().map(|frame| frame.as_deref()),
            Ok(Some(&b"\0\0\0\x07\0\0\0\x04abc"[..]))
        );
        assert!(output.is_empty());
    }
}
