//! One connection kept full, for a load generator.
//!
//! Nothing is allocated per request: frames are written into one buffer and read out of another,
//! and the clock is read once per batch.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use ox_jute::{Decoder, Frames, Jute};
use ox_proto::{ReplyHeader, Xid};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::connection::MAX_REPLY;
use crate::{ConnectOptions, Error, Servers, handshake};

/// Bytes asked of the socket at a time.
const READ: usize = 64 << 10;

/// A connection that carries many requests at a time. It does not ping: it is meant to be busy.
#[derive(Debug)]
pub struct Pipeline {
    stream: TcpStream,
    input: BytesMut,
    output: BytesMut,
    /// When each request was handed to the socket, oldest first.
    sent: VecDeque<Instant>,
    last_xid: i32,
    oldest_xid: i32,
}

impl Pipeline {
    /// Opens a session of its own.
    pub async fn connect(servers: &Servers, options: &ConnectOptions) -> Result<Self, Error> {
        let (stream, _, input) = handshake::connect(servers, options).await?;
        Ok(Self {
            stream,
            input,
            output: BytesMut::new(),
            sent: VecDeque::new(),
            last_xid: 0,
            oldest_xid: 1,
        })
    }

    /// Keeps `outstanding` requests under way. `next` appends a whole frame that carries the xid it
    /// is given, or answers false when there are no more; `done` is told the error code of each
    /// reply (0 is none) and how long it took. Ends when there are no more and all are answered.
    pub async fn run(
        &mut self,
        outstanding: usize,
        mut next: impl FnMut(Xid, &mut BytesMut) -> bool,
        mut done: impl FnMut(i32, Duration),
    ) -> Result<(), Error> {
        let mut more = true;
        loop {
            let mut now = None;
            while more && self.sent.len() < outstanding {
                more = next(Xid(self.last_xid + 1), &mut self.output);
                if more {
                    self.last_xid += 1;
                    self.sent.push_back(*now.get_or_insert_with(Instant::now));
                }
            }
            if self.sent.is_empty() {
                return Ok(());
            }
            self.exchange().await.map_err(|_| Error::ConnectionLoss)?;
            self.take_replies(&mut done)?;
        }
    }

    /// Writes what can be written, then waits until something has been read.
    async fn exchange(&mut self) -> io::Result<()> {
        loop {
            if !self.output.is_empty() {
                match self.stream.try_write(&self.output) {
                    Ok(written) => self.output.advance(written),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            let interest = match self.output.is_empty() {
                true => Interest::READABLE,
                false => Interest::READABLE | Interest::WRITABLE,
            };
            if self.stream.ready(interest).await?.is_readable() {
                self.input.reserve(READ);
                match self.stream.try_read_buf(&mut self.input) {
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(_) => return Ok(()),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }

    fn take_replies(&mut self, done: &mut impl FnMut(i32, Duration)) -> Result<(), Error> {
        let now = Instant::now();
        let mut frames = Frames::new(&self.input, MAX_REPLY);
        while let Some(frame) = frames.next_frame().map_err(|_| Error::ConnectionLoss)? {
            let header = ReplyHeader::decode(&mut Decoder::new(frame))?;
            if header.xid.0 != self.oldest_xid {
                return Err(Error::ConnectionLoss);
            }
            self.oldest_xid += 1;
            let sent = self.sent.pop_front().ok_or(Error::ConnectionLoss)?;
            done(header.err, now.duration_since(sent));
        }
        let used = self.input.len() - frames.rest().len();
        self.input.advance(used);
        Ok(())
    }
}
