//! PEM: text with keys and certificates, in one file.
//!
//! What stands around the sections, and sections of other kinds, are passed over. Keys may also be
//! in the older forms that Java refuses. Source: `PemReader.java`.

use std::io::Cursor;

use pkcs8::EncryptedPrivateKeyInfoRef;
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};
use x509_parser::pem::Pem;

use super::{KeyEntry, Reason};
use crate::Secret;

/// The first private key, and all certificates.
pub(super) fn key(bytes: &[u8], password: &Secret) -> Result<KeyEntry, Reason> {
    let mut key = None;
    for section in sections(bytes) {
        let Pem { label, contents } = section?;
        let contents = zeroize::Zeroizing::new(contents);
        key = match label.as_str() {
            "PRIVATE KEY" => Some(PrivatePkcs8KeyDer::from(contents.to_vec()).into()),
            "RSA PRIVATE KEY" => Some(PrivatePkcs1KeyDer::from(contents.to_vec()).into()),
            "EC PRIVATE KEY" => Some(PrivateSec1KeyDer::from(contents.to_vec()).into()),
            "ENCRYPTED PRIVATE KEY" => Some(decrypted(&contents, password)?),
            _ => continue,
        };
        break;
    }
    let key = key.ok_or(Reason::Lacks("private key"))?;
    let chain = certificates(bytes)?;
    match chain.is_empty() {
        true => Err(Reason::Lacks("certificate for its key")),
        false => Ok(KeyEntry { key, chain }),
    }
}

pub(super) fn certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, Reason> {
    let mut found = Vec::new();
    for section in sections(bytes) {
        let Pem { label, contents } = section?;
        if label == "CERTIFICATE" || label == "X509 CERTIFICATE" {
            found.push(contents.into());
        }
    }
    Ok(found)
}

fn sections(bytes: &[u8]) -> impl Iterator<Item = Result<Pem, Reason>> {
    let binary = bytes.iter().take(4).any(|byte| !byte.is_ascii());
    let complaint = binary.then(|| Err(Reason::malformed("PEM", "it begins with binary bytes")));
    let mut cursor = Cursor::new(bytes);
    let mut ended = binary;
    let sections = std::iter::from_fn(move || {
        if ended {
            return None;
        }
        match Pem::read(&mut cursor) {
            Ok((pem, _)) => Some(Ok(pem)),
            Err(x509_parser::error::PEMError::MissingHeader) => None,
            Err(error) => {
                ended = true;
                Some(Err(Reason::malformed("PEM", error)))
            }
        }
    });
    complaint.into_iter().chain(sections)
}

fn decrypted(contents: &[u8], password: &Secret) -> Result<PrivateKeyDer<'static>, Reason> {
    let sealed = EncryptedPrivateKeyInfoRef::try_from(contents)
        .map_err(|error| Reason::malformed("PEM", error))?;
    let key = sealed
        .decrypt(password.reveal())
        .map_err(|_| Reason::Password)?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}
