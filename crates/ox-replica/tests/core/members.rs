//! What clients of several members see, and when.
//!
//! Lines are those of the scenarios of one server, with the member's number before them. Server 3
//! leads, unless it is gone. Source: client-protocol.md 2.6, 3.4 and chapter 11, quorum.md chapter 10.

use ox_proto::{ErrorCode, MultiOp, Request, SessionId, Txn, TxnRecord, Zxid};
use ox_replica::{Mode, Settings, Work};
use ox_session::password;

use crate::ensemble::{Ensemble, Sid};
use crate::server::*;

/// Three voters and an observer, each with a client, by the transactions 1 to 4 of the epoch.
fn ensemble() -> Ensemble {
    with_clients(Ensemble::new(3, 1))
}

fn with_clients(mut ensemble: Ensemble) -> Ensemble {
    for sid in 1..=4 {
        ensemble.connect(sid, 1);
    }
    ensemble
}

fn session(e: &Ensemble, sid: Sid) -> SessionId {
    e.member(sid).sessions[1]
}

/// What the log of a member ends with.
fn last_txn(e: &Ensemble, sid: Sid) -> Txn {
    let (_, payload) = e.member(sid).log.last().expect("a record");
    TxnRecord::decode(payload, 1 << 20).expect("whole").txn
}

#[test]
fn a_write_is_answered_where_it_was_sent_and_seen_by_all() {
    let mut e = ensemble();
    e.do_on(1, |s| s.send(1, &[create("/a"), data("/a", false)]));
    e.expect(&["1/1: 1 @1/5 /a", "1/1: 2 @1/5 0"]);
    for sid in 2..=4 {
        e.do_on(sid, |s| s.send(1, &[data("/a", false)]));
        e.expect(&[&format!("{sid}/1: 1 @1/5 0")]);
    }
}

#[test]
fn a_write_that_fails_at_the_leader_fails_for_its_reason_where_it_was_sent() {
    let mut e = ensemble();
    let failing = [
        delete("/none"),
        multi(&[
            MultiOp::Create(plain("/b")),
            MultiOp::Delete(delete_op("/none")),
        ]),
        create("/a"),
    ];
    e.do_on(4, |s| s.send(1, &failing));
    e.expect(&[
        "4/1: 1 @1/5 !NoNode",
        "4/1: 2 @1/6 !Ok !NoNode",
        "4/1: 3 @1/7 /a",
    ]);
}

#[test]
fn identities_go_with_a_request_to_the_leader() {
    let mut e = ensemble();
    e.connect(1, 9);
    let read_only = create_as("/a", 0, &[ox_proto::Acl::world(1)]);
    e.do_on(1, |s| {
        s.send(1, &[Request::Create(read_only), set("/a", "1")])
    });
    e.do_on(1, |s| s.send(9, &[set("/a", "1")]));
    e.expect(&["1/1: 1 @1/6 /a", "1/1: 2 @1/7 !NoAuth", "1/9: 3 @1/8 ok"]);
}

#[test]
fn on_a_learner_too_a_read_waits_for_its_own_sessions_writes_and_for_no_others() {
    let mut e = ensemble();
    e.connect(1, 2);
    e.make_deaf(3);
    let mixed = [
        create("/a"),
        data("/a", false),
        set("/a", "1"),
        data("/a", false),
    ];
    e.do_on(1, |s| s.send(1, &mixed));
    e.do_on(1, |s| s.send(2, &[data("/a", false)]));
    e.expect(&["1/2: 5 @1/5 !NoNode"]);
    e.let_hear(3);
    e.expect(&[
        "1/1: 1 @1/6 /a",
        "1/1: 2 @1/6 0",
        "1/1: 3 @1/7 ok",
        "1/1: 4 @1/7 1",
    ]);
}

#[test]
fn nothing_is_answered_before_a_quorum_has_it_on_disk_and_our_own_disk_too() {
    let mut e = ensemble();
    e.set_disk(1, false);
    e.set_disk(2, false);
    e.do_on(1, |s| s.send(1, &[create("/a")]));
    e.do_on(3, |s| s.send(1, &[data("/a", false)]));
    e.expect(&["3/1: 1 @1/4 !NoNode"]);
    // With the leader that is a quorum: it shows what is committed, the first server not yet.
    e.set_disk(2, true);
    e.do_on(3, |s| s.send(1, &[data("/a", false)]));
    e.expect(&["3/1: 2 @1/5 0"]);
    e.set_disk(1, true);
    e.expect(&["1/1: 1 @1/5 /a"]);
}

