//! The configuration: `zoo.cfg` and Java's system properties, turned into one checked value.
//!
//! Invariant: a [`Config`] is complete and consistent; nothing asks the file or the environment
//! again. All that is wrong is found in one go, and a setting without effect is never passed over
//! in silence. Source: operations.md chapter 1 (`QuorumPeerConfig`, `ServerConfig`).

use std::collections::BTreeMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

mod ensemble;
mod file;
mod flags;
mod keys;
mod problem;
mod reader;
mod sasl;
mod sections;
#[cfg(test)]
mod tests;
mod tls;
mod value;

pub use ensemble::{
    ElectionSettings, Ensemble, LeaderSettings, LearnerSettings, MemberSettings, ObserverMaster,
    Ticks,
};
pub use flags::Flag;
pub use ox_replica::DigestAlgorithm;
pub use problem::{ConfigErrors, Origin, Problem, Warning};
pub use sections::{
    AuthSettings, ContainerSettings, FourLetterWords, LimitSettings, LogSettings, QuotaSettings,
    SessionSettings, SnapshotCompression, SnapshotSettings, TreeSettings,
};

pub use sasl::{QuorumSasl, SaslSettings};
pub use tls::{ClientTls, QuorumTls, TlsSettings};

use ensemble::ClientEndpoint;
use reader::{Place, Reader, Setting};

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenConfig {
    /// The address to bind; none is every address, IPv4 and IPv6.
    pub address: Option<IpAddr>,
    /// The port to bind; 0 lets the system choose.
    pub port: u16,
    /// `clientPortListenBacklog`: none leaves the length of the queue to the server.
    pub backlog: Option<u32>,
}

/// Everything the server is told when it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The port for clients. Without one the server runs, as Java's does, but serves nobody.
    pub client: Option<ListenConfig>,
    /// `dataDir`: snapshots are in its `version-2`.
    pub data_dir: PathBuf,
    /// `dataLogDir`: transaction logs are in its `version-2`. The same as `data_dir` if not given.
    pub data_log_dir: PathBuf,
    /// The ensemble this server belongs to; `None` for a server alone.
    pub ensemble: Option<Ensemble>,
    /// Session timeouts.
    pub sessions: SessionSettings,
    /// The transaction log.
    pub log: LogSettings,
    /// Snapshots and their retention.
    pub snapshots: SnapshotSettings,
    /// The tree and its storage.
    pub tree: TreeSettings,
    /// Who a client is, and whether it matters.
    pub auth: AuthSettings,
    /// SASL, for clients and between servers.
    pub sasl: SaslSettings,
    /// TLS, for clients and between servers.
    pub tls: TlsSettings,
    /// Quotas.
    pub quotas: QuotaSettings,
    /// The collection of empty containers and expired TTL nodes.
    pub containers: ContainerSettings,
    /// What clients may take of the server.
    pub limits: LimitSettings,
    /// `reconfigEnabled`: reconfig is refused for another reason.
    pub reconfig_enabled: bool,
    /// Which four-letter words are answered.
    pub four_letter_words: FourLetterWords,
    /// A damaged history is set aside, and the state asked of the others. No setting says so: it is
    /// decided each time a server is started.
    pub repair_from_peers: bool,
    /// Settings that do not do what their writer may expect, to be logged at start.
    pub warnings: Vec<Warning>,
}

/// What the settings are read from, in Java's order: each later source overrides the earlier.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The text of the variable `SERVER_JVMFLAGS`.
    pub server_jvm_flags: String,
    /// The text of the variable `JVMFLAGS`.
    pub jvm_flags: String,
    /// `-Dname=value` of the command line.
    pub flags: Vec<Flag>,
    /// Nothing, `zoo.cfg`, or `clientPort dataDir [tickTime] [maxClientCnxns]`.
    pub arguments: Vec<String>,
}

impl Sources {
    /// Adds what the environment of this process says to what its command line says.
    pub fn from_process(flags: Vec<Flag>, arguments: Vec<String>) -> Self {
        let variable = |name| {
            std::env::var_os(name)
                .map(|text| text.to_string_lossy().into_owned())
                .unwrap_or_default()
        };
        Self {
            server_jvm_flags: variable("SERVER_JVMFLAGS"),
            jvm_flags: variable("JVMFLAGS"),
            flags,
            arguments,
        }
    }

    /// The value of the system property `name`: what is given last.
    pub fn flag(&self, name: &str) -> Option<String> {
        let (flags, _) = self.all_flags();
        flags
            .into_iter()
            .rev()
            .find(|flag| flag.name == name)
            .map(|flag| flag.value)
    }

    fn all_flags(&self) -> (Vec<Flag>, Vec<Warning>) {
        let (mut flags, first) = flags::from_variable("SERVER_JVMFLAGS", &self.server_jvm_flags);
        let (more, second) = flags::from_variable("JVMFLAGS", &self.jvm_flags);
        flags.extend(more);
        flags.extend(self.flags.iter().cloned());
        (flags, first.into_iter().chain(second).collect())
    }
}

