//! Server lines, `myid`, and what members of an ensemble are told (operations.md 1.3, 1.6, 1.10).

use ox_proto::{EnsembleConfig, MemberRole, ServerId};
use ox_replica::LocalSessions;

use super::*;

#[test]
fn one_server_line_is_ignored_but_for_its_client_port() {
    let start = Start::with_file("dataDir={dir}\nserver.1=localhost:2888:3888;2181");
    check_warned(
        &start,
        &["zoo.cfg:2: server.1: Invalid configuration, only one server specified (ignoring)"],
    );
    let config = start.config();
    assert!(config.warnings[0].severe);
    assert_eq!(
        config.client,
        Some(ListenConfig {
            address: None,
            port: 2181,
            backlog: None
        })
    );
    let start = Start::with_file("dataDir={dir}\nserver.1=localhost:2888:3888;[::1]:2182");
    let address = Some(std::net::Ipv6Addr::LOCALHOST.into());
    let client = ListenConfig {
        address,
        port: 2182,
        backlog: None,
    };
    assert_eq!(start.config().client, Some(client));
    let start = file("server.1=localhost:2888:3888");
    assert_eq!(start.config().client.map(|client| client.port), Some(2181));
}

#[test]
fn a_server_line_of_another_id_than_myid_gives_no_port() {
    let text = "dataDir={dir}\nserver.1=localhost:2888:3888;2181";
    let own = Start::with_file(text).and("myid", "1\n");
    assert_eq!(own.config().client.map(|client| client.port), Some(2181));
    let other = Start::with_file(text).and("myid", "2\n");
    assert_eq!(other.config().client, None);
    check_refused(
        &Start::with_file(text).and("myid", "one\n"),
        &["myid: serverid one is not a number (allowed: a number from 0 to 255)"],
    );
}

#[test]
fn the_only_server_may_stand_in_a_dynamic_file() {
    let text = "dataDir={dir}\ndynamicConfigFile={dir}/zoo.cfg.dynamic.100000000";
    let start = Start::with_file(text).and(
        "zoo.cfg.dynamic.100000000",
        "server.1=localhost:2888:3888:participant;0.0.0.0:2181",
    );
    assert_eq!(start.config().client.map(|client| client.port), Some(2181));
    let start = Start::with_file(&format!("{text}\nserver.1=localhost:2888:3888\ngroup.1=1"))
        .and("zoo.cfg.dynamic.100000000", "version=100000000\ntickTime=5");
    check_refused(
        &start,
        &[
            "zoo.cfg:3: server.1: parameter: server.1 must be in a separate dynamic config file",
            "zoo.cfg:4: group.1: parameter: group.1 must be in a separate dynamic config file",
            "zoo.cfg.dynamic.100000000:1: version: dynamic file shouldn't have version inside",
            "zoo.cfg.dynamic.100000000:2: tickTime: Unrecognised parameter: tickTime (allowed: \
         server.N, group.N, weight.N)",
        ],
    );
}

#[test]
fn a_client_address_must_be_the_same_in_both_places() {
    check_refused(
        &file("server.1=localhost:2888:3888;2182"),
        &[
            "zoo.cfg:3: server.1: client address for this server (id = 1) in static config file is \
         0.0.0.0:2181 is different from client address found in dynamic file: 0.0.0.0:2182 \
         (allowed: the same address in both places, or in one)",
        ],
    );
}

