//! What a port, or the links of an ensemble, are told about TLS.

use crate::store::StoreFile;
use crate::suites::{Protocol, Suite};

/// Whether a server asks clients for a certificate (`clientAuth`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// `none`: it does not ask.
    None,
    /// `want`: it asks, and takes those without. A certificate that is not trusted is refused.
    Want,
    /// `need`: it takes nobody without one that it trusts.
    #[default]
    Need,
}

impl ClientAuth {
    /// Java's word, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "none" => Some(Self::None),
            "want" => Some(Self::Want),
            "need" => Some(Self::Need),
            _ => None,
        }
    }
}

/// The keys that exist with the prefixes `ssl.` and `ssl.quorum.`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `keyStore.*`: our own key and certificates.
    pub key_store: StoreFile,
    /// `trustStore.*`: whom to trust; none stands for the authorities that the system trusts.
    pub trust_store: Option<StoreFile>,
    /// `protocol`, `enabledProtocols`. At least one.
    pub protocols: Vec<Protocol>,
    /// `ciphersuites`; empty for all that are spoken here.
    pub suites: Vec<Suite>,
    /// `clientAuth`.
    pub client_auth: ClientAuth,
    /// `hostnameVerification`: who is dialed must have a certificate for its host.
    pub check_server_host: bool,
    /// `clientHostnameVerification`: who dials must have a certificate for its host.
    pub check_client_host: bool,
    /// Stores that change are read again.
    pub reload: bool,
}
