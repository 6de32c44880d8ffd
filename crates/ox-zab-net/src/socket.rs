//! Opening sockets: ports to listen on, and connections to one of several addresses.
//!
//! Invariant: names are resolved anew at every attempt, so a server that has moved is found.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ox_proto::Endpoint;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::task::JoinSet;

/// Connections not yet accepted; the system may lower it. Learners wait there for a leader that is
/// not ready yet.
const BACKLOG: i32 = 1024;

/// The pause after an accept that failed for lack of something, such as file descriptors.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Of one server no more addresses are tried at once. Configurations have some; a stranger may
/// claim many.
const MAX_ADDRESSES: usize = 16;

/// Listens on all of `endpoints`.
///
/// # Errors
/// The first one that cannot be bound, with its name.
pub(crate) async fn listen_all(endpoints: &[Endpoint]) -> io::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for endpoint in endpoints {
        let listener = listen(endpoint).await.map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("cannot listen on {endpoint}: {error}"),
            )
        })?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Listens on the first address that `endpoint` resolves to; `::` is every address, those of IPv4
/// included.
async fn listen(endpoint: &Endpoint) -> io::Result<TcpListener> {
    let address = resolve(endpoint)
        .await?
        .into_iter()
        .next()
        .ok_or_else(|| unresolved(endpoint))?;
    match listen_on(address) {
        // Without IPv6 in the system there is IPv4.
        Err(error)
            if address.ip().is_unspecified()
                && error.raw_os_error() == Some(libc::EAFNOSUPPORT) =>
        {
            listen_on(SocketAddr::new(
                Ipv4Addr::UNSPECIFIED.into(),
                address.port(),
            ))
        }
        other => other,
    }
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Connects to the first of all addresses that accepts.
///
/// # Errors
/// The last refusal, if none does.
pub(crate) async fn connect_any(endpoints: &[Endpoint]) -> io::Result<TcpStream> {
    let mut attempts = JoinSet::new();
    for endpoint in endpoints.iter().take(MAX_ADDRESSES) {
        attempts.spawn(connect(endpoint.clone()));
    }
    first_of(attempts).await
}

/// Connects to the first address of one endpoint that accepts.
pub(crate) async fn connect(endpoint: Endpoint) -> io::Result<TcpStream> {
    let mut attempts = JoinSet::new();
    for address in resolve(&endpoint).await?.into_iter().take(MAX_ADDRESSES) {
        attempts.spawn(TcpStream::connect(address));
    }
    if attempts.is_empty() {
        return Err(unresolved(&endpoint));
    }
    first_of(attempts).await
}

/// The first success; the other attempts end with it.
pub(crate) async fn first_of(
    mut attempts: JoinSet<io::Result<TcpStream>>,
) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "there is no address to connect to");
    while let Some(ended) = attempts.join_next().await {
        match ended.map_err(io::Error::other).flatten() {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn resolve(endpoint: &Endpoint) -> io::Result<Vec<SocketAddr>> {
    let addresses = lookup_host((endpoint.host.as_str(), endpoint.port)).await?;
    Ok(addresses.collect())
}

fn unresolved(endpoint: &Endpoint) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("{endpoint} has no address"),
    )
}

/// Sets what every connection between servers has. A peer that is gone already is found out when
/// it is read.
pub(crate) fn prepare(stream: &TcpStream, keep_alive: bool) {
    let _ = stream.set_nodelay(true);
    if keep_alive {
        let _ = SockRef::from(stream).set_keepalive(true);
    }
}
