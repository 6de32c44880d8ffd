//! The streams between a leader and a learner, at either end.
//!
//! The first byte says at which end, and how the stream is cut on its way: however that is, the
//! same packets come out.

use ox_proto::{EnsembleConfig, LearnerInfo, PacketType, QuorumPacket, TxnRecord};
use ox_tree::image::ImageLoader;
use ox_zab_net::parts::{Inbound, Step};
use ox_zab_net::{BoxError, SnapshotSink};

use super::{HASH_SEED, MAX_RECORD, TREE, split_mode};
use crate::engine::Target;

pub(super) const TARGET: Target = Target {
    name: "learner-packets",
    run,
    memory: (2 << 20, 256),
    longest: 16 << 10,
    words: &[
        b"\0\0\0\x0aBenWasHere",
        b"\0\0\0\x0f",
        b"\0\0\0\x0d",
        b"\0\0\0\x0e",
        b"\0\0\0\x01/",
        b"\xff\xff\xff\xff",
        b"server.1=127.0.0.1:2888:3888\n",
    ],
    short: 3000,
};

struct Sink(Option<ImageLoader>);

impl SnapshotSink for Sink {
    fn feed(&mut self, window: &[u8]) -> Result<(usize, bool), BoxError> {
        let loader = self.0.as_mut().expect("fed before its end");
        let fed = loader.feed(window)?;
        if fed.done {
            // What it comes to may be refused.
            let _ = self.0.take().map(ImageLoader::finish);
        }
        Ok((fed.consumed, fed.done))
    }
}

/// What came out of a stream.
#[derive(Debug, Default, PartialEq)]
struct Out {
    packets: Vec<QuorumPacket>,
    states: usize,
    ended: Option<String>,
}

fn run(bytes: &[u8]) {
    let (mode, stream) = split_mode(bytes);
    let of_leader = mode & 1 == 1;
    let whole = read(of_leader, stream, stream.len().max(1));
    let cut = read(of_leader, stream, usize::from(mode >> 1) + 1);
    assert_eq!(cut, whole, "it matters how the stream is cut");
    for packet in &whole.packets {
        look(packet);
    }
}

fn read(of_leader: bool, stream: &[u8], piece: usize) -> Out {
    let loader = ImageLoader::new(HASH_SEED, TREE).with_limit(MAX_RECORD);
    let mut inbound = match of_leader {
        true => Inbound::from_leader(MAX_RECORD, Box::new(Sink(Some(loader)))),
        false => Inbound::from_learner(MAX_RECORD, Vec::new()),
    };
    let mut out = Out::default();
    for piece in stream.chunks(piece) {
        inbound.buffer().extend_from_slice(piece);
        loop {
            match inbound.step() {
                Ok(Step::More) => break,
                Ok(Step::Packets(packets)) => out.packets.extend(packets),
                Ok(Step::Snapshot(_)) => out.states += 1,
                Err(reason) => {
                    out.ended = Some(reason.to_string());
                    return out;
                }
            }
        }
    }
    out
}

/// Reads the data of a packet as whoever gets it does.
fn look(packet: &QuorumPacket) {
    let data = packet.data.as_deref().unwrap_or_default();
    match packet.r#type {
        PacketType::FollowerInfo | PacketType::ObserverInfo => {
            if let Ok(info) = LearnerInfo::parse(data) {
                let again = LearnerInfo::parse(&info.to_bytes());
                assert_eq!(again, Ok(info));
            }
        }
        PacketType::NewLeader => {
            let _ = EnsembleConfig::parse(&String::from_utf8_lossy(data));
        }
        _ => drop(TxnRecord::decode(data, MAX_RECORD)),
    }
}
