use super::*;

const LARGER: ServerId = ServerId(7);
const SMALLER: ServerId = ServerId(2);

fn closed(server: ServerId) -> Heard {
    Heard::Closed { server }
}

/// A mesh with two members that listen.
async fn with_members() -> (ElectionMesh, Votes, u16, Peer, Peer) {
    let (mesh, votes, port) = own().await;
    let (smaller, larger) = (Peer::listen().await, Peer::listen().await);
    mesh.set_members(members(&[
        (SMALLER, smaller.port),
        (OWN, port),
        (LARGER, larger.port),
    ]));
    (mesh, votes, port, smaller, larger)
}

#[tokio::test]
async fn a_member_that_closes_is_told_of_behind_what_it_said() {
    let (mesh, mut votes, port, smaller, larger) = with_members().await;
    let mut accepted = dial(port, &initial(LARGER, larger.port)).await;
    say(&mut accepted, b"last").await;
    drop(accepted);
    assert_eq!(vote(&mut votes).await, (LARGER, b"last".to_vec()));
    assert_eq!(within(votes.next()).await, closed(LARGER));
    mesh.send(SMALLER, b"vote".to_vec());
    let (dialed, _) = smaller.accept().await;
    drop(dialed);
    assert_eq!(within(votes.next()).await, closed(SMALLER));
    mesh.shutdown().await;
}

#[tokio::test]
async fn a_member_that_resets_is_told_of() {
    let (mesh, mut votes, port, _, larger) = with_members().await;
    let mut accepted = dial(port, &initial(LARGER, larger.port)).await;
    say(&mut accepted, b"here").await;
    vote(&mut votes).await;
    // What is not read when a socket is closed is answered by a reset.
    mesh.send(LARGER, b"unread".to_vec());
    accepted.readable().await.unwrap();
    drop(accepted);
    assert_eq!(within(votes.next()).await, closed(LARGER));
    mesh.shutdown().await;
}

#[tokio::test]
async fn a_connection_that_is_replaced_or_refused_here_tells_nothing() {
    let (mesh, mut votes, port, _, larger) = with_members().await;
    let mut first = dial(port, &initial(LARGER, larger.port)).await;
    say(&mut first, b"first").await;
    vote(&mut votes).await;
    let mut second = dial(port, &initial(LARGER, larger.port)).await;
    expect_end(&mut first).await;
    second.write_all(&(-1_i32).to_be_bytes()).await.unwrap();
    expect_end(&mut second).await;
    let mut third = dial(port, &initial(LARGER, larger.port)).await;
    say(&mut third, b"third").await;
    assert_eq!(vote(&mut votes).await, (LARGER, b"third".to_vec()));
    mesh.shutdown().await;
    assert!(timeout(Duration::ZERO, votes.next()).await.is_err());
}

#[tokio::test]
async fn who_is_no_member_goes_unnoticed() {
    let (mesh, mut votes, port, _, _) = with_members().await;
    let stranger = ServerId(90);
    for number in 0..2 {
        let mut stream = dial(port, &initial(stranger, 1)).await;
        say(&mut stream, &[number]).await;
        stream.shutdown().await.unwrap();
        expect_end(&mut stream).await;
        assert_eq!(vote(&mut votes).await, (stranger, vec![number]));
    }
    mesh.shutdown().await;
}

#[tokio::test]
async fn a_member_that_refuses_connections_has_gone() {
    let (mesh, mut votes, _, smaller, _) = with_members().await;
    drop(smaller);
    mesh.send(SMALLER, b"vote".to_vec());
    assert_eq!(within(votes.next()).await, closed(SMALLER));
    mesh.shutdown().await;
}
