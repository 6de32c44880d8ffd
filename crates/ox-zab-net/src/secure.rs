//! Connections that are secured before anything is said on them, where that is asked for.

use std::io;

use ox_tls::{HandshakeError, QuorumTls, Stream};
use tokio::net::TcpStream;

/// A connection that was accepted.
///
/// # Errors
/// It has not proved who it is.
pub(crate) async fn accepted(tls: Option<&QuorumTls>, stream: TcpStream) -> io::Result<Stream> {
    match tls {
        None => Ok(Stream::Plain(stream)),
        Some(tls) => tls.accept(stream).await.map_err(into_io),
    }
}

/// A connection to a server that has one of `hosts`.
///
/// # Errors
/// The server has not proved who it is, or does not believe who this one is.
pub(crate) async fn dialed(
    tls: Option<&QuorumTls>,
    stream: TcpStream,
    hosts: &[String],
) -> io::Result<Stream> {
    match tls {
        None => Ok(Stream::Plain(stream)),
        Some(tls) => tls.dial(stream, hosts).await.map_err(into_io),
    }
}

/// The words of the error; its kind stays only where it was the connection that failed.
fn into_io(error: HandshakeError) -> io::Error {
    let kind = match &error {
        HandshakeError::Io(error) => error.kind(),
        HandshakeError::Late => io::ErrorKind::TimedOut,
        HandshakeError::Tls(_) | HandshakeError::Plain | HandshakeError::Host { .. } => {
            io::ErrorKind::InvalidData
        }
    };
    io::Error::new(kind, error)
}
