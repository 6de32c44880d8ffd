//! Why a handshake came to nothing, for the operator. The other side is told what TLS tells it, and
//! no more.

use std::io;

use rustls::{AlertDescription, Error, InvalidMessage};

/// A handshake that failed.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The other side did not keep to TLS, or is not to be trusted, or says so of this one.
    #[error("{}", describe(.0))]
    Tls(Error),
    /// The connection broke or ended.
    #[error("the connection ended within the handshake: {0}")]
    Io(io::Error),
    /// It was not done in time.
    #[error("no whole handshake within the time for it")]
    Late,
    /// What came first is no TLS, and only that is taken here.
    #[error("what came is no TLS: the other side speaks without it")]
    Plain,
    /// The certificate is good, but for another host.
    #[error("the certificate of {subject} is not for {host}")]
    Host {
        /// Whose it is.
        subject: String,
        /// The host, or all hosts that it might be for.
        host: String,
    },
}

impl HandshakeError {
    /// The error that tokio-rustls wraps.
    pub fn from_io(error: io::Error) -> Self {
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Error>());
        match inner {
            Some(error) => Self::Tls(error.clone()),
            None => Self::Io(error),
        }
    }
}

/// What the error says, and what it means where that is not the same.
fn describe(error: &Error) -> String {
    let meaning = match error {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "what came is no TLS: the other side speaks without it, or something else"
        }
        Error::NoCertificatesPresented => "it has shown no certificate, and one is needed",
        Error::AlertReceived(
            AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired,
        ) => "the other side does not trust our certificate",
        Error::PeerIncompatible(_) => {
            "the other side knows no version or cipher suite that is allowed here"
        }
        _ => return error.to_string(),
    };
    format!("{meaning} ({error})")
}
