//! A member without a leader that serves reads.
//!
//! Source: client-protocol.md 2.7 and 11.7, quorum.md 12.1.

use ox_proto::{ConnectRequest, ErrorCode, Request, SessionId, Zxid};
use ox_replica::{LocalSessions, Mode, Settings, Work};
use ox_session::password;

use crate::ensemble::Ensemble;
use crate::server::*;

fn read_only(local_sessions: LocalSessions) -> Settings {
    Settings {
        read_only: true,
        local_sessions,
        ..settings()
    }
}

/// Server 1 of three, alone for long enough.
fn lonely(local_sessions: LocalSessions) -> Ensemble {
    let mut e = Ensemble::lonely(read_only(local_sessions));
    e.wait(2000);
    assert_eq!(e.modes()[0], Some(Mode::ReadOnly));
    e
}

/// What a client sends that is content with reads.
fn content(session: SessionId) -> ConnectRequest {
    ConnectRequest {
        read_only: Some(true),
        ..connect_request(session, &password(session))
    }
}

#[test]
fn reads_are_served_after_two_seconds_of_election_or_a_tick_if_that_is_longer() {
    for (tick_ms, patience) in [(500, 2000), (3000, 3000)] {
        let settings = Settings {
            tick_ms,
            ..read_only(LocalSessions::On)
        };
        let mut e = Ensemble::lonely(settings);
        e.wait(patience - 1);
        e.do_on(1, |s| s.ask(1, content(SessionId::NONE)));
        e.expect(&["1/1: close"]);
        assert_eq!(e.modes()[0], None);
        e.wait(1);
        assert_eq!(e.modes()[0], Some(Mode::ReadOnly));
        e.do_on(1, |s| s.ask(2, content(SessionId::NONE)));
        e.expect(&["1/2: session, read-only"]);
    }
    let mut e = Ensemble::lonely(settings());
    e.wait(10_000);
    assert_eq!(e.modes()[0], None);
}

#[test]
fn who_wants_more_than_reads_is_closed() {
    let mut e = lonely(LocalSessions::On);
    for (client, asks) in [(1, None), (2, Some(false))] {
        let request = ConnectRequest {
            read_only: asks,
            ..content(SessionId::NONE)
        };
        e.do_on(1, |s| s.ask(client, request));
        e.expect(&[&format!("1/{client}: close")]);
    }
    let ahead = ConnectRequest {
        last_zxid_seen: Zxid(1),
        ..content(SessionId::NONE)
    };
    e.do_on(1, |s| s.ask(3, ahead));
    e.expect(&["1/3: close"]);
}

#[test]
fn without_local_sessions_there_is_no_new_one() {
    let mut e = lonely(LocalSessions::Off);
    e.do_on(1, |s| s.ask(1, content(SessionId::NONE)));
    e.expect(&["1/1: close"]);
}

#[test]
fn reads_are_answered_and_writes_refused_in_their_order() {
    let mut e = lonely(LocalSessions::Upgrading);
    e.do_on(1, |s| s.ask(1, content(SessionId::NONE)));
    e.expect(&["1/1: session, read-only"]);
    let works = [
        Work::Request(exists("/", true)),
        Work::Request(create("/a")),
        Work::Request(data("/none", false)),
        Work::Request(ephemeral("/e")),
        Work::Undecodable(ErrorCode::MarshallingError),
        Work::Request(multi(&[])),
        Work::Request(sync()),
        Work::Request(Request::Ping),
        Work::Request(Request::CloseSession),
        Work::Request(Request::Ping),
    ];
    e.do_on(1, |s| s.send_work(1, works.to_vec()));
    e.expect(&[
        "1/1: 1 @0 ok",
        "1/1: 2 @0 !NotReadOnly",
        "1/1: 3 @0 !NoNode",
        "1/1: 4 @0 !NotReadOnly",
        "1/1: 5 @0 !NotReadOnly",
        "1/1: 6 @0 !NotReadOnly",
        "1/1: 7 @0 !NotReadOnly",
        "1/1: -2 @0 ok",
        "1/1: 9 @0 ok",
        "1/1: close",
    ]);
    assert!(e.member(1).log.is_empty());
}