#[test]
fn bad_server_lines_are_refused_with_javas_reason() {
    let form = |value: &str| {
        format!(
            "zoo.cfg:3: server.1: {value} does not have the form server_config or \
             server_config;client_config where server_config is the pipe separated list of \
             host:port:port or host:port:port:type and client_config is port or host:port"
        )
    };
    for value in [
        "h:1",
        "h:1:2:participant:5",
        "h:1:2;a:b:3",
        "h:1:2;3;4",
        "[::1:1:2",
    ] {
        check_refused(&file(&format!("server.1={value}")), &[&form(value)]);
    }
    for (line, reason) in [
        ("server.x=h:1:2", "server.x: For input string: \"x\""),
        (
            "server.1=h:1:1",
            "server.1: Client and election port must be different! Please update the \
             configuration file on server.1",
        ),
        ("server.1=h:a:2", "server.1: Address unresolved: h:a"),
        (
            "server.1=h:1:2;x",
            "server.1: Address unresolved: 0.0.0.0:x",
        ),
        (
            "server.1=h:1:2:king",
            "server.1: Unrecognised peertype: king",
        ),
        (
            "server.1=h:1:2|i:1:2",
            "server.1: Multiple address feature is disabled, but multiple addresses were \
             specified for sid 1",
        ),
    ] {
        check_refused(&file(line), &[&format!("zoo.cfg:3: {reason}")]);
    }
    check_refused(
        &file("server.1=h:1:2:observer|i:1:2:participant\nmultiAddress.enabled=true"),
        &[
            "zoo.cfg:3: server.1: Multiple addresses should have similar roles: OBSERVER vs \
         PARTICIPANT",
        ],
    );
}

/// Three servers on loopback, of which this is `id`, with what a test adds.
fn three(id: i64, more: &str) -> Start {
    let text = format!(
        "dataDir={{dir}}\ninitLimit=10\nsyncLimit=5\nserver.1=127.0.0.1:1:2;11\n\
         server.2=127.0.0.1:3:4;12\nserver.3=127.0.0.1:5:6;13\n{more}"
    );
    Start::with_file(&text).and("myid", &format!("{id}\n"))
}

fn member(start: &Start) -> Ensemble {
    start.config().ensemble.unwrap()
}

#[test]
fn members_without_more_have_javas_defaults() {
    let start = three(2, "tickTime=2000");
    let config = start.config();
    let tick = Duration::from_secs(2);
    let init_limit = Ticks { count: 10, tick };
    let settings = MemberSettings {
        init_limit,
        sync_limit: Ticks { count: 5, tick },
        listen_on_all_addresses: false,
        several_addresses: false,
        election: ElectionSettings {
            connect_timeout: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(10),
            bind_attempts: Some(3),
            tcp_keep_alive: false,
            min_notification_interval: Duration::from_millis(200),
            max_notification_interval: Duration::from_secs(60),
        },
        leader: LeaderSettings {
            serves_clients: true,
            max_time_to_wait_for_epoch: None,
            max_concurrent_snap_syncs: 10,
            max_concurrent_diff_syncs: 100,
            snapshot_size_factor: Some(0.33),
            commit_log_count: 500,
            force_snapshot_sync: false,
        },
        learner: LearnerSettings {
            connect_limit: init_limit,
            connect_delay: Duration::from_millis(100),
            observer_sync: true,
            observer_reconnect_delay: Duration::ZERO,
            observer_election_delay: Duration::from_millis(200),
        },
        observer_master: None,
        local_sessions: LocalSessions::Off,
        read_only: false,
        create_database: true,
    };
    let expected = Ensemble {
        id: ServerId(2),
        role: MemberRole::Participant,
        members: EnsembleConfig::parse(
            "server.1=127.0.0.1:1:2:participant;0.0.0.0:11\n\
             server.2=127.0.0.1:3:4:participant;0.0.0.0:12\n\
             server.3=127.0.0.1:5:6:participant;0.0.0.0:13\n\
             version=0",
        )
        .unwrap(),
        close_session_lists: true,
        settings,
    };
    assert_eq!(config.ensemble, Some(expected));
    assert_eq!(config.client.map(|client| client.port), Some(12));
    assert_eq!(config.warnings, []);
}

const EVERY_FILE_KEY: &str = "\
    connectToLearnerMasterLimit=7\nquorumListenOnAllIPs=TRUE\nobserverMasterPort=2191\n\
    peerType=participant\nelectionAlg=3\nsyncEnabled=false\nlocalSessionsEnabled=true\n\
    localSessionsUpgradingEnabled=true\n";

