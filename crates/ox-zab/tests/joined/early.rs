//! Learners that connect before the leader knows that it leads: a Java server waits for better
//! votes less long than ours at times, and connects only once or so.

use ox_proto::{LearnerInfo, PacketType, PeerState, QuorumPacket, ServerId, Zxid};
use ox_zab::{DiskDone, DiskRequest, Input, LinkId, Output};

use super::lonely::{hear, looking};
use super::world::{config, member, settings};

pub(crate) fn introduction(server: i64) -> QuorumPacket {
    let info = LearnerInfo {
        server: ServerId(server),
        protocol_version: LearnerInfo::PROTOCOL,
        config_version: 0,
    };
    QuorumPacket::with_data(PacketType::FollowerInfo, Zxid::ZERO, info.to_bytes())
}

#[test]
fn a_learner_that_comes_while_we_elect_is_served_when_we_lead() {
    let mut peer = member(settings(3), &config(3, 0));
    peer.start(0);
    let (link, ended) = (LinkId(7), LinkId(8));
    for link in [link, ended] {
        peer.handle(0, Input::Accepted { link });
        let packet = introduction(2);
        peer.handle(0, Input::Received { link, packet });
    }
    peer.handle(0, Input::Closed { link: ended });
    hear(&mut peer, 0, 2, looking(3, 1));
    assert_eq!(peer.state(), PeerState::Looking);
    let at = peer.poll_timeout();
    peer.handle(at, Input::Timeout { delivered: true });
    assert_eq!(peer.state(), PeerState::Leading);
    let outputs: Vec<_> = std::iter::from_fn(|| peer.poll_output()).collect();
    assert!(outputs.contains(&Output::Disk(DiskRequest::AcceptEpoch(1))));
    assert!(!outputs.contains(&Output::Close { link }));
    peer.handle(at, Input::Done(DiskDone::EpochAccepted(1)));
    let mut sent = Vec::new();
    while let Some(output) = peer.poll_output() {
        if let Output::Send { link, packet } = output {
            sent.push((link, packet.r#type, packet.zxid));
        }
    }
    assert_eq!(sent, [(link, PacketType::LeaderInfo, Zxid::new(1, 0))]);
}

#[test]
fn who_says_more_than_who_it_is_while_we_elect_is_not_kept() {
    let mut peer = member(settings(3), &config(3, 0));
    peer.start(0);
    let link = LinkId(7);
    peer.handle(0, Input::Accepted { link });
    for _ in 0..2 {
        let packet = introduction(2);
        peer.handle(0, Input::Received { link, packet });
    }
    assert!(
        std::iter::from_fn(|| peer.poll_output()).any(|output| output == Output::Close { link })
    );
}

#[test]
fn a_learner_that_comes_while_we_elect_is_closed_when_we_follow() {
    let mut peer = member(settings(2), &config(3, 0));
    peer.start(0);
    let link = LinkId(7);
    peer.handle(0, Input::Accepted { link });
    let packet = introduction(1);
    peer.handle(0, Input::Received { link, packet });
    hear(&mut peer, 0, 3, looking(3, 1));
    let at = peer.poll_timeout();
    peer.handle(at, Input::Timeout { delivered: true });
    assert_eq!(peer.state(), PeerState::Following);
    assert!(
        std::iter::from_fn(|| peer.poll_output()).any(|output| output == Output::Close { link })
    );
}
