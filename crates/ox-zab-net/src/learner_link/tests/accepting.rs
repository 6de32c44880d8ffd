use tokio::net::TcpSocket;

use super::*;
use crate::golden;

#[tokio::test]
async fn a_learner_becomes_a_link_and_its_introduction_the_first_packet() {
    let (mesh, mut events, port) = leader(settings()).await;
    let (mut stream, link) = learner(port, &mut events).await;
    let ack = QuorumPacket::bare(PacketType::Ack, Zxid(7));
    for byte in encoded(&ack) {
        stream.write_all(&[byte]).await.unwrap();
    }
    assert_eq!(packets(&mut events, link.id(), 1).await[0], ack);
    link.write(PacketType::Ping, Zxid(9), None);
    link.send(&ack);
    link.flush();
    let expected = [
        encoded(&QuorumPacket::bare(PacketType::Ping, Zxid(9))),
        encoded(&ack),
    ]
    .concat();
    assert_eq!(read_exactly(&mut stream, expected.len()).await, expected);
    mesh.shutdown().await;
}

#[tokio::test]
async fn a_captured_learner_is_heard_packet_by_packet() {
    let (mesh, mut events, port) = leader(settings()).await;
    let bytes = golden::stream("basic/033-learner-1-to-2", true);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let address = stream.local_addr().unwrap();
    let sent = bytes.clone();
    let sender = tokio::spawn(async move {
        stream.write_all(&sent).await.unwrap();
        stream
    });
    let link = accepted(&mut events, address).await;
    let mut written = Vec::new();
    while written.len() < bytes.len() {
        for packet in packets(&mut events, link.id(), 1).await {
            packet.encode(&mut written);
        }
    }
    assert!(written == bytes);
    drop(sender.await.unwrap());
    let reason = closed(&mut events, link.id()).await;
    assert!(matches!(reason, CloseReason::Ended), "{reason}");
    mesh.shutdown().await;
}

#[tokio::test]
async fn what_does_not_introduce_itself_is_closed_without_a_word() {
    let (mesh, mut events, port) = leader(settings()).await;
    let ack = encoded(&QuorumPacket::bare(PacketType::Ack, Zxid(7)));
    let mut long = Vec::new();
    QuorumPacket::write(
        PacketType::FollowerInfo,
        Zxid::ZERO,
        Some(&[0; 257]),
        &mut long,
    );
    let mut endless = encoded(&introduction());
    endless.truncate(36);
    endless.extend_from_slice(&(1_i32 << 10).to_be_bytes());
    endless.extend_from_slice(&[0; 400]);
    for bytes in [ack, long[..16].to_vec(), endless] {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        expect_end(&mut stream).await;
    }
    // Had there been an event for one of them, it would come before this learner's.
    learner(port, &mut events).await;
    mesh.shutdown().await;
}

#[tokio::test]
async fn a_silent_dialer_is_closed_after_the_read_timeout() {
    let (mesh, _events, port) = leader(LinkSettings {
        read_timeout: Duration::from_millis(20),
        ..settings()
    })
    .await;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream
        .write_all(&encoded(&introduction())[..39])
        .await
        .unwrap();
    expect_end(&mut stream).await;
    mesh.shutdown().await;
}

