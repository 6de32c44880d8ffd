//! Key stores and trust stores: files with a key and its certificates, or with those to trust.
//!
//! Invariant: what a store is made of is read whole or not at all, and a reason never tells a
//! password. Source: `FileKeyStoreLoader.java`, `StandardTypeFileKeyStoreLoader.java`,
//! `PEMFileLoader.java`; operations.md 1.8 and 7.9.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::Secret;

mod jks;
mod pem;
mod pkcs12;

/// A larger file is no store. The certificates of all authorities there are take some hundred KiB.
const MAX_SIZE: u64 = 16 << 20;

/// Stands before each section of a PEM file, and in no other.
const BEGIN: &[u8] = b"-----BEGIN ";

/// How a store is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// Text between BEGIN and END.
    Pem,
    /// PKCS #12 or Java's own JKS. Either may be called the other: what the file begins with
    /// decides, as in Java since 9.
    Binary,
}

/// How to open a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Password {
    /// The password itself; empty where there is none.
    Text(Secret),
    /// A file with it, read anew with the store. One line end at its end does not count.
    File(PathBuf),
}

/// A store, and how to open it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreFile {
    /// Where it is.
    pub path: PathBuf,
    /// How it is written.
    pub kind: StoreKind,
    /// What opens it, and the keys in it.
    pub password: Password,
}

/// A private key and the certificates that go with it, its own first.
pub(crate) struct KeyEntry {
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) chain: Vec<CertificateDer<'static>>,
}

/// What a binary store holds.
#[derive(Default)]
struct Entries {
    keys: Vec<KeyEntry>,
    trusted: Vec<CertificateDer<'static>>,
}

/// A store that is of no use.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct StoreError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What is wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// It, or the file of its password, cannot be read.
    #[error("cannot be read: {0}")]
    Read(io::Error),
    /// It is too long.
    #[error("more than {MAX_SIZE} bytes: this is no store")]
    Size,
    /// It was made with another password, or changed since.
    #[error("keystore password was incorrect, or the file is damaged")]
    Password,
    /// It is of another kind, or damaged.
    #[error("not a {expected} file, or a damaged one: {why}")]
    Malformed {
        /// The kind it should be of.
        expected: &'static str,
        /// What stands where it should not.
        why: String,
    },
    /// What is looked for is not in it.
    #[error("holds no {0}")]
    Lacks(&'static str),
    /// It holds what cannot be used.
    #[error("{0}")]
    Useless(String),
}

impl Reason {
    fn malformed(expected: &'static str, why: impl fmt::Display) -> Self {
        Self::Malformed {
            expected,
            why: why.to_string(),
        }
    }
}

impl StoreFile {
    /// The first private key with its certificates.
    pub(crate) fn key(&self) -> Result<KeyEntry, StoreError> {
        self.read(|bytes, password| match self.kind {
            StoreKind::Pem => pem::key(bytes, password),
            StoreKind::Binary => {
                let keys = binary(bytes, password)?.keys;
                let first = keys.into_iter().next();
                first.ok_or(Reason::Lacks("private key with its certificate"))
            }
        })
    }

    /// The certificates to trust. A store of keys stands for trust in each key's own certificate.
    pub(crate) fn trusted(&self) -> Result<Vec<CertificateDer<'static>>, StoreError> {
        self.read(|bytes, password| {
            let trusted = match self.kind {
                StoreKind::Pem => pem::certificates(bytes)?,
                StoreKind::Binary => {
                    let Entries { keys, trusted } = binary(bytes, password)?;
                    let own = keys
                        .into_iter()
                        .filter_map(|entry| entry.chain.into_iter().next());
                    trusted.into_iter().chain(own).collect()
                }
            };
            match trusted.is_empty() {
                true => Err(Reason::Lacks("certificate to trust")),
                false => Ok(trusted),
            }
        })
    }

    /// All files that are read.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        let password = match &self.password {
            Password::Text(_) => None,
            Password::File(path) => Some(path.as_path()),
        };
        [self.path.as_path()].into_iter().chain(password)
    }

    fn read<T>(
        &self,
        parse: impl FnOnce(&[u8], &Secret) -> Result<T, Reason>,
    ) -> Result<T, StoreError> {
        let password = match &self.password {
            Password::Text(text) => text.clone(),
            Password::File(path) => password(path)?,
        };
        contents(&self.path)
            .and_then(|bytes| parse(&bytes, &password))
            .map_err(|reason| at(&self.path, reason))
    }
}

fn at(path: &Path, reason: Reason) -> StoreError {
    StoreError {
        path: path.to_owned(),
        reason,
    }
}

fn contents(path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, Reason> {
    let file = File::open(path).map_err(Reason::Read)?;
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    let read = file.take(MAX_SIZE + 1).read_to_end(&mut bytes);
    match read.map_err(Reason::Read)? as u64 {
        MAX_SIZE.. => Err(Reason::Size),
        _ => Ok(bytes),
    }
}

fn password(path: &Path) -> Result<Secret, StoreError> {
    let bytes = contents(path).map_err(|reason| at(path, reason))?;
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return Err(at(path, Reason::Useless("the password is no UTF-8".into())));
    };
    let text = text.strip_suffix('\n').unwrap_or(text);
    Ok(Secret::new(text.strip_suffix('\r').unwrap_or(text)))
}

fn binary(bytes: &[u8], password: &Secret) -> Result<Entries, Reason> {
    match bytes {
        [0xfe, 0xed, 0xfe, 0xed, ..] => jks::read(bytes, password),
        [0xce, 0xce, 0xce, 0xce, ..] => Err(Reason::Useless(
            "a JCEKS file; keytool -importkeystore -srckeystore FILE -destkeystore FILE.p12 \
             -deststoretype PKCS12 makes one that can be read"
                .into(),
        )),
        [0x30, ..] => pkcs12::read(bytes, password),
        [] => Err(Reason::malformed("JKS or PKCS12", "it is empty")),
        text if text.windows(BEGIN.len()).any(|part| part == BEGIN) => {
            Err(Reason::malformed("JKS or PKCS12", "it is PEM"))
        }
        [first, ..] => Err(Reason::malformed(
            "JKS or PKCS12",
            format!("it begins with the byte {first:#04x}"),
        )),
    }
}

#[cfg(test)]
mod tests;
