//! How a client gets in: with TLS or without, and who its certificate says it is.
//!
//! Invariant: a handshake is in nobody's way. It happens in the connection's own task, within the
//! time that a client has for its first request, and never more than so many at once if the
//! operator says so. The operator's log tells why one failed; the client hears what TLS tells it.
//! Source: `NettyServerCnxnFactory.java`; operations.md 7.7.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ox_proto::Id;
use ox_tls::{Context, HandshakeError, begins_with_tls, check_address};
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::Client;
use crate::clients::Port;
use crate::config::ClientTls;
use crate::shared::Shared;
use crate::socket::{Socket, TlsSocket};

/// TLS for clients.
pub(crate) struct Door {
    pub(crate) context: Arc<Context>,
    settings: ClientTls,
    handshakes: AtomicUsize,
}

/// A connection that has got in.
pub(crate) struct Entry {
    pub(crate) socket: Socket,
    /// The identities of its certificate; none if it has shown none.
    pub(crate) ids: Vec<Id>,
}

impl Door {
    pub(crate) fn new(settings: ClientTls) -> Result<Self, ox_tls::LoadError> {
        Ok(Self {
            context: Arc::new(Context::load(settings.settings.clone())?),
            settings,
            handshakes: AtomicUsize::new(0),
        })
    }

    /// Counts a handshake until what is returned goes; none if there are too many.
    fn begin(&self) -> Option<Handshake<'_>> {
        let before = self.handshakes.fetch_add(1, Ordering::Relaxed);
        let handshake = Handshake(self);
        let is_one_too_many = self
            .settings
            .handshakes
            .is_some_and(|limit| limit <= before);
        (!is_one_too_many).then_some(handshake)
    }
}

struct Handshake<'a>(&'a Door);

impl Drop for Handshake<'_> {
    fn drop(&mut self) {
        self.0.handshakes.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Lets a connection in; none if it did not get in, which is logged.
pub(crate) async fn open(tcp: TcpStream, client: &Client, shared: &Shared) -> Option<Entry> {
    let plain = |tcp| {
        Some(Entry {
            socket: Socket::Plain(tcp),
            ids: Vec::new(),
        })
    };
    let Some(door) = &shared.door else {
        return plain(tcp);
    };
    if client.port == Port::Plain && !door.settings.on_client_port {
        return plain(tcp);
    }
    if client.port == Port::Secure && door.settings.early_drop && !shared.standing.lock().serves {
        tracing::debug!(client = %client.address, "closed before its handshake: not serving");
        return None;
    }
    let patience = shared.config.limits.sessionless_timeout;
    if client.port == Port::Plain {
        // Who says nothing at all ends here: neither kind of client waits.
        match timeout(patience, begins_with_tls(&tcp, patience)).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => return plain(tcp),
            Ok(Err(error)) => {
                tracing::debug!(client = %client.address, %error, "connection lost");
                return None;
            }
            Err(_) => {
                shared.metrics.sessionless_connections_expired.add(1);
                return None;
            }
        }
    }
    let Some(_handshake) = door.begin() else {
        shared.metrics.tls_handshake_exceeded.add(1);
        tracing::info!(client = %client.address, "closed before its handshake: too many under way");
        return None;
    };
    let shaken = timeout(patience, shake_hands(tcp, client, shared, door)).await;
    match shaken.unwrap_or(Err(HandshakeError::Late)) {
        Ok(entry) => Some(entry),
        Err(error) => {
            shared.metrics.unsuccessful_handshake.add(1);
            tracing::warn!(client = %client.address, "Unsuccessful handshake: {error}");
            None
        }
    }
}

async fn shake_hands(
    tcp: TcpStream,
    client: &Client,
    shared: &Shared,
    door: &Door,
) -> Result<Entry, HandshakeError> {
    let mut socket = TlsSocket::new(tcp, door.context.server()).map_err(HandshakeError::Tls)?;
    socket
        .shake_hands()
        .await
        .map_err(HandshakeError::from_io)?;
    let ids = match socket.certificates().first() {
        None => Vec::new(),
        Some(own) => {
            if door.settings.settings.check_client_host {
                check_address(own, client.address)?;
            }
            ids(own, client, shared)?
        }
    };
    let socket = Socket::Tls(Box::new(socket));
    Ok(Entry { socket, ids })
}

fn ids(
    own: &CertificateDer<'_>,
    client: &Client,
    shared: &Shared,
) -> Result<Vec<Id>, HandshakeError> {
    let Some(subject) = ox_tls::subject(own) else {
        let error = "the client's certificate has no subject that can be read";
        return Err(HandshakeError::Io(io::Error::other(error)));
    };
    let ids = shared.auth.certificate_ids(&subject);
    tracing::info!(client = %client.address, "Authenticated Id '{subject}' for Scheme 'x509'");
    Ok(ids)
}
