//! The groups of settings, one struct per component. Each field's default stands beside its key.
//!
//! Source: operations.md 1.4 to 1.8; storage.md 14.

use std::collections::BTreeSet;
use std::time::Duration;

use ox_replica::DigestAlgorithm;

use super::reader::{Place, Reader, Setting};
use super::value::millis;

/// Session timeouts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSettings {
    /// `tickTime`: the base unit of time; sessions expire on its multiples.
    pub tick: Duration,
    /// `minSessionTimeout`: what clients ask for is raised to this.
    pub min_timeout: Duration,
    /// `maxSessionTimeout`: what clients ask for is lowered to this.
    pub max_timeout: Duration,
}

impl SessionSettings {
    pub(super) const TICK_MS: i32 = 3000;
    const MIN_TICKS: i32 = 2;
    const MAX_TICKS: i32 = 20;

    pub(super) fn read(reader: &mut Reader) -> Self {
        let tick_ms = reader
            .int("tickTime", "milliseconds, from 1")
            .unwrap_or(Self::TICK_MS);
        if tick_ms < 1 {
            let origin = reader.origin("tickTime", Place::File);
            let reason = match tick_ms {
                0 => "tickTime is not set".to_owned(),
                _ => format!("tickTime is negative: {tick_ms}"),
            };
            reader.problem(origin, "tickTime", reason, "milliseconds, from 1");
        }
        let tick_ms = tick_ms.max(1);
        let mut timeout = |key, ticks: i32| {
            let written = reader
                .int(key, "milliseconds, or -1 for the default")
                .unwrap_or(-1);
            if written == -1 {
                tick_ms.saturating_mul(ticks)
            } else {
                written
            }
        };
        let min = timeout("minSessionTimeout", Self::MIN_TICKS);
        let max = timeout("maxSessionTimeout", Self::MAX_TICKS);
        if min > max {
            let written = |reader: &mut Reader, key| reader.text(key, Place::File).is_some();
            let key = if written(reader, "minSessionTimeout") {
                "minSessionTimeout"
            } else {
                "maxSessionTimeout"
            };
            let origin = reader.origin(key, Place::File);
            let reason = "minSessionTimeout must not be larger than maxSessionTimeout";
            reader.problem(
                origin,
                key,
                reason,
                &format!("at most the maximum; here {min} and {max} ms"),
            );
        }
        Self {
            tick: millis(tick_ms),
            min_timeout: millis(min),
            max_timeout: millis(max),
        }
    }

    pub(super) fn of_tick(tick_ms: i32) -> Self {
        Self {
            tick: millis(tick_ms),
            min_timeout: millis(tick_ms.saturating_mul(Self::MIN_TICKS)),
            max_timeout: millis(tick_ms.saturating_mul(Self::MAX_TICKS)),
        }
    }
}

/// The transaction log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// `preAllocSize`, in bytes: the file grows in zero-filled steps of this size. 0 turns it off.
    pub preallocate: u64,
    /// `forceSync`: off only for the exact word `no`. Then acknowledged writes may be lost.
    pub force_sync: bool,
    /// `fsync.warningthresholdms`: a sync that takes longer is logged.
    pub fsync_warning: Duration,
    /// `txnLogSizeLimitInKb`, in bytes: a file of this size is followed by a new one.
    pub size_limit: Option<u64>,
}

impl LogSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let preallocate_kib: i64 = reader.number("preAllocSize", Place::Property, 65536);
        // The name without prefix is the older one; it is asked when the newer is not there.
        let older: i64 = reader.number("fsync.warningthresholdms", Place::Flag, 1000);
        let fsync_warning: i64 = reader.number("fsync.warningthresholdms", Place::Property, older);
        let size_limit_kib: i64 = reader.number("txnLogSizeLimitInKb", Place::Property, -1);
        let force_sync = !reader.is_word("forceSync", "no");
        if !force_sync {
            let text = "writes are acknowledged before they are on disk and may be lost";
            reader.warn_about("forceSync", Place::Property, text);
        }
        Self {
            preallocate: kibibytes(preallocate_kib).unwrap_or(0),
            force_sync,
            fsync_warning: Duration::from_millis(u64::try_from(fsync_warning).unwrap_or(0)),
            size_limit: kibibytes(size_limit_kib),
        }
    }
}

/// How new snapshot files are compressed. All three kinds are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SnapshotCompression {
    /// Plain bytes.
    #[default]
    None,
    /// `snapshot.<zxid>.gz`.
    Gzip,
    /// `snapshot.<zxid>.snappy`.
    Snappy,
}

