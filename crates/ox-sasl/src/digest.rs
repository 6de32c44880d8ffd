//! The response value: what proves the password without showing it.
//!
//! Source: RFC 2831, 2.1.2.1 and 2.1.3; `DigestMD5Base.generateResponseValue`.

use md5::{Digest, Md5};

/// How often the nonce has been used: authentication is never resumed.
pub(crate) const NONCE_COUNT: &str = "00000001";

/// The one protection there is: none, once it is known who is who.
pub(crate) const QOP: &str = "auth";

/// A response value, in hexadecimal digits.
pub(crate) type Response = [u8; 32];

/// All that goes into it.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) user: &'a str,
    pub(crate) realm: &'a str,
    pub(crate) password: &'a str,
    pub(crate) nonce: &'a [u8],
    pub(crate) cnonce: &'a [u8],
    /// Counts only where it was sent.
    pub(crate) authzid: Option<&'a [u8]>,
    pub(crate) uri: &'a str,
}

impl Parts<'_> {
    /// What the initiator sends.
    pub(crate) fn response(&self) -> Response {
        self.value("AUTHENTICATE")
    }

    /// What the acceptor proves itself with.
    pub(crate) fn proof(&self) -> Response {
        self.value("")
    }

    fn value(&self, method: &str) -> Response {
        let a2 = hex_of(Md5::new().chain_update(format!("{method}:{}", self.uri)));
        let mut secret = Md5::new();
        absorb(&mut secret, self.user);
        secret.update(":");
        absorb(&mut secret, self.realm);
        secret.update(":");
        absorb(&mut secret, self.password);
        let mut a1 = Md5::new();
        for part in [&secret.finalize()[..], b":", self.nonce, b":", self.cnonce] {
            a1.update(part);
        }
        if let Some(authzid) = self.authzid {
            a1.update(":");
            a1.update(authzid);
        }
        let mut value = Md5::new();
        for part in [
            &hex_of(a1)[..],
            b":",
            self.nonce,
            b":",
            NONCE_COUNT.as_bytes(),
            b":",
            self.cnonce,
            b":",
            QOP.as_bytes(),
            b":",
            &a2,
        ] {
            value.update(part);
        }
        hex_of(value)
    }
}

fn hex_of(hash: Md5) -> Response {
    let mut digits = [0; 32];
    hex::encode_to_slice(hash.finalize(), &mut digits).expect("two digits a byte");
    digits
}

/// Latin-1 where that has every character, and else UTF-8.
fn absorb(hash: &mut Md5, text: &str) {
    if text.chars().all(|c| u8::try_from(c).is_ok()) {
        for c in text.chars() {
            hash.update([u8::try_from(c).expect("looked at above")]);
        }
    } else {
        hash.update(text);
    }
}