#[test]
fn an_undecodable_write_is_answered_in_its_place_and_not_forwarded() {
    let mut e = ensemble();
    e.make_deaf(3);
    let undecodable = || Work::Undecodable(ErrorCode::MarshallingError);
    let works = vec![
        undecodable(),
        Work::Request(create("/a")),
        undecodable(),
        Work::Request(create("/b")),
    ];
    e.do_on(1, |s| s.send_work(1, works));
    e.expect(&["1/1: 1 @1/4 !MarshallingError"]);
    e.let_hear(3);
    e.expect(&[
        "1/1: 2 @1/5 /a",
        "1/1: 3 @1/5 !MarshallingError",
        "1/1: 4 @1/6 /b",
    ]);
    assert_eq!(e.member(3).log.len(), 6);
}

#[test]
fn a_sync_brings_what_was_committed_before_it_was_asked_for() {
    let mut e = ensemble();
    for learner in [1, 4] {
        let path = format!("/{learner}");
        e.make_deaf(learner);
        e.do_on(3, |s| s.send(1, &[create(&path)]));
        e.do_on(learner, |s| s.send(1, &[data(&path, false)]));
        e.do_on(learner, |s| s.send(1, &[sync(), data(&path, false)]));
        let (before, zxid) = (4 + learner / 3, 5 + learner / 3);
        let xid = 1 + learner / 3;
        e.expect(&[
            &format!("3/1: {xid} @1/{zxid} {path}"),
            &format!("{learner}/1: 1 @1/{before} !NoNode"),
        ]);
        e.let_hear(learner);
        e.expect(&[
            &format!("{learner}/1: 2 @1/{zxid} ok"),
            &format!("{learner}/1: 3 @1/{zxid} 0"),
        ]);
    }
}

#[test]
fn a_sync_waits_for_what_is_proposed() {
    let mut e = ensemble();
    e.set_disk(2, false);
    e.set_disk(3, false);
    e.do_on(3, |s| s.send(1, &[create("/a")]));
    e.do_on(1, |s| s.send(1, &[sync(), data("/a", false)]));
    e.expect(&[]);
    assert_eq!(e.member(3).core.pending_syncs(), 1);
    e.set_disk(3, true);
    e.expect(&["3/1: 1 @1/5 /a", "1/1: 1 @1/5 ok", "1/1: 2 @1/5 0"]);
}

/// Both commit at once.
#[test]
fn a_sync_is_answered_between_the_writes_around_it() {
    for learner in [1, 4] {
        let mut e = ensemble();
        e.set_disk(2, false);
        e.set_disk(3, false);
        let requests = [create("/a"), sync(), data("/a", false), create("/b")];
        e.do_on(learner, |s| s.send(1, &requests));
        e.expect(&[]);
        e.set_disk(2, true);
        e.do_on(3, |s| s.flush());
        let lines = ["1 @1/5 /a", "2 @1/5 ok", "3 @1/5 0", "4 @1/6 /b"];
        let lines = lines.map(|line| format!("{learner}/1: {line}"));
        e.expect(&lines.each_ref().map(String::as_str));
    }
}

#[test]
fn a_sync_between_writes_that_commit_at_once_is_answered_between_them() {
    let mut e = ensemble();
    e.set_disk(3, false);
    e.do_on(1, |s| {
        s.send(1, &[create("/a"), sync(), create("/b"), sync()])
    });
    e.expect(&[]);
    // What the leader's disk reports at once commits at once.
    e.set_disk(3, true);
    e.expect(&[
        "1/1: 1 @1/5 /a",
        "1/1: 2 @1/5 ok",
        "1/1: 3 @1/6 /b",
        "1/1: 4 @1/6 ok",
    ]);
}

#[test]
fn on_the_leader_a_sync_is_a_read() {
    let mut e = ensemble();
    e.make_deaf(1);
    e.make_deaf(2);
    e.do_on(3, |s| s.send(1, &[sync(), create("/a"), sync()]));
    e.expect(&["3/1: 1 @1/4 ok"]);
    e.let_hear(1);
    e.expect(&["3/1: 2 @1/5 /a", "3/1: 3 @1/5 ok"]);
}

