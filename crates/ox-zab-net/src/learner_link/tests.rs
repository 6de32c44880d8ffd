mod accepting;
mod dialing;
mod timing;

use std::io;
use std::time::Duration;

use ox_jute::Jute;
use ox_proto::{Endpoint, LearnerInfo, PacketType, QuorumPacket, ServerId, Zxid};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;

/// Nothing that is waited for in these tests takes so long.
const DEADLINE: Duration = Duration::from_secs(30);

const MAX_LENGTH: usize = 100_000;

fn settings() -> LinkSettings {
    LinkSettings {
        read_timeout: DEADLINE,
        max_length: MAX_LENGTH,
        connect_budget: 100 * DEADLINE,
        connect_pause: Duration::from_millis(1),
        sasl: None,
        tls: None,
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("it takes too long")
}

fn mesh(settings: LinkSettings) -> (LearnerMesh<LinkEvent>, mpsc::Receiver<LinkEvent>) {
    let (events, received) = mpsc::channel(1);
    (LearnerMesh::new(settings, events), received)
}

fn loopback(port: u16) -> Endpoint {
    Endpoint::new("127.0.0.1", port)
}

/// A mesh that listens, and its port.
async fn leader(
    settings: LinkSettings,
) -> (LearnerMesh<LinkEvent>, mpsc::Receiver<LinkEvent>, u16) {
    let listener = LearnerListener::bind(&[loopback(0)]).await.unwrap();
    let port = listener.local_addresses()[0].port();
    let (mesh, events) = mesh(settings);
    mesh.listen(listener);
    (mesh, events, port)
}

fn introduction() -> QuorumPacket {
    let info = LearnerInfo {
        server: ServerId(3),
        protocol_version: LearnerInfo::PROTOCOL,
        config_version: 0,
    };
    QuorumPacket::with_data(PacketType::FollowerInfo, Zxid::ZERO, info.to_bytes())
}

fn encoded(packet: &QuorumPacket) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes);
    bytes
}

/// A hand-made learner that has introduced itself, and the leader's link to it.
async fn learner(port: u16, events: &mut mpsc::Receiver<LinkEvent>) -> (TcpStream, Link) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(&encoded(&introduction())).await.unwrap();
    let link = accepted(events, stream.local_addr().unwrap()).await;
    assert_eq!(packets(events, link.id(), 1).await, [introduction()]);
    (stream, link)
}

async fn next(events: &mut mpsc::Receiver<LinkEvent>) -> LinkEvent {
    within(events.recv()).await.expect("an event")
}

async fn accepted(events: &mut mpsc::Receiver<LinkEvent>, address: std::net::SocketAddr) -> Link {
    match next(events).await {
        LinkEvent::Accepted { link, from, port } => {
            assert_eq!((from, port), (address, Port::Quorum));
            link
        }
        other => panic!("{other:?}"),
    }
}

/// The next packets, at least so many.
async fn packets(
    events: &mut mpsc::Receiver<LinkEvent>,
    of: LinkId,
    at_least: usize,
) -> Vec<QuorumPacket> {
    let mut all = Vec::new();
    while all.len() < at_least {
        match next(events).await {
            LinkEvent::Packets { link, packets } => {
                assert_eq!(link, of);
                assert!(!packets.is_empty());
                all.extend(packets);
            }
            other => panic!("{other:?}"),
        }
    }
    all
}

async fn closed(events: &mut mpsc::Receiver<LinkEvent>, of: LinkId) -> CloseReason {
    match next(events).await {
        LinkEvent::Closed { link, reason } => {
            assert_eq!(link, of);
            reason
        }
        other => panic!("{other:?}"),
    }
}

async fn read_exactly(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    within(stream.read_exact(&mut bytes)).await.unwrap();
    bytes
}

/// Waits until the other side has closed the connection, reading what may still come.
async fn expect_end(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    match within(stream.read_to_end(&mut rest)).await {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
}

/// Gives out numbered chunks.
struct Chunks {
    left: Vec<Vec<u8>>,
    failing: bool,
}

impl Source for Chunks {
    fn next(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        match self.left.pop() {
            Some(chunk) => {
                out.extend_from_slice(&chunk);
                Ok(true)
            }
            None if self.failing => Err(io::Error::other("no more")),
            None => Ok(false),
        }
    }
}