/// Snapshots and their retention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotSettings {
    /// `snapCount`: a snapshot follows a random number of txns in [n/2+1, n]. At least 2.
    pub every_txns: u32,
    /// `snapSizeLimitInKb`, in bytes: the same by the log's growth.
    pub every_bytes: Option<u64>,
    /// `snapshot.compression.method`.
    pub compression: SnapshotCompression,
    /// `snapshot.trust.empty`: start from a log that no snapshot stands before.
    pub trust_empty: bool,
    /// `autopurge.snapRetainCount`: how many are kept. At least 3.
    pub retain: usize,
    /// `autopurge.purgeInterval`: none is off. The first run is at start.
    pub purge_interval: Option<Duration>,
}

impl SnapshotSettings {
    const LEAST_RETAINED: i32 = 3;

    pub(super) fn read(reader: &mut Reader) -> Self {
        let every_txns: i32 = reader.number_from("snapCount", Place::Property, 100_000, 2);
        let every_kib: i64 = reader.number("snapSizeLimitInKb", Place::Property, 4_194_304);
        let retain = reader.int("autopurge.snapRetainCount", "a number of snapshots, from 3");
        let retain = retain.unwrap_or(Self::LEAST_RETAINED);
        if retain < Self::LEAST_RETAINED {
            let text = format!("Invalid autopurge.snapRetainCount: {retain}. Defaulting to 3");
            reader.warn_about("autopurge.snapRetainCount", Place::File, text);
        }
        let hours = reader
            .int("autopurge.purgeInterval", "hours, 0 for never")
            .unwrap_or(0);
        Self {
            every_txns: every_txns.unsigned_abs(),
            every_bytes: kibibytes(every_kib),
            compression: Self::compression(reader),
            trust_empty: reader.property_boolean("snapshot.trust.empty", false),
            retain: usize::try_from(retain.max(Self::LEAST_RETAINED)).unwrap_or(usize::MAX),
            purge_interval: (hours > 0)
                .then(|| Duration::from_secs(u64::from(hours.unsigned_abs()) * 3600)),
        }
    }

    fn compression(reader: &mut Reader) -> SnapshotCompression {
        let key = "snapshot.compression.method";
        let Some(Setting { value, origin }) = reader.text(key, Place::Property) else {
            return SnapshotCompression::None;
        };
        match value.to_ascii_lowercase().as_str() {
            "" => SnapshotCompression::None,
            "gz" => SnapshotCompression::Gzip,
            "snappy" => SnapshotCompression::Snappy,
            _ => {
                reader.warn(
                    origin,
                    key,
                    format!("\"{value}\" is neither gz nor snappy, snapshots are not compressed"),
                );
                SnapshotCompression::None
            }
        }
    }
}

/// The tree and its storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeSettings {
    /// `extendedTypesEnabled`: TTL nodes may be created.
    pub extended_types: bool,
    /// `emulate353TTLNodes`: the encoding of TTL that 3.5.3 used.
    pub emulate_353_ttl: bool,
    /// `digest.enabled`: the tree digest goes into log and snapshots and is checked.
    pub digest: bool,
    /// `datadir.autocreate`: missing directories are made.
    pub create_directories: bool,
}

impl TreeSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            extended_types: reader.property_boolean("extendedTypesEnabled", false),
            emulate_353_ttl: reader.property_boolean("emulate353TTLNodes", false),
            digest: reader.property_boolean("digest.enabled", true),
            create_directories: reader.property_boolean("datadir.autocreate", true),
        }
    }
}

/// Who a client is, and whether it matters.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthSettings {
    /// `DigestAuthenticationProvider.enabled`: whether the scheme `digest` exists.
    pub digest_enabled: bool,
    /// `DigestAuthenticationProvider.digestAlg`.
    pub digest_algorithm: DigestAlgorithm,
    /// `DigestAuthenticationProvider.superDigest`: `user:base64(hash(user:password))`; who proves
    /// to be this user is also `super`.
    pub super_digest: Option<String>,
    /// `skipACL`: on for the exact word `yes`; then no ACL is checked.
    pub skip_acl: bool,
    /// `enforce.auth.schemes`, if `enforce.auth.enabled`: a connection needs one of these. With
    /// `sessionRequireClientSASLAuth` it is sasl alone.
    pub required_schemes: Vec<String>,
}

impl std::fmt::Debug for AuthSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthSettings")
            .field("digest_enabled", &self.digest_enabled)
            .field("digest_algorithm", &self.digest_algorithm)
            .field("super_digest", &self.super_digest.as_ref().map(|_| "***"))
            .field("skip_acl", &self.skip_acl)
            .field("required_schemes", &self.required_schemes)
            .finish()
    }
}

