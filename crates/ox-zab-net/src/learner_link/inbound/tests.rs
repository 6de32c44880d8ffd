use std::any::Any;

use ox_jute::Jute;
use ox_proto::Zxid;
use ox_tree::TreeOptions;
use ox_tree::image::ImageLoader;

use super::*;
use crate::golden;

const MAX_LENGTH: usize = 2 * 0xf_ffff;

/// Loads a tree, and remembers the bytes of it.
struct Image {
    loader: ImageLoader,
    bytes: Vec<u8>,
}

impl Image {
    fn boxed() -> Box<dyn SnapshotSink> {
        Box::new(Self {
            loader: ImageLoader::new(7, TreeOptions::default()),
            bytes: Vec::new(),
        })
    }

    fn of(sink: Box<dyn SnapshotSink>) -> Box<Self> {
        let sink: Box<dyn Any> = sink;
        sink.downcast().unwrap()
    }
}

impl SnapshotSink for Image {
    fn feed(&mut self, window: &[u8]) -> Result<(usize, bool), BoxError> {
        let fed = self.loader.feed(window)?;
        self.bytes.extend_from_slice(&window[..fed.consumed]);
        Ok((fed.consumed, fed.done))
    }
}

/// Takes all steps there are; appends what came out, encoded again.
fn drain(inbound: &mut Inbound, written: &mut Vec<u8>) -> Result<(), CloseReason> {
    loop {
        match inbound.step()? {
            Step::More => return Ok(()),
            Step::Packets(packets) => {
                assert!(!packets.is_empty());
                for packet in packets {
                    packet.encode(written);
                }
            }
            Step::Snapshot(snapshot) => {
                let image = Image::of(snapshot.sink);
                written.extend_from_slice(&image.bytes);
                "BenWasHere".to_owned().encode(written);
                let (tree, _) = image.loader.finish().unwrap();
                assert!(3 <= tree.node_count());
            }
        }
    }
}

fn from_leader() -> Inbound {
    Inbound::from_leader(MAX_LENGTH, Image::boxed())
}

#[test]
fn every_captured_stream_is_taken_in_whole_however_it_is_cut() {
    let mut snapshots = 0;
    let streams = golden::streams("learner");
    for stream in &streams {
        let bytes = golden::behind_sasl(&stream.bytes);
        for pieces in golden::cuts(bytes) {
            let mut inbound = match stream.from_dialer {
                true => Inbound::from_learner(MAX_LENGTH, Vec::new()),
                false => from_leader(),
            };
            let mut written = Vec::new();
            for piece in pieces {
                inbound.buffer().extend_from_slice(piece);
                drain(&mut inbound, &mut written).unwrap();
            }
            assert!(inbound.may_end(), "{}", stream.name);
            assert!(written == bytes, "{}", stream.name);
            snapshots += usize::from(matches!(inbound.snapshots, Snapshots::Taken));
        }
    }
    assert_eq!((streams.len(), snapshots % 7), (80, 0));
    assert!(5 <= snapshots / 7);
}

/// SNAP, the state, and what stands behind the state.
fn snap(behind: &[u8]) -> Vec<u8> {
    let stream = golden::stream("basic/057-learner-3-to-2", false);
    // The positions are those of quorum.md 14.3.
    [&stream[24..631 - 14], behind].concat()
}

fn outcome(bytes: &[u8]) -> Result<(), CloseReason> {
    let mut inbound = from_leader();
    inbound.buffer().extend_from_slice(bytes);
    drain(&mut inbound, &mut Vec::new())
}

#[test]
fn a_state_without_its_signature_is_refused() {
    let signed = |text: &str| {
        let mut signature = Vec::new();
        text.to_owned().encode(&mut signature);
        outcome(&snap(&signature))
    };
    assert!(signed("BenWasHere").is_ok());
    for other in ["BenWasHer", "BenWasHere!", "BenWasThis", ""] {
        assert!(
            matches!(signed(other), Err(CloseReason::Signature)),
            "{other}"
        );
    }
}

#[test]
fn a_state_bears_the_zxid_of_its_packet() {
    let mut inbound = from_leader();
    let bytes = snap(b"\0\0\0\x0aBenWasHere");
    inbound.buffer().extend_from_slice(&bytes);
    assert!(matches!(inbound.step(), Ok(Step::Packets(_))));
    let Ok(Step::Snapshot(snapshot)) = inbound.step() else {
        panic!("no state");
    };
    assert_eq!(snapshot.zxid, Zxid::new(1, 0));
}

#[test]
fn a_second_snapshot_is_refused_and_to_a_leader_it_is_a_packet() {
    let mut bytes = snap(b"\0\0\0\x0aBenWasHere");
    QuorumPacket::bare(PacketType::Snap, Zxid(1)).encode(&mut bytes);
    assert!(matches!(outcome(&bytes), Err(CloseReason::SecondSnapshot)));

    let snap = QuorumPacket::bare(PacketType::Snap, Zxid(1));
    let mut bytes = Vec::new();
    snap.encode(&mut bytes);
    snap.encode(&mut bytes);
    let mut inbound = Inbound::from_learner(MAX_LENGTH, bytes);
    assert!(
        matches!(inbound.step(), Ok(Step::Packets(packets)) if packets == [snap.clone(), snap])
    );
}