const EVERY_PROPERTY: &[&str] = &[
    "multiAddress.enabled=true",
    "cnxTimeout=8",
    "quorumCnxnTimeoutMs=9",
    "electionPortBindRetry=0",
    "tcpKeepAlive=true",
    "fastleader.minNotificationInterval=10",
    "fastleader.maxNotificationInterval=11",
    "leaderServes=no",
    "leader.maxTimeToWaitForEpoch=0",
    "leader.maxConcurrentSnapSyncs=12",
    "leader.maxConcurrentDiffSyncs=13",
    "snapshotSizeFactor=0.5",
    "commitLogCount=600",
    "forceSnapshotSync=true",
    "leaderConnectDelayDuringRetryMs=14",
    "observer.reconnectDelayMs=15",
    "observer.election.DelayMs=16",
    "observerMaster.sizeLimit=0x10",
    "db.autocreate=false",
    "closeSessionTxn.enabled=false",
];

#[test]
fn every_key_of_a_member_reaches_its_field_from_the_file_and_as_a_property() {
    let in_file = format!("{EVERY_FILE_KEY}{}", EVERY_PROPERTY.join("\n"));
    let in_file = three(1, &in_file).flags(&["readonlymode.enabled=True"]);
    let properties: Vec<_> = EVERY_PROPERTY
        .iter()
        .map(|property| format!("zookeeper.{property}"))
        .chain(["readonlymode.enabled=true".to_owned()])
        .collect();
    let properties: Vec<_> = properties.iter().map(String::as_str).collect();
    let as_flags = three(1, EVERY_FILE_KEY).flags(&properties);
    let millis = Duration::from_millis;
    let tick = Duration::from_secs(3);
    let expected = MemberSettings {
        init_limit: Ticks { count: 10, tick },
        sync_limit: Ticks { count: 5, tick },
        listen_on_all_addresses: true,
        several_addresses: true,
        election: ElectionSettings {
            connect_timeout: millis(8),
            handshake_timeout: millis(9),
            bind_attempts: None,
            tcp_keep_alive: true,
            min_notification_interval: millis(10),
            max_notification_interval: millis(11),
        },
        leader: LeaderSettings {
            serves_clients: false,
            max_time_to_wait_for_epoch: Some(Duration::ZERO),
            max_concurrent_snap_syncs: 12,
            max_concurrent_diff_syncs: 13,
            snapshot_size_factor: Some(0.5),
            commit_log_count: 600,
            force_snapshot_sync: true,
        },
        learner: LearnerSettings {
            connect_limit: Ticks { count: 7, tick },
            connect_delay: millis(14),
            observer_sync: false,
            observer_reconnect_delay: millis(15),
            observer_election_delay: millis(16),
        },
        observer_master: Some(ObserverMaster {
            port: 2191,
            size_limit: 16,
        }),
        local_sessions: LocalSessions::Upgrading,
        read_only: true,
        create_database: false,
    };
    for start in [in_file, as_flags] {
        check_warned(&start, &[]);
        let member = member(&start);
        assert!(!member.close_session_lists);
        assert_eq!(member.settings, expected);
    }
}

#[test]
fn the_property_of_sync_enabled_wins_over_the_file() {
    let start = three(1, "syncEnabled=false").flags(&["zookeeper.observer.syncEnabled=true"]);
    assert!(member(&start).settings.learner.observer_sync);
}

#[test]
fn local_sessions_are_upgraded_only_if_there_are_any() {
    let start = three(1, "localSessionsUpgradingEnabled=true");
    let sessions = member(&start).settings.local_sessions;
    assert_eq!(sessions, LocalSessions::Off);
    let start = three(1, "localSessionsEnabled=true");
    let sessions = member(&start).settings.local_sessions;
    assert_eq!(sessions, LocalSessions::On);
}

