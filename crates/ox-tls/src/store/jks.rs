//! Java's own key store.
//!
//! ```text
//! u32 0xfeedfeed | u32 version (1, 2) | u32 count | entries | SHA-1
//! key:     u32 1 | utf alias | u64 date | u32 length, protected key | u32 count, certificates
//! trusted: u32 2 | utf alias | u64 date | certificate
//! certificate: (version 2: utf type) | u32 length | DER
//! ```
//!
//! The hash at the end is of the password, a phrase, and all before it. The key is under a stream
//! of hashes of the password. Source: `sun.security.provider.JavaKeyStore`, `KeyProtector`;
//! operations.md 7.9.

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;
use x509_parser::asn1_rs::{Any, FromDer};
use zeroize::Zeroizing;

use super::{Entries, KeyEntry, Reason};
use crate::Secret;

const PHRASE: &[u8] = b"Mighty Aphrodite";

/// Bytes of a SHA-1.
const HASH: usize = 20;

pub(super) fn read(bytes: &[u8], password: &Secret) -> Result<Entries, Reason> {
    let password = utf16(password);
    let Some((body, seal)) = bytes.split_last_chunk::<HASH>() else {
        return Err(malformed("it ends early"));
    };
    let mut hash = Sha1::new();
    for part in [&password[..], PHRASE, body] {
        hash.update(part);
    }
    if !bool::from(hash.finalize().as_slice().ct_eq(seal)) {
        return Err(Reason::Password);
    }
    let mut input = Input(body);
    input.u32()?; // The magic number.
    let version = input.u32()?;
    if version != 1 && version != 2 {
        return Err(malformed("its version is neither 1 nor 2"));
    }
    let mut entries = Entries::default();
    for _ in 0..input.u32()? {
        let tag = input.u32()?;
        input.utf()?; // The alias.
        input.take(8)?; // The date.
        match tag {
            1 => {
                let protected = input.sized()?;
                let mut chain = Vec::new();
                for _ in 0..input.u32()? {
                    chain.push(input.certificate(version)?);
                }
                let key = recover(protected, &password)?;
                entries.keys.push(KeyEntry { key, chain });
            }
            2 => entries.trusted.push(input.certificate(version)?),
            _ => return Err(malformed("an entry is neither a key nor a certificate")),
        }
    }
    Ok(entries)
}

/// Takes the protection off a key: salt, key XOR stream, hash of password and key.
fn recover(protected: &[u8], password: &[u8]) -> Result<PrivateKeyDer<'static>, Reason> {
    let bytes = encrypted_data(protected).ok_or_else(|| malformed("a key is no sealed key"))?;
    let parts = bytes
        .split_first_chunk::<HASH>()
        .and_then(|(salt, rest)| Some((salt, rest.split_last_chunk::<HASH>()?)));
    let Some((salt, (sealed, check))) = parts else {
        return Err(malformed("a key ends early"));
    };
    let mut key = Zeroizing::new(sealed.to_vec());
    let mut stream = *salt;
    for block in key.chunks_mut(HASH) {
        let hash = Sha1::new().chain_update(password).chain_update(stream);
        stream = hash.finalize().into();
        for (byte, mask) in block.iter_mut().zip(stream) {
            *byte ^= mask;
        }
    }
    let hash = Sha1::new().chain_update(password).chain_update(&*key);
    match bool::from(hash.finalize().as_slice().ct_eq(check)) {
        true => Ok(PrivatePkcs8KeyDer::from(key.to_vec()).into()),
        false => Err(Reason::Password),
    }
}

/// The bytes within `SEQUENCE { SEQUENCE { OID, NULL }, OCTET STRING }`.
fn encrypted_data(der: &[u8]) -> Option<&[u8]> {
    let (_, whole) = Any::from_der(der).ok()?;
    let (rest, _algorithm) = Any::from_der(whole.data).ok()?;
    let (_, data) = Any::from_der(rest).ok()?;
    Some(data.data)
}

fn utf16(password: &Secret) -> Zeroizing<Vec<u8>> {
    let units = password.reveal().encode_utf16();
    Zeroizing::new(units.flat_map(u16::to_be_bytes).collect())
}

fn malformed(why: &str) -> Reason {
    Reason::malformed("JKS", why)
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Reason> {
        let split = self.0.split_at_checked(length);
        let (taken, rest) = split.ok_or_else(|| malformed("it ends early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, Reason> {
        let bytes = self.take(4)?.first_chunk().expect("four bytes");
        Ok(u32::from_be_bytes(*bytes))
    }

    fn sized(&mut self) -> Result<&'a [u8], Reason> {
        let length = self.u32()?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    fn utf(&mut self) -> Result<&'a [u8], Reason> {
        let bytes = self.take(2)?.first_chunk().expect("two bytes");
        self.take(usize::from(u16::from_be_bytes(*bytes)))
    }

    fn certificate(&mut self, version: u32) -> Result<CertificateDer<'static>, Reason> {
        if version == 2 && self.utf()? != b"X.509" {
            return Err(malformed("a certificate is not of X.509"));
        }
        Ok(self.sized()?.to_vec().into())
    }
}