/// Takes nothing in.
struct Picky;

impl SnapshotSink for Picky {
    fn feed(&mut self, window: &[u8]) -> Result<(usize, bool), BoxError> {
        match window.first() {
            Some(0xff) => Err("no".into()),
            Some(_) | None => Ok((0, false)),
        }
    }
}

#[test]
fn what_a_sink_refuses_or_never_takes_ends_the_stream() {
    let mut inbound = Inbound::from_leader(10, Box::new(Picky));
    QuorumPacket::bare(PacketType::Snap, Zxid(1)).encode(inbound.buffer());
    assert!(matches!(inbound.step(), Ok(Step::Packets(_))));
    assert!(matches!(inbound.step(), Ok(Step::More)));
    inbound.buffer().resize(20 + RECORD_EXTRA, 0);
    assert!(matches!(inbound.step(), Ok(Step::More)));
    inbound.buffer().push(0);
    assert!(matches!(inbound.step(), Err(CloseReason::Snapshot(_))));

    let mut inbound = Inbound::from_leader(10, Box::new(Picky));
    QuorumPacket::bare(PacketType::Snap, Zxid(1)).encode(inbound.buffer());
    inbound.buffer().push(0xff);
    assert!(matches!(inbound.step(), Ok(Step::Packets(_))));
    assert!(matches!(inbound.step(), Err(CloseReason::Snapshot(_))));
}

#[test]
fn a_packet_that_is_too_long_is_refused_before_it_has_come() {
    let mut inbound = Inbound::from_learner(100, Vec::new());
    QuorumPacket::write(PacketType::Ack, Zxid(1), Some(&[0; 101]), inbound.buffer());
    inbound.buffer().truncate(16);
    assert!(matches!(
        inbound.step(),
        Err(CloseReason::Malformed(DecodeError::Length(101)))
    ));
}

#[test]
fn the_packets_of_one_read_share_their_memory_and_hold_none_behind_them() {
    let mut inbound = Inbound::from_learner(100, Vec::new());
    for zxid in [1, 2] {
        QuorumPacket::write(PacketType::Ack, Zxid(zxid), Some(b"data"), inbound.buffer());
    }
    let Ok(Step::Packets(packets)) = inbound.step() else {
        panic!("two packets are whole");
    };
    let places: Vec<_> = packets
        .iter()
        .map(|packet| packet.data.as_ref().unwrap().as_ptr() as usize)
        .collect();
    assert_eq!(places[1] - places[0], 24);
    assert!(inbound.buffer().is_empty());
}

#[test]
fn what_stands_before_something_wrong_is_handed_out() {
    let ack = QuorumPacket::bare(PacketType::Ack, Zxid(1));
    let mut inbound = Inbound::from_learner(100, Vec::new());
    ack.encode(inbound.buffer());
    QuorumPacket::write(PacketType::Ack, Zxid(2), Some(&[0; 101]), inbound.buffer());
    assert!(matches!(inbound.step(), Ok(Step::Packets(packets)) if packets == [ack]));
    assert!(matches!(inbound.step(), Err(CloseReason::Malformed(_))));

    // Whole, but the scheme of its only identity is null.
    let mut inbound = Inbound::from_learner(100, Vec::new());
    let ping = QuorumPacket::bare(PacketType::Ping, Zxid(1));
    ping.encode(inbound.buffer());
    ping.encode(inbound.buffer());
    let end = inbound.buffer().len() - 4;
    inbound.buffer().truncate(end);
    for number in [1, -1, -1] {
        i32::encode(&number, inbound.buffer());
    }
    assert!(matches!(inbound.step(), Ok(Step::Packets(packets)) if packets == [ping]));
    assert!(matches!(
        inbound.step(),
        Err(CloseReason::Malformed(DecodeError::Null))
    ));

    let mut inbound = from_leader();
    inbound
        .buffer()
        .extend_from_slice(&snap(b"\0\0\0\x0aBenWasHere"));
    let ping = QuorumPacket::bare(PacketType::Ping, Zxid(1));
    ping.encode(inbound.buffer());
    QuorumPacket::bare(PacketType::Snap, Zxid(1)).encode(inbound.buffer());
    assert!(matches!(inbound.step(), Ok(Step::Packets(packets)) if packets.len() == 1));
    assert!(matches!(inbound.step(), Ok(Step::Snapshot(_))));
    assert!(matches!(inbound.step(), Ok(Step::Packets(packets)) if packets == [ping]));
    assert!(matches!(inbound.step(), Err(CloseReason::SecondSnapshot)));
}