#[test]
fn watches_fire_on_each_member_before_what_they_tell_of_can_be_read() {
    let mut e = ensemble();
    for sid in [1, 3, 4] {
        e.do_on(sid, |s| s.send(1, &[exists("/a", true)]));
    }
    e.expect(&[
        "1/1: 1 @1/4 !NoNode",
        "3/1: 1 @1/4 !NoNode",
        "4/1: 1 @1/4 !NoNode",
    ]);
    e.make_deaf(4);
    e.do_on(1, |s| s.send(1, &[create("/a")]));
    e.do_on(4, |s| s.send(1, &[sync(), data("/a", false)]));
    e.expect(&[
        "3/1: NodeCreated /a @1/5",
        "1/1: NodeCreated /a @1/5",
        "1/1: 2 @1/5 /a",
    ]);
    e.let_hear(4);
    e.expect(&[
        "4/1: NodeCreated /a @1/5",
        "4/1: 2 @1/5 ok",
        "4/1: 3 @1/5 0",
    ]);
}

#[test]
fn a_session_is_taken_up_at_another_member_if_the_leader_knows_it() {
    let mut e = ensemble();
    let mine = session(&e, 1);
    e.do_on(1, |s| s.disconnect(1));
    e.expect(&["1/1: release"]);
    e.make_deaf(3);
    for client in [2, 3] {
        e.do_on(2, |s| s.reattach(client, mine));
    }
    let strange = SessionId(77);
    e.do_on(2, |s| s.reattach(4, strange));
    e.do_on(2, |s| s.ask_to_connect(5, mine, &[7; 16]));
    // A wrong password needs no leader to be wrong.
    e.expect(&["2/5: refused", "2/5: close"]);
    e.let_hear(3);
    e.expect(&[
        "2/2: session",
        "2/2: close",
        "2/3: session",
        "2/4: refused",
        "2/4: close",
    ]);
    e.do_on(3, |s| s.reattach(6, mine));
    e.expect(&["3/6: session"]);
}

#[test]
fn a_connection_that_ends_while_the_leader_is_asked_is_forgotten_with_the_answer() {
    let mut e = ensemble();
    let mine = session(&e, 1);
    e.make_deaf(3);
    e.do_on(2, |s| s.reattach(2, mine));
    e.do_on(2, |s| s.ask_to_connect(3, SessionId::NONE, &[]));
    e.do_on(2, |s| s.disconnect(2));
    e.do_on(2, |s| s.disconnect(3));
    e.expect(&[]);
    e.let_hear(3);
    e.expect(&["2/2: release", "2/3: release"]);
}

#[test]
fn who_held_a_session_before_is_closed_without_an_answer() {
    for (old, new) in [(1, 2), (3, 1), (2, 3), (4, 1)] {
        let mut e = ensemble();
        let mine = session(&e, old);
        e.do_on(new, |s| s.reattach(2, mine));
        e.expect(&[&format!("{new}/2: session")]);
        // Its reads tell it nothing.
        e.do_on(old, |s| s.send(1, &[data("/a", false)]));
        e.expect(&[&format!("{old}/1: 1 @1/4 !NoNode")]);
        e.do_on(old, |s| s.send(1, &[create("/late"), data("/late", false)]));
        e.expect(&[&format!("{old}/1: close")]);
        e.do_on(new, |s| s.send(2, &[create("/new")]));
        e.expect(&[&format!("{new}/2: 1 @1/6 /new")]);
        assert_eq!(e.member(1).database.tree.node("/late").map(|_| ()), None);
    }
}

#[test]
fn who_held_a_session_before_may_close_it() {
    for (old, new) in [(1, 2), (3, 1), (1, 3)] {
        let mut e = ensemble();
        let mine = session(&e, old);
        e.do_on(new, |s| s.reattach(2, mine));
        e.do_on(old, |s| s.send(1, &[Request::CloseSession]));
        let mut said = e.take_said();
        said.sort();
        let mut expected = vec![
            format!("{new}/2: session"),
            format!("{old}/1: 1 @1/5 ok"),
            format!("{old}/1: close"),
            format!("{new}/2: close"),
        ];
        expected.sort();
        assert_eq!(said, expected);
        assert!(!e.member(4).database.sessions.contains_key(&mine));
    }
}

