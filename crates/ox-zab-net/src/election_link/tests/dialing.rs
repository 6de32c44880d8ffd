use super::*;

const LARGER: ServerId = ServerId(7);
const SMALLER: ServerId = ServerId(2);

#[tokio::test]
async fn a_larger_id_is_told_who_dials_and_then_left_to_dial() {
    let (mesh, mut votes, port) = own().await;
    let peer = Peer::listen().await;
    mesh.set_members(members(&[(OWN, port), (LARGER, peer.port)]));
    mesh.send(LARGER, b"vote".to_vec());
    let (mut stream, message) = peer.accept().await;
    assert_eq!(
        (message.server, message.addresses),
        (OWN, vec![loopback(port)])
    );
    expect_end(&mut stream).await;
    assert!(!mesh.delivered());
    let mut back = dial(port, &initial(LARGER, peer.port)).await;
    assert_eq!(hear(&mut back).await, b"vote");
    assert!(mesh.delivered());
    say(&mut back, b"other").await;
    assert_eq!(vote(&mut votes).await, (LARGER, b"other".to_vec()));
    mesh.shutdown().await;
}

#[tokio::test]
async fn a_broken_connection_is_only_dialed_again_for_a_message_or_on_demand() {
    let (mesh, mut votes, port) = own().await;
    let peer = Peer::listen().await;
    mesh.set_members(members(&[(OWN, port), (SMALLER, peer.port)]));
    mesh.send(SMALLER, b"one".to_vec());
    let (mut stream, _) = peer.accept().await;
    assert_eq!(hear(&mut stream).await, b"one");
    // The mesh has seen the end when it has taken in everything before it.
    say(&mut stream, b"bye").await;
    vote(&mut votes).await;
    drop(stream);
    let mut again = loop {
        mesh.connect_all();
        let attempt = timeout(Duration::from_millis(1), peer.listener.accept()).await;
        if let Ok(accepted) = attempt {
            break accepted.unwrap().0;
        }
    };
    within(read_initial(&mut again)).await.unwrap();
    assert_eq!(hear(&mut again).await, b"one");
    mesh.shutdown().await;
}

#[tokio::test]
async fn with_several_addresses_all_are_said_and_the_one_that_answers_is_taken() {
    let (mesh, _votes, port) = start(ElectionSettings {
        several_addresses: true,
        ..settings(OWN)
    })
    .await;
    let refusing = Peer::listen().await;
    let closed = refusing.port;
    let _refusing = refusing.refuse().await;
    let peer = Peer::listen().await;
    let text = format!(
        "server.5=127.0.0.1:0:{port}|127.0.0.2:0:{port}\n\
         server.2=127.0.0.1:0:{closed}|127.0.0.1:0:{}",
        peer.port
    );
    mesh.set_members(Members {
        committed: Arc::new(EnsembleConfig::parse(&text).unwrap()),
        last_seen: None,
    });
    mesh.send(SMALLER, b"vote".to_vec());
    let (mut stream, message) = peer.accept().await;
    assert_eq!(
        message.addresses,
        [loopback(port), Endpoint::new("127.0.0.2", port)]
    );
    assert_eq!(hear(&mut stream).await, b"vote");
    mesh.shutdown().await;
}

#[tokio::test]
async fn meshes_reach_each_other_whoever_speaks_first() {
    const SERVERS: [ServerId; 3] = [ServerId(1), ServerId(2), ServerId(3)];
    let mut meshes = Vec::new();
    for server in SERVERS {
        meshes.push(start(settings(server)).await);
    }
    let ports: Vec<_> = SERVERS
        .into_iter()
        .zip(meshes.iter().map(|mesh| mesh.2))
        .collect();
    for (mesh, ..) in &meshes {
        mesh.set_members(members(&ports));
    }
    for (server, (mesh, ..)) in SERVERS.iter().zip(&meshes) {
        for other in SERVERS {
            mesh.send(other, format!("{} to {}", server.0, other.0).into());
        }
    }
    for (server, (_, votes, _)) in SERVERS.iter().zip(&mut meshes) {
        let mut heard = std::collections::BTreeSet::new();
        while heard.len() < SERVERS.len() {
            let (from, message) = vote(votes).await;
            let expected = format!("{} to {}", from.0, server.0);
            assert_eq!(String::from_utf8(message).unwrap(), expected);
            heard.insert(from);
        }
    }
    for (mesh, ..) in meshes {
        within(mesh.shutdown()).await;
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error_with_its_name() {
    let taken = Peer::listen().await;
    let bound = ElectionMesh::bind(settings(OWN), &[loopback(taken.port)], members(&[])).await;
    let Err(error) = bound else {
        panic!("bound twice");
    };
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert!(
        error
            .to_string()
            .contains(&loopback(taken.port).to_string()),
        "{error}"
    );
}
