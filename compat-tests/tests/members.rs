//! What one member of an ensemble is to clients and operators, by its role and without a leader.
//!
//! Source: client-protocol.md 11.5 and 11.7, operations.md 1.6, 3.3 to 3.7.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use compat_tests::ensemble::{DEADLINE, Ensemble, Mode, Plan, Sid, wait_for};
use compat_tests::server::Kind;
use compat_tests::suite::{self, Skip};
use compat_tests::wire::{
    Client, Connection, Fields, Incoming, PATIENCE, connect_request, create, op, password,
};

const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests\n";

/// Error codes.
const NOT_READ_ONLY: i32 = -119;
const EPHEMERAL_ON_LOCAL_SESSION: i32 = -120;

const EPHEMERAL: i32 = 1;

fn main() -> ExitCode {
    suite::main(
        "members",
        &[
            ("words_say_what_a_member_is", words_of_members),
            ("without_a_leader_nobody_is_served", without_a_leader),
            (
                "without_a_leader_reads_are_served_where_that_is_wanted",
                read_only,
            ),
            ("connections_end_with_the_leader", connections_end),
            (
                "a_leader_may_leave_clients_to_the_others",
                leader_that_does_not_serve,
            ),
            ("local_sessions_are_known_to_one_server_alone", || {
                local_sessions(&plan())
            }),
            ("with_their_first_ephemeral_they_are_known_to_all", || {
                upgraded_sessions(&plan())
            }),
            ("local_sessions_where_apache_leads", || {
                local_sessions(&under(Kind::REFERENCE, Kind::under_test()))
            }),
            ("local_sessions_where_apache_follows", || {
                local_sessions(&under(Kind::under_test(), Kind::REFERENCE))
            }),
            ("upgraded_sessions_where_apache_leads", || {
                upgraded_sessions(&under(Kind::REFERENCE, Kind::under_test()))
            }),
            ("upgraded_sessions_where_apache_follows", || {
                upgraded_sessions(&under(Kind::under_test(), Kind::REFERENCE))
            }),
        ],
    )
}

fn plan() -> Plan {
    Plan::voters(&[Kind::under_test(); 3])
}

/// All begin with nothing, so whichever two find each other first, server 1 does not lead.
fn under(leader: Kind, other: Kind) -> Plan {
    Plan::voters(&[other, leader, leader])
}

fn start(plan: &Plan, home: &Path) -> Result<Ensemble, Skip> {
    let mut ensemble = plan.lay_out(home);
    ensemble.start_all()?;
    Ok(ensemble)
}

