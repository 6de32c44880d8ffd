//! What both sides of a handshake are made with, read from the stores, and read again when those
//! change.
//!
//! Invariant: key, certificates and trust are always of one reading; stores that cannot be used
//! leave in force what was read before. Sessions are not resumed: a certificate is looked at for
//! each connection, and nothing is kept for those that have ended. Source: `X509Util.java`,
//! `FileChangeWatcher.java`; operations.md 7.7.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, InconsistentKeys, ServerConfig};

use crate::settings::Settings;
use crate::store::{KeyEntry, StoreError};
use crate::trust::{Trust, TrustError};

/// Settings of which no handshake can be made.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A store, or the file of its password.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key in the key store.
    #[error("{path}: its private key cannot be used: {reason}")]
    Key {
        /// The key store.
        path: String,
        /// Why not.
        reason: String,
    },
    /// The trust store.
    #[error("{path}: {source}")]
    Trust {
        /// The trust store.
        path: String,
        /// Why not.
        source: TrustError,
    },
    /// The system has no trusted authorities, and no trust store is set.
    #[error("no trust store is set, and the system trusts no authorities: {0}")]
    System(String),
    /// Protocols and cipher suites do not go together.
    #[error("protocols and cipher suites do not go together: {0}")]
    Suites(rustls::Error),
}

/// Both sides, of one reading of the stores.
struct Configs {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

/// What tells one content of a file from another: device, number, size, and the times of the last
/// change in nanoseconds. `None` where there is no file.
type Stamp = Option<(u64, u64, u64, i64, i64, i64)>;

struct State {
    configs: Arc<Configs>,
    stamps: Vec<Stamp>,
}

/// The two sides of handshakes with one pair of stores.
pub struct Context {
    settings: Settings,
    state: Mutex<State>,
}

impl Context {
    /// Reads the stores.
    ///
    /// # Errors
    /// They cannot be used, and why.
    pub fn load(settings: Settings) -> Result<Self, LoadError> {
        let stamps = stamps(&settings);
        let configs = Arc::new(Configs::load(&settings)?);
        let state = Mutex::new(State { configs, stamps });
        Ok(Self { settings, state })
    }

    /// What it was told.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The side that is connected to.
    pub fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.state.lock().configs.server)
    }

    /// The side that connects.
    pub fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.state.lock().configs.client)
    }

    /// Reads the stores again if they have changed, or in any case if it is `asked` for. True if
    /// they were read. May take long enough to be in the way of others.
    ///
    /// # Errors
    /// They cannot be used; those read before stay in force, until they change once more.
    pub fn reload(&self, asked: bool) -> Result<bool, LoadError> {
        // Taken before they are read: what changes meanwhile is seen the next time.
        let stamps = stamps(&self.settings);
        let changed = self.state.lock().stamps != stamps;
        if !(asked || changed && self.settings.reload) {
            return Ok(false);
        }
        let read = Configs::load(&self.settings);
        let mut state = self.state.lock();
        state.stamps = stamps;
        state.configs = Arc::new(read?);
        Ok(true)
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Context").field(&self.settings).finish()
    }
}

fn stamps(settings: &Settings) -> Vec<Stamp> {
    let trust = settings.trust_store.iter();
    let stores = [&settings.key_store].into_iter().chain(trust);
    stores.flat_map(|store| store.paths()).map(stamp).collect()
}

fn stamp(path: &Path) -> Stamp {
    let found = fs::metadata(path).ok()?;
    let (modified, changed) = (found.mtime_nsec(), found.ctime_nsec());
    let second = found.mtime().max(found.ctime());
    Some((
        found.dev(),
        found.ino(),
        found.len(),
        second,
        modified,
        changed,
    ))
}

impl Configs {
    fn load(settings: &Settings) -> Result<Self, LoadError> {
        let provider = Arc::new(provider(settings));
        let key = certified_key(settings, &provider)?;
        let (trusted, path) = match &settings.trust_store {
            Some(store) => (store.trusted()?, store.path.display().to_string()),
            None => (of_the_system()?, "the system's authorities".to_owned()),
        };
        let trust = Trust::new(trusted, settings.client_auth, Arc::clone(&provider));
        let trust = Arc::new(trust.map_err(|source| LoadError::Trust { path, source })?);
        let mut versions: Vec<_> = settings.protocols.iter().map(|p| p.version()).collect();
        versions.reverse();

        let server = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let server = server.with_protocol_versions(&versions);
        let mut server = server
            .map_err(LoadError::Suites)?
            .with_client_cert_verifier(Arc::<Trust>::clone(&trust))
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&key))));
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;

        let client = ClientConfig::builder_with_provider(provider);
        let client = client.with_protocol_versions(&versions);
        let mut client = client
            .map_err(LoadError::Suites)?
            .dangerous()
            .with_custom_certificate_verifier(trust)
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        client.resumption = Resumption::disabled();
        Ok(Self {
            server: Arc::new(server),
            client: Arc::new(client),
        })
    }
}

fn provider(settings: &Settings) -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    if !settings.suites.is_empty() {
        let suites = settings.suites.iter();
        provider.cipher_suites = suites.map(|suite| suite.supported()).collect();
    }
    provider
}

fn certified_key(
    settings: &Settings,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, LoadError> {
    let KeyEntry { key, chain } = settings.key_store.key()?;
    let useless = |reason: String| LoadError::Key {
        path: settings.key_store.path.display().to_string(),
        reason,
    };
    let key = provider.key_provider.load_private_key(key);
    let key = CertifiedKey::new(chain, key.map_err(|error| useless(error.to_string()))?);
    match key.keys_match() {
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(useless("it is not the key of the first certificate".into()))
        }
        // Of some certificates, such as those of version 1, it cannot be said.
        Ok(()) | Err(_) => Ok(Arc::new(key)),
    }
}

fn of_the_system() -> Result<Vec<CertificateDer<'static>>, LoadError> {
    let found = rustls_native_certs::load_native_certs();
    match found.certs.is_empty() {
        false => Ok(found.certs),
        true => {
            let errors: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
            Err(LoadError::System(errors.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests;
