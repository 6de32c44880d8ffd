//! Keys that no component reads: what Java knows and Oxkeeper does not do (yet), names that look
//! like keys, and mistakes.
//!
//! Invariant: no setting is ignored in silence. One whose absence would leave the server less
//! guarded than its file says is a reason not to start; any other is named in a warning.
//! Source: operations.md 1.4 to 1.9 and 1.12.

use super::problem::Origin;
use super::reader::{Place, Reader, Setting};
use super::{sasl, tls};

/// What becomes of a key that nothing reads.
#[derive(Clone, Copy)]
enum Standing {
    /// Only servers of an ensemble use it, in Java too. In an ensemble here it has no effect.
    Ensemble(&'static str),
    /// Names or groups a member; these lines are read all together.
    Members,
    /// Names a super user; these lines are read all together.
    SuperUsers,
    /// The feature is to come; the key has no effect so far.
    NotYet(&'static str),
    /// Tunes what does not exist here.
    Meaningless(&'static str),
    /// Without this the server would let in whom its file keeps out.
    Guards(&'static str),
}

use Standing::{Ensemble, Guards, Meaningless, Members, NotYet, SuperUsers};

const PROVIDERS: Standing =
    Guards("authentication providers beyond digest, ip, sasl and x509 are not supported yet");
const QUORUM_AUTH: Standing = Guards("no such setting of quorum authentication is known");
const ADMIN: Standing = NotYet("the AdminServer is not served yet");
const THROTTLE: Standing = NotYet("requests are not throttled by this yet");
const CONNECTION_THROTTLE: Standing = NotYet("connections are not throttled by this yet");
const PAUSES: Standing = NotYet("pauses are not watched yet");
const AUDIT: Standing = NotYet("no audit log is written yet");
const THREADS: Standing = Meaningless("there are no such threads here");
const TEST_HOOK: Standing = Meaningless("test hook of the Java server");
const WATCHERS: Standing = Meaningless("there is one way to keep watches here");
const CACHES: Standing = Meaningless("there is no response cache here");
const PATH_STATS: Standing = NotYet("path statistics are not kept yet");
const KERBEROS: Standing = NotYet("there is no Kerberos yet");

const THREADS_OF_LINKS: Standing = Ensemble("links between servers have no such threads here");
const REACHABILITY: Standing = Ensemble("all addresses of a server are tried at once");
const NODELAY: Standing = Ensemble("links between servers never delay what is small");
const PROCESSORS: Standing = Ensemble("there are no such processors here");
const TRACKER: Standing = Ensemble("messages between servers are not kept");

/// Consumed by Java's parser, numbers.
const FILE_INTS: &[(&str, Standing)] = &[
    ("quorum.cnxn.threads.size", THREADS_OF_LINKS),
    ("jvm.pause.sleep.time.ms", PAUSES),
    ("jvm.pause.warn-threshold.ms", PAUSES),
    ("jvm.pause.info-threshold.ms", PAUSES),
];

/// Consumed by Java's parser, booleans.
const FILE_BOOLEANS: &[(&str, Standing)] = &[("jvm.pause.monitor", PAUSES)];

/// Everything else, in the file or as `-Dzookeeper.<name>`. A star stands for any ending.
const OTHERS: &[(&str, Standing)] = &[
    ("ssl.*", Guards("no such setting of TLS is known")),
    ("authProvider.*", PROVIDERS),
    ("superUser", SuperUsers),
    ("superUser.*", SuperUsers),
    (
        "X509AuthenticationProvider.*",
        Guards("no such setting of x509 authentication is known"),
    ),
    (
        "ensembleAuthName",
        Guards("ensemble names are not checked yet"),
    ),
    ("quorum.auth.*", QUORUM_AUTH),
    (
        "letAnySaslUserDoX",
        Meaningless("nobody may do what only somebody else may"),
    ),
    ("security.auth_to_local", KERBEROS),
    ("requireKerberosConfig", KERBEROS),
    ("kinit", KERBEROS),
    ("kerberos.*", KERBEROS),
    ("IPAuthenticationProvider.usexforwardedfor", ADMIN),
    ("admin.*", ADMIN),
    ("audit.*", AUDIT),
    ("metricsProvider.*", NotYet("metrics are not served yet")),
    ("jmx.*", Meaningless("there is no JMX here")),
    ("controllerPort", TEST_HOOK),
    ("server.*", Members),
    ("group*", Members),
    (
        "closeSessionTxn.enabled",
        Meaningless("a closeSession always lists what it deletes"),
    ),
    (
        "serializeLastProcessedZxid.enabled",
        Meaningless("snapshots always tell their last zxid"),
    ),
    ("weight*", Members),
    ("multiAddress.reachabilityCheckEnabled", REACHABILITY),
    ("multiAddress.reachabilityCheckTimeoutMs", REACHABILITY),
    (
        "oraclePath",
        Ensemble("there is no oracle: of two voters none may fail"),
    ),
    (
        "leader.ackLoggingFrequency",
        Ensemble("the time of acks is not sampled"),
    ),
    ("leader.closeSocketAsync", THREADS_OF_LINKS),
    ("learner.closeSocketAsync", THREADS_OF_LINKS),
    ("learner.asyncSending", THREADS_OF_LINKS),
    ("follower.skipLearnerRequestToNextProcessor", PROCESSORS),
    (
        "forward_learner_requests_to_commit_processor_disabled",
        PROCESSORS,
    ),
    ("messageTracker.Enabled", TRACKER),
    ("messageTracker.BufferSize", TRACKER),
    (
        "enableEagerACLCheck",
        Ensemble("ACLs are checked where a request becomes a transaction"),
    ),
    (
        "flushDelay",
        Meaningless("the log is synced as soon as the disk is free"),
    ),
    (
        "maxWriteQueuePollTime",
        Meaningless("the log is synced as soon as the disk is free"),
    ),
    (
        "maxBatchSize",
        Meaningless("the log is synced as soon as the disk is free"),
    ),
    (
        "intBufferStartingSizeBytes",
        Meaningless("buffers have no starting size here"),
    ),
    ("maxResponseCacheSize", CACHES),
    ("maxGetChildrenResponseCacheSize", CACHES),
    ("watchManagerName", WATCHERS),
    ("watcherCleanThreshold", WATCHERS),
    ("watcherCleanIntervalInSeconds", WATCHERS),
    ("watcherCleanThreadsNum", WATCHERS),
    ("maxInProcessingDeadWatchers", WATCHERS),
    ("bitHashCacheSize", WATCHERS),
    ("test.allowDiscontinuousProposals", TEST_HOOK),
    ("testingonly.initialZxid", TEST_HOOK),
    ("largeRequestMaxBytes", THROTTLE),
    ("largeRequestThreshold", THROTTLE),
    ("request_throttle_max_requests", THROTTLE),
    ("request_throttle_stall_time", THROTTLE),
    ("request_throttle_drop_stale", THROTTLE),
    ("request_throttler.shutdownTimeout", THROTTLE),
    ("request_stale_connection_check", THROTTLE),
    ("request_stale_latency_check", THROTTLE),
    ("throttled_op_wait_time", THROTTLE),
    ("connection_throttle_tokens", CONNECTION_THROTTLE),
    ("connection_throttle_fill_time", CONNECTION_THROTTLE),
    ("connection_throttle_fill_count", CONNECTION_THROTTLE),
    ("connection_throttle_freeze_time", CONNECTION_THROTTLE),
    ("connection_throttle_drop_increase", CONNECTION_THROTTLE),
    ("connection_throttle_drop_decrease", CONNECTION_THROTTLE),
    ("connection_throttle_decrease_ratio", CONNECTION_THROTTLE),
    ("connection_throttle_weight_enabled", CONNECTION_THROTTLE),
    (
        "connection_throttle_global_session_weight",
        CONNECTION_THROTTLE,
    ),
    (
        "connection_throttle_renew_session_weight",
        CONNECTION_THROTTLE,
    ),
    (
        "connection_throttle_local_session_weight",
        CONNECTION_THROTTLE,
    ),
    ("nio.numSelectorThreads", THREADS),
    ("nio.numWorkerThreads", THREADS),
    ("nio.shutdownTimeout", THREADS),
    ("nio.directBufferBytes", THREADS),
    ("commitProcessor.numWorkerThreads", THREADS),
    ("commitProcessor.maxReadBatchSize", THREADS),
    ("commitProcessor.maxCommitBatchSize", THREADS),
    ("commitProcessor.shutdownTimeout", THREADS),
    (
        "netty.advancedFlowControl.enabled",
        Meaningless("there is flow control always"),
    ),
    ("pathStats.*", PATH_STATS),
];

/// Read as `-D` without prefix only, like the flags components ask for.
const FLAGS: &[(&str, Standing)] = &[
    ("leader.nodelay", NODELAY),
    ("follower.nodelay", NODELAY),
    ("leader.closeSocketAsync", THREADS_OF_LINKS),
    ("learner.closeSocketAsync", THREADS_OF_LINKS),
    ("learner.asyncSending", THREADS_OF_LINKS),
];

/// Names the manual prints that are no keys, and the key that works.
const LABELS: &[(&str, &str)] = &[
    ("connectionMaxTokens", "connection_throttle_tokens"),
    ("connectionTokenFillTime", "connection_throttle_fill_time"),
    ("connectionTokenFillCount", "connection_throttle_fill_count"),
    ("connectionFreezeTime", "connection_throttle_freeze_time"),
    (
        "connectionDropIncrease",
        "connection_throttle_drop_increase",
    ),
    (
        "connectionDropDecrease",
        "connection_throttle_drop_decrease",
    ),
    (
        "connectionDecreaseRatio",
        "connection_throttle_decrease_ratio",
    ),
    ("requestThrottleLimit", "request_throttle_max_requests"),
    ("requestThrottleStallTime", "request_throttle_stall_time"),
    ("requestThrottleDropStale", "request_throttle_drop_stale"),
    ("requestStaleLatencyCheck", "request_stale_latency_check"),
    (
        "requestStaleConnectionCheck",
        "request_stale_connection_check",
    ),
    ("throttledOpWaitTime", "throttled_op_wait_time"),
    (
        "advancedFlowControlEnabled",
        "netty.advancedFlowControl.enabled",
    ),
    (
        "outstandingHandshake.limit",
        "netty.server.outstandingHandshake.limit",
    ),
    ("maxConcurrentSnapSyncs", "leader.maxConcurrentSnapSyncs"),
    ("maxConcurrentDiffSyncs", "leader.maxConcurrentDiffSyncs"),
    ("maxTimeToWaitForEpoch", "leader.maxTimeToWaitForEpoch"),
];

/// System properties of the JVM itself and of its logging.
const OF_THE_JVM: &[&str] = &[
    "com.sun.",
    "file.encoding",
    "java.",
    "javax.",
    "jdk.",
    "log4j.",
    "log4j2.",
    "logback.",
    "org.",
    "sun.",
    "user.",
    "zookeeper.audit.log",
    "zookeeper.console.threshold",
    "zookeeper.jmx.",
    "zookeeper.log.",
    "zookeeper.root.logger",
    "zookeeper.tracelog.",
];

/// Judges every setting that no component has read. To be called when all have read theirs.
pub(super) fn judge(reader: &mut Reader) {
    for &(key, _) in FILE_INTS {
        reader.int(key, "a number");
    }
    for &(key, _) in FILE_BOOLEANS {
        reader.boolean(key, false);
    }
    metrics_provider(reader);
    connection_factory(reader);
    for (key, setting) in reader.file().clone() {
        in_file(reader, &key, &setting);
    }
    for (name, setting) in reader.flags().clone() {
        as_flag(reader, &name, &setting);
    }
}

fn in_file(reader: &mut Reader, key: &str, setting: &Setting) {
    let origin = setting.origin.clone();
    let value = &setting.value;
    if let Some(standing) = row(&[FILE_INTS, FILE_BOOLEANS], key) {
        return say(reader, origin, key, value, standing);
    }
    match reader.known.get(key) {
        Some(Place::File | Place::Property) => return,
        Some(Place::Flag) => return reader.warn(origin, key, only_as_flag(key, value)),
        None => {}
    }
    if let Some(standing) = row(&[OTHERS], key) {
        return say(reader, origin, key, value, standing);
    }
    let is_flag = row(&[FLAGS], key).is_some();
    let text = if is_flag {
        only_as_flag(key, value)
    } else {
        unknown(reader, key)
    };
    reader.warn(origin, key, text);
}

fn only_as_flag(key: &str, value: &str) -> String {
    format!("no effect in this file; it works only as a flag: -D{key}={value}")
}

fn as_flag(reader: &mut Reader, name: &str, setting: &Setting) {
    let origin = setting.origin.clone();
    if let Some(standing) = row(&[FLAGS], name) {
        return say(reader, origin, name, &setting.value, standing);
    }
    if reader.known.get(name) == Some(&Place::Flag) {
        return;
    }
    if OF_THE_JVM.iter().any(|prefix| name.starts_with(prefix)) {
        return;
    }
    let text = match name.strip_prefix("zookeeper.") {
        Some(key) => {
            let known = reader.known.get(key);
            let standing = row(&[OTHERS], key).filter(|_| known != Some(&Place::Property));
            if let Some(standing) = standing {
                return say(reader, origin, name, &setting.value, standing);
            }
            match known {
                Some(Place::Property) => return,
                Some(Place::File) => format!(
                    "no effect as a flag; it works only in the file: {key}={}",
                    setting.value
                ),
                Some(Place::Flag) => format!("unknown; did you mean -D{key}?"),
                None => unknown(reader, key),
            }
        }
        None if reader.known.get(name) == Some(&Place::Property) => {
            format!("unknown; did you mean -Dzookeeper.{name}?")
        }
        None => unknown(reader, name),
    };
    reader.warn(origin, name, text);
}

fn say(reader: &mut Reader, origin: Origin, key: &str, value: &str, standing: Standing) {
    if tls::is_provider(key, value) || sasl::is_provider(key, value) {
        return;
    }
    let off = value.is_empty() || value.eq_ignore_ascii_case("false");
    match standing {
        Members | SuperUsers => {}
        Ensemble(_) if !reader.in_ensemble => {}
        NotYet(_) | Guards(_) if off => {}
        NotYet(why) | Meaningless(why) | Ensemble(why) => {
            reader.warn(origin, key, format!("no effect: {why}"))
        }
        Guards(why) => {
            let reason = format!("{why}, and the server would be less guarded without it");
            reader.problem(origin, key, reason, "no such line, or false");
        }
    }
}

fn row(tables: &[&[(&'static str, Standing)]], key: &str) -> Option<Standing> {
    let matches = |name: &str| match name.strip_suffix('*') {
        Some(start) => key.starts_with(start),
        None => key == name,
    };
    tables
        .iter()
        .copied()
        .flatten()
        .find(|(name, _)| matches(name))
        .map(|&(_, standing)| standing)
}

fn unknown(reader: &Reader, key: &str) -> String {
    if let Some((_, works)) = LABELS.iter().find(|(label, _)| *label == key) {
        return format!("the manual's name for a setting, but not its key; did you mean {works}?");
    }
    if let Some(bare) = key.strip_prefix("zookeeper.") {
        return format!("keys of this file have no prefix; did you mean {bare}?");
    }
    let names = [FILE_INTS, FILE_BOOLEANS, OTHERS]
        .into_iter()
        .flatten()
        .map(|&(name, _)| name);
    let nearest = names
        .filter(|name| !name.ends_with('*'))
        .chain(reader.known.keys().copied())
        .map(|name| (distance(&key.to_lowercase(), &name.to_lowercase()), name))
        .min();
    match nearest {
        Some((distance, name)) if distance <= 1 + name.len() / 8 => {
            format!("unknown, no effect; did you mean {name}?")
        }
        _ => "unknown, no effect".to_owned(),
    }
}

/// How many characters must be added, removed or replaced to turn `a` into `b` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

fn metrics_provider(reader: &mut Reader) {
    const DEFAULT: &str = "org.apache.zookeeper.metrics.impl.DefaultMetricsProvider";
    const NULL: &str = "org.apache.zookeeper.metrics.impl.NullMetricsProvider";
    const PROMETHEUS: &str = "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider";
    let key = "metricsProvider.className";
    let Some(Setting { value, origin }) = reader.text(key, Place::File) else {
        return;
    };
    match value.as_str() {
        DEFAULT | NULL => {}
        PROMETHEUS => reader.warn(origin, key, "no effect: metrics are not served yet"),
        _ => {
            let allowed = [DEFAULT, NULL, PROMETHEUS].join(", ");
            reader.problem(
                origin,
                key,
                "metrics provider class was not found",
                &allowed,
            );
        }
    }
}

fn connection_factory(reader: &mut Reader) {
    const KNOWN: [&str; 2] = [
        "org.apache.zookeeper.server.NIOServerCnxnFactory",
        "org.apache.zookeeper.server.NettyServerCnxnFactory",
    ];
    let key = "serverCnxnFactory";
    let Some(Setting { value, origin }) = reader.text(key, Place::Property) else {
        return;
    };
    if !KNOWN.contains(&value.as_str()) {
        reader.warn(
            origin,
            key,
            format!("\"{value}\" is not known, connections are served all the same"),
        );
    }
}