fn words_of_members() -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let ensemble = start(&plan().observers(&[Kind::under_test()]), home.path())?;
    let leader = ensemble.leader();
    let clients: Vec<Client> = ensemble
        .sids()
        .into_iter()
        .map(|sid| Client::connect(ensemble.address(sid)))
        .collect();
    for sid in ensemble.sids() {
        // A session that has just been closed somewhere is known to nobody any more.
        ensemble.wait_until_agreed();
        let (state, peer_state) = match ensemble.mode(sid) {
            Some(Mode::Leader) => ("leader", "leading - broadcast"),
            Some(Mode::Follower) => ("follower", "following - broadcast"),
            Some(Mode::Observer) => ("observer", "observing - broadcast"),
            None => panic!("server {sid} does not serve"),
        };
        let leads = sid == leader;
        let mut keys = vec![
            "Zookeeper version",
            "Latency min/avg/max",
            "Received",
            "Sent",
            "Connections",
            "Outstanding",
            "Zxid",
            "Mode",
            "Node count",
        ];
        keys.extend(leads.then_some("Proposal sizes last/min/max"));
        let srvr = ensemble.ask(sid, "srvr");
        let found: Vec<_> = srvr.lines().map(|line| line.split(": ").next()).collect();
        assert_eq!(found, keys.into_iter().map(Some).collect::<Vec<_>>());
        let stat = ensemble.ask(sid, "stat");
        assert!(stat.contains(&format!("\nMode: {state}\n")), "{stat}");
        assert_eq!(ensemble.ask(sid, "isro"), "rw");
        assert_eq!(ensemble.ask(sid, "ruok"), "imok");

        let value = |key: &str| value_of(&ensemble, sid, key);
        assert_eq!(value("server_state").as_deref(), Some(state));
        assert_eq!(value("peer_state").as_deref(), Some(peer_state));
        assert_eq!(value("quorum_size").as_deref(), Some("3"));
        assert_eq!(value("global_sessions").as_deref(), Some("4"));
        assert_eq!(value("local_sessions").as_deref(), Some("0"));
        let of_leader = [
            ("learners", "3"),
            ("synced_followers", "2"),
            ("synced_observers", "1"),
            ("synced_non_voting_followers", "0"),
            ("pending_syncs", "0"),
        ];
        for (key, expected) in of_leader {
            match leads {
                true => wait_for(key, || (value(key)? == expected).then_some(())),
                false if key == "synced_observers" => {}
                false => assert_eq!(value(key), None, "{key} at server {sid}"),
            }
        }
        for key in ["leader_uptime", "last_proposal_size", "min_proposal_size"] {
            assert_eq!(value(key).is_some(), leads, "{key} at server {sid}");
        }
        let master = (state == "observer").then(|| leader.to_string());
        assert_eq!(value("observer_master_id"), master);

        let conf = ensemble.ask(sid, "conf");
        let (own, members) = conf.split_once("membership: \n").expect("membership");
        let peer_type = i32::from(state == "observer");
        assert!(own.contains(&format!("\nserverId={sid}\ninitLimit=40\nsyncLimit=20\n")));
        assert!(own.ends_with(&format!("\npeerType={peer_type}\n")), "{own}");
        let lines: Vec<_> = members.split('\n').collect();
        assert_eq!((lines.len(), lines[4]), (5, "version=0"), "{members}");
        assert!(lines[3].starts_with("server.4=") && lines[3].contains(":observer;"));
        let mut client = Client::connect(ensemble.address(sid));
        let (data, stat) = client.get("/zookeeper/config").expect("it is there");
        assert_eq!(data.as_deref(), Some(members.as_bytes()));
        assert_eq!((stat.version, stat.czxid, stat.mzxid), (-1, 0, 0));
        client.close();

        let dump = ensemble.ask(sid, "dump");
        let sessions = dump.lines().nth(1).expect("a line of sessions");
        match leads {
            true => assert!(sessions.starts_with("Session Sets ("), "{dump}"),
            false => assert_eq!(sessions, "Global Sessions(4):", "{dump}"),
        }
        let ids: Vec<_> = clients.iter().map(|client| client.session).collect();
        for id in ids {
            assert!(dump.contains(&format!("0x{id:x}")), "{id:x} in {dump}");
        }
        let cons = ensemble.ask(sid, "cons");
        let own = clients[sid - 1].session;
        assert!(
            cons.contains(&format!(",sid=0x{own:x},lop=SESS,")),
            "{cons}"
        );
    }
    Ok(())
}

/// What `mntr` tells of one key.
fn value_of(ensemble: &Ensemble, sid: Sid, key: &str) -> Option<String> {
    let text = ensemble.ask(sid, "mntr");
    let begin = format!("zk_{key}\t");
    let value = text.lines().find_map(|line| line.strip_prefix(&begin))?;
    Some(value.to_owned())
}

/// One of three that is alone, and the words that tell so.
fn check_not_serving(ensemble: &Ensemble, sid: Sid) {
    for word in [
        "srvr", "stat", "mntr", "conf", "cons", "dump", "dirs", "wchs", "crst", "srst",
    ] {
        assert_eq!(ensemble.ask(sid, word), NOT_SERVING, "{word}");
    }
    assert_eq!(ensemble.ask(sid, "hash"), NOT_SERVING.trim_end());
    assert_eq!(ensemble.ask(sid, "isro"), "null");
    assert_eq!(ensemble.ask(sid, "ruok"), "imok");
}

/// How a server ends a connection that it does not serve.
#[track_caller]
fn check_closed(address: SocketAddr, request: &[u8]) {
    let mut connection = Connection::open(address).expect("the port is open");
    connection.send(request);
    assert_eq!(connection.receive(PATIENCE), Incoming::Closed);
}

fn new_session() -> Vec<u8> {
    connect_request(0, &[0; 16], 30_000, 0)
}

