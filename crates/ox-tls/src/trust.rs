//! Whom to trust.
//!
//! Java and the usual rules agree but for two kinds of certificates that old instructions make: one
//! that is itself in the trust store, whatever it may sign, and one of version 1, which has no
//! extensions. Both are taken here as Java takes them, with one difference: an expired one is not.
//! Invariant: only an authority speaks for others; a certificate in the store that is none, as one that
//! a server or client has made for itself, stands for itself alone. Names of hosts are not looked at
//! here. Source: `sun.security.validator.PKIXValidator` (`verifyTrustAnchor`); decisions/0019.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

use crate::ClientAuth;

/// What a certificate is shown for.
#[derive(Clone, Copy, Debug)]
enum Usage {
    Server,
    Client,
}

/// The certificates that are trusted.
#[derive(Debug)]
pub(crate) struct Trust {
    /// The authorities.
    roots: Arc<RootCertStore>,
    /// All of them, each of which may show itself.
    certificates: BTreeSet<Vec<u8>>,
    /// None without an authority.
    clients: Option<Arc<dyn ClientCertVerifier>>,
    subjects: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
    client_auth: ClientAuth,
}

/// Why there is nobody to trust.
#[derive(Debug, thiserror::Error)]
#[error("no certificate in it can be trusted: {0}")]
pub struct TrustError(String);

impl Trust {
    pub(crate) fn new(
        certificates: Vec<CertificateDer<'static>>,
        client_auth: ClientAuth,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, TrustError> {
        let (mut all, mut roots) = (RootCertStore::empty(), RootCertStore::empty());
        for certificate in &certificates {
            // A store may hold some that nobody can read; Java passes them over as well.
            if let Err(error) = all.add(certificate.clone()) {
                tracing::warn!(%error, "a certificate in the trust store is of no use");
            } else if is_authority(certificate) {
                roots
                    .add(certificate.clone())
                    .map_err(|error| TrustError(error.to_string()))?;
            }
        }
        if all.is_empty() {
            return Err(TrustError("it holds none that can be read".to_owned()));
        }
        let roots = Arc::new(roots);
        let algorithms = provider.signature_verification_algorithms;
        let clients = match roots.is_empty() {
            true => None,
            false => {
                let roots = Arc::clone(&roots);
                let clients = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                Some(clients.map_err(|error| TrustError(error.to_string()))?)
            }
        };
        Ok(Self {
            subjects: all.subjects(),
            roots,
            certificates: certificates.iter().map(|c| c.to_vec()).collect(),
            clients,
            algorithms,
            client_auth,
        })
    }

    fn check(
        &self,
        own: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        now: UnixTime,
        usage: Usage,
    ) -> Result<(), Error> {
        let (_, parsed) = X509Certificate::from_der(own).map_err(|_| encoding())?;
        let is_trusted = self.certificates.contains(own.as_ref());
        if is_trusted || parsed.version() == X509Version::V1 {
            check_time(&parsed, now)?;
            check_usage(&parsed, usage)?;
            return match is_trusted || self.signed_by_trusted(&parsed, now) {
                true => Ok(()),
                false => Err(CertificateError::UnknownIssuer.into()),
            };
        }
        match usage {
            Usage::Client => match &self.clients {
                Some(clients) => clients.verify_client_cert(own, above, now).map(|_| ()),
                None => Err(CertificateError::UnknownIssuer.into()),
            },
            Usage::Server => verify_server_cert_signed_by_trust_anchor(
                &ParsedCertificate::try_from(own)?,
                &self.roots,
                above,
                now,
                self.algorithms.all,
            ),
        }
    }

    /// Whether an authority that is trusted has signed it itself. What has no extensions cannot say
    /// that it is an authority, and may not stand between.
    fn signed_by_trusted(&self, parsed: &X509Certificate<'_>, now: UnixTime) -> bool {
        self.certificates.iter().any(|issuer| {
            X509Certificate::from_der(issuer).is_ok_and(|(_, issuer)| {
                may_sign(&issuer)
                    && issuer.subject().as_raw() == parsed.issuer().as_raw()
                    && check_time(&issuer, now).is_ok()
                    && parsed.verify_signature(Some(issuer.public_key())).is_ok()
            })
        })
    }
}

/// Whether others may be trusted for its sake.
fn is_authority(certificate: &[u8]) -> bool {
    X509Certificate::from_der(certificate).is_ok_and(|(_, parsed)| may_sign(&parsed))
}

/// One without extensions cannot say that it is an authority, and is taken for one; any other has to
/// say so, and that its key signs certificates if it says at all what its key does.
fn may_sign(certificate: &X509Certificate<'_>) -> bool {
    if certificate.version() != X509Version::V3 {
        return true;
    }
    let constraints = certificate.basic_constraints().ok().flatten();
    let usage = certificate.key_usage();
    constraints.is_some_and(|found| found.value.ca)
        && usage.is_ok_and(|found| found.is_none_or(|found| found.value.key_cert_sign()))
}

fn encoding() -> Error {
    CertificateError::BadEncoding.into()
}

fn check_time(certificate: &X509Certificate<'_>, now: UnixTime) -> Result<(), Error> {
    let validity = certificate.validity();
    let seconds = |time: x509_parser::time::ASN1Time| {
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(
            u64::try_from(time.timestamp()).unwrap_or(0),
        ))
    };
    let (not_before, not_after) = (seconds(validity.not_before), seconds(validity.not_after));
    if now < not_before {
        return Err(CertificateError::NotValidYetContext {
            time: now,
            not_before,
        }
        .into());
    }
    if not_after < now {
        return Err(CertificateError::ExpiredContext {
            time: now,
            not_after,
        }
        .into());
    }
    Ok(())
}

fn check_usage(certificate: &X509Certificate<'_>, usage: Usage) -> Result<(), Error> {
    let usages = certificate.extended_key_usage().map_err(|_| encoding())?;
    let allowed = usages.is_none_or(|found| {
        found.value.any
            || match usage {
                Usage::Server => found.value.server_auth,
                Usage::Client => found.value.client_auth,
            }
    });
    match allowed {
        true => Ok(()),
        false => Err(CertificateError::InvalidPurpose.into()),
    }
}

impl Trust {
    fn verify_tls12(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| encoding())?;
        if parsed.version() != X509Version::V1 {
            return verify_tls13_signature(message, certificate, signed, &self.algorithms);
        }
        let key = SubjectPublicKeyInfoDer::from(parsed.public_key().raw);
        verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms)
    }
}

impl ClientCertVerifier for Trust {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.subjects
    }

    fn offer_client_auth(&self) -> bool {
        self.client_auth != ClientAuth::None
    }

    fn client_auth_mandatory(&self) -> bool {
        self.client_auth == ClientAuth::Need
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(own, above, now, Usage::Client)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_tls12(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_tls13(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(own, above, now, Usage::Server)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_tls12(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_tls13(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