#[test]
fn settings_out_of_range_are_replaced_in_words() {
    let start = three(
        1,
        "electionPortBindRetry=-1\ncommitLogCount=499\nsnapshotSizeFactor=1.5\n\
         leader.maxConcurrentSnapSyncs=0\ncnxTimeout=5s\n",
    );
    check_warned(
        &start,
        &[
            "zoo.cfg:7: electionPortBindRetry: contains invalid value: -1(must be >= 0). Use \
             default value of 3 instead.",
            "zoo.cfg:8: commitLogCount: 499 is too small, 500 is used",
            "zoo.cfg:9: snapshotSizeFactor: \"1.5\" is no number up to 1, 0.33 is used",
            "zoo.cfg:10: leader.maxConcurrentSnapSyncs: 0 is too small, 1 is used",
            "zoo.cfg:11: cnxTimeout: \"5s\" is no number, 5000 is used",
        ],
    );
    let settings = member(&start).settings;
    assert_eq!(settings.election.bind_attempts, Some(3));
    assert_eq!(settings.leader.snapshot_size_factor, Some(0.33));
    let factor = |text: &str| {
        let start = three(1, &format!("snapshotSizeFactor={text}"));
        member(&start).settings.leader.snapshot_size_factor
    };
    assert_eq!(factor("-1"), None);
    assert_eq!(factor("0"), Some(0.0));
    assert_eq!(factor("NaN"), Some(0.33));
    let forever = three(1, "cnxTimeout=0");
    let timeout = member(&forever).settings.election.connect_timeout;
    assert!(timeout > Duration::from_secs(86_400));
}

#[test]
fn limits_must_be_given() {
    let limits = |text: &str| {
        let members = "server.1=127.0.0.1:1:2\nserver.2=127.0.0.1:3:4\nserver.3=127.0.0.1:5:6";
        file(&format!("{members}\n{text}")).and("myid", "1")
    };
    let allowed = "(allowed: a number of ticks, from 1)";
    check_refused(
        &limits(""),
        &[
            &format!("zoo.cfg: initLimit: initLimit is not set {allowed}"),
            &format!("zoo.cfg: syncLimit: syncLimit is not set {allowed}"),
        ],
    );
    check_refused(
        &limits("initLimit=0\nsyncLimit=-2"),
        &[
            &format!("zoo.cfg:6: initLimit: initLimit is not set {allowed}"),
            &format!("zoo.cfg:7: syncLimit: syncLimit is negative: -2 {allowed}"),
        ],
    );
    check_refused(
        &limits("initLimit=ten\nsyncLimit=5"),
        &["zoo.cfg:6: initLimit: For input string: \"ten\" (allowed: a number of ticks)"],
    );
    check_refused(
        &three(1, "observerMasterPort=65536"),
        &[
            "zoo.cfg:7: observerMasterPort: port out of range:65536 (allowed: a port, 1 to 65535, or \
         0 for none)",
        ],
    );
}

#[test]
fn the_own_id_stands_in_a_file_and_among_the_members() {
    let own = |text: &str| three(1, "").and("myid", text);
    assert_eq!(member(&own("3\nmore")).id, ServerId(3));
    assert_eq!(member(&own("+2\r\n")).id, ServerId(2));
    let (found, code) = own("4").refused();
    assert_eq!(
        found,
        ["myid: My id 4 not in the peer list (allowed: 1, 2, 3)"]
    );
    assert_eq!(code, 1);
    for (text, read) in [("", "null"), ("\n", ""), ("1 \n", "1 "), ("two", "two")] {
        let reason = format!("serverid {read} is not a number");
        let allowed = "(allowed: a number from 0 to 255)";
        check_refused(&own(text), &[&format!("myid: {reason} {allowed}")]);
    }
    let start = three(1, "");
    fs::remove_file(start.dir.path().join("myid")).unwrap();
    let missing = "zoo.cfg: myid file is missing (allowed: a number in myid)";
    check_refused(&start, &[missing]);
    fs::create_dir(start.dir.path().join("myid")).unwrap();
    check_refused(&start, &[missing]);
}

