//! Attempts to connect to one server.
//!
//! Source: `QuorumCnxManager.initiateConnection`; quorum.md 2.1 and 2.2.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use ox_proto::{InitialMessage, ServerId};
use ox_tls::Stream;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::peers::Candidates;
use super::{Mesh, connection};
use crate::{QuorumAuth, quorum_auth, secure, socket};

/// Dials a server, and serves the connection if it is the one to keep.
pub(super) async fn run(mesh: Arc<Mesh>, server: ServerId, mut candidates: Candidates) {
    loop {
        let attempt = tokio::select! {
            () = mesh.stop.cancelled() => return,
            attempt = dial(&mesh, server, &candidates) => attempt,
        };
        match attempt {
            Ok(stream) if server < mesh.settings.server => {
                let registered = mesh.peers.lock().register(server, true);
                return connection::run(mesh, stream, Vec::new(), registered).await;
            }
            // It knows now that it should dial, and where. This connection ends.
            Ok(_) => {
                tracing::debug!(sid = server.0, "left to the larger id to dial");
                mesh.peers.lock().left_to_dial(server, Instant::now());
            }
            Err(error) => {
                tracing::warn!(
                    sid = server.0, %error, "Cannot open channel to a server's election address"
                );
                // Where nobody listens any more there is no server. The lock is held for both, or a
                // new connection's first message could come before this word.
                let peers = mesh.peers.lock();
                if error.kind() == io::ErrorKind::ConnectionRefused && peers.is_unconnected(server)
                {
                    mesh.inbox.closed(server);
                }
            }
        }
        let next = mesh.peers.lock().dial_failed(server);
        match next {
            Some(next) => candidates = next,
            None => return,
        }
    }
}

async fn dial(mesh: &Mesh, server: ServerId, candidates: &Candidates) -> io::Result<Stream> {
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    for addresses in candidates {
        let connect = socket::connect_any(addresses);
        match timeout(mesh.settings.connect_timeout, connect).await {
            Ok(Ok(stream)) => {
                let (hosts, is_member) = {
                    let peers = mesh.peers.lock();
                    (peers.hosts(server, addresses), peers.is_member(server))
                };
                // Who is in no configuration may not be believed either (Java does the same).
                let sasl = mesh.settings.sasl.as_deref().filter(|_| is_member);
                return introduce(mesh, stream, &hosts, sasl).await;
            }
            Ok(Err(error)) => failure = error,
            Err(late) => failure = late.into(),
        }
        tracing::debug!(sid = server.0, ?addresses, error = %failure, "not reached");
    }
    Err(failure)
}

/// Says who this server is, in one piece: Java takes what one read gives for the whole message. TLS
/// comes before it, SASL behind it.
async fn introduce(
    mesh: &Mesh,
    stream: TcpStream,
    hosts: &[String],
    sasl: Option<&QuorumAuth>,
) -> io::Result<Stream> {
    socket::prepare(&stream, mesh.settings.keep_alive);
    let message = InitialMessage {
        server: mesh.settings.server,
        addresses: mesh.peers.lock().own_addresses(),
    };
    let bytes = message.to_bytes(mesh.settings.several_addresses);
    let said = async {
        let mut stream = secure::dialed(mesh.settings.tls.as_deref(), stream, hosts).await?;
        stream.write_all(&bytes).await?;
        stream.flush().await?;
        quorum_auth::dialed(sasl, &mut stream).await?;
        Ok(stream)
    };
    timeout(mesh.settings.handshake_timeout, said).await?
}
