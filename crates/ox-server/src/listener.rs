//! The ports for clients.
//!
//! One socket for both families where the system has both. Source: `NIOServerCnxnFactory.java`;
//! operations.md 8.1.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ox_proto::ClientAddress;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::address;
use crate::clients::{Port, Rejected};
use crate::config::{Config, ListenConfig};
use crate::connection;
use crate::core_task::Message;
use crate::shared::Shared;

/// The queue of connections not yet accepted, where the operator asks for nothing else. The system
/// lowers it to what it allows.
const BACKLOG: i32 = 4096;

/// The pause after an accept that failed for lack of something, such as file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Opens the port.
pub(crate) fn bind(listen: &ListenConfig) -> io::Result<TcpListener> {
    let socket = match listen.address {
        Some(address) => bind_to(SocketAddr::new(address, listen.port), listen)?,
        None => {
            let any = |ip: IpAddr| SocketAddr::new(ip, listen.port);
            match bind_to(any(Ipv6Addr::UNSPECIFIED.into()), listen) {
                // Without IPv6 in the system there is IPv4.
                Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
                    bind_to(any(Ipv4Addr::UNSPECIFIED.into()), listen)?
                }
                other => other?,
            }
        }
    };
    TcpListener::from_std(socket.into())
}

fn bind_to(address: SocketAddr, listen: &ListenConfig) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if listen.address.is_none() && address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    let backlog = listen
        .backlog
        .and_then(|backlog| i32::try_from(backlog).ok());
    socket.listen(backlog.unwrap_or(BACKLOG))?;
    Ok(socket)
}

/// Accepts connections until it is told to stop. Where a reconfiguration moves the plain port, it goes;
/// the connections there are stay.
pub(crate) async fn run(
    mut listener: Option<TcpListener>,
    port: Port,
    shared: Arc<Shared>,
    core: mpsc::Sender<Message>,
    connections: TaskTracker,
    stop: CancellationToken,
) {
    let mut address = shared.client_address.subscribe();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = accept(listener.as_ref()) => accepted,
            Ok(()) = address.changed(), if port == Port::Plain => {
                let there = address.borrow_and_update().clone();
                if let Some(there) = there {
                    listener = move_to(&there, listener, &shared.config).await;
                }
                continue;
            }
        };
        match accepted {
            Ok((stream, peer)) => {
                let peer = address::canonical(peer);
                admit(stream, port, peer, &shared, &core, &connections, &stop);
            }
            Err(error) => {
                tracing::warn!(%error, "Error accepting new connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

/// Opens the port where it has been moved to. As in Java nobody is served anew if that fails.
async fn move_to(
    there: &ClientAddress,
    listener: Option<TcpListener>,
    config: &Config,
) -> Option<TcpListener> {
    let host = (there.host.as_str(), there.port);
    let resolved = match lookup_host(host).await {
        Ok(mut found) => found.next(),
        Err(error) => {
            tracing::error!(%error, "cannot move the client port to {}:{}", host.0, host.1);
            return listener;
        }
    };
    let listen = ListenConfig {
        address: resolved.map(|it| it.ip()).filter(|ip| !ip.is_unspecified()),
        port: there.port,
        backlog: config.client.as_ref().and_then(|listen| listen.backlog),
    };
    let is_there = |listener: &TcpListener| {
        let bound = listener.local_addr().ok().map(address::canonical);
        bound.is_some_and(|bound| {
            let ip = Some(bound.ip()).filter(|ip| !ip.is_unspecified());
            (ip, bound.port()) == (listen.address, listen.port)
        })
    };
    if listener.as_ref().is_some_and(is_there) {
        return listener;
    }
    // Both may not be possible at once.
    drop(listener);
    match bind(&listen) {
        Ok(listener) => {
            tracing::info!("binding to port {}:{}", host.0, host.1);
            Some(listener)
        }
        Err(error) => {
            tracing::error!(%error, "cannot move the client port to {}:{}", host.0, host.1);
            None
        }
    }
}

fn admit(
    stream: TcpStream,
    port: Port,
    peer: SocketAddr,
    shared: &Arc<Shared>,
    core: &mpsc::Sender<Message>,
    connections: &TaskTracker,
    stop: &CancellationToken,
) {
    let client = match shared.clients.admit(port, peer) {
        Ok(client) => client,
        Err(rejected) => {
            shared.metrics.connection_rejected.add(1);
            reject(&stream, peer, rejected, shared);
            return;
        }
    };
    // The peer may be gone already; then the connection finds out.
    let _ = stream.set_nodelay(true);
    if shared.config.limits.tcp_keep_alive {
        let _ = SockRef::from(&stream).set_keepalive(true);
    }
    let (shared, core, stop) = (Arc::clone(shared), core.clone(), stop.clone());
    connections.spawn(connection::run(stream, client, shared, core, stop));
}

/// Java resets such connections, so that nothing of them stays.
fn reject(stream: &TcpStream, peer: SocketAddr, rejected: Rejected, shared: &Shared) {
    let limits = &shared.config.limits;
    match rejected {
        Rejected::PerAddress(_) => tracing::warn!(
            "Error accepting new connection: Too many connections from /{} - max is {}",
            peer.ip(),
            limits.max_client_connections,
        ),
        Rejected::InAll(open) => {
            tracing::error!(
                "Too many connections {open} - max is {}",
                limits.max_connections
            );
        }
    }
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}
