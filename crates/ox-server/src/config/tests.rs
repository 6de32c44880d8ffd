//! Golden rows of operations.md 1.2 to 1.12: what a file means, why it is refused, what is warned of.

use std::fs;
use std::time::Duration;

use super::*;

mod ensemble;
mod sasl;
mod tls;

/// A configuration in a directory of its own. `{dir}` in any text stands for the directory.
struct Start {
    dir: tempfile::TempDir,
    sources: Sources,
}

impl Start {
    fn with_file(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("zoo.cfg");
        fs::write(
            &path,
            text.replace("{dir}", &dir.path().display().to_string()),
        )
        .unwrap();
        let arguments = vec![path.display().to_string()];
        Self {
            dir,
            sources: Sources {
                arguments,
                ..Sources::default()
            },
        }
    }

    fn with_arguments(arguments: &[&str]) -> Self {
        let arguments = arguments
            .iter()
            .map(|&argument| argument.to_owned())
            .collect();
        let dir = tempfile::tempdir().unwrap();
        Self {
            dir,
            sources: Sources {
                arguments,
                ..Sources::default()
            },
        }
    }

    fn and(self, name: &str, text: &str) -> Self {
        let text = text.replace("{dir}", &self.dir.path().display().to_string());
        fs::write(self.dir.path().join(name), text).unwrap();
        self
    }

    fn flags(mut self, flags: &[&str]) -> Self {
        self.sources.flags = flags
            .iter()
            .map(|flag| Flag::parse(flag, Origin::Arguments))
            .collect();
        self
    }

    fn environment(mut self, server_jvm_flags: &str, jvm_flags: &str) -> Self {
        self.sources.server_jvm_flags = server_jvm_flags.to_owned();
        self.sources.jvm_flags = jvm_flags.to_owned();
        self
    }

    fn load(&self) -> Result<Config, ConfigErrors> {
        Config::load(&self.sources)
    }

    #[track_caller]
    fn config(&self) -> Config {
        self.load()
            .unwrap_or_else(|errors| panic!("refused: {errors}"))
    }

    /// Problems, with the directory taken out.
    #[track_caller]
    fn refused(&self) -> (Vec<String>, u8) {
        let errors = self.load().expect_err("this configuration must be refused");
        (self.lines(&errors.problems), errors.exit_code())
    }

    #[track_caller]
    fn warnings(&self) -> Vec<String> {
        self.lines(&self.config().warnings)
    }

    fn lines<T: ToString>(&self, found: &[T]) -> Vec<String> {
        let directory = format!("{}/", self.dir.path().display());
        found
            .iter()
            .map(|line| line.to_string().replace(&directory, ""))
            .collect()
    }
}

/// A file that is complete but for what a test adds after its two lines.
fn file(more: &str) -> Start {
    Start::with_file(&format!("dataDir={{dir}}\nclientPort=2181\n{more}"))
}

#[track_caller]
fn check_refused(start: &Start, expected: &[&str]) {
    let (found, code) = start.refused();
    assert_eq!(found, expected);
    assert_eq!(code, 2);
}

#[track_caller]
fn check_warned(start: &Start, expected: &[&str]) {
    assert_eq!(start.warnings(), expected);
}

#[test]
fn no_arguments_mean_2181_and_data_here() {
    let config = Start::with_arguments(&[]).config();
    let client = ListenConfig {
        address: None,
        port: 2181,
        backlog: None,
    };
    assert_eq!(config.client, Some(client));
    assert_eq!(config.data_dir, Path::new("./data"));
    assert_eq!(config.data_log_dir, Path::new("./data"));
    assert_eq!(config.sessions, SessionSettings::of_tick(2000));
    assert_eq!(config.limits.max_client_connections, 60);
    assert_eq!(config.warnings, []);
}

