//! The side that authenticates itself: answers a challenge, and has the other side prove itself.
//!
//! Source: `DigestMD5Client.java`, `SaslQuorumAuthLearner.java`.

use ox_secret::Secret;
use subtle::ConstantTimeEq as _;

use crate::digest::{NONCE_COUNT, Parts, QOP, Response};
use crate::directives::{Directives, MAX_CHALLENGE, quoted, text};
use crate::{Nonce, Refusal, Service, nonce_text};

/// Directives of a challenge that may come once; of realms there may be several.
const ONCE: &[&str] = &[
    "qop",
    "algorithm",
    "nonce",
    "maxbuf",
    "charset",
    "cipher",
    "rspauth",
    "stale",
];

/// Somebody who can authenticate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Initiator {
    service: Service,
    user: String,
    password: Secret,
}

/// What the other side has to say in the end.
pub struct Proof(Response);

impl Initiator {
    /// Somebody who knows this password.
    pub fn new(service: Service, user: String, password: Secret) -> Self {
        Self {
            service,
            user,
            password,
        }
    }

    /// Answers a challenge.
    ///
    /// # Errors
    /// It is no challenge that can be answered.
    pub fn respond(&self, challenge: &[u8], nonce: Nonce) -> Result<(Vec<u8>, Proof), Refusal> {
        let said = Directives::parse(challenge, MAX_CHALLENGE, ONCE)?;
        let refused = |key, value: &[u8]| {
            let value = text(value);
            Err(Refusal::Value { key, value })
        };
        let charset = said.get("charset");
        if let Some(other) = charset.filter(|&charset| charset != b"utf-8") {
            return refused("charset", other);
        }
        let algorithm = said.need("algorithm")?;
        if algorithm != b"md5-sess" {
            return refused("algorithm", algorithm);
        }
        let server_nonce = said.need("nonce")?;
        if let Some(offered) = said.get("qop")
            && !offered
                .split(|byte| b", \t\n".contains(byte))
                .any(|qop| qop == QOP.as_bytes())
        {
            return refused("qop", offered);
        }
        let realm = said.get("realm").map(text).unwrap_or_default();
        let cnonce = nonce_text(nonce);
        let uri = self.service.uri();
        let parts = Parts {
            user: &self.user,
            realm: &realm,
            password: self.password.reveal(),
            nonce: server_nonce,
            cnonce: cnonce.as_bytes(),
            authzid: Some(self.user.as_bytes()),
            uri: &uri,
        };
        let mut out = Vec::new();
        if charset.is_some() {
            out.extend_from_slice(b"charset=utf-8,");
        }
        directive(&mut out, "username=", self.user.as_bytes());
        if !realm.is_empty() {
            directive(&mut out, ",realm=", realm.as_bytes());
        }
        directive(&mut out, ",nonce=", server_nonce);
        out.extend_from_slice(format!(",nc={NONCE_COUNT}").as_bytes());
        directive(&mut out, ",cnonce=", cnonce.as_bytes());
        directive(&mut out, ",digest-uri=", uri.as_bytes());
        out.extend_from_slice(b",maxbuf=65536,response=");
        out.extend_from_slice(&parts.response());
        out.extend_from_slice(format!(",qop={QOP}").as_bytes());
        directive(&mut out, ",authzid=", self.user.as_bytes());
        Ok((out, Proof(parts.proof())))
    }
}

fn directive(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    out.extend_from_slice(key.as_bytes());
    quoted(value, out);
}

impl Proof {
    /// Whether the other side's last token shows that it knows the password too.
    ///
    /// # Errors
    /// It does not.
    pub fn check(&self, token: &[u8]) -> Result<(), Refusal> {
        let said = Directives::parse(token, MAX_CHALLENGE, ONCE)?;
        let is_right: bool = self.0[..].ct_eq(said.need("rspauth")?).into();
        is_right.then_some(()).ok_or(Refusal::Unproved)
    }
}