#[test]
fn ephemerals_go_everywhere_with_their_session() {
    let mut e = ensemble();
    e.do_on(1, |s| s.send(1, &[ephemeral("/e")]));
    for sid in [2, 4] {
        e.do_on(sid, |s| s.send(1, &[exists("/e", true)]));
    }
    e.expect(&["1/1: 1 @1/5 /e", "2/1: 1 @1/5 ok", "4/1: 1 @1/5 ok"]);
    e.do_on(1, |s| s.send(1, &[Request::CloseSession]));
    let mut said = e.take_said();
    said.sort();
    assert_eq!(
        said,
        [
            "1/1: 2 @1/6 ok",
            "1/1: close",
            "2/1: NodeDeleted /e @1/6",
            "4/1: NodeDeleted /e @1/6",
        ]
    );
}

#[test]
fn the_leader_expires_sessions_of_learners_that_report_no_touch() {
    let mut e = ensemble();
    e.do_on(1, |s| s.send(1, &[ephemeral("/e")]));
    e.expect(&["1/1: 1 @1/5 /e"]);
    // The others are heard from: by reads that their cores have seen, or not.
    for _ in 0..4 {
        e.wait(2000);
        e.do_on(2, |s| s.touch(1));
        e.do_on(3, |s| s.touch(1));
        e.do_on(4, |s| s.send(1, &[Request::Ping]));
    }
    let said = e.take_said();
    let pings = said.iter().filter(|line| line.starts_with("4/1: "));
    assert_eq!(pings.count(), 4);
    let ends: Vec<_> = said.iter().filter(|line| line.ends_with("close")).collect();
    assert_eq!(ends, ["1/1: close"]);
    for sid in 1..=4 {
        assert!(e.member(sid).database.tree.node("/e").is_none());
        assert_eq!(e.member(sid).database.sessions.len(), 3);
    }
}

#[test]
fn a_touch_is_reported_once() {
    let mut e = ensemble();
    let mine = session(&e, 1);
    // The first ping tells of it from everywhere, and no later one.
    e.wait(3900);
    assert!(e.member(3).database.sessions.contains_key(&mine));
    e.wait(3000);
    assert!(!e.member(3).database.sessions.contains_key(&mine));
}

#[test]
fn a_new_leader_gives_every_session_its_full_time() {
    let mut e = ensemble();
    let mine = session(&e, 1);
    e.wait(3000);
    e.set_reachable(3, false);
    e.wait(1500);
    assert_eq!(e.modes()[..2], [Some(Mode::Follower), Some(Mode::Leader)]);
    e.wait(3000);
    assert!(e.member(2).database.sessions.contains_key(&mine));
    e.take_said();
    e.do_on(1, |s| s.disconnect(1));
    e.do_on(1, |s| s.reattach(1, mine));
    e.expect(&["1/1: release", "1/1: session"]);
}

#[test]
fn without_a_leader_connections_are_closed_and_nothing_is_kept_of_them() {
    let mut e = ensemble();
    e.do_on(1, |s| s.send(1, &[exists("/a", true)]));
    // Some of what clients wait for will never come.
    e.make_deaf(3);
    e.connect_later(1, 2);
    let mine = session(&e, 2);
    e.do_on(1, |s| s.reattach(3, mine));
    e.do_on(1, |s| s.send(1, &[create("/a"), data("/a", false), sync()]));
    e.do_on(2, |s| s.send(1, &[create("/b")]));
    e.do_on(2, |s| s.disconnect(1));
    e.expect(&["1/1: 1 @1/4 !NoNode"]);
    e.make_deaf(1);
    e.make_deaf(2);
    e.set_reachable(3, false);
    e.let_only_hear_of_the_end(1);
    let mut said = e.take_said();
    said.sort();
    assert_eq!(
        said,
        ["1/1: close", "1/2: close", "1/3: close", "4/1: close"]
    );
    assert_eq!(e.member(1).mode, None);
    assert_eq!(e.member(1).database.watches.total(), 0);
    // What was on its way from a client goes nowhere.
    e.on(1, |s| s.send(1, &[data("/zookeeper", true)]));
    e.on(1, |s| s.ask_to_connect(4, SessionId::NONE, &[]));
    e.expect(&["1/4: close"]);
    for client in 1..=4 {
        e.on(1, |s| s.disconnect(client));
    }
    e.expect(&[
        "1/1: release",
        "1/2: release",
        "1/3: release",
        "1/4: release",
    ]);
    // The other's client had gone before: its write was all that kept its name.
    e.let_only_hear_of_the_end(2);
    e.expect(&["2/1: release"]);
    assert!(e.member(2).has_released_all());
}

