//! The election port: connections until they have said who they are.
//!
//! Source: `QuorumCnxManager.Listener`, `handleConnection`; quorum.md 2.1.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use ox_proto::InitialMessage;
use ox_tls::Stream;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::peers::Verdict;
use super::{Mesh, connection};
use crate::lobby::Lobby;
use crate::{secure, socket};

/// Connections of one port that have not introduced themselves. Each costs a socket and some
/// kilobytes.
const MAX_WAITING: usize = 256;

/// A connection and who dialed it.
type Arrival = (Stream, InitialMessage);

/// Accepts connections until it is told to stop, as when the mesh ends.
pub(super) async fn run(mesh: Arc<Mesh>, listener: TcpListener, stop: CancellationToken) {
    let mut lobby = Lobby::new(MAX_WAITING);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    socket::prepare(&stream, mesh.settings.keep_alive);
                    lobby.admit(introduction(Arc::clone(&mesh), stream, from));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an election connection");
                    sleep(socket::ACCEPT_PAUSE).await;
                }
            },
            (stream, message) = lobby.introduced() => arrived(&mesh, stream, message),
        }
    }
    lobby.close().await;
}

/// Waits for the initial message, and TLS before it, as long as a handshake may take.
async fn introduction(mesh: Arc<Mesh>, stream: TcpStream, from: SocketAddr) -> Option<Arrival> {
    let read = async {
        let mut stream = secure::accepted(mesh.settings.tls.as_deref(), stream).await?;
        let message = connection::read_initial(&mut stream).await?;
        Ok::<_, io::Error>((stream, message))
    };
    let error = match timeout(mesh.settings.handshake_timeout, read).await {
        Ok(Ok(arrival)) => return Some(arrival),
        Ok(Err(error)) => error,
        Err(late) => late.into(),
    };
    tracing::warn!(%from, %error, "an election connection did not introduce itself");
    None
}

fn arrived(mesh: &Arc<Mesh>, stream: Stream, message: InitialMessage) {
    let verdict = mesh.peers.lock().arrived(message);
    match verdict {
        Verdict::Keep(server) => {
            let registered = mesh.peers.lock().register(server, false);
            mesh.tasks
                .spawn(connection::run(Arc::clone(mesh), stream, registered));
        }
        Verdict::DialBack(server, candidates) => {
            drop(stream);
            mesh.dial(server, candidates);
        }
        // Java keeps such a connection and never looks at it again.
        Verdict::Own => tracing::warn!(
            sid = mesh.settings.server.0,
            "a server with this server's own id has connected: two have the same id, or a \
             configuration names a wrong address",
        ),
        Verdict::Stranger(server) => tracing::warn!(
            sid = server.0,
            "too many servers that are in no configuration; its connection is closed",
        ),
    }
}
