//! A learner that is not up to date, and never will be.

use bytes::Bytes;
use ox_proto::{PacketType, QuorumPacket, Zxid};
use ox_zab::{DiskDone, Input, LinkId, Output, Peer};

use super::early::introduction;
use super::lonely::{hear, looking};
use super::world::{config, member, settings};

const FOLLOWER: LinkId = LinkId(1);
const LAGGARD: LinkId = LinkId(2);
const START: Zxid = Zxid(1 << 32);

fn receive(peer: &mut Peer, link: LinkId, packet: QuorumPacket) {
    peer.handle(0, Input::Received { link, packet });
}

/// The leader of three that serves with server 2, while server 1 has been sent all up to NEWLEADER.
fn leader() -> Peer {
    let mut peer = member(settings(3), &config(3, 0));
    peer.start(0);
    for elector in [1, 2] {
        hear(&mut peer, 0, elector, looking(3, 1));
    }
    for (link, server) in [(FOLLOWER, 2), (LAGGARD, 1)] {
        peer.handle(0, Input::Accepted { link });
        receive(&mut peer, link, introduction(server));
    }
    peer.handle(0, Input::Done(DiskDone::EpochAccepted(1)));
    for link in [FOLLOWER, LAGGARD] {
        let epoch = Bytes::from_static(&[0; 4]);
        let packet = QuorumPacket::with_data(PacketType::AckEpoch, Zxid::ZERO, epoch);
        receive(&mut peer, link, packet);
    }
    peer.handle(0, Input::Done(DiskDone::EpochEntered(1)));
    receive(
        &mut peer,
        FOLLOWER,
        QuorumPacket::bare(PacketType::Ack, START),
    );
    assert_eq!(peer.next_zxid(), Some(Zxid::new(1, 1)));
    while peer.poll_output().is_some() {}
    peer
}

#[test]
fn no_more_than_a_link_would_take_is_kept_for_who_never_acknowledges_newleader() {
    let mut peer = leader();
    let payload = Bytes::from(vec![0; 1 << 20]);
    let mut kept = 0;
    let mut is_closed = false;
    while !is_closed {
        let zxid = peer.next_zxid().unwrap();
        peer.propose(0, zxid, payload.clone());
        // It is not silent.
        receive(
            &mut peer,
            LAGGARD,
            QuorumPacket::bare(PacketType::Ack, zxid),
        );
        while let Some(output) = peer.poll_output() {
            is_closed |= output == Output::Close { link: LAGGARD };
            assert_ne!(output, Output::Close { link: FOLLOWER });
        }
        kept += 1;
        assert!(kept <= 256, "{kept} MiB");
    }
    assert!(200 < kept, "{kept} MiB");
}
