//! Jute: the serialization of every ZooKeeper record, and the frames that carry it.
//!
//! Everything is big endian, without tags, padding or alignment. Lengths come from the network or
//! the disk, so they are checked before anything is allocated, and a vector's count never sizes an
//! allocation. Source: `org.apache.jute.BinaryInputArchive` and `BinaryOutputArchive`;
//! client-protocol.md chapter 1.

mod codec;
mod frame;
mod record;
mod text;

pub use codec::{DecodeError, Decoder, Jute, decode};

pub use frame::{FrameError, Frames, end_frame, start_frame};
pub use text::decode as decode_text;
