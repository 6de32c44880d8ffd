//! From the bytes of a peer to packets, and to the state that a leader sends between them.
//!
//! Invariant: packets and the state come out in the order of the stream however it was cut, and
//! what is kept is bounded: one packet or one record of the state, and what one read added. Source:
//! quorum.md 4.1 and 4.3.

use bytes::Bytes;
use ox_jute::{DecodeError, Decoder, Jute};
use ox_proto::{PacketType, QuorumPacket, Zxid};

use super::event::{BoxError, CloseReason, SnapshotSink};

/// Stands behind the state, as a string.
const SIGNATURE: &[u8] = b"BenWasHere";

/// What a record of the state may have on top of its strings and buffers.
const RECORD_EXTRA: usize = 1 << 20;

/// What the stream has so far.
pub enum Step {
    /// More bytes are needed.
    More,
    /// At least one packet.
    Packets(Vec<QuorumPacket>),
    /// The state is complete.
    Snapshot(Snapshot),
}

/// A state, as far as it has come.
pub struct Snapshot {
    /// What the SNAP packet before it named.
    pub zxid: Zxid,
    /// What took it in.
    pub sink: Box<dyn SnapshotSink>,
}

/// What comes next in the stream.
enum Stage {
    Packets,
    Image(Snapshot),
    Signature(Snapshot),
}

/// What a SNAP means.
enum Snapshots {
    /// Nothing: this is the leader's end, where it is a packet like any other.
    Unexpected,
    /// The state follows and goes here.
    Into(Box<dyn SnapshotSink>),
    /// There was one.
    Taken,
}

/// The receiving end of one stream.
pub struct Inbound {
    /// Arrived and not yet handed out.
    buffer: Vec<u8>,
    max_length: usize,
    stage: Stage,
    snapshots: Snapshots,
}

impl Inbound {
    /// The stream of a learner, which begins with `buffer`.
    pub fn from_learner(max_length: usize, buffer: Vec<u8>) -> Self {
        Self {
            buffer,
            max_length,
            stage: Stage::Packets,
            snapshots: Snapshots::Unexpected,
        }
    }

    /// The stream of a leader, whose state goes to `sink`.
    pub fn from_leader(max_length: usize, sink: Box<dyn SnapshotSink>) -> Self {
        Self {
            buffer: Vec::new(),
            max_length,
            stage: Stage::Packets,
            snapshots: Snapshots::Into(sink),
        }
    }

    /// Where to append what arrives.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Whether the next step takes in state, which may take its time.
    pub fn is_slow(&self) -> bool {
        matches!(self.stage, Stage::Image(_)) && !self.buffer.is_empty()
    }

    /// Whether the stream may end here.
    pub fn may_end(&self) -> bool {
        matches!(self.stage, Stage::Packets) && self.buffer.is_empty()
    }

    /// Takes the next step; to be repeated until more bytes are needed.
    ///
    /// # Errors
    /// The stream is malformed, or the sink refused the state.
    pub fn step(&mut self) -> Result<Step, CloseReason> {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Packets) {
                Stage::Packets => return self.packets(),
                Stage::Image(mut snapshot) => {
                    let fed = snapshot.sink.feed(&self.buffer);
                    let (consumed, done) = fed.map_err(CloseReason::Snapshot)?;
                    self.buffer.drain(..consumed);
                    if !done {
                        self.stage = Stage::Image(snapshot);
                        return self.more_of_image();
                    }
                    self.stage = Stage::Signature(snapshot);
                }
                Stage::Signature(snapshot) => {
                    let mut input = Decoder::new(&self.buffer).with_limit(SIGNATURE.len());
                    match input.slice() {
                        Ok(Some(SIGNATURE)) => {
                            self.buffer.drain(..4 + SIGNATURE.len());
                            return Ok(Step::Snapshot(snapshot));
                        }
                        Err(DecodeError::End) => {
                            self.stage = Stage::Signature(snapshot);
                            return Ok(Step::More);
                        }
                        Ok(_) | Err(_) => return Err(CloseReason::Signature),
                    }
                }
            }
        }
    }

    /// All whole packets, up to the first one that state follows. What is wrong comes up once
    /// everything before it has been handed out.
    fn packets(&mut self) -> Result<Step, CloseReason> {
        let (whole, mut wrong) = self.whole_packets();
        // One piece of memory for all of them: the data of each is a part of it. Nobody keeps one
        // for much longer than its neighbours.
        let bytes = Bytes::copy_from_slice(&self.buffer[..whole]);
        let mut input = Decoder::sharing(&bytes).with_limit(self.max_length);
        let mut packets = Vec::new();
        let mut taken = 0;
        while taken < whole {
            let packet = match QuorumPacket::decode(&mut input) {
                Ok(packet) => packet,
                Err(error) => {
                    wrong = Some(CloseReason::Malformed(error));
                    break;
                }
            };
            if packet.r#type == PacketType::Snap
                && let Err(reason) = self.expect_image(packet.zxid)
            {
                wrong = Some(reason);
                break;
            }
            taken = whole - input.remaining().len();
            packets.push(packet);
        }
        self.buffer.drain(..taken);
        match (packets.is_empty(), wrong) {
            (false, _) => Ok(Step::Packets(packets)),
            (true, Some(reason)) => Err(reason),
            (true, None) => Ok(Step::More),
        }
    }

    /// How many bytes of whole packets stand at the front, up to one that state may follow, and
    /// what is wrong behind them.
    fn whole_packets(&self) -> (usize, Option<CloseReason>) {
        let mut length = 0;
        loop {
            match QuorumPacket::measure(&self.buffer[length..], self.max_length) {
                Ok(None) => return (length, None),
                Err(error) => return (length, Some(CloseReason::Malformed(error))),
                Ok(Some((r#type, more))) => {
                    length += more;
                    let is_snap = r#type == PacketType::Snap;
                    if is_snap && !matches!(self.snapshots, Snapshots::Unexpected) {
                        return (length, None);
                    }
                }
            }
        }
    }

    /// A SNAP has come: on a learner's end, what follows is state.
    fn expect_image(&mut self, zxid: Zxid) -> Result<(), CloseReason> {
        match std::mem::replace(&mut self.snapshots, Snapshots::Taken) {
            Snapshots::Unexpected => self.snapshots = Snapshots::Unexpected,
            Snapshots::Into(sink) => self.stage = Stage::Image(Snapshot { zxid, sink }),
            Snapshots::Taken => return Err(CloseReason::SecondSnapshot),
        }
        Ok(())
    }

    /// A path and data are in one record.
    fn more_of_image(&self) -> Result<Step, CloseReason> {
        if self.buffer.len() <= 2 * self.max_length + RECORD_EXTRA {
            return Ok(Step::More);
        }
        let reason = format!("a record has more than {} bytes", self.buffer.len());
        Err(CloseReason::Snapshot(BoxError::from(reason)))
    }
}

#[cfg(test)]
mod tests;
