//! TLS for clients and between servers, and the scheme x509 that comes with it.
//!
//! Invariant: what is asked for can be done: stores are read here once, so that a wrong password is
//! a problem of the file and not of the first client. What would guard and is not there is a reason
//! not to start. Source: `X509Util.java`, `QuorumPeerConfig.configureSSLAuth`; operations.md 1.8
//! and 7.7, quorum.md 13.1.

use std::path::PathBuf;
use std::time::Duration;

use ox_tls::{ClientAuth, Password, Protocol, Secret, StoreFile, StoreKind, Suite};

use super::reader::{Place, Reader, Setting};
use super::{ListenConfig, resolve, value};

/// TLS on the ports for clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTls {
    /// `secureClientPort`: the port that takes nothing else.
    pub listen: Option<ListenConfig>,
    /// `client.portUnification`: `clientPort` takes it as well.
    pub on_client_port: bool,
    /// `ssl.*`.
    pub settings: ox_tls::Settings,
    /// `netty.server.outstandingHandshake.limit`: handshakes at a time; none is any number.
    pub handshakes: Option<usize>,
    /// `netty.server.earlyDropSecureConnectionHandshakes`: nobody is let in while the server does
    /// not serve.
    pub early_drop: bool,
}

/// TLS between servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumTls {
    /// `sslQuorum`: this server dials with it, and takes nothing else.
    pub dials_tls: bool,
    /// `portUnification`: its ports take connections without it, whatever it dials with.
    pub takes_plain: bool,
    /// `ssl.quorum.*`.
    pub settings: ox_tls::Settings,
    /// `ssl.quorum.handshakeDetectionTimeoutMillis`: who says nothing for so long has no TLS.
    pub detection: Duration,
}

/// Where there is TLS, and what it is good for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// For clients.
    pub client: Option<ClientTls>,
    /// Between servers.
    pub quorum: Option<QuorumTls>,
    /// The scheme x509 is there.
    pub x509: bool,
    /// `X509AuthenticationProvider.superUser`: whose certificate has this subject is also super.
    pub x509_super_user: Option<String>,
}

/// The class behind the scheme x509.
const X509_PROVIDER: &str = "org.apache.zookeeper.server.auth.X509AuthenticationProvider";

/// Keys that exist for clients and between servers.
struct Keys {
    key_store: StoreKeys,
    trust_store: StoreKeys,
    protocol: &'static str,
    enabled_protocols: &'static str,
    suites: &'static str,
    context_supplier: &'static str,
    host: &'static str,
    client_host: &'static str,
    reverse_lookup: &'static str,
    crl: &'static str,
    ocsp: &'static str,
    client_auth: &'static str,
    detection: &'static str,
    provider: &'static str,
}

struct StoreKeys {
    location: &'static str,
    password: &'static str,
    password_path: &'static str,
    kind: &'static str,
}

macro_rules! keys {
    ($prefix:literal) => {
        Keys {
            key_store: keys!($prefix, "keyStore"),
            trust_store: keys!($prefix, "trustStore"),
            protocol: concat!($prefix, "protocol"),
            enabled_protocols: concat!($prefix, "enabledProtocols"),
            suites: concat!($prefix, "ciphersuites"),
            context_supplier: concat!($prefix, "context.supplier.class"),
            host: concat!($prefix, "hostnameVerification"),
            client_host: concat!($prefix, "clientHostnameVerification"),
            reverse_lookup: concat!($prefix, "allowReverseDnsLookup"),
            crl: concat!($prefix, "crl"),
            ocsp: concat!($prefix, "ocsp"),
            client_auth: concat!($prefix, "clientAuth"),
            detection: concat!($prefix, "handshakeDetectionTimeoutMillis"),
            provider: concat!($prefix, "sslProvider"),
        }
    };
    ($prefix:literal, $store:literal) => {
        StoreKeys {
            location: concat!($prefix, $store, ".location"),
            password: concat!($prefix, $store, ".password"),
            password_path: concat!($prefix, $store, ".passwordPath"),
            kind: concat!($prefix, $store, ".type"),
        }
    };
}

const CLIENT: Keys = keys!("ssl.");
const QUORUM: Keys = keys!("ssl.quorum.");