impl Config {
    const PORT: u16 = 2181;
    const DATA_DIR: &str = "./data";
    /// With neither file nor arguments. A file without `tickTime` means 3000.
    const TICK_MS_WITHOUT_FILE: i32 = 2000;

    /// Reads and checks everything. The files named are read, and a bind address is resolved.
    ///
    /// # Errors
    /// All that is wrong with the settings, each with its place.
    pub fn load(sources: &Sources) -> Result<Self, ConfigErrors> {
        let (flags, mut warnings) = sources.all_flags();
        let flags: BTreeMap<_, _> = flags
            .into_iter()
            .map(
                |Flag {
                     name,
                     value,
                     origin,
                 }| (name, Setting { value, origin }),
            )
            .collect();
        let (mut reader, basics) = match &sources.arguments[..] {
            [] => {
                let reader = Reader::new(Origin::Arguments, BTreeMap::new(), flags);
                (reader, Basics::without_file())
            }
            [path] => {
                let mut reader = read_file(Path::new(path), flags);
                let basics = Basics::from_file(&mut reader);
                (reader, basics)
            }
            arguments => {
                let mut reader = Reader::new(Origin::Arguments, BTreeMap::new(), flags);
                let basics = Basics::from_arguments(&mut reader, arguments);
                (reader, basics)
            }
        };
        let mut config = Self::of(basics, &mut reader);
        keys::judge(&mut reader);
        warnings.append(&mut reader.warnings);
        warnings.sort();
        reader.problems.sort();
        if reader.problems.is_empty() {
            config.warnings = warnings;
            Ok(config)
        } else {
            Err(ConfigErrors {
                problems: reader.problems,
                warnings,
            })
        }
    }

    fn of(basics: Basics, reader: &mut Reader) -> Self {
        let mut limits = LimitSettings::read(reader);
        if let Some(connections) = basics.max_client_connections {
            limits.max_client_connections = connections;
        }
        Self {
            client: basics.client,
            data_log_dir: basics.data_log_dir,
            data_dir: basics.data_dir,
            ensemble: basics.ensemble,
            sessions: basics.sessions,
            log: LogSettings::read(reader),
            snapshots: SnapshotSettings::read(reader),
            tree: TreeSettings::read(reader),
            auth: AuthSettings::read(reader),
            sasl: SaslSettings::read(reader),
            tls: TlsSettings::read(reader),
            quotas: QuotaSettings::read(reader),
            containers: ContainerSettings::read(reader),
            limits,
            reconfig_enabled: reader.boolean("reconfigEnabled", false),
            four_letter_words: FourLetterWords::read(reader),
            repair_from_peers: false,
            warnings: Vec::new(),
        }
    }
}

/// What differs between the three ways to start.
struct Basics {
    client: Option<ListenConfig>,
    data_dir: PathBuf,
    data_log_dir: PathBuf,
    ensemble: Option<Ensemble>,
    sessions: SessionSettings,
    /// Overrides what `maxClientCnxns` says, or does not say.
    max_client_connections: Option<u32>,
}

impl Basics {
    fn without_file() -> Self {
        Self {
            client: Some(ListenConfig {
                address: None,
                port: Config::PORT,
                backlog: None,
            }),
            data_dir: PathBuf::from(Config::DATA_DIR),
            data_log_dir: PathBuf::from(Config::DATA_DIR),
            ensemble: None,
            sessions: SessionSettings::of_tick(Config::TICK_MS_WITHOUT_FILE),
            max_client_connections: None,
        }
    }

    /// `ServerConfig.parse(String[])`.
    fn from_arguments(reader: &mut Reader, arguments: &[String]) -> Self {
        let mut basics = Self {
            max_client_connections: Some(0),
            ..Self::without_file()
        };
        let (port, data_dir, more) = match arguments {
            [port, data_dir, more @ ..] if more.len() <= 2 => (port, data_dir, more),
            _ => {
                let reason = format!("Invalid number of arguments:[{}]", arguments.join(", "));
                let allowed = "configfile, or port datadir [ticktime] [maxcnxns]";
                reader.problem(Origin::Arguments, "", reason, allowed);
                return basics;
            }
        };
        basics.data_dir = PathBuf::from(data_dir);
        basics.data_log_dir = basics.data_dir.clone();
        let mut number = |text: &str, key: &str, least: i32, most: i32| {
            let number = value::int(text).filter(|number| (least..=most).contains(number));
            if number.is_none() {
                let reason = format!("For input string: \"{text}\"");
                reader.problem(
                    Origin::Arguments,
                    key,
                    reason,
                    &format!("{least} to {most}"),
                );
            }
            number
        };
        let port = number(port, "clientPort", 0, i32::from(u16::MAX));
        let port = port
            .and_then(|port| u16::try_from(port).ok())
            .unwrap_or(Config::PORT);
        basics.client = Some(ListenConfig {
            address: None,
            port,
            backlog: None,
        });
        let tick = match more.first() {
            Some(text) => number(text, "tickTime", 1, i32::MAX),
            None => None,
        };
        basics.sessions = SessionSettings::of_tick(tick.unwrap_or(SessionSettings::TICK_MS));
        if let Some(text) = more.get(1) {
            let connections = number(text, "maxClientCnxns", 0, i32::MAX);
            basics.max_client_connections = connections.map(i32::unsigned_abs);
        }
        basics
    }