#[test]
fn a_minimal_file_has_javas_defaults() {
    let start = file("");
    let config = start.config();
    let expected = Config {
        reconfig_enabled: false,
        ensemble: None,
        client: Some(ListenConfig {
            address: None,
            port: 2181,
            backlog: None,
        }),
        data_dir: start.dir.path().to_owned(),
        data_log_dir: start.dir.path().to_owned(),
        sessions: SessionSettings {
            tick: Duration::from_secs(3),
            min_timeout: Duration::from_secs(6),
            max_timeout: Duration::from_secs(60),
        },
        log: LogSettings {
            preallocate: 64 << 20,
            force_sync: true,
            fsync_warning: Duration::from_secs(1),
            size_limit: None,
        },
        snapshots: SnapshotSettings {
            every_txns: 100_000,
            every_bytes: Some(4 << 30),
            compression: SnapshotCompression::None,
            trust_empty: false,
            retain: 3,
            purge_interval: None,
        },
        tree: TreeSettings {
            extended_types: false,
            emulate_353_ttl: false,
            digest: true,
            create_directories: true,
        },
        auth: AuthSettings {
            digest_enabled: true,
            digest_algorithm: DigestAlgorithm::Sha1,
            required_schemes: Vec::new(),
            super_digest: None,
            skip_acl: false,
        },
        sasl: SaslSettings::default(),
        tls: TlsSettings::default(),
        quotas: QuotaSettings { enforce: false },
        containers: ContainerSettings {
            check_interval: Duration::from_secs(60),
            max_per_minute: 10_000,
            max_never_used: None,
        },
        limits: LimitSettings {
            jute_max_buffer: 1_048_575,
            jute_extra_size: 1_048_575,
            max_client_connections: 60,
            max_connections: 0,
            global_outstanding: 1000,
            sessionless_timeout: Duration::from_secs(10),
            tcp_keep_alive: false,
        },
        four_letter_words: FourLetterWords::Only(["srvr".to_owned()].into()),
        repair_from_peers: false,
        warnings: Vec::new(),
    };
    assert_eq!(config, expected);
}

#[test]
fn every_key_reaches_its_field() {
    let start = Start::with_file(
        "dataDir={dir}\ndataLogDir={dir}/log\nclientPort=4000\nclientPortAddress=127.0.0.1\n\
         clientPortListenBacklog=7\ntickTime=500\nminSessionTimeout=1500\nmaxSessionTimeout=2500\n\
         preAllocSize=16\nforceSync=no\nfsync.warningthresholdms=20\ntxnLogSizeLimitInKb=3\n\
         snapCount=0x10\nsnapSizeLimitInKb=-1\nsnapshot.compression.method=GZ\n\
         snapshot.trust.empty=true\n\
         autopurge.snapRetainCount=5\nautopurge.purgeInterval=2\nextendedTypesEnabled=True\n\
         emulate353TTLNodes=true\ndigest.enabled=false\n\
         datadir.autocreate=false\nreconfigEnabled=true\nskipACL=yes\nenforceQuota=true\n\
         DigestAuthenticationProvider.enabled=false\n\
         DigestAuthenticationProvider.digestAlg=sha-256\n\
         DigestAuthenticationProvider.superDigest=super:abc=\n\
         jute.maxbuffer.extrasize=2048\nmaxClientCnxns=9\nmaxCnxns=10\n\
         globalOutstandingLimit=11\nnio.sessionlessCnxnTimeout=12\nclientTcpKeepAlive=true\n\
         4lw.commands.whitelist=stat, ruok\n",
    )
    .flags(&[
        "jute.maxbuffer=4096",
        "znode.container.checkIntervalMs=13",
        "znode.container.maxPerMinute=14",
        "znode.container.maxNeverUsedIntervalMs=15",
        "readonlymode.enabled=true",
    ]);
    let config = start.config();
    let expected = Config {
        reconfig_enabled: true,
        ensemble: None,
        client: Some(ListenConfig {
            address: Some([127, 0, 0, 1].into()),
            port: 4000,
            backlog: Some(7),
        }),
        data_dir: start.dir.path().to_owned(),
        data_log_dir: start.dir.path().join("log"),
        sessions: SessionSettings {
            tick: Duration::from_millis(500),
            min_timeout: Duration::from_millis(1500),
            max_timeout: Duration::from_millis(2500),
        },
        log: LogSettings {
            preallocate: 16 << 10,
            force_sync: false,
            fsync_warning: Duration::from_millis(20),
            size_limit: Some(3 << 10),
        },
        snapshots: SnapshotSettings {
            every_txns: 16,
            every_bytes: None,
            compression: SnapshotCompression::Gzip,
            trust_empty: true,
            retain: 5,
            purge_interval: Some(Duration::from_secs(7200)),
        },
        tree: TreeSettings {
            extended_types: true,
            emulate_353_ttl: true,
            digest: false,
            create_directories: false,
        },
        auth: AuthSettings {
            digest_enabled: false,
            digest_algorithm: DigestAlgorithm::Sha256,
            required_schemes: Vec::new(),
            super_digest: Some("super:abc=".to_owned()),
            skip_acl: true,
        },
        sasl: SaslSettings::default(),
        tls: TlsSettings::default(),
        quotas: QuotaSettings { enforce: true },
        containers: ContainerSettings {
            check_interval: Duration::from_millis(13),
            max_per_minute: 14,
            max_never_used: Some(Duration::from_millis(15)),
        },
        limits: LimitSettings {
            jute_max_buffer: 4096,
            jute_extra_size: 2048,
            max_client_connections: 9,
            max_connections: 10,
            global_outstanding: 11,
            sessionless_timeout: Duration::from_millis(12),
            tcp_keep_alive: true,
        },
        four_letter_words: FourLetterWords::Only(
            ["stat", "ruok", "srvr", "isro"].map(str::to_owned).into(),
        ),
        repair_from_peers: false,
        warnings: config.warnings.clone(),
    };
    assert_eq!(config, expected);
    check_warned(
        &start,
        &[
            "zoo.cfg:10: forceSync: writes are acknowledged before they are on disk and may be lost",
            "zoo.cfg:24: skipACL: ACLs are not checked for anybody",
        ],
    );
}

