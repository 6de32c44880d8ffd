use super::*;

const LARGER: ServerId = ServerId(7);
const SMALLER: ServerId = ServerId(2);

#[tokio::test]
async fn a_larger_id_is_kept_and_heard_under_its_own_name() {
    let (mesh, mut votes, port) = own().await;
    let mut stream = dial(port, &initial(LARGER, 1)).await;
    say(&mut stream, b"one").await;
    say(&mut stream, b"two").await;
    assert_eq!(vote(&mut votes).await, (LARGER, b"one".to_vec()));
    assert_eq!(vote(&mut votes).await, (LARGER, b"two".to_vec()));
    mesh.send(LARGER, b"answer".to_vec());
    assert_eq!(hear(&mut stream).await, b"answer");
    mesh.shutdown().await;
    expect_end(&mut stream).await;
}

#[tokio::test]
async fn a_message_to_this_server_itself_comes_in() {
    let (mesh, mut votes, _) = own().await;
    mesh.send(OWN, b"self".to_vec());
    assert_eq!(vote(&mut votes).await, (OWN, b"self".to_vec()));
    mesh.shutdown().await;
}

#[tokio::test]
async fn a_smaller_id_is_closed_and_dialed_where_it_says() {
    let (mesh, mut votes, port) = own().await;
    let peer = Peer::listen().await;
    let mut stream = dial(port, &initial(SMALLER, peer.port)).await;
    expect_end(&mut stream).await;
    let (mut back, message) = peer.accept().await;
    assert_eq!(
        (message.server, message.addresses),
        (OWN, vec![loopback(port)])
    );
    say(&mut back, b"vote").await;
    assert_eq!(vote(&mut votes).await, (SMALLER, b"vote".to_vec()));
    mesh.shutdown().await;
}

#[tokio::test]
async fn a_smaller_id_that_says_no_address_is_dialed_where_the_configuration_says() {
    let (mesh, _votes, port) = own().await;
    let peer = Peer::listen().await;
    mesh.set_members(members(&[(OWN, port), (SMALLER, peer.port)]));
    let mut bare = dial(port, &SMALLER.0.to_be_bytes()).await;
    expect_end(&mut bare).await;
    let (first, _) = peer.accept().await;
    // Dialing again ends the connection that there is, as the other side may not know of it.
    let mut wildcard = InitialMessage {
        server: SMALLER,
        addresses: vec![Endpoint::new("0.0.0.0", 1)],
    };
    let mut again = dial(port, &wildcard.to_bytes(false)).await;
    expect_end(&mut again).await;
    expect_end(&mut { first }).await;
    wildcard.server = peer.accept().await.1.server;
    assert_eq!(wildcard.server, OWN);
    mesh.shutdown().await;
}

#[tokio::test]
async fn a_second_connection_replaces_the_first_and_begins_with_the_last_message() {
    let (mesh, mut votes, port) = own().await;
    let mut first = dial(port, &initial(LARGER, 1)).await;
    say(&mut first, b"here").await;
    vote(&mut votes).await;
    mesh.send(LARGER, b"stale".to_vec());
    assert_eq!(hear(&mut first).await, b"stale");
    let mut second = dial(port, &initial(LARGER, 1)).await;
    expect_end(&mut first).await;
    assert_eq!(hear(&mut second).await, b"stale");
    mesh.send(LARGER, b"fresh".to_vec());
    assert_eq!(hear(&mut second).await, b"fresh");
    assert!(mesh.delivered());
    mesh.shutdown().await;
}

#[tokio::test]
async fn an_initial_message_may_come_in_pieces_with_a_vote_behind_it() {
    let (mesh, mut votes, port) = own().await;
    let mut bytes = initial(LARGER, 1);
    bytes.extend_from_slice(b"\0\0\0\x04vote");
    let mut stream = dial(port, &[]).await;
    for byte in bytes {
        stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(vote(&mut votes).await, (LARGER, b"vote".to_vec()));
    let mut bare = dial(port, &ServerId(9).0.to_be_bytes()).await;
    say(&mut bare, b"old").await;
    assert_eq!(vote(&mut votes).await, (ServerId(9), b"old".to_vec()));
    mesh.shutdown().await;
}

#[tokio::test]
async fn what_is_no_initial_message_is_closed() {
    let (mesh, _votes, port) = own().await;
    let whole = initial(LARGER, 1);
    let with_length = |length: i32| {
        let mut bytes = whole.clone();
        bytes[16..20].copy_from_slice(&length.to_be_bytes());
        bytes
    };
    let mut unknown = whole.clone();
    unknown[..8].copy_from_slice(&(-65537_i64).to_be_bytes());
    let mut portless = with_length(7);
    portless.truncate(20);
    portless.extend_from_slice(b"nocolon");
    for bytes in [
        with_length(0),
        with_length(-1),
        with_length(2049),
        unknown,
        portless,
    ] {
        expect_end(&mut dial(port, &bytes).await).await;
    }
    // A server with this server's own id.
    expect_end(&mut dial(port, &initial(OWN, 1)).await).await;
    mesh.shutdown().await;
}

#[tokio::test]
async fn half_an_initial_message_is_closed_when_the_handshake_takes_too_long() {
    let (mesh, _votes, port) = start(ElectionSettings {
        handshake_timeout: Duration::from_millis(20),
        ..settings(OWN)
    })
    .await;
    expect_end(&mut dial(port, &initial(LARGER, 1)[..19]).await).await;
    mesh.shutdown().await;
}

#[tokio::test]
async fn a_message_has_one_byte_to_half_a_mebibyte() {
    let (mesh, mut votes, port) = own().await;
    let mut longest = dial(port, &initial(LARGER, 1)).await;
    say(&mut longest, &vec![7; Notification::MAX_LENGTH]).await;
    let (_, message) = vote(&mut votes).await;
    assert_eq!(message.len(), 524_288);
    for length in [0, -1, 524_289, i32::MAX] {
        let mut stream = dial(port, &initial(LARGER, 1)).await;
        stream.write_all(&length.to_be_bytes()).await.unwrap();
        expect_end(&mut stream).await;
    }
    mesh.shutdown().await;
}

#[tokio::test]
async fn a_server_gets_through_a_thousand_silent_connections() {
    let (mesh, mut votes, port) = own().await;
    let mut silent = VecDeque::new();
    for _ in 0..1000 {
        silent.push_back(dial(port, &initial(LARGER, 1)[..10]).await);
        if 400 < silent.len() {
            // Far more than may wait have come since: this one was driven out.
            expect_end(&mut silent.pop_front().unwrap()).await;
        }
    }
    let mut stream = dial(port, &initial(LARGER, 1)).await;
    say(&mut stream, b"vote").await;
    assert_eq!(vote(&mut votes).await, (LARGER, b"vote".to_vec()));
    mesh.shutdown().await;
}