const SASL: &str = "sasl";

/// Without it there is no scheme sasl, whoever may authenticate by it.
const PROVIDER_LINE: &str =
    "with authProvider.sasl=org.apache.zookeeper.server.auth.SASLAuthenticationProvider";

fn unavailable(scheme: &str) -> String {
    format!("Authentication scheme {scheme} is not available.")
}

impl AuthSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let super_digest = reader.text("DigestAuthenticationProvider.superDigest", Place::Property);
        let skip_acl = reader.is_word("skipACL", "yes");
        if skip_acl {
            reader.warn_about(
                "skipACL",
                Place::Property,
                "ACLs are not checked for anybody",
            );
        }
        let digest_enabled = reader.property_boolean("DigestAuthenticationProvider.enabled", true);
        Self {
            digest_enabled,
            digest_algorithm: Self::algorithm(reader),
            super_digest: super_digest.map(|setting| setting.value),
            skip_acl,
            required_schemes: Self::required_schemes(reader, digest_enabled),
        }
    }

    /// `digest_enabled` is whether that scheme is there to be asked for; `ip` always is.
    fn required_schemes(reader: &mut Reader, digest_enabled: bool) -> Vec<String> {
        let enabled = reader.property_boolean("enforce.auth.enabled", false);
        let written = reader.text("enforce.auth.schemes", Place::Property);
        let written = written.filter(|setting| !setting.value.is_empty());
        let shortcut = "sessionRequireClientSASLAuth";
        if reader.property_boolean(shortcut, false) {
            if let Some(Setting { origin, .. }) = written {
                let text = format!("no effect with {shortcut}=true, which asks for sasl alone");
                reader.warn(origin, "enforce.auth.schemes", text);
            }
            if !super::sasl::has_scheme(reader) {
                let origin = reader.origin(shortcut, Place::Property);
                let reason = unavailable(SASL);
                reader.problem(origin, shortcut, reason, PROVIDER_LINE);
            }
            return vec![SASL.to_owned()];
        }
        let (Some(Setting { value, origin }), true) = (&written, enabled) else {
            if let Some(Setting { origin, .. }) = written {
                let text = "no effect without enforce.auth.enabled=true";
                reader.warn(origin, "enforce.auth.schemes", text);
            } else if enabled {
                let origin = reader.origin("enforce.auth.enabled", Place::Property);
                let reason = "zookeeper.enforce.auth.enabled is true \
                              zookeeper.enforce.auth.schemes must be  configured.";
                reader.problem(
                    origin,
                    "enforce.auth.enabled",
                    reason,
                    "a comma list of schemes",
                );
            }
            return Vec::new();
        };
        let schemes: Vec<_> = value
            .split(',')
            .map(|scheme| scheme.trim().to_owned())
            .collect();
        let x509_enabled = super::tls::has_x509(reader);
        let sasl_enabled = super::sasl::has_scheme(reader);
        for scheme in &schemes {
            if scheme == "ip"
                || (scheme == SASL && sasl_enabled)
                || (scheme == "x509" && x509_enabled)
                || (scheme == "digest" && digest_enabled)
            {
                continue;
            }
            let allowed = match scheme.as_str() {
                SASL => PROVIDER_LINE,
                _ => "a comma list of digest, ip, sasl and, with TLS, x509",
            };
            let reason = unavailable(scheme);
            reader.problem(origin.clone(), "enforce.auth.schemes", reason, allowed);
        }
        schemes
    }

    fn algorithm(reader: &mut Reader) -> DigestAlgorithm {
        let key = "DigestAuthenticationProvider.digestAlg";
        let Some(Setting { value, origin }) = reader.text(key, Place::Property) else {
            return DigestAlgorithm::Sha1;
        };
        DigestAlgorithm::from_name(&value).unwrap_or_else(|| {
            let reason = format!("{value} MessageDigest not available");
            reader.problem(origin, key, reason, DigestAlgorithm::NAMES);
            // Java finds this only when it loads the provider, past the configuration.
            if let Some(problem) = reader.problems.last_mut() {
                problem.exit_code = 1;
            }
            DigestAlgorithm::Sha1
        })
    }
}

/// Quotas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaSettings {
    /// `enforceQuota`: hard limits refuse requests.
    pub enforce: bool,
}

impl QuotaSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            enforce: reader.property_boolean("enforceQuota", false),
        }
    }
}

/// The collection of empty containers and expired TTL nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerSettings {
    /// `-Dznode.container.checkIntervalMs`.
    pub check_interval: Duration,
    /// `-Dznode.container.maxPerMinute`: how many are deleted at most.
    pub max_per_minute: u32,
    /// `-Dznode.container.maxNeverUsedIntervalMs`: none keeps containers that never had a child.
    pub max_never_used: Option<Duration>,
}