#[test]
fn arguments_are_port_directory_tick_and_connections() {
    let config = Start::with_arguments(&["0", "/d"]).config();
    assert_eq!(config.client.unwrap().port, 0);
    assert_eq!(config.data_log_dir, Path::new("/d"));
    assert_eq!(config.sessions, SessionSettings::of_tick(3000));
    assert_eq!(config.limits.max_client_connections, 0);
    let config = Start::with_arguments(&["2181", "/d", "1000", "5"]).config();
    assert_eq!(config.sessions, SessionSettings::of_tick(1000));
    assert_eq!(config.limits.max_client_connections, 5);
    check_refused(
        &Start::with_arguments(&["1", "2", "3", "4", "5"]),
        &[
            "command line: Invalid number of arguments:[1, 2, 3, 4, 5] (allowed: configfile, or port \
         datadir [ticktime] [maxcnxns])",
        ],
    );
    check_refused(
        &Start::with_arguments(&["port", "/d", "0"]),
        &[
            "command line: clientPort: For input string: \"port\" (allowed: 0 to 65535)",
            "command line: tickTime: For input string: \"0\" (allowed: 1 to 2147483647)",
        ],
    );
}

#[test]
fn a_file_that_cannot_be_read_is_refused_for_that_alone() {
    let (found, code) = Start::with_arguments(&["/nowhere/zoo.cfg"]).refused();
    assert_eq!(code, 2);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].contains("/nowhere/zoo.cfg: Error processing /nowhere/zoo.cfg"),
        "{found:?}"
    );
}

#[test]
fn everything_wrong_is_reported_at_once_with_its_line() {
    let start = Start::with_file(
        "tickTime=2000 # x\nclientPort=\nlocalSessionsEnabled=yes\nelectionAlg=1\n\\u12=3\n",
    );
    check_refused(
        &start,
        &[
            "zoo.cfg: dataDir: dataDir is not set (allowed: a directory)",
            "zoo.cfg:1: tickTime: For input string: \"2000 # x\" (allowed: milliseconds, from 1)",
            "zoo.cfg:2: clientPort: For input string: \"\" (allowed: a port, 1 to 65535)",
            "zoo.cfg:3: localSessionsEnabled: Invalid option yes for localSessionsEnabled. Choose \
         'true' or 'false.' (allowed: true, false)",
            "zoo.cfg:4: electionAlg: Invalid electionAlg value. Only 3 is supported. (allowed: 3)",
            "zoo.cfg:5: Malformed \\uxxxx encoding. (allowed: four hex digits after \\u)",
        ],
    );
}

