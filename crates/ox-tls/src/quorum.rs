//! Connections between servers: whether they have TLS, and the handshake if they do.
//!
//! Invariant: with `sslQuorum` nothing is sent before the other side has proved who it is, and
//! without `portUnification` nothing is taken from one that has not. Source:
//! `UnifiedServerSocket.java`, `ZKTrustManager.java`; quorum.md 13.1.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::context::Context;
use crate::handshake::HandshakeError;
use crate::stream::Stream;
use crate::{host, name};

/// The first byte of a handshake. No message between servers begins with it.
pub const TLS_HANDSHAKE: u8 = 0x16;

/// How the servers of an ensemble connect to each other.
#[derive(Debug)]
pub struct QuorumTls {
    /// Keys and trust.
    pub context: Arc<Context>,
    /// `sslQuorum`: this server dials with TLS.
    pub dials_tls: bool,
    /// `portUnification`: its ports take connections without TLS as well.
    pub takes_plain: bool,
    /// `handshakeDetectionTimeoutMillis`: who says nothing for so long has no TLS.
    pub detection: Duration,
    /// The hosts of all servers of the ensemble.
    pub hosts: Hosts,
}

/// The hosts of the servers of an ensemble, as configured last. A reconfiguration changes them.
#[derive(Debug)]
pub struct Hosts(RwLock<Arc<[String]>>);

impl Hosts {
    /// Those in the beginning.
    pub fn new(hosts: impl IntoIterator<Item = String>) -> Self {
        Self(RwLock::new(hosts.into_iter().collect()))
    }

    /// From the next handshake on it is these.
    pub fn set(&self, hosts: impl IntoIterator<Item = String>) {
        *self.0.write() = hosts.into_iter().collect();
    }

    fn now(&self) -> Arc<[String]> {
        Arc::clone(&self.0.read())
    }
}

impl QuorumTls {
    /// A connection that was accepted, its handshake done if it has TLS. How long that may take is
    /// the caller's.
    ///
    /// # Errors
    /// The handshake failed, or there was none and had to be.
    pub async fn accept(&self, stream: TcpStream) -> Result<Stream, HandshakeError> {
        if self.takes_plain && !begins_with_tls(&stream, self.detection).await? {
            return Ok(Stream::Plain(stream));
        }
        let acceptor = TlsAcceptor::from(self.context.server());
        let accepted = acceptor.accept(stream).await;
        let stream = accepted.map_err(HandshakeError::from_io)?;
        if self.context.settings().check_client_host
            && let Some(certificates) = stream.get_ref().1.peer_certificates()
            && let Some(own) = certificates.first()
        {
            let from = stream.get_ref().0.peer_addr().map_err(HandshakeError::Io)?;
            check_host(own, &self.hosts.now(), from).await?;
        }
        Ok(Stream::Tls(Box::new(stream.into())))
    }

    /// A connection to a server that has one of `hosts`, its handshake done if it is to have TLS.
    ///
    /// # Errors
    /// The handshake failed.
    pub async fn dial(
        &self,
        stream: TcpStream,
        hosts: &[String],
    ) -> Result<Stream, HandshakeError> {
        if !self.dials_tls {
            return Ok(Stream::Plain(stream));
        }
        let to = stream.peer_addr().map_err(HandshakeError::Io)?;
        let named = hosts
            .iter()
            .find_map(|host| ServerName::try_from(host.clone()).ok());
        let name = named.unwrap_or_else(|| ServerName::IpAddress(to.ip().into()));
        let connector = TlsConnector::from(self.context.client());
        let connected = connector.connect(name, stream).await;
        let stream = connected.map_err(HandshakeError::from_io)?;
        if self.context.settings().check_server_host {
            let certificates = stream.get_ref().1.peer_certificates();
            let own = certificates.and_then(<[_]>::first);
            check_host(own.ok_or(HandshakeError::Plain)?, hosts, to).await?;
        }
        Ok(Stream::Tls(Box::new(stream.into())))
    }
}

/// Whether a connection begins with a handshake. Nothing is taken from it.
///
/// # Errors
/// It broke, or ended.
pub async fn begins_with_tls(
    stream: &TcpStream,
    patience: Duration,
) -> Result<bool, HandshakeError> {
    let mut first = [0];
    match timeout(patience, stream.peek(&mut first)).await {
        Ok(Ok(_)) => Ok(first == [TLS_HANDSHAKE]),
        Ok(Err(error)) => Err(HandshakeError::Io(error)),
        Err(_) => Ok(false),
    }
}

/// A certificate must be for one of the hosts, or for the address, if that is one of a host. What
/// an address is called is not asked: whoever owns addresses says what those are called.
async fn check_host(
    own: &CertificateDer<'_>,
    hosts: &[String],
    peer: SocketAddr,
) -> Result<(), HandshakeError> {
    if hosts.iter().any(|host| host::is_for(own, host)) {
        return Ok(());
    }
    let ip = peer.ip().to_canonical();
    if host::is_for(own, &ip.to_string()) {
        for host in hosts {
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            // A name that is not known is not this one's.
            let found = lookup_host((bare, 0)).await;
            if found.is_ok_and(|mut found| found.any(|address| address.ip().to_canonical() == ip)) {
                return Ok(());
            }
        }
    }
    Err(HandshakeError::Host {
        subject: name::subject(own).unwrap_or_default(),
        host: hosts.join(", "),
    })
}

/// The same for a client, of which only the address is known.
///
/// # Errors
/// The certificate is for another host.
pub fn check_address(own: &CertificateDer<'_>, peer: SocketAddr) -> Result<(), HandshakeError> {
    let ip = peer.ip().to_canonical().to_string();
    match host::is_for(own, &ip) {
        true => Ok(()),
        false => Err(HandshakeError::Host {
            subject: name::subject(own).unwrap_or_default(),
            host: ip,
        }),
    }
}