/// What differs between the two sides.
struct Side {
    keys: Keys,
    is_quorum: bool,
    /// The key that says whether changed stores are read again.
    reload: (&'static str, Place),
}

const CLIENT_SIDE: Side = Side {
    keys: CLIENT,
    is_quorum: false,
    reload: ("client.certReload", Place::Property),
};
const QUORUM_SIDE: Side = Side {
    keys: QUORUM,
    is_quorum: true,
    reload: ("sslQuorumReloadCertFiles", Place::File),
};

impl TlsSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        reader.property_boolean("fips-mode", true);
        let client = client(reader);
        let quorum = quorum(reader);
        let x509 = has_x509(reader);
        let super_user = reader.text("X509AuthenticationProvider.superUser", Place::Property);
        if let Some(Setting { origin, .. }) = super_user.as_ref().filter(|_| !x509) {
            let text = "no effect: no client has a certificate, for there is no TLS";
            let origin = origin.clone();
            reader.warn(origin, "X509AuthenticationProvider.superUser", text);
        }
        Self {
            client,
            quorum,
            x509,
            x509_super_user: super_user.map(|setting| setting.value),
        }
    }
}

/// Whether the scheme x509 is there: with TLS for clients it always is.
pub(super) fn has_x509(reader: &mut Reader) -> bool {
    let secure = reader.text("secureClientPort", Place::File);
    secure.is_some_and(|port| port.value != "0")
        || is_true(reader, "client.portUnification")
        || providers(reader).any(|setting| setting.value == X509_PROVIDER)
}

/// Whether a line `authProvider.<any>` names what is there.
pub(super) fn is_provider(key: &str, class: &str) -> bool {
    let key = key.strip_prefix("zookeeper.").unwrap_or(key);
    key.starts_with("authProvider.") && class == X509_PROVIDER
}

/// All lines `authProvider.<any>`.
pub(super) fn providers(reader: &Reader) -> impl Iterator<Item = &Setting> {
    let file = reader.file().iter();
    let in_file = file.filter(|(key, _)| key.starts_with("authProvider."));
    let flags = reader.flags().iter();
    let as_flags = flags.filter(|(key, _)| key.starts_with("zookeeper.authProvider."));
    in_file.chain(as_flags).map(|(_, setting)| setting)
}

fn is_true(reader: &mut Reader, key: &'static str) -> bool {
    let setting = reader.text(key, Place::Property);
    setting.is_some_and(|setting| value::boolean(&setting.value) == Some(true))
}

fn client(reader: &mut Reader) -> Option<ClientTls> {
    let listen = secure_port(reader);
    let on_client_port = reader.property_boolean("client.portUnification", false);
    let handshakes: i64 = reader.number(
        "netty.server.outstandingHandshake.limit",
        Place::Property,
        -1,
    );
    let early_drop =
        reader.property_boolean("netty.server.earlyDropSecureConnectionHandshakes", false);
    auth_provider(reader);
    let by_port = listen.as_ref().map(|_| ("secureClientPort", Place::File));
    let by_unification = on_client_port.then_some(("client.portUnification", Place::Property));
    let settings = settings(reader, &CLIENT_SIDE, by_port.or(by_unification))?;
    Some(ClientTls {
        listen,
        on_client_port,
        settings,
        handshakes: usize::try_from(handshakes).ok().filter(|&limit| limit > 0),
        early_drop,
    })
}

fn secure_port(reader: &mut Reader) -> Option<ListenConfig> {
    let key = "secureClientPort";
    let number = reader.int(key, "a port, 1 to 65535").unwrap_or(0);
    let address_key = "secureClientPortAddress";
    let host = reader.text(address_key, Place::File);
    let port = u16::try_from(number).ok();
    if port.is_none() {
        let origin = reader.origin(key, Place::File);
        let reason = format!("port out of range:{number}");
        reader.problem(origin, key, reason, "a port, 1 to 65535");
    }
    let port = port.filter(|&port| port != 0)?;
    let address =
        host.and_then(|setting| resolve(reader, address_key, &setting.value, setting.origin));
    Some(ListenConfig {
        address: address.flatten(),
        port,
        backlog: None,
    })
}

