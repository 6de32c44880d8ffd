//! The quorum port, and the port at which a follower serves observers: learners until they have
//! introduced themselves.
//!
//! Source: `Leader.LearnerCnxAcceptor`, `LearnerHandler.run`, `ObserverMaster.start`; quorum.md 6.1,
//! 6.3 and 12.2.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ox_proto::{Endpoint, PacketType, QuorumPacket};
use ox_tls::Stream;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::event::{LinkEvent, Port};
use super::inbound::Inbound;
use super::link::{Link, Shared};
use super::{Mesh, run};
use crate::lobby::Lobby;
use crate::{quorum_auth, secure, socket};

/// Connections of one port that have not introduced themselves. Each costs a socket and
/// [`MAX_INTRODUCTION`] bytes.
const MAX_WAITING: usize = 256;

/// The longest packet that can be an introduction, which has 20 bytes of data.
const MAX_INTRODUCTION: usize = 256;

/// Learners of one leader. More could only be something that is none.
const MAX_LINKS: usize = 1024;

/// Between two attempts to bind the port for observers.
const BIND_PAUSE: Duration = Duration::from_secs(1);

/// The quorum port, opened and not yet served: learners that come early wait in the system.
pub struct LearnerListener {
    pub(super) listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
}

impl LearnerListener {
    /// Opens the port on each of `listen`; `::` is every address, those of IPv4 included.
    ///
    /// # Errors
    /// One of them cannot be bound, with its name.
    pub async fn bind(listen: &[Endpoint]) -> io::Result<Self> {
        let listeners = socket::listen_all(listen).await?;
        let addresses = listeners.iter().map(TcpListener::local_addr);
        Ok(Self {
            addresses: addresses.collect::<io::Result<_>>()?,
            listeners,
        })
    }

    /// Where it listens.
    pub fn local_addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

/// A learner that has introduced itself.
struct Arrival {
    stream: Stream,
    from: SocketAddr,
    /// What has been read of it, whole packets and perhaps more.
    read: Vec<u8>,
}

/// Opens the port for observers when it can be bound: what has served there before may not have
/// let go of it yet, and servers on one machine have it one after the other. Then accepts them.
pub(super) async fn serve_observers<E>(
    mesh: Arc<Mesh<E>>,
    listen: Vec<Endpoint>,
    stop: CancellationToken,
) where
    E: From<LinkEvent> + Send + 'static,
{
    let mut is_told = false;
    let listeners = loop {
        let error = match socket::listen_all(&listen).await {
            Ok(listeners) => break listeners,
            Err(error) => error,
        };
        if !is_told {
            tracing::error!(%error, "observers cannot be served yet");
            is_told = true;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(BIND_PAUSE) => {}
        }
    };
    for listener in listeners {
        let (mesh, stop) = (Arc::clone(&mesh), stop.clone());
        let tasks = mesh.tasks.clone();
        tasks.spawn(run(mesh, listener, Port::ObserverMaster, stop));
    }
}

/// Accepts learners until it is told to stop, as when the mesh ends.
pub(super) async fn run<E>(
    mesh: Arc<Mesh<E>>,
    listener: TcpListener,
    port: Port,
    stop: CancellationToken,
) where
    E: From<LinkEvent> + Send + 'static,
{
    let mut lobby = Lobby::new(MAX_WAITING);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    socket::prepare(&stream, false);
                    lobby.admit(introduction(Arc::clone(&mesh), stream, from));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a learner");
                    sleep(socket::ACCEPT_PAUSE).await;
                }
            },
            arrival = lobby.introduced() => arrived(&mesh, arrival, port),
        }
    }
    lobby.close().await;
}

/// Waits for the first packet, for TLS and SASL before it, as long as a peer may be silent.
async fn introduction<E>(
    mesh: Arc<Mesh<E>>,
    stream: TcpStream,
    from: SocketAddr,
) -> Option<Arrival> {
    let introduced = async {
        let mut stream = secure::accepted(mesh.settings.tls.as_deref(), stream).await?;
        let sasl = mesh.settings.sasl.as_deref();
        let patience = mesh.settings.read_timeout;
        let early = quorum_auth::accepted(sasl, &mut stream, patience).await?;
        let read = read_introduction(&mut stream, early).await?;
        Ok::<_, io::Error>(Arrival { stream, from, read })
    };
    let error = match timeout(mesh.settings.read_timeout, introduced).await {
        Ok(Ok(arrival)) => return Some(arrival),
        Ok(Err(error)) => error,
        Err(late) => late.into(),
    };
    tracing::warn!(%from, %error, "a learner did not introduce itself");
    None
}

async fn read_introduction(stream: &mut Stream, early: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut read = early;
    read.reserve(MAX_INTRODUCTION);
    loop {
        let room = MAX_INTRODUCTION - read.len();
        if (&mut *stream).take(room as u64).read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let packet = QuorumPacket::parse(&read, MAX_INTRODUCTION)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        match packet.map(|(packet, _)| packet.r#type) {
            Some(PacketType::FollowerInfo | PacketType::ObserverInfo) => return Ok(read),
            None if read.len() < MAX_INTRODUCTION => {}
            other => {
                let reason = format!("its first packet is no introduction: {other:?}");
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
        }
    }
}

fn arrived<E>(mesh: &Arc<Mesh<E>>, arrival: Arrival, port: Port)
where
    E: From<LinkEvent> + Send + 'static,
{
    let Arrival { stream, from, read } = arrival;
    if MAX_LINKS <= mesh.tasks.len() {
        tracing::warn!(%from, "too many learners; its connection is closed");
        return;
    }
    let shared = Shared::new(mesh.stop.child_token(), mesh.settings.read_timeout);
    let mesh = Arc::clone(mesh);
    mesh.tasks.clone().spawn(async move {
        let work = async {
            let link = Link::new(Arc::clone(&shared));
            let accepted = LinkEvent::Accepted { link, from, port };
            run::tell(&shared, &mesh.events, accepted).await;
            let inbound = Inbound::from_learner(mesh.settings.max_length, read);
            run::run(&shared, stream, inbound, &mesh.events).await
        };
        run::until_closed(Arc::clone(&shared), &mesh.events, work).await;
    });
}