#[test]
fn its_own_sessions_can_be_taken_up_and_expire() {
    let mut e = lonely(LocalSessions::On);
    e.do_on(1, |s| s.ask(1, content(SessionId::NONE)));
    let session = e.member(1).sessions[1];
    e.do_on(1, |s| s.ask(2, content(session)));
    e.expect(&[
        "1/1: session, read-only",
        "1/1: close",
        "1/2: session, read-only",
    ]);
    let wrong = ConnectRequest {
        password: None,
        ..content(session)
    };
    e.do_on(1, |s| s.ask(3, wrong));
    e.expect(&["1/2: close", "1/3: refused", "1/3: close"]);
    e.do_on(1, |s| s.ask(4, content(session)));
    e.expect(&["1/4: session, read-only"]);
    e.wait(6000);
    e.expect(&["1/4: close"]);
    e.do_on(1, |s| s.ask(5, content(session)));
    e.expect(&["1/5: refused", "1/5: close"]);
}

#[test]
fn a_session_that_all_servers_know_is_left_to_a_leader() {
    for local_sessions in [LocalSessions::Off, LocalSessions::Upgrading] {
        let mut e = Ensemble::with(3, 0, read_only(local_sessions));
        e.connect(1, 1);
        e.do_on(1, |s| s.send(1, &[ephemeral("/e")]));
        let session = e.member(1).sessions[1];
        assert!(e.member(1).database.sessions.contains_key(&session));
        e.set_reachable(1, false);
        e.do_on(1, |s| s.disconnect(1));
        e.wait(2000);
        assert_eq!(e.modes()[0], Some(Mode::ReadOnly));
        e.take_said();
        e.do_on(1, |s| s.ask(2, content(session)));
        e.expect(&["1/2: close"]);
        // Of one that it does not know it can say that only if it knows its own.
        let unknown = SessionId(77);
        e.do_on(1, |s| s.ask(3, content(unknown)));
        match local_sessions {
            LocalSessions::Off => {
                e.expect(&["1/3: session, read-only"]);
                e.do_on(1, |s| {
                    s.send(3, &[data("/e", false), Request::CloseSession])
                });
                e.expect(&["1/3: 2 @1/2 0", "1/3: 3 @1/2 !NotReadOnly"]);
            }
            LocalSessions::On | LocalSessions::Upgrading => {
                e.expect(&["1/3: refused", "1/3: close"]);
            }
        }
    }
}

#[test]
fn all_of_it_ends_with_the_election() {
    let mut e = lonely(LocalSessions::On);
    e.do_on(1, |s| s.ask(1, content(SessionId::NONE)));
    e.do_on(1, |s| s.send(1, &[exists("/a", true), data("/", true)]));
    let session = e.member(1).sessions[1];
    e.take_said();
    e.set_reachable(2, true);
    e.wait(3000);
    assert_eq!(e.modes()[..2], [Some(Mode::Follower), Some(Mode::Leader)]);
    e.expect(&["1/1: close"]);
    assert_eq!(e.member(1).database.watches.total(), 0);
    e.do_on(1, |s| s.send(1, &[data("/", false)]));
    e.do_on(1, |s| s.disconnect(1));
    e.expect(&["1/1: release"]);
    e.do_on(1, |s| s.reattach(2, session));
    e.expect(&["1/2: refused", "1/2: close"]);
}

#[test]
fn the_members_are_told_by_a_server_without_a_leader_too() {
    let e = lonely(LocalSessions::On);
    let node = e
        .member(1)
        .database
        .tree
        .node("/zookeeper/config")
        .expect("it is there");
    let text = String::from_utf8(node.data().unwrap_or_default().to_vec()).expect("text");
    assert!(text.ends_with("\nversion=0"), "{text}");
    assert_eq!(text.lines().count(), 4);
}