#[test]
fn bad_core_settings_are_refused_with_javas_reason() {
    check_refused(
        &file("tickTime=0"),
        &["zoo.cfg:3: tickTime: tickTime is not set (allowed: milliseconds, from 1)"],
    );
    check_refused(
        &file("tickTime=-5"),
        &["zoo.cfg:3: tickTime: tickTime is negative: -5 (allowed: milliseconds, from 1)"],
    );
    check_refused(
        &file("minSessionTimeout=70000"),
        &[
            "zoo.cfg:3: minSessionTimeout: minSessionTimeout must not be larger than \
         maxSessionTimeout (allowed: at most the maximum; here 70000 and 60000 ms)",
        ],
    );
    check_refused(
        &Start::with_file("dataDir={dir}\nclientPort=70000"),
        &["zoo.cfg:2: clientPort: port out of range:70000 (allowed: a port, 1 to 65535)"],
    );
    check_refused(
        &Start::with_file("dataDir={dir}\nclientPortAddress=127.0.0.1"),
        &[
            "zoo.cfg:2: clientPortAddress: clientPortAddress is set but clientPort is not set \
         (allowed: both lines, or no clientPortAddress)",
        ],
    );
    check_refused(
        &file("clientPortAddress=no such host"),
        &[
            "zoo.cfg:3: clientPortAddress: no such host: Name or service not known (allowed: an \
         address of this machine or a name for one)",
        ],
    );
    check_refused(
        &file("peerType=watcher"),
        &["zoo.cfg:3: peerType: Unrecognised peertype: watcher (allowed: participant, observer)"],
    );
    check_refused(
        &file("initLimit=ten"),
        &["zoo.cfg:3: initLimit: For input string: \"ten\" (allowed: a number of ticks)"],
    );
}

#[test]
fn an_unknown_metrics_provider_is_refused() {
    let (found, code) = file("metricsProvider.className=com.example.Mine").refused();
    assert_eq!(code, 2);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].contains("metrics provider class was not found"),
        "{found:?}"
    );
}

#[test]
fn javas_own_metrics_providers_are_accepted() {
    let provider = |class: &str| {
        file(&format!(
            "metricsProvider.className=org.apache.zookeeper.metrics.{class}"
        ))
    };
    check_warned(&provider("impl.DefaultMetricsProvider"), &[]);
    check_warned(
        &provider("prometheus.PrometheusMetricsProvider"),
        &["zoo.cfg:3: metricsProvider.className: no effect: metrics are not served yet"],
    );
}

#[test]
fn a_negative_session_timeout_is_no_limit_below() {
    assert_eq!(
        file("minSessionTimeout=-5").config().sessions.min_timeout,
        Duration::ZERO
    );
    let default = file("minSessionTimeout=-1").config().sessions.min_timeout;
    assert_eq!(default, Duration::from_secs(6));
}

#[test]
fn an_unknown_digest_algorithm_alone_ends_with_1() {
    let (found, code) = file("DigestAuthenticationProvider.digestAlg=ROT13").refused();
    assert_eq!(code, 1);
    assert!(
        found[0].contains("ROT13 MessageDigest not available"),
        "{found:?}"
    );
    let (_, code) = file("DigestAuthenticationProvider.digestAlg=ROT13\ntickTime=0").refused();
    assert_eq!(code, 2);
}

/// Each line alone keeps the server from starting, by its name; with `false` it does not.
#[test]
fn settings_that_guard_the_server_are_not_ignored() {
    for (key, value) in [
        ("ssl.x", "true"),
        ("X509AuthenticationProvider.x", "true"),
        ("authProvider.1", "com.example.Provider"),
        ("quorum.auth.x", "true"),
        ("java.security.auth.login.config", "/jaas"),
        ("ensembleAuthName", "one"),
    ] {
        let (found, code) = file(&format!("{key}={value}")).refused();
        assert_eq!(code, 2, "{key}");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with(&format!("zoo.cfg:3: {key}: ")),
            "{found:?}"
        );
        assert!(
            found[0].contains("the server would be less guarded"),
            "{found:?}"
        );
    }
    for key in ["sslQuorum", "portUnification", "quorum.auth.enableSasl"] {
        check_warned(&file(&format!("{key}=false")), &[]);
    }
}

