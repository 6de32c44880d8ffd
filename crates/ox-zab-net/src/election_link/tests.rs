mod accepting;
mod closing;
mod dialing;
mod golden;

use std::collections::VecDeque;

use ox_proto::{EnsembleConfig, InitialMessage, Notification};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::connection::{read_initial, read_message};
use super::*;

/// Nothing that is waited for in these tests takes so long.
const DEADLINE: Duration = Duration::from_secs(30);

/// The mesh under test.
const OWN: ServerId = ServerId(5);

fn settings(server: ServerId) -> ElectionSettings {
    ElectionSettings {
        server,
        bind_attempts: 1,
        connect_timeout: DEADLINE,
        handshake_timeout: DEADLINE,
        several_addresses: false,
        keep_alive: true,
        sasl: None,
        tls: None,
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("it takes too long")
}

fn loopback(port: u16) -> Endpoint {
    Endpoint::new("127.0.0.1", port)
}

/// A configuration of servers by their election ports.
fn members(ports: &[(ServerId, u16)]) -> Members {
    let lines = ports
        .iter()
        .map(|(server, port)| format!("server.{}=127.0.0.1:0:{port}", server.0));
    let text = lines.collect::<Vec<_>>().join("\n");
    Members {
        committed: Arc::new(EnsembleConfig::parse(&text).unwrap()),
        last_seen: None,
    }
}

/// A mesh that knows no other server yet, and its port.
async fn start(settings: ElectionSettings) -> (ElectionMesh, Votes, u16) {
    let own = settings.server;
    let (mesh, votes) = ElectionMesh::bind(settings, &[loopback(0)], members(&[]))
        .await
        .unwrap();
    let port = mesh.local_addresses()[0].port();
    mesh.set_members(members(&[(own, port)]));
    (mesh, votes, port)
}

/// The mesh under test.
async fn own() -> (ElectionMesh, Votes, u16) {
    start(settings(OWN)).await
}

/// The next message, when nobody goes.
async fn vote(votes: &mut Votes) -> (ServerId, Vec<u8>) {
    match within(votes.next()).await {
        Heard::Message { from, message } => (from, message),
        Heard::Closed { server } => panic!("server {} has gone", server.0),
    }
}

/// A hand-made server.
struct Peer {
    listener: TcpListener,
    port: u16,
}

impl Peer {
    async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { listener, port }
    }

    /// Refuses connections from now on. The port stays taken by a connection as long as this is
    /// kept, so nobody else gets it.
    async fn refuse(self) -> (TcpStream, TcpStream) {
        let dialed = dial(self.port, &[]).await;
        let (accepted, _) = self.listener.accept().await.unwrap();
        (dialed, accepted)
    }

    /// Is dialed, and told by whom.
    async fn accept(&self) -> (TcpStream, InitialMessage) {
        let (mut stream, _) = within(self.listener.accept()).await.unwrap();
        let message = within(read_initial(&mut stream)).await.unwrap();
        (stream, message)
    }
}

/// A connection to a port that has said these bytes.
async fn dial(port: u16, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    // What is refused early may be closed before all is written.
    let _ = stream.write_all(bytes).await;
    stream
}

/// An initial message.
fn initial(server: ServerId, port: u16) -> Vec<u8> {
    let message = InitialMessage {
        server,
        addresses: vec![loopback(port)],
    };
    message.to_bytes(false)
}

async fn say(stream: &mut TcpStream, message: &[u8]) {
    let length = i32::try_from(message.len()).unwrap();
    stream.write_all(&length.to_be_bytes()).await.unwrap();
    stream.write_all(message).await.unwrap();
}

async fn hear(stream: &mut TcpStream) -> Vec<u8> {
    within(read_message(stream))
        .await
        .unwrap()
        .expect("a message")
}

async fn expect_end(stream: &mut TcpStream) {
    match within(stream.read(&mut [0])).await {
        Ok(read) => assert_eq!(read, 0),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
}
