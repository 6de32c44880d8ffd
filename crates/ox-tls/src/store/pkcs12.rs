//! PKCS #12, as keytool and OpenSSL write it.
//!
//! Which certificate belongs to a key is said by a number that both have; those above it are found
//! by their names. Java marks what is to be trusted; in a store without keys and marks all of it
//! is, as OpenSSL sets none.

use p12_keystore::error::Error;
use p12_keystore::{Certificate, CertificateBag, Pkcs12Archive, PrivateKeyBag};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use super::{Entries, KeyEntry, Reason};
use crate::Secret;

/// A longer chain of certificates goes in circles.
const MAX_CHAIN: usize = 16;

pub(super) fn read(bytes: &[u8], password: &Secret) -> Result<Entries, Reason> {
    let archive = Pkcs12Archive::from_pkcs12(bytes, password.reveal()).map_err(reason)?;
    let Pkcs12Archive { keys, certs, .. } = archive;
    let marked = certs.iter().filter(|bag| bag.trusted);
    let mut trusted: Vec<_> = marked.map(|bag| der(&bag.cert)).collect();
    if keys.is_empty() && trusted.is_empty() {
        trusted = certs.iter().map(|bag| der(&bag.cert)).collect();
    }
    let keys = keys.iter().filter_map(|key| entry(key, &certs)).collect();
    Ok(Entries { keys, trusted })
}

/// A key with its chain; none if its own certificate is missing.
fn entry(key: &PrivateKeyBag, certs: &[CertificateBag]) -> Option<KeyEntry> {
    let own = match &key.local_key_id {
        Some(id) => certs
            .iter()
            .find(|bag| bag.local_key_id.as_deref() == Some(id.as_ref()))?,
        None => certs.first()?,
    };
    let mut chain = vec![&own.cert];
    while chain.len() < MAX_CHAIN
        && let Some(last) = chain.last()
        && last.issuer() != last.subject()
        && let Some(above) = certs.iter().find(|bag| bag.cert.subject() == last.issuer())
    {
        chain.push(&above.cert);
    }
    Some(KeyEntry {
        key: PrivatePkcs8KeyDer::from(key.key.as_der().to_vec()).into(),
        chain: chain.into_iter().map(der).collect(),
    })
}

fn der(certificate: &Certificate) -> CertificateDer<'static> {
    certificate.as_der().to_vec().into()
}

fn reason(error: Error) -> Reason {
    match error {
        Error::MacError(_) | Error::Pkcs5Error(_) | Error::UnpadError => Reason::Password,
        error @ (Error::UnsupportedEncryptionScheme | Error::UnsupportedMacAlgorithm) => {
            Reason::Useless(format!(
                "{error}; keytool and openssl write others by default"
            ))
        }
        error => Reason::malformed("PKCS12", error),
    }
}