impl ContainerSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let interval_ms =
            reader.number_from("znode.container.checkIntervalMs", Place::Flag, 60_000, 1);
        let per_minute = reader.number_from("znode.container.maxPerMinute", Place::Flag, 10_000, 1);
        let never_used: i64 =
            reader.number("znode.container.maxNeverUsedIntervalMs", Place::Flag, 0);
        Self {
            check_interval: millis(interval_ms),
            max_per_minute: i32::unsigned_abs(per_minute),
            max_never_used: u64::try_from(never_used)
                .ok()
                .filter(|&ms| ms > 0)
                .map(Duration::from_millis),
        }
    }
}

/// What clients may take of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// `-Djute.maxbuffer`, in bytes: the longest request, and the longest record with `extra_size`.
    pub jute_max_buffer: usize,
    /// `jute.maxbuffer.extrasize`, in bytes: slack for records of our own log and snapshots.
    pub jute_extra_size: usize,
    /// `maxClientCnxns`: connections from one address; 0 is no limit.
    pub max_client_connections: u32,
    /// `maxCnxns`: connections in all; 0 is no limit.
    pub max_connections: u32,
    /// `globalOutstandingLimit`: requests in flight beyond which connections are not read.
    pub global_outstanding: u32,
    /// `nio.sessionlessCnxnTimeout`: how long a connection may stay without a session.
    pub sessionless_timeout: Duration,
    /// `clientTcpKeepAlive`: keepalive on client sockets.
    pub tcp_keep_alive: bool,
}

impl LimitSettings {
    const JUTE_MAX_BUFFER: i32 = 0xf_ffff;
    const LEAST_EXTRA_SIZE: i32 = 1024;
    const MAX_CLIENT_CONNECTIONS: i32 = 60;

    pub(super) fn read(reader: &mut Reader) -> Self {
        let max_buffer: i32 =
            reader.number_from("jute.maxbuffer", Place::Flag, Self::JUTE_MAX_BUFFER, 1);
        let extra: i32 = reader.number("jute.maxbuffer.extrasize", Place::Property, max_buffer);
        let per_address = reader
            .int("maxClientCnxns", "a number of connections, 0 for no limit")
            .unwrap_or(Self::MAX_CLIENT_CONNECTIONS);
        let in_all: i32 = reader.number("maxCnxns", Place::Property, 0);
        let outstanding: i32 = reader.number("globalOutstandingLimit", Place::Property, 1000);
        let sessionless: i32 =
            reader.number_from("nio.sessionlessCnxnTimeout", Place::Property, 10_000, 1);
        Self {
            jute_max_buffer: count(max_buffer),
            jute_extra_size: count(extra.max(Self::LEAST_EXTRA_SIZE)),
            max_client_connections: per_address.max(0).unsigned_abs(),
            max_connections: in_all.max(0).unsigned_abs(),
            global_outstanding: outstanding.max(1).unsigned_abs(),
            sessionless_timeout: millis(sessionless),
            tcp_keep_alive: reader.property_boolean("clientTcpKeepAlive", false),
        }
    }
}

/// Which four-letter words are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FourLetterWords {
    /// `*`.
    All,
    /// These; `srvr` is always among them, `isro` with `-Dreadonlymode.enabled=true`.
    Only(BTreeSet<String>),
}

impl FourLetterWords {
    /// Whether `word` is on the whitelist.
    pub fn allows(&self, word: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(words) => words.contains(word),
        }
    }

    pub(super) fn read(reader: &mut Reader) -> Self {
        let written = reader.text("4lw.commands.whitelist", Place::Property);
        let read_only = reader.text("readonlymode.enabled", Place::Flag);
        let words = written.map(|setting| setting.value).unwrap_or_default();
        let mut words: BTreeSet<_> = words
            .split(',')
            .map(|word| word.trim().to_owned())
            .filter(|word| !word.is_empty())
            .collect();
        if words.contains("*") {
            return Self::All;
        }
        words.insert("srvr".to_owned());
        if read_only.is_some_and(|setting| setting.value == "true") {
            words.insert("isro".to_owned());
        }
        Self::Only(words)
    }
}

fn count(number: i32) -> usize {
    usize::try_from(number).unwrap_or(0)
}

/// A size in bytes; none for "off", which is any number up to 0.
fn kibibytes(kib: i64) -> Option<u64> {
    u64::try_from(kib)
        .ok()
        .filter(|&kib| kib > 0)
        .map(|kib| kib.saturating_mul(1024))
}