#[test]
fn enforced_authentication_names_schemes_there_are() {
    let on = "enforce.auth.enabled=true\n";
    let schemes = |more: &str| file(&format!("{on}{more}"));
    let both = schemes("enforce.auth.schemes=digest, ip").config();
    assert_eq!(both.auth.required_schemes, ["digest", "ip"]);
    check_refused(
        &schemes(""),
        &[
            "zoo.cfg:3: enforce.auth.enabled: zookeeper.enforce.auth.enabled is true \
           zookeeper.enforce.auth.schemes must be  configured. (allowed: a comma list of schemes)",
        ],
    );
    let missing = |line: usize, scheme: &str| {
        format!(
            "zoo.cfg:{line}: enforce.auth.schemes: Authentication scheme {scheme} is not \
             available. (allowed: a comma list of digest, ip, sasl and, with TLS, x509)"
        )
    };
    check_refused(
        &schemes("enforce.auth.schemes=key,digest"),
        &[&missing(4, "key")],
    );
    check_refused(
        &schemes("DigestAuthenticationProvider.enabled=false\nenforce.auth.schemes=digest"),
        &[&missing(5, "digest")],
    );
    let off = file("enforce.auth.schemes=sasl");
    assert!(off.config().auth.required_schemes.is_empty());
    check_warned(
        &off,
        &["zoo.cfg:3: enforce.auth.schemes: no effect without enforce.auth.enabled=true"],
    );
}

#[test]
fn guards_are_refused_as_flags_too_and_named_by_their_source() {
    let start = file("").environment("-Dzookeeper.quorum.auth.x=y", "-Dzookeeper.ssl.x=y");
    check_refused(
        &start,
        &[
            "JVMFLAGS: zookeeper.ssl.x: no such setting of TLS is known, and the server would be \
         less guarded without it (allowed: no such line, or false)",
            "SERVER_JVMFLAGS: zookeeper.quorum.auth.x: no such setting of quorum authentication is \
         known, and the server would be less guarded without it (allowed: no such line, or false)",
        ],
    );
}

#[test]
fn later_sources_override_earlier_ones() {
    let count = |start: Start| start.config().snapshots.every_txns;
    let flags = |n: u32| format!("-Dzookeeper.snapCount={n}");
    assert_eq!(count(file("").environment(&flags(10), "")), 10);
    assert_eq!(count(file("").environment(&flags(10), &flags(20))), 20);
    let start = file("").environment(&flags(10), &flags(20));
    assert_eq!(count(start.flags(&["zookeeper.snapCount=30"])), 30);
    let start = file("snapCount=40").environment(&flags(10), &flags(20));
    assert_eq!(count(start.flags(&["zookeeper.snapCount=30"])), 40);
    let older = file("").flags(&["fsync.warningthresholdms=5"]);
    assert_eq!(older.config().log.fsync_warning, Duration::from_millis(5));
}

#[test]
fn numbers_of_the_property_map_fall_back_in_words() {
    let start = file("snapCount=1\nmaxCnxns=-4\npreAllocSize=64M\nglobalOutstandingLimit=0x20\n");
    let config = start.config();
    assert_eq!(config.snapshots.every_txns, 2);
    assert_eq!(config.limits.max_connections, 0);
    assert_eq!(config.log.preallocate, 64 << 20);
    assert_eq!(config.limits.global_outstanding, 32);
    check_warned(
        &start,
        &[
            "zoo.cfg:3: snapCount: 1 is too small, 2 is used",
            "zoo.cfg:5: preAllocSize: \"64M\" is no number, 65536 is used",
        ],
    );
}

#[test]
fn too_few_snapshots_and_too_little_slack_are_raised() {
    let start = file("autopurge.snapRetainCount=1\njute.maxbuffer.extrasize=1\n");
    let config = start.config();
    assert_eq!(config.snapshots.retain, 3);
    assert_eq!(config.limits.jute_extra_size, 1024);
    check_warned(
        &start,
        &[
            "zoo.cfg:3: autopurge.snapRetainCount: Invalid autopurge.snapRetainCount: 1. \
           Defaulting to 3",
        ],
    );
}

#[test]
fn any_address_is_every_address_in_both_families() {
    for address in ["0.0.0.0", "::", "[::]"] {
        let config = file(&format!("clientPortAddress={address}")).config();
        assert_eq!(
            config.client.map(|client| client.address),
            Some(None),
            "{address}"
        );
    }
}