/// The same of a client that is content with reads.
fn content(session: i64, last_zxid: i64) -> Vec<u8> {
    let password = match session {
        0 => [0; 16],
        _ => password(session),
    };
    let mut request = connect_request(session, &password, 30_000, last_zxid);
    *request.last_mut().expect("a request has bytes") = 1;
    request
}

fn without_a_leader() -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut ensemble = plan().lay_out(home.path());
    ensemble.start(1)?;
    wait_for("an answer", || {
        (ensemble.ask(1, "ruok") == "imok").then_some(())
    });
    check_not_serving(&ensemble, 1);
    for request in [new_session(), content(0, 0)] {
        check_closed(ensemble.address(1), &request);
    }
    Ok(())
}

fn read_only() -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let plan = plan()
        .property("readonlymode.enabled", "true")
        .line("localSessionsEnabled", "true")
        .line("localSessionsUpgradingEnabled", "true");
    let mut ensemble = start(&plan, home.path())?;
    let mut owner = Client::connect(ensemble.address(1));
    owner.create("/node", b"data", 0);
    owner.create("/mine", b"", EPHEMERAL);
    let global = owner.session;
    ensemble.wait_until_agreed();
    for sid in [2, 3] {
        ensemble.kill(sid);
    }
    wait_for("a read-only server", || {
        let text = ensemble.ask(1, "srvr");
        text.contains("Mode: read-only\n").then_some(())
    });
    assert!(owner.reply().is_err(), "the old connection goes on");
    let stat = ensemble.ask(1, "stat");
    let lines: Vec<_> = stat.lines().skip(1).take(2).collect();
    let note = "READ-ONLY mode; serving only read-only clients";
    assert_eq!(lines, [note, "Clients:"], "{stat}");
    assert_eq!(ensemble.ask(1, "isro"), "ro");
    assert!(ensemble.ask(1, "conf").ends_with("\npeerType=0\n"));
    assert_eq!(
        value_of(&ensemble, 1, "server_state").as_deref(),
        Some("read-only")
    );
    assert_eq!(value_of(&ensemble, 1, "peer_state"), None);

    let address = ensemble.address(1);
    check_closed(address, &new_session());
    check_closed(address, &content(global, 0));
    check_closed(address, &content(0, i64::MAX));
    let mut client = Client::dial(address, &content(0, 0), PATIENCE).expect("a session");
    assert_eq!(
        value_of(&ensemble, 1, "local_sessions").as_deref(),
        Some("1")
    );
    let (data, _) = client.get("/node").expect("it is there");
    assert_eq!(data.as_deref(), Some(&b"data"[..]));
    for flags in [0, EPHEMERAL] {
        let reply = client.call(op::CREATE, &create("/new", b"", flags));
        assert_eq!(reply.error, NOT_READ_ONLY);
    }
    let reply = client.call(op::SYNC, &Fields::new().string("/"));
    assert_eq!(reply.error, NOT_READ_ONLY);
    client.ok(op::EXISTS, &Fields::new().string("/node").boolean(true));

    ensemble.start(2)?;
    assert!(client.reply().is_err(), "it goes on beside a leader");
    assert!(client.events.is_empty());
    ensemble.wait_until_serving(1);
    let mut owner = Client::attach(address, global, 30_000).expect("an answer");
    assert_eq!(owner.session, global, "the real session was still there");
    owner.create("/more", b"", 0);
    owner.close();
    Ok(())
}

fn connections_end() -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut ensemble = start(&plan(), home.path())?;
    let leader = ensemble.leader();
    let mut clients: Vec<Client> = ensemble
        .learners()
        .into_iter()
        .map(|sid| Client::connect(ensemble.address(sid)))
        .collect();
    ensemble.kill(leader);
    for client in &mut clients {
        let end = client.connection().receive(DEADLINE);
        assert_eq!(end, Incoming::Closed);
    }
    ensemble.wait_until_all_serve();
    for sid in ensemble.awake() {
        for client in &clients {
            let again = wait_for("an answer", || {
                let request = connect_request(client.session, &password(client.session), 30_000, 0);
                Client::dial(ensemble.address(sid), &request, Duration::from_secs(1)).ok()
            });
            assert_eq!(again.session, client.session);
        }
    }
    Ok(())
}