fn quorum(reader: &mut Reader) -> Option<QuorumTls> {
    let dials_tls = reader.boolean("sslQuorum", false);
    let takes_plain = reader.boolean("portUnification", false);
    let detection: i64 = reader.number(QUORUM.detection, Place::Property, 5000);
    let by_tls = dials_tls.then_some(("sslQuorum", Place::File));
    let by_unification = takes_plain.then_some(("portUnification", Place::File));
    let asked = by_tls.or(by_unification).filter(|_| reader.in_ensemble);
    let settings = settings(reader, &QUORUM_SIDE, asked)?;
    let millis = u64::try_from(detection).ok().filter(|&millis| millis > 0);
    Some(QuorumTls {
        dials_tls,
        takes_plain,
        settings,
        detection: Duration::from_millis(millis.unwrap_or(5000)),
    })
}

/// Another scheme would need a class of Java's.
fn auth_provider(reader: &mut Reader) {
    let key = "ssl.authProvider";
    if let Some(Setting { value, origin }) = reader.text(key, Place::Property)
        && value != "x509"
    {
        let reason =
            format!("No auth provider configured for the SSL authentication scheme '{value}'.");
        reader.problem(origin, key, reason, "x509");
    }
}

/// Reads all keys of one side; `None` if nothing has `asked` for it, or if it cannot be used, which
/// is a problem then.
fn settings(
    reader: &mut Reader,
    side: &Side,
    asked: Option<(&'static str, Place)>,
) -> Option<ox_tls::Settings> {
    let keys = &side.keys;
    let is_on = asked.is_some();
    let problems = reader.problems.len();
    let reload = match reader.text(side.reload.0, side.reload.1) {
        Some(_) if side.is_quorum => reader.boolean(side.reload.0, true),
        _ => reader.property_boolean(side.reload.0, true),
    };
    reader.text(keys.provider, Place::Property);
    reader.number(keys.detection, Place::Property, 5000_i64);
    let key_store = store(reader, &keys.key_store, is_on);
    let trust_store = store(reader, &keys.trust_store, is_on);
    let protocols = protocols(reader, side, is_on);
    let suites = suites(reader, keys, &protocols, is_on);
    let client_auth = client_auth(reader, keys, is_on);
    let (check_server_host, check_client_host) = hosts(reader, side, is_on);
    absent(reader, keys, is_on);
    let Some((asked, place)) = asked else {
        unused(reader, side);
        return None;
    };
    if trust_store.is_none() {
        default_trust(reader, keys);
    }
    let is_set = |setting: Setting| !setting.value.is_empty();
    let has_store = reader
        .text(keys.key_store.location, Place::Property)
        .is_some_and(is_set);
    if !has_store {
        let origin = reader.origin(asked, place);
        let reason = format!(
            "Keystore is required for SSL server: zookeeper.{}",
            keys.key_store.location
        );
        let allowed = "a line that names a file with a private key and its certificates";
        reader.problem(origin, asked, reason, allowed);
    }
    let key_store = key_store?;
    let settings = ox_tls::Settings {
        key_store,
        trust_store,
        protocols,
        suites,
        client_auth,
        check_server_host,
        check_client_host,
        reload,
    };
    if problems < reader.problems.len() {
        return None;
    }
    if let Err(error) = ox_tls::Context::load(settings.clone()) {
        let key = match &error {
            ox_tls::LoadError::Store(error)
                if error.path != settings.key_store.path && settings.trust_store.is_some() =>
            {
                keys.trust_store.location
            }
            ox_tls::LoadError::Trust { .. } | ox_tls::LoadError::System(_) => {
                keys.trust_store.location
            }
            ox_tls::LoadError::Suites(_) => keys.suites,
            ox_tls::LoadError::Store(_) | ox_tls::LoadError::Key { .. } => keys.key_store.location,
        };
        let origin = reader.origin(key, Place::Property);
        reader.problem(origin, key, error.to_string(), "");
        return None;
    }
    Some(settings)
}

fn store(reader: &mut Reader, keys: &StoreKeys, is_on: bool) -> Option<StoreFile> {
    let location = reader.text(keys.location, Place::Property);
    let password = reader.text(keys.password, Place::Property);
    let password_path = reader.text(keys.password_path, Place::Property);
    let kind = reader.text(keys.kind, Place::Property);
    let is_set = |setting: &Setting| !setting.value.is_empty();
    let location = location.filter(is_set).filter(|_| is_on)?;
    let kind = store_kind(reader, keys, &location, kind.filter(is_set))?;
    // The file wins, as in Java.
    let password = match password_path.filter(is_set) {
        Some(path) => Password::File(PathBuf::from(path.value)),
        None => Password::Text(
            password.map_or_else(Secret::default, |setting| Secret::new(setting.value)),
        ),
    };
    Some(StoreFile {
        path: PathBuf::from(location.value),
        kind,
        password,
    })
}

fn store_kind(
    reader: &mut Reader,
    keys: &StoreKeys,
    location: &Setting,
    written: Option<Setting>,
) -> Option<StoreKind> {
    const KINDS: &str = "JKS, PKCS12, PEM";
    let named = written.map(|setting| (setting.value.to_ascii_uppercase(), setting.origin));
    let (kind, origin, key) = match named {
        Some((kind, origin)) => (kind, origin, keys.kind),
        None => {
            let name = &location.value;
            let endings = [
                (".jks", "JKS"),
                (".pem", "PEM"),
                (".p12", "PKCS12"),
                (".bcfks", "BCFKS"),
            ];
            let found = endings.iter().find(|(ending, _)| name.ends_with(ending));
            let kind = found.map_or("", |(_, kind)| kind);
            (kind.to_owned(), location.origin.clone(), keys.location)
        }
    };
    let reason = match kind.as_str() {
        "JKS" | "PKCS12" => return Some(StoreKind::Binary),
        "PEM" => return Some(StoreKind::Pem),
        "BCFKS" => {
            "BCFKS stores are not supported; keytool -importkeystore -srckeystore FILE -srcstoretype \
             BCFKS -destkeystore FILE.p12 -deststoretype PKCS12 makes one that is"
                .to_owned()
        }
        "" => format!(
            "Unable to auto-detect store file type from file name: {}",
            location.value
        ),
        other => format!("Unknown type of a store: {other}"),
    };
    let allowed = match kind.is_empty() {
        true => format!(".jks, .p12, .pem, or a line {}", keys.kind),
        false => KINDS.to_owned(),
    };
    reader.problem(origin, key, reason, &allowed);
    None
}

/// On the client port what is written is all there is; between servers it is the newest, as Java's
/// contexts have it.
fn protocols(reader: &mut Reader, side: &Side, is_on: bool) -> Vec<Protocol> {
    const ALLOWED: &str = "TLSv1.2, TLSv1.3, or both";
    let all = vec![Protocol::Tls12, Protocol::Tls13];
    let is_set = |setting: &Setting| !setting.value.is_empty();
    let newest = reader
        .text(side.keys.protocol, Place::Property)
        .filter(is_set);
    let enabled = reader
        .text(side.keys.enabled_protocols, Place::Property)
        .filter(is_set);
    let (setting, key) = match (enabled, newest) {
        (Some(enabled), _) => (enabled, side.keys.enabled_protocols),
        (None, Some(newest)) => (newest, side.keys.protocol),
        (None, None) => return all,
    };
    let Setting { value, origin } = setting;
    let is_list = key == side.keys.enabled_protocols;
    let mut protocols = Vec::new();
    for name in value
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        match Protocol::from_name(name) {
            Some(Protocol::Tls13) if !is_list && side.is_quorum => protocols.extend(&all),
            Some(protocol) => protocols.push(protocol),
            None if !is_list && name == "TLS" => protocols.extend(&all),
            None if is_on => {
                let text = format!("{name} is not spoken here");
                reader.warn(origin.clone(), key, text);
            }
            None => {}
        }
    }
    protocols.sort_unstable();
    protocols.dedup();
    if protocols.is_empty() && is_on {
        let reason = format!("none of \"{value}\" is a protocol that is spoken here");
        reader.problem(origin, key, reason, ALLOWED);
    }
    protocols
}

