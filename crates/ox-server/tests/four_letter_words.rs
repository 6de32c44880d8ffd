//! The four-letter words against what Java sent, and against the programs that read them.
//!
//! The golden files are answers of one server within a few seconds, so most tests fill in the same
//! server; `tests/golden/four-letter-words/README.md` says where they come from.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    path::Path,
    time::Duration,
};

use chrono::Utc;
use ox_proto::{
    EnsembleConfig, MemberRole, OpCode, PeerAddress, PeerState, ServerId, SessionId, Zxid,
};
use ox_replica::Mode;
use ox_server::admin::{metrics::Metrics, *};
use ox_session::WatchCounts;
use regex::Regex;

const FIRST: SessionId = SessionId(0x0100_000a_5cf9_0002);
const SECOND: SessionId = SessionId(0x0100_000a_5cf9_0003);

fn golden(name: &str) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/four-letter-words");
    fs::read_to_string(directory.join(format!("{name}.txt"))).expect("a golden file")
}

/// Compares an answer with the one on file, in which our version stands in for Java's.
#[track_caller]
fn check(name: &str, ours: &str) {
    let java = "3.8.0-${mvngit.commit.id}, built on 2024-12-29 17:54 UTC";
    assert_eq!(ours, golden(name).replace(java, VERSION), "{name}");
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// 55 requests with the latencies 0/0.7818/3.
fn metrics(packets_received: u64, packets_sent: u64) -> Metrics {
    let metrics = Metrics::default();
    metrics.packets_received.add(packets_received);
    metrics.packets_sent.add(packets_sent);
    for latency_ms in [
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3,
    ] {
        metrics.write_answered(latency_ms, 1);
    }
    metrics.read_answered(0, 28);
    metrics
}

fn report() -> Report {
    Report {
        mode: Mode::Standalone,
        peer: None,
        zxid: Zxid(0x37),
        node_count: 10,
        approximate_data_size: 122,
        ephemerals_count: 3,
        watch_count: 3,
        sessions: 2,
        local_sessions: 0,
        connections: 3,
        outstanding: 0,
        uptime: Duration::from_millis(81_032),
        open_files: Some(52),
        max_open_files: Some(20_000),
    }
}

/// The connection of a session whose last request was a getData.
fn connection(
    port: u16,
    session: (SessionId, i64),
    (received, sent): (u64, u64),
    answered: &[Answered],
) -> ConnectionReport {
    let mut stats = ConnectionStats::default();
    stats.received(received);
    stats.sent(sent);
    answered
        .iter()
        .for_each(|&answered| stats.answered(answered));
    let (id, established_ms) = session;
    let session = Some(SessionReport {
        id,
        established_ms,
        timeout_ms: 10_000,
    });
    ConnectionReport {
        peer: local(port),
        interest: 1,
        queued: 0,
        session,
        stats,
    }
}

fn connections(asking: u16) -> [ConnectionReport; 3] {
    let answered = |cxid, at_ms, latency_ms| Answered {
        op: OpCode::GetData,
        cxid,
        zxid: Zxid(0x37),
        at_ms,
        latency_ms,
    };
    let mut stats = ConnectionStats::default();
    stats.received(1);
    [
        connection(
            60_800,
            (FIRST, 1_795_341_305_654),
            (28, 49),
            &[
                answered(1, 0, 2),
                answered(0x1b, 760_039, 0),
                answered(-2, 760_039, 0),
            ],
        ),
        connection(
            60_816,
            (SECOND, 1_795_341_305_668),
            (25, 26),
            &[
                answered(1, 0, 0),
                answered(2, 0, 3),
                answered(0x18, 760_041, 1),
            ],
        ),
        ConnectionReport {
            peer: local(asking),
            interest: 0,
            queued: 0,
            session: None,
            stats,
        },
    ]
}

#[test]
fn the_server_in_short() {
    check("standalone.srvr", &srvr(&report(), &metrics(65, 86)));
}

#[test]
fn the_server_in_short_with_its_connections() {
    check(
        "standalone.stat",
        &stat(&report(), &metrics(66, 87), &connections(60_882)),
    );
}

/// A member of one of the captured ensembles.
fn of_member(mode: Mode, state: PeerState) -> Report {
    let leading = LeaderReport {
        learners: 2,
        synced_followers: 2,
        synced_non_voting_followers: 0,
        pending_syncs: 0,
    };
    Report {
        mode,
        peer: Some(PeerReport {
            state,
            quorum_size: 3,
            leader: Some(ServerId(3)),
            synced_observers: (mode == Mode::Leader).then_some(0),
            leading: (mode == Mode::Leader).then_some(leading),
        }),
        zxid: Zxid(0x1_0000_00b5),
        node_count: 11,
        approximate_data_size: 0,
        ephemerals_count: 4,
        watch_count: 1,
        sessions: 4,
        connections: 4,
        ..report()
    }
}

/// Latencies with this sum, number and maximum.
fn member_metrics(
    received: u64,
    sent: u64,
    (sum, count, min, max): (u64, u64, u64, u64),
) -> Metrics {
    let metrics = Metrics::default();
    metrics.packets_received.add(received);
    metrics.packets_sent.add(sent);
    let between = count.saturating_sub(2);
    if 0 < count {
        metrics.latency.record(min);
        metrics.latency.record(max);
    }
    let rest = sum - if 0 < count { min + max } else { 0 };
    for place in 0..between {
        metrics
            .latency
            .record(rest / between + u64::from(place < rest % between));
    }
    metrics
}

#[test]
fn a_leader_tells_the_sizes_of_its_proposals_besides() {
    let leader = of_member(Mode::Leader, PeerState::Leading);
    let metrics = || {
        let metrics = member_metrics(221, 245, (396, 211, 0, 21));
        for size in [48, 111, 71] {
            metrics.proposal_size.record(size);
        }
        metrics
    };
    check("leader.srvr", &srvr(&leader, &metrics()));
    let brief = |port, interest, received, sent| {
        let mut stats = ConnectionStats::default();
        stats.received(received);
        stats.sent(sent);
        ConnectionReport {
            peer: local(port),
            interest,
            queued: 0,
            session: None,
            stats,
        }
    };
    let connections = [
        brief(42_914, 1, 34, 56),
        brief(42_924, 1, 25, 27),
        brief(42_928, 1, 152, 153),
        brief(43_006, 0, 1, 0),
    ];
    let metrics = metrics();
    metrics.packets_received.add(1);
    metrics.packets_sent.add(1);
    check("leader.stat", &stat(&leader, &metrics, &connections));
    // Before the first proposal.
    let text = srvr(&leader, &Metrics::default());
    assert!(text.ends_with("\nProposal sizes last/min/max: -1/-1/-1\n"));
}

#[test]
fn learners_say_what_they_are() {
    let follower = Report {
        connections: 2,
        ..of_member(Mode::Follower, PeerState::Following)
    };
    let metrics = member_metrics(13, 13, (13, 3, 2, 6));
    check("follower.srvr", &srvr(&follower, &metrics));
    let observer = Report {
        zxid: Zxid(0x1_0000_001c),
        node_count: 10,
        connections: 3,
        ..of_member(Mode::Observer, PeerState::Observing)
    };
    let metrics = member_metrics(68, 89, (216, 59, 0, 53));
    check("observer.srvr", &srvr(&observer, &metrics));
}

#[test]
fn a_server_that_serves_reads_only_says_so_in_a_line_of_its_own() {
    let read_only = Report {
        peer: None,
        zxid: Zxid(0x1_0000_001e),
        node_count: 7,
        connections: 7,
        outstanding: 6,
        ..of_member(Mode::ReadOnly, PeerState::Looking)
    };
    check(
        "readonly.srvr",
        &srvr(&read_only, &member_metrics(16, 15, (0, 0, 0, 0))),
    );
    let text = stat(&read_only, &Metrics::default(), &[]);
    let lines: Vec<_> = text.lines().skip(1).take(3).collect();
    let java = golden("readonly.stat");
    let java: Vec<_> = java.lines().skip(1).take(2).collect();
    assert_eq!(lines, [java[0], java[1], ""]);
    check("readonly.isro", ISRO_READ_ONLY);
}

#[test]
fn the_connections_in_full() {
    check("standalone.cons", &cons(&connections(60_820)));
}

#[test]
fn the_configuration_and_the_directories() {
    let sizes = DirectorySizes {
        data: 67_109_337,
        log: 67_109_337,
    };
    let conf_report = ConfReport {
        client_port: Some(21_301),
        secure_client_port: None,
        data_dir: "/var/lib/zookeeper/data/version-2".into(),
        data_log_dir: "/var/lib/zookeeper/data/version-2".into(),
        sizes,
        tick: Duration::from_secs(2),
        max_client_connections: 60,
        min_session_timeout: Duration::from_secs(4),
        max_session_timeout: Duration::from_secs(40),
        backlog: None,
        member: None,
    };
    check("standalone.conf", &conf(&conf_report));
    check("standalone.dirs", &dirs(sizes));
    let secure_only = conf(&ConfReport {
        client_port: None,
        secure_client_port: None,
        backlog: Some(50),
        ..conf_report
    });
    assert!(secure_only.starts_with("clientPort=-1\nsecureClientPort=-1\n"));
    assert!(secure_only.contains("\nclientPortListenBacklog=50\n"));
}

/// One of the servers of the captured ensembles, whose ports tell their ids.
fn member(id: u16, observer: bool, membership: Option<&str>) -> ConfReport {
    let size = if membership.is_some_and(|text| text.contains(";")) {
        67_109_525
    } else {
        67_109_517
    };
    ConfReport {
        client_port: Some(21_360 + id),
        secure_client_port: None,
        data_dir: "/var/lib/zookeeper/data/version-2".into(),
        data_log_dir: "/var/lib/zookeeper/data/version-2".into(),
        sizes: DirectorySizes {
            data: size,
            log: size,
        },
        tick: Duration::from_secs(2),
        max_client_connections: 60,
        min_session_timeout: Duration::from_secs(4),
        max_session_timeout: Duration::from_secs(40),
        backlog: None,
        member: Some(MemberReport {
            id: ServerId(id.into()),
            init_limit: 10,
            sync_limit: 5,
            addresses: vec![PeerAddress {
                host: "127.0.0.1".to_owned(),
                quorum_port: 21_320 + id,
                election_port: 21_330 + id,
            }],
            role: if observer {
                MemberRole::Observer
            } else {
                MemberRole::Participant
            },
            membership: membership.map(|text| EnsembleConfig::parse(text).expect("a text")),
        }),
    }
}

#[test]
fn the_configuration_of_a_member() {
    let reconfigured = "server.1=127.0.0.1:21321:21331;127.0.0.1:21361\n\
                        server.2=127.0.0.1:21322:21332;127.0.0.1:21362\n\
                        server.3=127.0.0.1:21323:21333;127.0.0.1:21363\nversion=100000000";
    let with_observer = "server.1=127.0.0.1:21321:21331\nserver.2=127.0.0.1:21322:21332\n\
                         server.3=127.0.0.1:21323:21333\nserver.4=127.0.0.1:21324:21334:observer";
    check(
        "follower.conf",
        &conf(&member(1, false, Some(reconfigured))),
    );
    check(
        "leader_with_observer.conf",
        &conf(&member(3, false, Some(with_observer))),
    );
    check(
        "observer.conf",
        &conf(&member(4, true, Some(with_observer))),
    );
    check("readonly.conf", &conf(&member(1, false, None)));
}

#[test]
fn the_ports_of_several_addresses_are_each_told_once() {
    let mut report = member(1, false, None);
    let own = report.member.as_mut().expect("a member");
    for (quorum_port, election_port) in [(21_321, 21_339), (21_320, 21_331)] {
        own.addresses.push(PeerAddress {
            host: "127.0.0.2".to_owned(),
            quorum_port,
            election_port,
        });
    }
    let text = conf(&report);
    assert!(
        text.contains("\nelectionPort=21331|21339\nquorumPort=21320|21321\n"),
        "{text}"
    );
}

#[test]
fn sessions_ephemerals_and_connections() {
    // Java shows buckets that are empty by now, so they are in this dump too.
    let path = |path: &str| path.to_owned();
    let report = SessionDump {
        local: None,
        global: GlobalSessions::ByExpiry(BTreeMap::from([
            (1_795_341_315_000, vec![]),
            (1_795_341_317_000, vec![FIRST, SECOND]),
        ])),
        ephemerals: vec![
            (SECOND, vec![path("/app/eph-b")]),
            (
                FIRST,
                vec![path("/app/leader"), path("/app/locks/lock-0000000001")],
            ),
        ],
        connections: BTreeMap::from([
            (1_795_341_315_000, vec![]),
            (
                1_795_341_325_000,
                vec![
                    (local(60_800), FIRST),
                    (local(60_816), SECOND),
                    (local(60_832), SessionId::NONE),
                ],
            ),
        ]),
    };
    check("standalone.dump", &dump(&report, &Utc));
}

fn ephemerals() -> Vec<(SessionId, Vec<String>)> {
    let path = |path: &str| path.to_owned();
    vec![
        (SessionId(0x0300_000b_0fae_0001), vec![path("/app/eph-b")]),
        (
            SessionId(0x0300_000b_0fae_0000),
            vec![path("/app/leader"), path("/app/locks/lock-0000000000")],
        ),
        (SessionId(0x0100_000b_0d56_0000), vec![path("/app/eph-d")]),
    ]
}

const MEMBERS_SESSIONS: [SessionId; 4] = [
    SessionId(0x0100_000b_0d56_0000),
    SessionId(0x0300_000b_0fae_0002),
    SessionId(0x0300_000b_0fae_0000),
    SessionId(0x0300_000b_0fae_0001),
];

#[test]
fn a_leader_knows_when_sessions_expire_and_learners_their_timeouts() {
    const DATE: i64 = 1_795_341_315_000;
    let leader = SessionDump {
        local: None,
        global: GlobalSessions::ByExpiry(BTreeMap::from([(DATE, MEMBERS_SESSIONS.to_vec())])),
        ephemerals: ephemerals(),
        connections: BTreeMap::from([(
            DATE,
            vec![
                (local(42_914), MEMBERS_SESSIONS[2]),
                (local(42_924), MEMBERS_SESSIONS[3]),
                (local(42_928), MEMBERS_SESSIONS[1]),
                (local(42_954), SessionId::NONE),
            ],
        )]),
    };
    check("leader.dump", &dump(&leader, &Utc));
    let timeouts = MEMBERS_SESSIONS.map(|session| (session, 10_000));
    let follower = SessionDump {
        global: GlobalSessions::ByTimeout(timeouts.into()),
        connections: BTreeMap::from([(
            DATE,
            vec![
                (local(34_978), SessionId::NONE),
                (local(34_936), MEMBERS_SESSIONS[0]),
            ],
        )]),
        ..leader.clone()
    };
    check("follower.dump", &dump(&follower, &Utc));

    // With local sessions both trackers are named.
    let some = BTreeMap::from([(DATE, vec![FIRST])]);
    let text = |global| {
        let local = Some(some.clone());
        let report = SessionDump {
            local,
            global,
            ..leader.clone()
        };
        dump(&report, &Utc)
    };
    let begins = "SessionTracker dump:\nLocal Session Sets (1)/(1):\n1 expire at ";
    let leading = text(leader.global.clone());
    assert!(leading.starts_with(begins), "{leading}");
    assert!(
        leading.contains("\nGlobal Session Sets (1)/(4):\n"),
        "{leading}"
    );
    let learning = text(follower.global);
    assert!(learning.starts_with(begins), "{learning}");
    assert!(learning.contains("\nGlobal Sessions(4):\n"), "{learning}");
}

#[test]
fn watches() {
    let by_session = [
        (FIRST, vec!["/app/config"]),
        (SECOND, vec!["/app/missing", "/app/config"]),
    ];
    let by_path = [
        ("/app/missing", vec![SECOND]),
        ("/app/config", vec![SECOND, FIRST]),
    ];
    check(
        "standalone.wchs",
        &wchs(WatchCounts {
            clients: 2,
            paths: 2,
            watches: 3,
        }),
    );
    check("standalone.wchc", &wchc(by_session));
    check("standalone.wchp", &wchp(by_path));
}

#[test]
fn words_with_one_answer() {
    check("standalone.ruok", RUOK);
    check("standalone.isro", ISRO);
    check("standalone.srst", SRST);
    check("standalone.crst", CRST);
    check("standalone.gtmk", &trace_mask(DEFAULT_TRACE_MASK));
    check("standalone.stmk", &trace_mask(306));
    check("standalone.hash", &hash([]));
    let digests = [(Zxid(0x80), -5), (Zxid(0x1_0000_0100), 1 << 40)];
    assert_eq!(hash(digests), "80: -5\n100000100: 1099511627776\n");
}

#[test]
fn a_server_that_serves_nobody_says_so_to_each_word_in_its_way() {
    for name in [
        "conf", "cons", "crst", "dirs", "dump", "hash", "mntr", "srst", "srvr", "stat", "wchc",
        "wchp", "wchs",
    ] {
        let word = Word::recognize(name.as_bytes().try_into().unwrap()).unwrap();
        check(&format!("not_serving.{name}"), word.not_serving().unwrap());
    }
    check("not_serving.isro", ISRO_NOT_SERVING);
    check("not_serving.ruok", RUOK);
    for word in [Word::Isro, Word::Ruok, Word::Gtmk, Word::Stmk, Word::Envi] {
        assert_eq!(word.not_serving(), None, "{word:?}");
    }
}

#[test]
fn words_off_the_whitelist_are_refused_by_name() {
    check("whitelist_stat_ruok.conf", &Word::Conf.refusal());
    check("whitelist_stat_ruok.mntr", &Word::Mntr.refusal());
    assert!(
        Word::TelnetClose
            .refusal()
            .starts_with("telnet close is not executed because")
    );
}

/// The environments differ; the keys and their order do not, nor the form of the sizes.
#[test]
fn the_environment_has_javas_keys() {
    let ours = envi(&Environment::of_this_process());
    let keys = |text: &str| -> Vec<String> {
        let key = |line: &str| line.split('=').next().unwrap().to_owned();
        text.lines().map(key).collect()
    };
    assert_eq!(keys(&ours), keys(&golden("standalone.envi")));
    let size = Regex::new(r"^os\.memory\.(free|max|total)=\d+MB$").unwrap();
    assert_eq!(ours.lines().filter(|line| size.is_match(line)).count(), 3);
    let value = Regex::new(r"^[a-z.]+=.+$").unwrap();
    assert!(
        ours.lines().skip(1).all(|line| value.is_match(line)),
        "{ours}"
    );
    assert!(ours.ends_with('\n'));
}

fn monitor() -> (Metrics, String) {
    let metrics = metrics(70, 91);
    for size in [91, 16, 91] {
        metrics.client_response_size.record(size);
    }
    metrics.bytes_received_count.add(1902);
    metrics.response_bytes.add(4151);
    metrics.watch_bytes.add(851);
    metrics.connection_request_count.add(2);
    metrics.connection_drop_count.add(2);
    for _ in 0..27 {
        metrics.fsynctime.record(0);
    }
    let text = mntr(&report(), &metrics);
    (metrics, text)
}

#[test]
fn every_key_of_mntr_is_javas_and_so_is_its_value() {
    let (_, ours) = monitor();
    let java = golden("standalone.mntr");
    let java: BTreeMap<_, _> = java
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .collect();
    let mut seen = BTreeMap::new();
    for line in ours.lines() {
        let (key, value) = line.split_once('\t').unwrap();
        assert_eq!(seen.insert(key, value), None, "{key} twice");
        // Of these the sample was not the one that `metrics` draws, or Java has no such key.
        let differs = key.ends_with("readlatency")
            || key.ends_with("updatelatency")
            || ["zk_version", "zk_fsync_threshold_exceed_count"].contains(&key);
        if !differs {
            assert_eq!(Some(&value), java.get(key), "{key}");
        }
    }
    for name in ["readlatency", "updatelatency"] {
        for figure in [
            "avg", "min", "max", "cnt", "sum", "p50", "p95", "p99", "p999",
        ] {
            let key = format!("zk_{figure}_{name}");
            assert!(
                java.contains_key(&*key) && seen.contains_key(&*key),
                "{key}"
            );
        }
    }
    let of = |name: &str, figure: &str| seen[&*format!("zk_{figure}_{name}")];
    let updates = [
        "avg", "min", "max", "cnt", "sum", "p50", "p95", "p99", "p999",
    ]
    .map(|figure| of("updatelatency", figure));
    assert_eq!(
        updates,
        ["1.5926", "1", "3", "27", "43", "1", "3", "3", "3"]
    );
    assert_eq!(
        (of("readlatency", "cnt"), of("readlatency", "p999")),
        ("28", "0")
    );
}

/// The keys of a text of `mntr`, with their values.
fn values(text: &str) -> BTreeMap<&str, &str> {
    text.lines()
        .filter_map(|line| line.split_once('\t'))
        .collect()
}

#[test]
fn members_have_javas_keys_besides_those_of_a_server_alone() {
    let leader = of_member(Mode::Leader, PeerState::Leading);
    let leader = Report {
        peer: leader.peer.map(|peer| PeerReport {
            synced_observers: Some(1),
            leading: peer.leading.map(|leading| LeaderReport {
                learners: 3,
                ..leading
            }),
            ..peer
        }),
        uptime: Duration::from_millis(6648),
        ..leader
    };
    let follower = of_member(Mode::Follower, PeerState::Following);
    let observer_master = Report {
        peer: follower.peer.map(|peer| PeerReport {
            synced_observers: Some(2),
            ..peer
        }),
        ..of_member(Mode::Follower, PeerState::Following)
    };
    let read_only = Report {
        peer: None,
        ..of_member(Mode::ReadOnly, PeerState::Looking)
    };
    let metrics = Metrics::default();
    for size in [48, 111, 70] {
        metrics.proposal_size.record(size);
    }
    let standalone = mntr(&report(), &metrics);
    for (name, report, besides) in [
        (
            "leader_with_observer",
            leader,
            &[
                "peer_state",
                "quorum_size",
                "learners",
                "synced_followers",
                "synced_observers",
                "pending_syncs",
                "leader_uptime",
                "last_proposal_size",
                "min_proposal_size",
                "max_proposal_size",
                "synced_non_voting_followers",
            ][..],
        ),
        ("follower", follower, &["peer_state", "quorum_size"][..]),
        (
            "follower",
            observer_master,
            // Since 3.9, and only with a port for observers.
            &["peer_state", "quorum_size", "synced_observers"][..],
        ),
        (
            "observer",
            of_member(Mode::Observer, PeerState::Observing),
            &["peer_state", "observer_master_id", "quorum_size"][..],
        ),
        ("readonly", read_only, &[][..]),
    ] {
        let (ours, java) = (mntr(&report, &metrics), golden(&format!("{name}.mntr")));
        let (ours, java, alone) = (values(&ours), values(&java), values(&standalone));
        let found: BTreeSet<_> = ours
            .keys()
            .filter(|key| !alone.contains_key(*key))
            .collect();
        let expected: Vec<_> = besides.iter().map(|key| format!("zk_{key}")).collect();
        let expected: BTreeSet<_> = expected.iter().map(String::as_str).collect();
        assert_eq!(
            found.into_iter().copied().collect::<BTreeSet<_>>(),
            expected,
            "{name}"
        );
        assert_eq!(ours["zk_server_state"], java["zk_server_state"]);
        for key in besides
            .iter()
            .filter(|key| (name, **key) != ("follower", "synced_observers"))
        {
            let key = format!("zk_{key}");
            assert_eq!(ours.get(&*key), java.get(&*key), "{name} {key}");
        }
    }
}

#[test]
fn mntr_begins_with_the_classic_keys_in_their_order() {
    let (_, ours) = monitor();
    let classic = "version server_state avg_latency max_latency min_latency packets_received \
                   packets_sent num_alive_connections outstanding_requests znode_count \
                   watch_count ephemerals_count approximate_data_size \
                   open_file_descriptor_count max_file_descriptor_count global_sessions \
                   local_sessions uptime";
    let classic: Vec<_> = classic.split(' ').map(|key| format!("zk_{key}")).collect();
    let keys = |text: &str| -> Vec<String> {
        let key = |line: &str| line.split('\t').next().unwrap().to_owned();
        text.lines().map(key).collect()
    };
    assert_eq!(keys(&ours)[..classic.len()], classic);
    let leader = mntr(
        &of_member(Mode::Leader, PeerState::Leading),
        &Metrics::default(),
    );
    let mut classic = classic;
    classic.insert(2, "zk_peer_state".to_owned());
    let more = "quorum_size learners synced_followers synced_observers pending_syncs \
                leader_uptime last_proposal_size min_proposal_size max_proposal_size";
    classic.extend(more.split(' ').map(|key| format!("zk_{key}")));
    assert_eq!(keys(&leader)[..classic.len()], classic);
}

#[test]
fn unknown_numbers_of_files_are_minus_one() {
    let report = Report {
        open_files: None,
        max_open_files: None,
        ..report()
    };
    let text = mntr(&report, &Metrics::default());
    assert!(
        text.contains("\nzk_open_file_descriptor_count\t-1\nzk_max_file_descriptor_count\t-1\n")
    );
}

#[test]
fn a_reset_leaves_no_latency() {
    let (metrics, _) = monitor();
    metrics.reset();
    let text = srvr(&report(), &metrics);
    assert!(
        text.contains("\nLatency min/avg/max: 0/0.0/0\nReceived: 0\nSent: 0\n"),
        "{text}"
    );
}

/// kazoo reads 8192 bytes once, and takes the leading dotted digits of the version.
#[test]
fn kazoo_finds_the_version() {
    let ours = envi(&Environment::of_this_process());
    assert!(ours.len() <= 8192);
    let version = ours
        .lines()
        .find_map(|line| line.strip_prefix("zookeeper.version="))
        .unwrap();
    let digits = Regex::new(r"^\d+(\.\d+)*").unwrap().find(version).unwrap();
    let parts: Vec<u32> = digits
        .as_str()
        .split('.')
        .map(|part| part.parse().unwrap())
        .collect();
    assert_eq!(parts, [3, 9, 5]);
}

/// `check_zookeeper.py` reads 2048 bytes once; keys and values by TAB, what can be is an int.
#[test]
fn the_nagios_check_finds_its_keys_in_the_first_two_kibibytes() {
    let (_, ours) = monitor();
    let end = ours.len().min(2048);
    let values: BTreeMap<_, _> = ours[..end]
        .split('\n')
        .filter_map(|line| line.split_once('\t'))
        .collect();
    for key in [
        "packets_received",
        "packets_sent",
        "num_alive_connections",
        "outstanding_requests",
        "znode_count",
        "watch_count",
        "ephemerals_count",
        "approximate_data_size",
        "open_file_descriptor_count",
        "max_file_descriptor_count",
        "max_latency",
        "min_latency",
    ] {
        let value = values[&*format!("zk_{key}")];
        assert!(value.parse::<i64>().is_ok(), "{key} {value}");
    }
    assert_eq!(values["zk_server_state"], "standalone");
}

/// One line that does not match, and telegraf reports nothing at all.
#[test]
fn telegraf_accepts_every_line() {
    let (_, ours) = monitor();
    let line = Regex::new(r"^zk_(\w+)\s+([\w\.\-]+)").unwrap();
    for text in ours.lines() {
        assert!(line.is_match(text), "{text}");
    }
    assert_eq!(
        &line.captures(ours.lines().nth(1).unwrap()).unwrap()[2],
        "standalone"
    );
}

/// The older exporters split at blanks and take the second field of every line.
#[test]
fn the_exporters_find_a_value_in_every_line() {
    let (_, ours) = monitor();
    for line in ours.lines().filter(|line| !line.starts_with("zk_version")) {
        let fields: Vec<_> = line.split_whitespace().collect();
        assert_eq!(fields.len(), 2, "{line}");
        let is_number = fields[1].parse::<f64>().is_ok();
        assert_eq!(is_number, fields[0] != "zk_server_state", "{line}");
    }
}

/// Datadog's check reads `stat` line by line, in this order.
#[test]
fn datadog_reads_stat() {
    let text = stat(&report(), &metrics(66, 87), &connections(60_882));
    let mut lines = text.lines();
    let version = lines.next().unwrap();
    assert!(
        Regex::new(r"^Zookeeper version: .*\d+\.\d+\.\d+")
            .unwrap()
            .is_match(version)
    );
    assert_eq!(lines.next(), Some("Clients:"));
    let client =
        Regex::new(r"^ /\d+\.\d+\.\d+\.\d+:\d+\[[0-9a-f]\]\(queued=\d+,recved=\d+,sent=\d+\)$");
    let client = client.unwrap();
    assert_eq!(
        lines
            .by_ref()
            .take_while(|line| client.is_match(line))
            .count(),
        3
    );
    let latency = Regex::new(r"^Latency min/avg/max: \d+/\d+(\.\d+)?/\d+$").unwrap();
    assert!(latency.is_match(lines.next().unwrap()));
    for name in [
        "Received",
        "Sent",
        "Connections",
        "Outstanding",
        "Zxid",
        "Mode",
        "Node count",
    ] {
        let (key, value) = lines.next().unwrap().split_once(": ").unwrap();
        assert_eq!(key, name);
        match name {
            "Mode" => assert_eq!(value, "standalone"),
            "Zxid" => assert!(i64::from_str_radix(&value[2..], 16).is_ok()),
            _ => assert!(value.parse::<u64>().is_ok(), "{key} {value}"),
        }
    }
    assert_eq!(lines.next(), None);
}

/// Metricbeat and Datadog look for three numbers anywhere; the date has a form of its own.
#[test]
fn the_version_has_the_form_of_zookeepers() {
    let form = r"^3\.9\.5-oxkeeper-\d+\.\d+\.\d+, built on \d{4}-\d\d-\d\d \d\d:\d\d UTC$";
    assert!(Regex::new(form).unwrap().is_match(VERSION));
}