#[test]
fn a_stranger_among_other_problems_ends_with_2() {
    let (found, code) = three(4, "maxClientCnxns=x").refused();
    assert_eq!((found.len(), code), (2, 2), "{found:?}");
}

#[test]
fn ids_are_numbers_that_elections_and_sessions_can_carry() {
    check_refused(
        &three(1, "server.-1=127.0.0.1:7:8"),
        &["zoo.cfg:7: server.-1: an id that no election understands"],
    );
    check_refused(
        &three(1, "server.9223372036854775807=127.0.0.1:7:8"),
        &["zoo.cfg:7: server.9223372036854775807: an id that no election understands"],
    );
    check_refused(
        &three(1, "server.01=127.0.0.1:7:8"),
        &["zoo.cfg:4: server.1: another line has the same number"],
    );
    let large = three(256, "server.256=127.0.0.1:7:8\nserver.0=127.0.0.1:9:10\n");
    check_warned(
        &large,
        &[
            "zoo.cfg:7: server.256: only the lowest 8 bits of an id are in session ids, and no \
         other server may have the same ones",
        ],
    );
    let with_ttl = |id: i64| three(id, &format!("server.{id}=127.0.0.1:7:8\nserver.0=h:1:2\n"));
    let flag = &["zookeeper.extendedTypesEnabled=true"];
    let (found, code) = with_ttl(255).flags(flag).refused();
    assert_eq!(
        found,
        [
            "myid: extendedTypesEnabled is true but Server ID is too large. Cannot be larger than \
          254 (allowed: 0 to 254)"
        ]
    );
    assert_eq!(code, 1);
    assert_eq!(member(&with_ttl(254).flags(flag)).id, ServerId(254));
}

#[test]
fn the_last_of_equal_keys_counts() {
    let start = three(1, "server.3=127.0.0.1:7:8");
    let third = &member(&start).members.members[&ServerId(3)];
    assert_eq!(third.to_string(), "127.0.0.1:7:8:participant");
    check_warned(
        &start,
        &["zoo.cfg:7: server.3: given before in zoo.cfg:6, this one counts"],
    );
}

#[test]
fn an_ensemble_needs_participants() {
    let refused = |reason: &str| [format!("zoo.cfg:3: {reason}")];
    let check = |start: Start, reason: &str| {
        assert_eq!(start.refused(), (refused(reason).to_vec(), 2));
    };
    check(
        file("standaloneEnabled=false"),
        "standaloneEnabled: standaloneEnabled = false then number of participants should be >0 \
         (allowed: a server.N line for each server)",
    );
    check(
        file("server.1=127.0.0.1:1:2:observer"),
        "server.1: Observers w/o participants is an invalid configuration (allowed: at least one \
         participant)",
    );
    check(
        file("server.1=127.0.0.1:1:2\nserver.2=127.0.0.1:3:4:observer"),
        "server.1: Observers w/o quorum is an invalid configuration (allowed: two participants or \
         more, or standaloneEnabled=false)",
    );
}

#[test]
fn one_participant_is_an_ensemble_if_it_may_not_stand_alone() {
    let start = file(
        "standaloneEnabled=false\ninitLimit=5\nsyncLimit=2\nserver.1=127.0.0.1:1:2\n\
         server.2=127.0.0.1:3:4:observer\n",
    )
    .and("myid", "2");
    let member = member(&start);
    assert_eq!(
        (member.id, member.role),
        (ServerId(2), MemberRole::Observer)
    );
    // The static client port is not part of the configuration's text.
    assert_eq!(
        member.members.to_string(),
        "server.1=127.0.0.1:1:2:participant\nserver.2=127.0.0.1:3:4:observer\nversion=0"
    );
    assert_eq!(start.config().client.map(|client| client.port), Some(2181));
    check_warned(
        &start,
        &["zoo.cfg: No server failure will be tolerated. You need at least 3 servers."],
    );
}