fn suites(reader: &mut Reader, keys: &Keys, protocols: &[Protocol], is_on: bool) -> Vec<Suite> {
    let written = reader.text(keys.suites, Place::Property);
    let Some(Setting { value, origin }) = written.filter(|written| !written.value.is_empty())
    else {
        return Vec::new();
    };
    if !is_on {
        return Vec::new();
    }
    let mut suites = Vec::new();
    for name in value
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        match Suite::from_name(name) {
            Some(suite) => suites.push(suite),
            None => {
                let text = format!("{name} is not spoken here, and passed over");
                reader.warn(origin.clone(), keys.suites, text);
            }
        }
    }
    let fits = |suite: &Suite| protocols.iter().any(|&protocol| suite.is_of(protocol));
    if !suites.iter().any(fits) {
        let reason = "no cipher suite is left for the protocols that are allowed";
        reader.problem(origin, keys.suites, reason, &Suite::names());
    }
    suites
}

fn client_auth(reader: &mut Reader, keys: &Keys, is_on: bool) -> ClientAuth {
    let written = reader.text(keys.client_auth, Place::Property);
    let Some(Setting { value, origin }) = written.filter(|written| !written.value.is_empty())
    else {
        return ClientAuth::default();
    };
    ClientAuth::from_name(&value).unwrap_or_else(|| {
        if is_on {
            let reason = format!("Unknown way to ask clients for certificates: {value}");
            reader.problem(origin, keys.client_auth, reason, "none, want, need");
        }
        ClientAuth::default()
    })
}

