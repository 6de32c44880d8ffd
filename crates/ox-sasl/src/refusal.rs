//! Why an exchange has come to nothing: for the log, not for the peer, which is told nothing.

use crate::directives::DirectiveError;

/// Why a token is not accepted. Names what the peer has sent only where it is no secret, and
/// escaped, since the peer chooses it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Longer than any token of this mechanism.
    #[error("a token of {length} bytes, more than {limit}")]
    TooLong {
        /// What came.
        length: usize,
        /// What may come.
        limit: usize,
    },
    /// A token where none is expected: behind the end of an exchange, or of a failed one.
    #[error("a token behind the end of the exchange")]
    OutOfTurn,
    /// Not a list of directives.
    #[error("malformed directives: {0}")]
    Malformed(#[from] DirectiveError),
    /// A directive that may come once.
    #[error("the directive {0} comes more than once")]
    Twice(&'static str),
    /// A directive that must be there.
    #[error("the directive {0} is missing")]
    Missing(&'static str),
    /// A directive whose value is none that it can have.
    #[error("the directive {key} cannot be {value:?}")]
    Value {
        /// Which one.
        key: &'static str,
        /// What it was.
        value: String,
    },
    /// A number that is none. Java's server closes without an answer.
    #[error("the directive {0} is no number")]
    Number(&'static str),
    /// The nonce is that of another challenge: a replay, or a mixture of two exchanges.
    #[error("the nonce is not that of the challenge")]
    Nonce,
    /// An empty name. Java's server closes without an answer.
    #[error("the name of the user is empty")]
    NoName,
    /// Nobody of that name.
    #[error("User '{}' not found in list of DIGEST-MD5 authenticateable users.", .0.escape_debug())]
    UnknownUser(String),
    /// A wrong password.
    #[error("wrong password for user '{}'", .0.escape_debug())]
    WrongPassword(String),
    /// Somebody who wants to act as somebody else.
    #[error("user '{}' may not act as '{}'", .user.escape_debug(), .claim.escape_debug())]
    Claim {
        /// Who it is.
        user: String,
        /// Who it wants to be.
        claim: String,
    },
    /// The acceptor has not proved that it knows the password.
    #[error("the other side does not know the password of the user")]
    Unproved,
}

impl Refusal {
    /// True where Java's server says nothing before it closes the connection.
    pub fn is_silent(&self) -> bool {
        matches!(self, Self::Number(_) | Self::NoName)
    }
}