#[test]
fn two_participants_are_an_ensemble_that_tolerates_nothing() {
    let text = "initLimit=5\nsyncLimit=2\nserver.1=127.0.0.1:1:2\nserver.2=127.0.0.1:3:4";
    let start = file(text).and("myid", "2");
    assert_eq!(member(&start).id, ServerId(2));
    check_warned(
        &start,
        &["zoo.cfg: No server failure will be tolerated. You need at least 3 servers."],
    );
}

#[test]
fn an_even_number_of_voters_is_warned_of() {
    let fourth = "server.4=127.0.0.1:7:8";
    check_warned(
        &three(1, fourth),
        &["zoo.cfg: Non-optimal configuration, consider an odd number of servers."],
    );
    check_warned(&three(1, &format!("{fourth}:observer")), &[]);
}

#[test]
fn the_role_is_the_one_of_the_server_line() {
    let observer = "server.4=127.0.0.1:7:8:observer\npeerType=observer";
    let start = three(4, observer);
    assert_eq!(member(&start).role, MemberRole::Observer);
    check_warned(&start, &[]);
    let start = three(3, observer);
    assert_eq!(member(&start).role, MemberRole::Participant);
    check_warned(
        &start,
        &[
            "zoo.cfg:8: peerType: Peer type from servers list (PARTICIPANT) doesn't match peerType \
         (OBSERVER). Defaulting to servers list.",
        ],
    );
}

#[test]
fn groups_and_weights_make_a_hierarchy() {
    let start = three(1, "group.1=1:2\ngroup.2=3\nweight.3=0");
    let members = member(&start).members;
    let text = members.to_string();
    assert!(
        text.ends_with("group.1=1:2\ngroup.2=3\nweight.1=1\nweight.2=1\nweight.3=0\nversion=0"),
        "{text}"
    );
    let exactly_one = "(allowed: every participant in exactly one group)";
    let not_in = format!("zoo.cfg:6: server.3: Server 3is not in a group {exactly_one}");
    check_refused(&three(1, "group.1=1:2"), &[&not_in]);
    let first = format!("zoo.cfg:4: server.1: Server 1is not in a group {exactly_one}");
    check_refused(&three(1, "weight.1=2"), &[&first]);
    let twice = format!("zoo.cfg: Server 2is in multiple groups {exactly_one}");
    check_refused(&three(1, "group.1=1:2\ngroup.2=2:3"), &[&twice]);
    check_refused(
        &three(1, "group.1=1:2:3:4"),
        &[
            "zoo.cfg: Server 4 of a group is no participant (allowed: a server.N line, or a weight.N \
         line)",
        ],
    );
    check_refused(
        &three(1, "group.1=1:2:3\nweight.2=-1"),
        &["zoo.cfg: weight of server 2 is negative (allowed: a number from 0)"],
    );
    for line in ["group.1=1:x", "group.x=1:2:3", "weight.1=x", "weight=x"] {
        let key = line.split_once('=').map_or("", |(key, _)| key);
        let text = if key == "weight" { "weight" } else { "x" };
        let reason = format!("zoo.cfg:7: {key}: For input string: \"{text}\"");
        check_refused(&three(1, line), &[&reason]);
    }
    check_refused(
        &three(1, "group.1=1:2:3\ngroups.1=1:2:3"),
        &["zoo.cfg:8: groups.1: another line has the same number"],
    );
}

#[test]
fn several_addresses_of_a_member_are_read_if_they_are_allowed() {
    let start = three(
        1,
        "server.4=127.0.0.2:7:8|127.0.0.1:7:8:observer\nmultiAddress.enabled=true",
    );
    let fourth = &member(&start).members.members[&ServerId(4)];
    assert_eq!(fourth.to_string(), "127.0.0.1:7:8|127.0.0.2:7:8:observer");
    check_refused(
        &three(1, "multiAddress.enabled=yes"),
        &[
            "zoo.cfg:7: multiAddress.enabled: Invalid option yes for multiAddress.enabled. Choose \
         'true' or 'false.' (allowed: true, false)",
        ],
    );
}