#[test]
fn what_a_client_of_the_last_role_has_sent_is_not_for_the_next() {
    let mut e = ensemble();
    e.set_reachable(3, false);
    e.wait(1500);
    assert_eq!(e.modes()[..2], [Some(Mode::Follower), Some(Mode::Leader)]);
    e.take_said();
    let before = e.member(2).log.len();
    for sid in [1, 2] {
        e.do_on(sid, |s| {
            s.send(1, &[create("/late"), data("/zookeeper", true)])
        });
    }
    e.expect(&[]);
    assert_eq!(e.member(2).log.len(), before);
    assert_eq!(e.member(1).database.watches.total(), 0);
}

#[test]
fn a_client_that_has_seen_more_than_this_server_is_closed() {
    let mut e = ensemble();
    for sid in [1, 3] {
        for (seen, said) in [(5, "close"), (4, "session")] {
            let request = ox_proto::ConnectRequest {
                last_zxid_seen: Zxid::new(1, seen),
                ..connect_request(session(&e, sid), &password(session(&e, sid)))
            };
            e.do_on(sid, |s| s.ask(seen, request));
            let said = format!("{sid}/{seen}: {said}");
            let all = e.take_said();
            assert!(all.contains(&said), "{all:?}");
        }
    }
}

#[test]
fn a_leader_that_does_not_serve_leaves_clients_to_the_others() {
    let settings = Settings {
        leader_serves: false,
        ..settings()
    };
    let mut e = Ensemble::with(3, 0, settings);
    e.do_on(3, |s| s.ask_to_connect(1, SessionId::NONE, &[]));
    e.expect(&["3/1: close"]);
    e.connect(1, 1);
    e.do_on(1, |s| s.send(1, &[create("/a")]));
    e.expect(&["1/1: 1 @1/2 /a"]);
}

#[test]
fn the_list_of_a_closed_session_can_be_left_out() {
    for lists in [true, false] {
        let settings = Settings {
            close_session_lists: lists,
            ..settings()
        };
        let mut e = Ensemble::with(3, 0, settings);
        e.connect(1, 1);
        e.do_on(1, |s| s.send(1, &[ephemeral("/e"), Request::CloseSession]));
        let Txn::CloseSession(txn) = last_txn(&e, 2) else {
            panic!("not the end of a session: {:?}", last_txn(&e, 2));
        };
        assert_eq!(txn.paths_to_delete.is_some(), lists);
        for sid in 1..=3 {
            assert!(e.member(sid).database.tree.node("/e").is_none());
        }
    }
}

/// A learner of old forwards a check that stands alone; nothing of the kind may get into a log.
#[test]
fn a_check_that_a_learner_forwards_fails_one_way_or_another() {
    let mut e = ensemble();
    let mine = session(&e, 1);
    e.do_on(1, |s| s.send(1, &[create("/a")]));
    for (path, version, error) in [
        ("/none", 0, ErrorCode::NoNode),
        ("/a", 7, ErrorCode::BadVersion),
        ("/a", 0, ErrorCode::Unimplemented),
    ] {
        e.forward_check(1, mine, path, version);
        let Txn::Error(txn) = last_txn(&e, 3) else {
            panic!("{path}: {:?}", last_txn(&e, 3));
        };
        assert_eq!(txn.err, error.code(), "{path} {version}");
    }
}

#[test]
fn requests_behind_a_close_get_no_answer_on_a_learner_either() {
    let mut e = ensemble();
    let all = [
        data("/", false),
        Request::CloseSession,
        exists("/", true),
        create("/a"),
        sync(),
        Request::CloseSession,
    ];
    e.make_deaf(3);
    e.do_on(1, |s| s.send(1, &all));
    e.let_hear(3);
    e.do_on(1, |s| s.send(1, &[exists("/", true)]));
    e.expect(&["1/1: 1 @1/4 ", "1/1: 2 @1/5 ok", "1/1: close"]);
    assert_eq!(e.member(1).database.watches.total(), 0);
    e.do_on(1, |s| s.disconnect(1));
    e.expect(&["1/1: release"]);
}
