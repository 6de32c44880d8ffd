use std::any::Any;

use ox_tree::TreeOptions;
use ox_tree::image::ImageLoader;

use super::*;
use crate::golden;

impl SnapshotSink for ImageLoader {
    fn feed(&mut self, window: &[u8]) -> Result<(usize, bool), BoxError> {
        let fed = self.feed(window)?;
        Ok((fed.consumed, fed.done))
    }
}

fn sink() -> Box<dyn SnapshotSink> {
    Box::new(ImageLoader::new(7, TreeOptions::default()))
}

/// A hand-made leader.
async fn listen() -> (TcpListener, Endpoint) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, loopback(port))
}

/// An address that refuses connections. It stays taken for outgoing connections only, so nobody
/// listens there.
async fn refusing() -> (TcpStream, TcpStream, Endpoint) {
    let (listener, endpoint) = listen().await;
    let dialed = TcpStream::connect((endpoint.host.as_str(), endpoint.port))
        .await
        .unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    (dialed, accepted, endpoint)
}

async fn connected(events: &mut mpsc::Receiver<LinkEvent>, of: LinkId) -> u16 {
    match next(events).await {
        LinkEvent::Connected { link, to } => {
            assert_eq!(link, of);
            to.port()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_captured_leader_is_followed_and_its_state_comes_in_its_place() {
    let (mesh, mut events) = mesh(settings());
    let (listener, endpoint) = listen().await;
    let link = mesh.dial(vec![endpoint], sink());
    link.send(&introduction());
    link.flush();
    let (mut stream, _) = within(listener.accept()).await.unwrap();
    connected(&mut events, link.id()).await;
    let learner = golden::stream("basic/057-learner-3-to-2", true);
    assert_eq!(read_exactly(&mut stream, 40).await, learner[..40]);

    let leader = golden::stream("basic/057-learner-3-to-2", false);
    let sent = leader.clone();
    let sender = tokio::spawn(async move {
        stream.write_all(&sent).await.unwrap();
        stream
    });
    let mut written = Vec::new();
    let mut snapshot_at = None;
    while written.len() + snapshot_at.map_or(0, |_| 631 - 44) < leader.len() {
        match next(&mut events).await {
            LinkEvent::Packets { packets, .. } => {
                for packet in packets {
                    packet.encode(&mut written);
                }
            }
            LinkEvent::Snapshot { sink, .. } => {
                snapshot_at = Some(written.len());
                let sink: Box<dyn Any> = sink;
                let (tree, _) = sink.downcast::<ImageLoader>().unwrap().finish().unwrap();
                assert!(tree.node("/zookeeper/config").is_some());
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(snapshot_at, Some(44));
    assert!(written == [&leader[..44], &leader[631..]].concat());
    drop(sender.await.unwrap());
    let reason = closed(&mut events, link.id()).await;
    assert!(matches!(reason, CloseReason::Ended), "{reason}");
    mesh.shutdown().await;
}

#[tokio::test]
async fn a_leader_and_a_learner_of_ours_exchange_state_between_packets() {
    let (leading, mut leader_events, port) = leader(settings()).await;
    let (following, mut learner_events) = mesh(settings());
    let followed = following.dial(vec![loopback(port)], sink());
    followed.send(&introduction());
    followed.flush();
    connected(&mut learner_events, followed.id()).await;
    let LinkEvent::Accepted { link, .. } = next(&mut leader_events).await else {
        panic!("not accepted");
    };

    let captured = golden::stream("basic/057-learner-3-to-2", false);
    link.append(&captured[..44]);
    let state = captured[44..631]
        .chunks(100)
        .map(<[u8]>::to_vec)
        .rev()
        .collect();
    link.append_source(Box::new(Chunks {
        left: state,
        failing: false,
    }));
    link.append(&captured[631..829]);
    link.flush();
    let before = packets(&mut learner_events, followed.id(), 2).await;
    let types: Vec<_> = before.iter().map(|packet| packet.r#type).collect();
    assert_eq!(types, [PacketType::LeaderInfo, PacketType::Snap]);
    assert!(matches!(
        next(&mut learner_events).await,
        LinkEvent::Snapshot { .. }
    ));
    let behind = packets(&mut learner_events, followed.id(), 1).await;
    assert_eq!(behind[0].r#type, PacketType::NewLeader);
    assert_eq!(link.queued_bytes(), 0);
    leading.shutdown().await;
    following.shutdown().await;
}

#[tokio::test]
async fn a_source_that_fails_ends_the_link_behind_what_it_has_produced() {
    let (mesh, mut events, port) = leader(settings()).await;
    let (mut stream, link) = learner(port, &mut events).await;
    link.append_source(Box::new(Chunks {
        left: vec![vec![2; 300_000], vec![1; 300_000]],
        failing: true,
    }));
    link.write(PacketType::Ping, Zxid(9), None);
    link.flush();
    let mut received = Vec::new();
    within(stream.read_to_end(&mut received)).await.unwrap();
    assert_eq!(received.iter().filter(|&&byte| byte == 1).count(), 300_000);
    assert!(!received.ends_with(&encoded(&QuorumPacket::bare(PacketType::Ping, Zxid(9)))));
    let reason = closed(&mut events, link.id()).await;
    assert!(matches!(reason, CloseReason::Source(_)), "{reason}");
    mesh.shutdown().await;
}

#[tokio::test]
async fn the_address_that_answers_is_taken() {
    let (mesh, mut events) = mesh(settings());
    let (_dialed, _accepted, refusing) = refusing().await;
    let (listener, endpoint) = listen().await;
    let port = endpoint.port;
    let link = mesh.dial(vec![refusing, endpoint], sink());
    assert_eq!(connected(&mut events, link.id()).await, port);
    drop(listener);
    mesh.shutdown().await;
}

#[tokio::test]
async fn no_attempt_begins_that_the_budget_has_no_time_for() {
    let (mesh, mut events) = mesh(LinkSettings {
        connect_budget: DEADLINE,
        connect_pause: DEADLINE,
        ..settings()
    });
    let (_dialed, _accepted, endpoint) = refusing().await;
    let begun = std::time::Instant::now();
    let link = mesh.dial(vec![endpoint], sink());
    closed(&mut events, link.id()).await;
    assert!(begun.elapsed() < DEADLINE / 2);
    mesh.shutdown().await;
}

#[tokio::test]
async fn a_leader_that_cannot_be_reached_is_given_up() {
    let (mesh, mut events) = mesh(LinkSettings {
        connect_budget: Duration::from_millis(20),
        ..settings()
    });
    let (_dialed, _accepted, endpoint) = refusing().await;
    let link = mesh.dial(vec![endpoint.clone()], sink());
    let reason = closed(&mut events, link.id()).await;
    assert!(matches!(reason, CloseReason::Unreachable(_)), "{reason}");
    let link = mesh.dial(vec![], sink());
    let reason = closed(&mut events, link.id()).await;
    assert!(matches!(reason, CloseReason::Unreachable(_)), "{reason}");
    drop(mesh.dial(vec![endpoint], sink()));
    mesh.shutdown().await;
    assert!(events.recv().await.is_none());
}