#[test]
fn a_dynamic_file_has_its_version_in_its_name() {
    let version = |name: &str| {
        let text =
            format!("dataDir={{dir}}\ninitLimit=10\nsyncLimit=5\ndynamicConfigFile={{dir}}/{name}");
        let lines = "server.1=127.0.0.1:1:2;3\nserver.2=127.0.0.1:4:5;6\nserver.3=127.0.0.1:7:8;9";
        let start = Start::with_file(&text).and("myid", "1").and(name, lines);
        check_warned(&start, &[]);
        member(&start).members.version
    };
    assert_eq!(version("zoo.cfg.dynamic.10000000a"), 0x1_0000_000a);
    assert_eq!(version("zoo.cfg.dynamic"), 0);
}

#[test]
fn a_version_in_the_static_file_counts() {
    assert_eq!(member(&three(1, "version=1a")).members.version, 0x1a);
    check_refused(
        &three(1, "version=0x1a"),
        &[
            "zoo.cfg:7: version: For input string: \"0x1a\" under radix 16 (allowed: a zxid in hex, \
         without 0x)",
        ],
    );
}

#[test]
fn what_a_member_cannot_do_is_warned_of_and_not_a_server_alone() {
    let settings = "oraclePath=/o\nquorum.cnxn.threads.size=20\nreconfigEnabled=true\n\
                    leader.closeSocketAsync=true\nmultiAddress.reachabilityCheckEnabled=false";
    check_warned(&file(settings), &[]);
    check_warned(
        &three(1, settings).flags(&["learner.asyncSending=true"]),
        &[
            "command line: learner.asyncSending: no effect: links between servers have no such \
             threads here",
            "zoo.cfg:7: oraclePath: no effect: there is no oracle: of two voters none may fail",
            "zoo.cfg:8: quorum.cnxn.threads.size: no effect: links between servers have no such \
             threads here",
            "zoo.cfg:9: reconfigEnabled: no effect: the reconfig operations of an ensemble are \
             refused so far",
            "zoo.cfg:10: leader.closeSocketAsync: no effect: links between servers have no such \
             threads here",
            "zoo.cfg:11: multiAddress.reachabilityCheckEnabled: no effect: all addresses of a \
             server are tried at once",
        ],
    );
}

#[test]
fn names_that_cannot_be_resolved_and_addresses_given_twice_are_warned_of() {
    let start = three(1, "server.4=no such host:7:8\nserver.5=127.0.0.1:1:8\n");
    check_warned(
        &start,
        &[
            "zoo.cfg:7: server.4: no such host cannot be resolved; each connection tries it again",
            "zoo.cfg:8: server.5: server.1 has the same host and port",
        ],
    );
}

#[test]
fn a_client_address_may_be_in_both_places_if_it_is_the_same() {
    let start = three(2, "clientPort=12");
    assert_eq!(start.config().client.map(|client| client.port), Some(12));
    let differs = |text: &str, line: usize| {
        format!(
            "zoo.cfg:{line}: server.2: client address for this server (id = 2) in static config \
             file is {text} is different from client address found in dynamic file: 0.0.0.0:12 \
             (allowed: the same address in both places, or in one)"
        )
    };
    check_refused(&three(2, "clientPort=13"), &[&differs("0.0.0.0:13", 5)]);
    check_refused(
        &three(2, "clientPort=12\nclientPortAddress=127.0.0.1"),
        &[&differs("127.0.0.1:12", 5)],
    );
    // Another server's line is none of this one's.
    assert_eq!(three(1, "clientPort=11").config().warnings, []);
}

#[test]
fn what_guards_the_links_is_refused_by_name() {
    for line in [
        "sslQuorum=true",
        "portUnification=true",
        "quorum.auth.other=true",
    ] {
        let (found, code) = three(1, line).refused();
        assert_eq!((found.len(), code), (1, 2), "{found:?}");
        let key = line.split_once('=').map_or("", |(key, _)| key);
        assert!(
            found[0].starts_with(&format!("zoo.cfg:7: {key}: ")),
            "{found:?}"
        );
    }
}
