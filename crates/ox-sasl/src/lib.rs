//! DIGEST-MD5 for clients and between servers, and the JAAS file that says who is who.
//!
//! Both roles are values without sockets: a token goes in, a token comes out, and what is random is
//! handed in. Invariants: memory is bounded by the length of a token; a secret is compared in
//! constant time and is in no error; a challenge is answered once. Source: RFC 2831 and Java's
//! provider of it (`com.sun.security.sasl.digest`), `ConfigFile.java`; operations.md 7.3.

mod acceptor;
mod digest;
mod directives;
mod initiator;
pub mod jaas;
mod refusal;
#[cfg(test)]
mod tests;

pub use acceptor::{Acceptor, Answer, Exchange};
pub use directives::MAX_RESPONSE;
pub use initiator::{Initiator, Proof};
pub use refusal::Refusal;

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ox_secret::Secret;

/// Random bytes behind a nonce; in Base64 they are 40 characters, as Java's are.
pub type Nonce = [u8; 30];

/// What is authenticated for, as both sides must name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// The first part of the digest-uri.
    protocol: &'static str,
    /// The realm, and the second part of the digest-uri.
    realm: &'static str,
    /// Who proves to be somebody may claim to act as somebody else; the claim is then ignored.
    claims_are_ignored: bool,
}

impl Service {
    /// Clients to servers (`ZooKeeperSaslServer`).
    pub const CLIENTS: Self = Self {
        protocol: "zookeeper",
        realm: "zk-sasl-md5",
        claims_are_ignored: true,
    };

    /// Servers to servers (`QuorumAuth`).
    pub const SERVERS: Self = Self {
        protocol: "zookeeper-quorum",
        realm: "zk-quorum-sasl-md5",
        claims_are_ignored: false,
    };

    fn uri(&self) -> String {
        format!("{}/{}", self.protocol, self.realm)
    }
}

/// Who may authenticate, and with which password.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Users(BTreeMap<String, Secret>);

impl Users {
    /// True if nobody may.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Gives a user another password. False if there is no such user.
    pub fn set_password(&mut self, user: &str, password: Secret) -> bool {
        match self.0.get_mut(user) {
            Some(known) => {
                *known = password;
                true
            }
            None => false,
        }
    }
}

impl FromIterator<(String, Secret)> for Users {
    fn from_iter<I: IntoIterator<Item = (String, Secret)>>(users: I) -> Self {
        Self(users.into_iter().collect())
    }
}

/// The names alone.
impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

fn nonce_text(nonce: Nonce) -> String {
    STANDARD.encode(nonce)
}
