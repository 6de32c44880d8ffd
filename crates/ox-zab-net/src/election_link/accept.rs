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

use super::peers::Verdict;
use super::{Mesh, connection};
use crate::lobby::Lobby;
use crate::{quorum_auth, secure, socket};

/// Connections of one port that have not introduced themselves. Each costs a socket and some
/// kilobytes.
const MAX_WAITING: usize = 256;

/// A connection and who dialed it.
struct Arrival {
    stream: Stream,
    message: InitialMessage,
    /// What has been read of what follows.
    early: Vec<u8>,
}

/// Accepts connections until the mesh ends.
pub(super) async fn run(mesh: Arc<Mesh>, listener: TcpListener) {
    let mut lobby = Lobby::new(MAX_WAITING);
    loop {
        tokio::select! {
            () = mesh.stop.cancelled() => break,
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
            arrival = lobby.introduced() => arrived(&mesh, arrival),
        }
    }
    lobby.close().await;
}

/// Waits for the initial message, for TLS before it and SASL behind it, each as long as a handshake may
/// take.
async fn introduction(mesh: Arc<Mesh>, stream: TcpStream, from: SocketAddr) -> Option<Arrival> {
    let patience = mesh.settings.handshake_timeout;
    let introduced = async {
        let mut stream = secure::accepted(mesh.settings.tls.as_deref(), stream).await?;
        let message = connection::read_initial(&mut stream).await?;
        Ok::<_, io::Error>((stream, message))
    };
    let authenticated = async {
        let (mut stream, message) = timeout(patience, introduced).await??;
        // A server that only wanted to be dialed back has gone by now.
        let sasl = mesh.settings.sasl.as_deref();
        let early = quorum_auth::accepted(sasl, &mut stream, patience).await?;
        Ok::<_, io::Error>(Arrival {
            stream,
            message,
            early,
        })
    };
    let error = match authenticated.await {
        Ok(arrival) => return Some(arrival),
        Err(error) => error,
    };
    tracing::warn!(%from, %error, "an election connection did not introduce itself");
    None
}

fn arrived(mesh: &Arc<Mesh>, arrival: Arrival) {
    let Arrival {
        stream,
        message,
        early,
    } = arrival;
    let verdict = mesh.peers.lock().arrived(message);
    match verdict {
        Verdict::Keep(server) => {
            let registered = mesh.peers.lock().register(server, false);
            mesh.tasks
                .spawn(connection::run(Arc::clone(mesh), stream, early, registered));
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
