//! The side that is authenticated to: challenges, and judges what is said in return.
//!
//! Invariant: an exchange ends with its first failure and with its success, and a nonce is good for
//! one response. Whether a user exists cannot be told from how long an answer takes. Source:
//! `DigestMD5Server.java`, `SaslServerCallbackHandler.java`, `SaslQuorumServerCallbackHandler.java`.

use ox_secret::Secret;
use subtle::ConstantTimeEq as _;

use crate::digest::{Parts, QOP};
use crate::directives::{Directives, MAX_RESPONSE, text};
use crate::{Nonce, Refusal, Service, Users, nonce_text};

/// Directives that may come once. Java does not look at `nc`, and looks at `nonce-count`, which no
/// client sends; the value counts in the response, so no honest client is concerned.
const ONCE: &[&str] = &[
    "username",
    "realm",
    "nonce",
    "cnonce",
    "nc",
    "nonce-count",
    "qop",
    "digest-uri",
    "response",
    "maxbuf",
    "charset",
    "cipher",
    "authzid",
];

/// Who may authenticate for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptor {
    service: Service,
    users: Users,
}

/// What an acceptor says to a token.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// Prove who you are.
    Challenge(Vec<u8>),
    /// It is who it says.
    Granted {
        /// Who that is.
        user: String,
        /// The acceptor's own proof, to be sent.
        token: Vec<u8>,
    },
}

/// One authentication under way.
#[derive(Debug, Default)]
pub struct Exchange(Step);

#[derive(Debug, Default)]
enum Step {
    #[default]
    Begin,
    /// With this nonce, in Base64.
    Challenged(String),
    Over,
}

impl Acceptor {
    /// An acceptor of these users.
    pub fn new(service: Service, users: Users) -> Self {
        Self { service, users }
    }

    fn challenge(&self, nonce: &str) -> Vec<u8> {
        let realm = self.service.realm;
        format!("realm=\"{realm}\",nonce=\"{nonce}\",charset=utf-8,algorithm=md5-sess").into_bytes()
    }

    fn judge(&self, nonce: &str, token: &[u8]) -> Result<Answer, Refusal> {
        let said = Directives::parse(token, MAX_RESPONSE, ONCE)?;
        let is_word = |key: &'static str, word: &str| match said.get(key) {
            Some(value) if value != word.as_bytes() => {
                let value = text(value);
                Err(Refusal::Value { key, value })
            }
            Some(_) | None => Ok(()),
        };
        is_word("charset", "utf-8")?;
        let is_number = |value: &[u8]| text(value).parse::<i32>().is_ok();
        if !said.get("maxbuf").is_none_or(is_number) {
            return Err(Refusal::Number("maxbuf"));
        }
        let user = text(said.need("username")?);
        said.need("realm")?;
        is_word("realm", self.service.realm)?;
        if said.need("nonce")? != nonce.as_bytes() {
            return Err(Refusal::Nonce);
        }
        let cnonce = said.need("cnonce")?;
        for key in ["nc", "nonce-count"] {
            if let Some(value) = said.get(key) {
                let value = text(value);
                match i32::from_str_radix(&value, 16) {
                    Ok(1) => {}
                    Ok(_) => return Err(Refusal::Value { key, value }),
                    // Java would not have looked.
                    Err(_) if key == "nc" => return Err(Refusal::Value { key, value }),
                    Err(_) => return Err(Refusal::Number(key)),
                }
            }
        }
        is_word("qop", QOP)?;
        let uri = text(said.need("digest-uri")?);
        if !uri.eq_ignore_ascii_case(&self.service.uri()) {
            let (key, value) = ("digest-uri", uri);
            return Err(Refusal::Value { key, value });
        }
        let response = said.need("response")?;
        let authzid = said.get("authzid");
        // Java makes its callback for the name, which takes no empty one, when all else is right.
        if user.is_empty() {
            return Err(Refusal::NoName);
        }
        let known = self.users.0.get(&user);
        // Somebody unknown takes as long as somebody with a wrong password.
        let password = known.map_or("", Secret::reveal);
        let parts = Parts {
            user: &user,
            realm: self.service.realm,
            password,
            nonce: nonce.as_bytes(),
            cnonce,
            authzid,
            uri: &uri,
        };
        let is_right: bool = parts.response()[..].ct_eq(response).into();
        if known.is_none() {
            return Err(Refusal::UnknownUser(user));
        }
        if !is_right {
            return Err(Refusal::WrongPassword(user));
        }
        let token = [b"rspauth=", &parts.proof()[..]].concat();
        let claim = authzid.map(text).filter(|claim| *claim != user);
        if let Some(claim) = claim.filter(|_| !self.service.claims_are_ignored) {
            return Err(Refusal::Claim { user, claim });
        }
        Ok(Answer::Granted { user, token })
    }
}

impl Exchange {
    /// True for the first token of a peer that speaks GSSAPI. It is challenged like any other, and
    /// can make nothing of it; an operator should know why.
    pub fn begins_gssapi(&self, token: &[u8]) -> bool {
        matches!(self.0, Step::Begin) && token.first() == Some(&0x60)
    }

    /// Takes the peer's next token. `nonce` is called for a challenge.
    ///
    /// # Errors
    /// The exchange has come to nothing; whatever else comes is [`Refusal::OutOfTurn`].
    pub fn take(
        &mut self,
        acceptor: &Acceptor,
        token: &[u8],
        nonce: impl FnOnce() -> Nonce,
    ) -> Result<Answer, Refusal> {
        if MAX_RESPONSE < token.len() {
            let (length, limit) = (token.len(), MAX_RESPONSE);
            return Err(Refusal::TooLong { length, limit });
        }
        match std::mem::replace(&mut self.0, Step::Over) {
            // Java passes over what comes here: authentication is never resumed.
            Step::Begin => {
                let nonce = nonce_text(nonce());
                let challenge = acceptor.challenge(&nonce);
                self.0 = Step::Challenged(nonce);
                Ok(Answer::Challenge(challenge))
            }
            Step::Challenged(nonce) => acceptor.judge(&nonce, token),
            Step::Over => Err(Refusal::OutOfTurn),
        }
    }
}