#[tokio::test]
async fn a_learner_gets_through_a_thousand_silent_connections() {
    let (mesh, mut events, port) = leader(settings()).await;
    let mut silent = std::collections::VecDeque::new();
    for _ in 0..1000 {
        silent.push_back(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
        if 400 < silent.len() {
            // Far more than may wait have come since: this one was driven out.
            expect_end(&mut silent.pop_front().unwrap()).await;
        }
    }
    learner(port, &mut events).await;
    mesh.shutdown().await;
}

#[tokio::test]
async fn a_packet_that_is_too_long_ends_the_link() {
    let (mesh, mut events, port) = leader(settings()).await;
    let (mut stream, link) = learner(port, &mut events).await;
    let mut packet = Vec::new();
    QuorumPacket::write(
        PacketType::Ack,
        Zxid(7),
        Some(&[0; MAX_LENGTH + 1]),
        &mut packet,
    );
    stream.write_all(&packet[..16]).await.unwrap();
    let reason = closed(&mut events, link.id()).await;
    assert!(matches!(reason, CloseReason::Malformed(_)), "{reason}");
    expect_end(&mut stream).await;
    mesh.shutdown().await;
}

#[tokio::test]
async fn an_end_within_a_packet_is_told_from_one_behind_it() {
    let (mesh, mut events, port) = leader(settings()).await;
    let (mut stream, link) = learner(port, &mut events).await;
    stream.write_all(&[0, 0, 0]).await.unwrap();
    drop(stream);
    let reason = closed(&mut events, link.id()).await;
    assert!(matches!(reason, CloseReason::Broken(_)), "{reason}");
    link.write(PacketType::Ping, Zxid(9), None);
    assert_eq!(link.queued_bytes(), 0);
    mesh.shutdown().await;
}

#[tokio::test]
async fn a_link_that_is_dropped_is_closed_and_tells_nothing() {
    let (mesh, mut events, port) = leader(settings()).await;
    let (mut first, link) = learner(port, &mut events).await;
    drop(link);
    expect_end(&mut first).await;
    learner(port, &mut events).await;
    mesh.shutdown().await;
}

#[tokio::test]
async fn everything_ends_with_the_mesh_or_with_who_hears_its_events() {
    let (mesh, mut events, port) = leader(settings()).await;
    let (mut stream, _link) = learner(port, &mut events).await;
    within(mesh.shutdown()).await;
    expect_end(&mut stream).await;
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());

    let (mesh, mut events, port) = leader(settings()).await;
    let (mut stream, _link) = learner(port, &mut events).await;
    drop(events);
    let ack = encoded(&QuorumPacket::bare(PacketType::Ack, Zxid(7)));
    stream.write_all(&ack).await.unwrap();
    expect_end(&mut stream).await;
    drop(mesh);
}

#[tokio::test]
async fn while_nobody_takes_events_the_peer_waits_and_nothing_is_lost() {
    let (mesh, mut events, port) = leader(settings()).await;
    let (stream, link) = learner(port, &mut events).await;
    let (mut reader, mut writer) = stream.into_split();
    const COUNT: i64 = 2000;
    let sender = tokio::spawn(async move {
        for zxid in 0..COUNT {
            let packet = QuorumPacket::with_data(PacketType::Ack, Zxid(zxid), vec![0; 20_000]);
            writer.write_all(&encoded(&packet)).await.unwrap();
        }
        writer
    });
    // The link still writes while it does not read.
    link.write(PacketType::Ping, Zxid(9), None);
    link.flush();
    let mut ping = [0; 20];
    within(reader.read_exact(&mut ping)).await.unwrap();
    assert!(!sender.is_finished());
    let all = packets(&mut events, link.id(), usize::try_from(COUNT).unwrap()).await;
    assert!((0..COUNT).eq(all.iter().map(|packet| packet.zxid.0)));
    sender.await.unwrap();
    mesh.shutdown().await;
}

/// Connects from another address: whoever tries a free port of its own often may reach itself.
async fn from_elsewhere(port: u16) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 2], 0).into())?;
    socket.connect(([127, 0, 0, 1], port).into()).await
}

#[tokio::test]
async fn observers_are_served_as_soon_as_their_port_is_free_and_as_long_as_is_wanted() {
    let (mesh, mut events) = mesh(settings());
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let serving = mesh.serve_observers(vec![loopback(port)]);
    // There is one thread, so the first attempt has failed by now.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    drop(taken);
    let dialing = async {
        loop {
            match from_elsewhere(port).await {
                Ok(stream) => break stream,
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    };
    let mut observer = within(dialing).await;
    observer.write_all(&encoded(&introduction())).await.unwrap();
    let LinkEvent::Accepted { link, port: at, .. } = next(&mut events).await else {
        panic!("not accepted");
    };
    assert_eq!(at, Port::ObserverMaster);
    packets(&mut events, link.id(), 1).await;
    drop(serving);
    let closing = async {
        while from_elsewhere(port).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    within(closing).await;
    // Who has come before stays.
    link.send(&introduction());
    link.flush();
    read_exactly(&mut observer, 40).await;
    mesh.shutdown().await;
}