#[test]
fn booleans_of_the_property_map_are_true_or_not() {
    let start = file("digest.enabled=yes");
    assert!(!start.config().tree.digest);
    check_warned(
        &start,
        &["zoo.cfg:3: digest.enabled: \"yes\" is read as false; write true or false"],
    );
}

#[test]
fn four_letter_words_follow_the_whitelist() {
    let words = |text: &str| file(text).config().four_letter_words;
    assert!(words("4lw.commands.whitelist=*").allows("wchp"));
    assert!(words("4lw.commands.whitelist=stat, *").allows("wchp"));
    assert!(words("4lw.commands.whitelist=ruok").allows("srvr"));
    assert!(words("4lw.commands.whitelist=ruok").allows("ruok"));
    assert!(!words("4lw.commands.whitelist=ruok").allows("isro"));
    assert!(!words("").allows("ruok"));
}

#[test]
fn keys_without_effect_are_named_once() {
    check_warned(
        &file("audit.enable=true\nadmin.serverPort=8080\nnio.numWorkerThreads=4\n"),
        &[
            "zoo.cfg:3: audit.enable: no effect: no audit log is written yet",
            "zoo.cfg:4: admin.serverPort: no effect: the AdminServer is not served yet",
            "zoo.cfg:5: nio.numWorkerThreads: no effect: there are no such threads here",
        ],
    );
    check_warned(
        &file("admin.enableServer=false\nreconfigEnabled=false\ninitLimit=5\nsyncLimit=2\n"),
        &[],
    );
    check_warned(
        &file("serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory"),
        &[],
    );
}

#[test]
fn names_that_are_no_keys_are_pointed_to_the_right_one() {
    for (line, hint) in [
        (
            "connectionMaxTokens=5",
            "did you mean connection_throttle_tokens?",
        ),
        (
            "throttledOpWaitTime=5",
            "did you mean throttled_op_wait_time?",
        ),
        (
            "maxConcurrentSnapSyncs=5",
            "did you mean leader.maxConcurrentSnapSyncs?",
        ),
        ("zookeeper.snapCount=5", "did you mean snapCount?"),
        ("clientport=2181", "did you mean clientPort?"),
        ("tickTme=2000", "did you mean tickTime?"),
        (
            "jute.maxbuffer=5",
            "it works only as a flag: -Djute.maxbuffer=5",
        ),
        (
            "leader.nodelay=true",
            "it works only as a flag: -Dleader.nodelay=true",
        ),
        ("foo=bar", "unknown, no effect"),
    ] {
        let warnings = file(line).warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].ends_with(hint), "{warnings:?}");
    }
}

#[test]
fn flags_that_are_no_properties_are_pointed_to_the_right_one() {
    for (flag, hint) in [
        (
            "zookeeper.tickTime=5",
            "it works only in the file: tickTime=5",
        ),
        (
            "zookeeper.jute.maxbuffer=5",
            "did you mean -Djute.maxbuffer?",
        ),
        ("snapCount=5", "did you mean -Dzookeeper.snapCount?"),
        (
            "zookeeper.admin.serverPort=5",
            "the AdminServer is not served yet",
        ),
    ] {
        let warnings = file("").flags(&[flag]).warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].ends_with(hint), "{warnings:?}");
    }
    check_warned(
        &file("").flags(&["java.net.preferIPv4Stack=true", "zookeeper.log.dir=/l"]),
        &[],
    );
}

#[test]
fn repeated_keys_and_relative_directories_are_warned_of() {
    let start = Start::with_file("dataDir=data\nclientPort=1\nclientPort=2181");
    assert_eq!(start.config().client.map(|client| client.port), Some(2181));
    check_warned(
        &start,
        &[
            "zoo.cfg:1: dataDir: data is relative. Prepend ./ to indicate that you're sure!",
            "zoo.cfg:3: clientPort: given before in zoo.cfg:2, this one counts",
        ],
    );
}

#[test]
fn a_super_digest_is_not_printed() {
    let start =
        file("").flags(&["zookeeper.DigestAuthenticationProvider.superDigest=super:secret"]);
    let config = start.config();
    assert_eq!(config.auth.super_digest.as_deref(), Some("super:secret"));
    assert!(!format!("{config:?}").contains("secret"));
}
