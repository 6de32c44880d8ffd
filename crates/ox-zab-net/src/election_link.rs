//! The mesh of votes: the election port of this server, and at most one connection to each other.
//!
//! Invariant: of two servers the one with the larger id dials the connection that is kept. What
//! matters is the newest message to each server; older ones make room for it. Source:
//! `QuorumCnxManager.java`; quorum.md chapter 2.

mod accept;
mod connection;
mod dial;
pub(crate) mod peers;
#[cfg(test)]
mod tests;
mod votes;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ox_proto::{Endpoint, ServerId};
use ox_tls::QuorumTls;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{QuorumAuth, socket};
use peers::{Candidates, Peers};
use votes::Inbox;

pub use peers::Members;
pub use votes::{Heard, Votes};

/// Between two attempts to bind the election port.
const BIND_PAUSE: Duration = Duration::from_secs(1);

/// What a mesh of votes is told.
#[derive(Clone, Debug)]
pub struct ElectionSettings {
    /// This server.
    pub server: ServerId,
    /// `electionPortBindRetry`: attempts to bind, a second apart; 0 never gives up.
    pub bind_attempts: u32,
    /// `cnxTimeout`: for a connection to be made.
    pub connect_timeout: Duration,
    /// `quorumCnxnTimeoutMs`, or `syncLimit` ticks: for a peer to say who it is.
    pub handshake_timeout: Duration,
    /// `multiAddress.enabled`: this server says all its addresses.
    pub several_addresses: bool,
    /// `tcpKeepAlive`.
    pub keep_alive: bool,
    /// SASL, where there is any.
    pub sasl: Option<Arc<QuorumAuth>>,
    /// TLS, where there is any.
    pub tls: Option<Arc<QuorumTls>>,
}

/// What the mesh and its tasks share.
struct Mesh {
    settings: ElectionSettings,
    peers: Mutex<Peers>,
    inbox: Arc<Inbox>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Mesh {
    /// Dials in a task of its own, if there is where to.
    fn dial(self: &Arc<Self>, server: ServerId, candidates: Option<Candidates>) {
        if let Some(candidates) = candidates {
            self.tasks
                .spawn(dial::run(Arc::clone(self), server, candidates));
        }
    }
}

/// The election port and the connections. Everything ends when it is dropped; [`Self::shutdown`]
/// waits for that.
pub struct ElectionMesh {
    mesh: Arc<Mesh>,
    addresses: Vec<SocketAddr>,
}

impl ElectionMesh {
    /// Opens the election port on each of `listen`, and serves it in tasks of its own.
    ///
    /// # Errors
    /// The last attempt to bind failed.
    pub async fn bind(
        settings: ElectionSettings,
        listen: &[Endpoint],
        members: Members,
    ) -> io::Result<(Self, Votes)> {
        let listeners = bind(listen, settings.bind_attempts).await?;
        let addresses = listeners.iter().map(TcpListener::local_addr);
        let addresses = addresses.collect::<io::Result<_>>()?;
        let inbox = Arc::new(Inbox::default());
        let mesh = Arc::new(Mesh {
            peers: Mutex::new(Peers::new(settings.server, members)),
            settings,
            inbox: Arc::clone(&inbox),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        });
        for listener in listeners {
            mesh.tasks.spawn(accept::run(Arc::clone(&mesh), listener));
        }
        Ok((Self { mesh, addresses }, Votes { inbox }))
    }

    /// Where it listens.
    pub fn local_addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Leaves a message for a server, in the place of one that still waits, and dials the server if
    /// there is no connection. A message to this server itself comes in at once. One to a server
    /// that is neither connected nor in a configuration is dropped.
    pub fn send(&self, to: ServerId, message: Vec<u8>) {
        if to == self.mesh.settings.server {
            self.mesh.inbox.put(to, message);
            return;
        }
        let candidates = self.mesh.peers.lock().put(to, message.into());
        self.mesh.dial(to, candidates);
    }

    /// Dials each server that a message was ever left for and that has no connection.
    pub fn connect_all(&self) {
        let dials = self.mesh.peers.lock().connect_all();
        for (server, candidates) in dials {
            self.mesh.dial(server, Some(candidates));
        }
    }

    /// Whether messages get through: nothing waits for at least one server. With it an election
    /// decides between sending again and connecting again (quorum.md 2.3).
    pub fn delivered(&self) -> bool {
        self.mesh.peers.lock().delivered()
    }

    /// Changes where servers are. Connections stay.
    pub fn set_members(&self, members: Members) {
        self.mesh.peers.lock().set_members(members);
    }

    /// Closes the port and all connections, and waits for their tasks.
    pub async fn shutdown(self) {
        self.mesh.stop.cancel();
        self.mesh.tasks.close();
        self.mesh.tasks.wait().await;
    }
}

impl Drop for ElectionMesh {
    fn drop(&mut self) {
        self.mesh.stop.cancel();
    }
}

async fn bind(listen: &[Endpoint], attempts: u32) -> io::Result<Vec<TcpListener>> {
    let mut attempt = 1;
    loop {
        match socket::listen_all(listen).await {
            Ok(listeners) => return Ok(listeners),
            Err(error) if attempt == attempts => return Err(error),
            Err(error) => {
                tracing::warn!(attempt, %error, "cannot bind the election port yet");
                sleep(BIND_PAUSE).await;
                // Without a last attempt the number is only told.
                attempt = attempt.saturating_add(1);
            }
        }
    }
}