    /// `QuorumPeerConfig.parseProperties`.
    fn from_file(reader: &mut Reader) -> Self {
        let data_dir = directory(reader, "dataDir").unwrap_or_else(|| {
            let origin = reader.whole.clone();
            // A file that cannot be read sets nothing; one complaint is enough.
            if !reader
                .problems
                .iter()
                .any(|problem| problem.origin == origin)
            {
                reader.problem(origin, "dataDir", "dataDir is not set", "a directory");
            }
            PathBuf::new()
        });
        let data_log_dir = directory(reader, "dataLogDir").unwrap_or_else(|| data_dir.clone());
        let sessions = SessionSettings::read(reader);
        let (endpoint, ensemble) = ensemble::read(reader, &data_dir, sessions.tick);
        Self {
            client: listen(reader, endpoint),
            data_dir,
            data_log_dir,
            ensemble,
            sessions,
            max_client_connections: None,
        }
    }
}

fn read_file(path: &Path, flags: BTreeMap<String, Setting>) -> Reader {
    let mut reader = Reader::new(Origin::File(path.to_owned()), BTreeMap::new(), flags);
    let origin = reader.whole.clone();
    if let Some(settings) = file::read(&mut reader, path, origin, "") {
        reader.set_file(settings);
    }
    reader
}

fn directory(reader: &mut Reader, key: &'static str) -> Option<PathBuf> {
    let Setting { value, origin } = reader.text(key, Place::File)?;
    let path = PathBuf::from(&value);
    if value.is_empty() {
        return None;
    }
    if path.is_relative() && !value.starts_with("./") {
        let text = format!("{value} is relative. Prepend ./ to indicate that you're sure!");
        reader.warn(origin, key, text);
    }
    Some(path)
}

/// The client port of the file, or of this server's own line.
fn listen(reader: &mut Reader, endpoint: Option<ClientEndpoint>) -> Option<ListenConfig> {
    let backlog = reader.int(
        "clientPortListenBacklog",
        "a number of connections, -1 for the default",
    );
    let backlog = backlog
        .and_then(|length| u32::try_from(length).ok())
        .filter(|&length| length > 0);
    let port = reader
        .int("clientPort", "a port, 1 to 65535")
        .and_then(|number| {
            let port = u16::try_from(number).ok();
            if port.is_none() {
                let origin = reader.origin("clientPort", Place::File);
                let reason = format!("port out of range:{number}");
                reader.problem(origin, "clientPort", reason, "a port, 1 to 65535");
            }
            // Java does not tell 0 from a missing line.
            port.filter(|&port| port != 0)
        });
    let host = reader.text("clientPortAddress", Place::File);
    for (address_key, port_key) in [
        ("clientPortAddress", "clientPort"),
        ("secureClientPortAddress", "secureClientPort"),
    ] {
        let port_set = reader
            .text(port_key, Place::File)
            .is_some_and(|port| port.value != "0");
        if port_set {
            continue;
        }
        if let Some(Setting { origin, .. }) = reader.text(address_key, Place::File) {
            let reason = format!("{address_key} is set but {port_key} is not set");
            reader.problem(
                origin,
                address_key,
                reason,
                &format!("both lines, or no {address_key}"),
            );
        }
    }
    let static_address = host
        .and_then(|setting| resolve(reader, "clientPortAddress", &setting.value, setting.origin));
    let Some(ClientEndpoint {
        address,
        origin,
        key,
        id,
    }) = endpoint
    else {
        return Some(ListenConfig {
            address: static_address.flatten(),
            port: port?,
            backlog,
        });
    };
    let line_port = address.port;
    let line_address = resolve(reader, &key, &address.host, origin.clone()).flatten();
    if let Some(port) = port {
        let address = static_address.flatten();
        let differs = port != line_port || (address.is_some() && address != line_address);
        if differs {
            let text = |address: Option<IpAddr>, port| {
                address.map_or_else(
                    || format!("0.0.0.0:{port}"),
                    |address| format!("{address}:{port}"),
                )
            };
            let reason = format!(
                "client address for this server (id = {}) in static config file is {} is \
                 different from client address found in dynamic file: {}",
                id.0,
                text(address, port),
                text(line_address, line_port)
            );
            reader.problem(
                origin,
                &key,
                reason,
                "the same address in both places, or in one",
            );
        }
    }
    Some(ListenConfig {
        address: line_address,
        port: line_port,
        backlog,
    })
}

/// The address `host` stands for; `Some(None)` is every address.
fn resolve(reader: &mut Reader, key: &str, host: &str, origin: Origin) -> Option<Option<IpAddr>> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let found = (bare, 0)
        .to_socket_addrs()
        .ok()
        .and_then(|mut found| found.next());
    match found {
        Some(address) => Some(Some(address.ip()).filter(|ip| !ip.is_unspecified())),
        None => {
            let reason = format!("{host}: Name or service not known");
            reader.problem(
                origin,
                key,
                reason,
                "an address of this machine or a name for one",
            );
            None
        }
    }
}
