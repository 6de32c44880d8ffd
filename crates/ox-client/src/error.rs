//! How a request can fail.

use std::io;

use ox_jute::DecodeError;
use ox_proto::ErrorCode;

/// Why there is no answer, or not the one hoped for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused the request.
    #[error("the server answered {0:?}")]
    Server(ErrorCode),
    /// The server refused the request with a number that has no name.
    #[error("the server answered error {0}")]
    UnknownCode(i32),
    /// No server could be reached.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// The session to go on with is over.
    #[error("the session has expired")]
    SessionExpired,
    /// The connection ended before the answer came; the request may have been carried out.
    #[error("the connection was lost")]
    ConnectionLoss,
    /// The answer cannot be read.
    #[error("unreadable answer")]
    Decode(#[from] DecodeError),
}

impl Error {
    /// The code that Java's client would tell of this failure.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Server(code) => Some(*code),
            Self::Connect(_) | Self::ConnectionLoss => Some(ErrorCode::ConnectionLoss),
            Self::SessionExpired => Some(ErrorCode::SessionExpired),
            Self::Decode(_) => Some(ErrorCode::MarshallingError),
            Self::UnknownCode(_) => None,
        }
    }
}

/// The error of a reply header, if it is one.
pub(crate) fn check(code: i32) -> Result<(), Error> {
    match ErrorCode::from_code(code) {
        Some(ErrorCode::Ok) => Ok(()),
        Some(error) => Err(Error::Server(error)),
        None => Err(Error::UnknownCode(code)),
    }
}