/// Whose certificate must be for its host: of who is dialed, and of who dials. In FIPS mode, which
/// is on unless it is switched off, Java does not look; who asks for it in so many words gets it.
fn hosts(reader: &mut Reader, side: &Side, is_on: bool) -> (bool, bool) {
    let keys = &side.keys;
    let fips = reader.property_boolean("fips-mode", true);
    let mut asked = |key: &'static str, default: bool| {
        let is_written = reader.text(key, Place::Property).is_some();
        let is_on = reader.property_boolean(key, default);
        is_on && (is_written || !fips)
    };
    let server = asked(keys.host, true);
    let client = asked(keys.client_host, side.is_quorum);
    let is_off = {
        let written = reader.text(keys.host, Place::Property);
        written.is_some_and(|written| value::boolean(&written.value) != Some(true))
    };
    if is_on && is_true(reader, keys.reverse_lookup) {
        let text = "no effect: what addresses are called is not looked up";
        reader.warn_about(keys.reverse_lookup, Place::Property, text);
    } else {
        reader.text(keys.reverse_lookup, Place::Property);
    }
    (server, client && !is_off)
}

/// What would guard and is not here.
fn absent(reader: &mut Reader, keys: &Keys, is_on: bool) {
    for (key, what) in [
        (keys.crl, "lists of revoked certificates are"),
        (keys.ocsp, "asking whether certificates are revoked is"),
    ] {
        if reader.property_boolean(key, false) && is_on {
            let origin = reader.origin(key, Place::Property);
            let reason =
                format!("{what} not supported, and the server would be less guarded without it");
            reader.problem(origin, key, reason, "no such line, or false");
        }
    }
    let supplier = reader.text(keys.context_supplier, Place::Property);
    if let Some(Setting { origin, .. }) = supplier.filter(|set| is_on && !set.value.is_empty()) {
        let reason = "a class of Java's cannot be loaded here, and the server would be less guarded \
                      without it";
        reader.problem(origin, keys.context_supplier, reason, "no such line");
    }
}

/// The JVM's own trust store is not read here; the system's is another.
fn default_trust(reader: &mut Reader, keys: &Keys) {
    const JVM: &str = "javax.net.ssl.trustStore";
    if let Some(setting) = reader.flags().get(JVM) {
        let origin = setting.origin.clone();
        let reason = format!(
            "the JVM's own trust store is not read; name it by {}",
            keys.trust_store.location
        );
        reader.problem(origin, JVM, reason, "no such flag");
    }
}

/// Stores that nobody opens are a mistake, or meant for Java's clients on the same machine.
fn unused(reader: &mut Reader, side: &Side) {
    for key in [side.keys.key_store.location, side.keys.trust_store.location] {
        let Some(Setting { origin, .. }) = reader.text(key, Place::Property) else {
            continue;
        };
        let text = match side.is_quorum {
            true => "no effect without sslQuorum=true or portUnification=true in an ensemble",
            false => "no effect without secureClientPort or client.portUnification=true",
        };
        reader.warn(origin, key, text);
    }
}