fn leader_that_does_not_serve() -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut ensemble = plan().line("leaderServes", "no").lay_out(home.path());
    for sid in ensemble.sids() {
        ensemble.start(sid)?;
    }
    let followers = wait_for("two followers", || {
        let follows = |sid: &Sid| ensemble.mode(*sid) == Some(Mode::Follower);
        let followers: Vec<_> = ensemble.sids().into_iter().filter(follows).collect();
        (followers.len() == 2).then_some(followers)
    });
    let leader = 6 - followers.iter().sum::<Sid>();
    check_not_serving(&ensemble, leader);
    check_closed(ensemble.address(leader), &new_session());
    let mut client = Client::connect(ensemble.address(followers[0]));
    client.create("/node", b"", 0);
    client.close();
    Ok(())
}

fn local_sessions(plan: &Plan) -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let plan = plan.clone().line("localSessionsEnabled", "true");
    let ensemble = start(&plan, home.path())?;
    for sid in ensemble.sids() {
        let before = value_of(&ensemble, sid, "global_sessions");
        let zxid = ensemble.zxid(sid);
        let mut client = Client::connect(ensemble.address(sid));
        assert_eq!(ensemble.zxid(sid), zxid, "a local session took a zxid");
        assert_eq!(
            value_of(&ensemble, sid, "local_sessions").as_deref(),
            Some("1")
        );
        assert_eq!(value_of(&ensemble, sid, "global_sessions"), before);
        let dump = ensemble.ask(sid, "dump");
        let first = dump.lines().nth(1).expect("a line of sessions");
        assert_eq!(first, "Local Session Sets (1)/(1):", "{dump}");
        assert!(dump.contains("\nGlobal Session"), "{dump}");

        let path = format!("/of-{sid}");
        client.create(&path, b"", 0);
        let reply = client.call(op::CREATE, &create("/e", b"", EPHEMERAL));
        assert_eq!(reply.error, EPHEMERAL_ON_LOCAL_SESSION, "at server {sid}");
        let other = 1 + sid % 3;
        let refused = Client::attach(ensemble.address(other), client.session, 30_000);
        assert_eq!(
            refused.expect("an answer").timeout_ms,
            0,
            "at server {other}"
        );
        let session = client.session;
        let mut client = Client::attach(ensemble.address(sid), session, 30_000).expect("an answer");
        assert_eq!(client.session, session);
        assert!(client.get(&path).is_some());
        let end = client.ok(op::CLOSE_SESSION, &Fields::new());
        assert!(end.body.is_empty());
        assert_eq!(
            value_of(&ensemble, sid, "local_sessions").as_deref(),
            Some("0")
        );
    }
    Ok(())
}

fn upgraded_sessions(plan: &Plan) -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let plan = plan
        .clone()
        .observers(&[Kind::under_test()])
        .line("localSessionsEnabled", "true")
        .line("localSessionsUpgradingEnabled", "true");
    let ensemble = start(&plan, home.path())?;
    for sid in ensemble.sids() {
        let mut client = Client::connect(ensemble.address(sid));
        let session = client.session;
        let mine = format!("/mine-{sid}");
        client.create(&format!("/{sid}"), b"", 0);
        client.create(&mine, b"", EPHEMERAL);
        assert_eq!(client.session, session);
        assert_eq!(
            value_of(&ensemble, sid, "local_sessions").as_deref(),
            Some("0")
        );
        let other = 1 + sid % 4;
        let last_zxid = client.get(&mine).expect("it is there").1.czxid;
        let mut client = wait_for("a server that has caught up", || {
            let request = connect_request(session, &password(session), 30_000, last_zxid);
            Client::dial(ensemble.address(other), &request, Duration::from_secs(1)).ok()
        });
        assert_eq!(client.session, session, "at server {other}");
        let (_, stat) = client.get(&mine).expect("the ephemeral has come along");
        assert_eq!(stat.ephemeral_owner, session);
        client.close();
        let mut client = Client::connect(ensemble.address(other));
        client.ok(op::SYNC, &Fields::new().string("/"));
        assert!(
            client.get(&mine).is_none(),
            "{mine} has outlived its session"
        );
        client.close();
    }
    ensemble.check_same_state();
    Ok(())
}
