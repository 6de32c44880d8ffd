//! Sessions that no other server knows, on leader and learners, and how others come to know them.
//!
//! Source: client-protocol.md 11.5, quorum.md 10.4.

use ox_proto::{MultiOp, OpCode, Request};
use ox_replica::{LocalSessions, Settings};

use crate::ensemble::{Ensemble, Sid};
use crate::server::*;

/// Server 3 leads, 4 observes.
fn ensemble(local_sessions: LocalSessions) -> Ensemble {
    let settings = Settings {
        local_sessions,
        ..settings()
    };
    Ensemble::with(3, 1, settings)
}

/// How many records the leader's log has.
fn logged(e: &Ensemble) -> usize {
    e.member(3).log.len()
}

fn is_known_to(e: &Ensemble, sid: Sid, of: Sid) -> bool {
    let session = e.member(of).sessions[1];
    e.member(sid).database.sessions.contains_key(&session)
}

#[test]
fn a_session_is_made_and_closed_without_a_transaction() {
    let mut e = ensemble(LocalSessions::On);
    // Until something is committed only the leader counts in the new epoch.
    for (sid, zxid) in [(1, "0"), (3, "1/0"), (4, "0")] {
        e.connect(sid, 1);
        assert_eq!(e.member(sid).core.local_sessions(), 1);
        e.do_on(sid, |s| {
            s.send(1, &[Request::CloseSession, data("/", false)])
        });
        // What follows the end is not answered.
        e.expect(&[
            &format!("{sid}/1: 1 @{zxid} ok"),
            &format!("{sid}/1: close"),
        ]);
        assert_eq!(e.member(sid).core.local_sessions(), 0);
        e.do_on(sid, |s| s.send(1, &[data("/", false)]));
        e.expect(&[]);
    }
    assert_eq!(logged(&e), 0);
}

#[test]
fn it_writes_like_any_other_and_is_closed_behind_its_writes() {
    let mut e = ensemble(LocalSessions::On);
    for sid in [1, 3, 4] {
        e.connect(sid, 1);
        let path = format!("/{sid}");
        let zxid = logged(&e) + 1;
        e.make_deaf(2);
        e.set_disk(3, false);
        e.do_on(sid, |s| s.send(1, &[create(&path), Request::CloseSession]));
        e.expect(&[]);
        e.let_hear(2);
        e.set_disk(3, true);
        e.expect(&[
            &format!("{sid}/1: 1 @1/{zxid} {path}"),
            &format!("{sid}/1: 2 @1/{zxid} ok"),
            &format!("{sid}/1: close"),
        ]);
    }
    assert_eq!(logged(&e), 3);
}

#[test]
fn it_can_be_taken_up_on_its_own_server_only() {
    let mut e = ensemble(LocalSessions::Upgrading);
    for (own, other) in [(1, 2), (3, 1), (1, 3)] {
        e.connect(own, 1);
        let session = e.member(own).sessions[1];
        e.do_on(other, |s| s.reattach(2, session));
        e.expect(&[&format!("{other}/2: refused"), &format!("{other}/2: close")]);
        e.do_on(own, |s| s.reattach(2, session));
        e.expect(&[&format!("{own}/1: close"), &format!("{own}/2: session")]);
        for (sid, client) in [(own, 1), (own, 2), (other, 2)] {
            e.do_on(sid, |s| s.disconnect(client));
        }
        e.take_said();
    }
}

#[test]
fn it_expires_on_its_own_server() {
    let mut e = ensemble(LocalSessions::On);
    for sid in [1, 3, 4] {
        e.connect(sid, 1);
        e.connect(sid, 2);
        for _ in 0..3 {
            e.wait(2000);
            e.do_on(sid, |s| s.touch(2));
        }
        e.expect(&[&format!("{sid}/1: close")]);
        assert_eq!(e.member(sid).core.local_sessions(), 1);
        e.wait(6000);
        e.expect(&[&format!("{sid}/2: close")]);
        e.do_on(sid, |s| s.disconnect(1));
        e.do_on(sid, |s| s.disconnect(2));
        e.take_said();
    }
    assert_eq!(logged(&e), 0);
}

#[test]
fn it_ends_with_the_role_of_its_server() {
    let mut e = ensemble(LocalSessions::On);
    e.connect(1, 1);
    let session = e.member(1).sessions[1];
    e.set_reachable(3, false);
    e.wait(1500);
    e.do_on(1, |s| s.disconnect(1));
    e.take_said();
    e.do_on(1, |s| s.reattach(2, session));
    e.expect(&["1/2: refused", "1/2: close"]);
}

#[test]
fn it_cannot_have_ephemerals_where_it_stays_local() {
    let mut e = ensemble(LocalSessions::On);
    let ops = [
        MultiOp::Create(plain("/m")),
        MultiOp::Create(create_as("/e", 3, &[ox_proto::Acl::world(31)])),
    ];
    for (sid, error) in [(1, "!SessionExpired"), (3, "!EphemeralOnLocalSession")] {
        e.connect(sid, 1);
        let first = logged(&e) + 1;
        e.do_on(sid, |s| {
            s.send(
                1,
                &[ephemeral("/e"), container("/c"), delete("/c"), multi(&ops)],
            );
        });
        // The parts of a multi the leader refuses, which knows of no reason.
        e.expect(&[
            &format!("{sid}/1: 1 @1/{first} !EphemeralOnLocalSession"),
            &format!("{sid}/1: 2 @1/{} ok", first + 1),
            &format!("{sid}/1: 3 @1/{} ok", first + 2),
            &format!("{sid}/1: 4 @1/{} !Ok {error}", first + 3),
        ]);
    }
}

#[test]
fn with_its_first_ephemeral_all_servers_come_to_know_it() {
    let sequential = create_as("/q-", 3, &[ox_proto::Acl::world(31)]);
    let mut create2 = create_as("/e", 1, &[ox_proto::Acl::world(31)]);
    create2.op = OpCode::Create2;
    let ops = [MultiOp::Create(plain("/m")), MultiOp::Create(sequential)];
    for owner in [1, 3, 4] {
        for request in [
            ephemeral("/e"),
            Request::Create(create2.clone()),
            multi(&ops),
        ] {
            let mut e = ensemble(LocalSessions::Upgrading);
            e.connect(owner, 1);
            e.do_on(owner, |s| s.send(1, &[create("/a")]));
            assert!(!is_known_to(&e, 2, owner));
            e.expect(&[&format!("{owner}/1: 1 @1/1 /a")]);
            let all = [request.clone(), data("/a", false), ephemeral("/f")];
            e.do_on(owner, |s| s.send(1, &all));
            let said = e.take_said();
            let answers: Vec<_> = said.iter().map(|line| line.split(' ').nth(2)).collect();
            assert_eq!(
                answers,
                [Some("@1/3"), Some("@1/3"), Some("@1/4")],
                "{said:?}"
            );
            for sid in 1..=4 {
                assert!(is_known_to(&e, sid, owner));
            }
            assert_eq!(e.member(owner).core.local_sessions(), 0);
            // It may move now, and its ephemerals go with it.
            let (session, other) = (e.member(owner).sessions[1], 2);
            e.do_on(other, |s| s.reattach(2, session));
            e.do_on(other, |s| s.send(2, &[Request::CloseSession]));
            assert!(e.take_said().contains(&"2/2: 1 @1/5 ok".to_owned()));
            for path in ["/e", "/f", "/q-0000000000"] {
                assert!(e.member(owner).database.tree.node(path).is_none(), "{path}");
            }
        }
    }
}

#[test]
fn a_session_that_is_being_upgraded_is_heard_and_not_expired() {
    let mut e = ensemble(LocalSessions::Upgrading);
    e.connect(1, 1);
    e.make_deaf(1);
    e.do_on(1, |s| s.send(1, &[ephemeral("/e")]));
    e.do_on(1, |s| s.send(1, &[data("/e", false)]));
    e.wait(3000);
    assert!(is_known_to(&e, 3, 1) && !is_known_to(&e, 1, 1));
    e.expect(&[]);
    e.let_hear(1);
    e.expect(&["1/1: 1 @1/2 /e", "1/1: 2 @1/2 0"]);
    for _ in 0..3 {
        e.wait(2000);
        e.do_on(1, |s| s.touch(1));
    }
    e.expect(&[]);
}

/// The leader knows it, and the server that it moves to does not yet.
#[test]
fn a_session_that_moves_before_its_upgrade_has_come_is_served() {
    let mut e = ensemble(LocalSessions::Upgrading);
    e.connect(3, 1);
    e.set_disk(2, false);
    e.do_on(3, |s| s.send(1, &[ephemeral("/e")]));
    let session = e.member(3).sessions[1];
    e.do_on(2, |s| s.reattach(2, session));
    e.do_on(2, |s| s.send(2, &[create("/a"), data("/e", false)]));
    assert!(!is_known_to(&e, 2, 3));
    e.expect(&["3/1: 1 @1/2 /e", "2/2: session"]);
    e.set_disk(2, true);
    e.expect(&["2/2: 1 @1/3 /a", "2/2: 2 @1/3 0"]);
}

#[test]
fn nothing_else_needs_an_upgrade() {
    let mut e = ensemble(LocalSessions::Upgrading);
    for sid in [1, 3] {
        e.connect(sid, 1);
        let before = logged(&e);
        let multi = multi(&[
            MultiOp::Create(plain("/m")),
            MultiOp::Delete(delete_op("/m")),
        ]);
        // A container, whatever its flags are.
        let mut odd = create_as("/odd", 1, &[ox_proto::Acl::world(31)]);
        odd.op = OpCode::CreateContainer;
        let all = [container("/c"), delete("/c"), multi, Request::Create(odd)];
        e.do_on(sid, |s| s.send(1, &all));
        e.take_said();
        assert_eq!(logged(&e), before + 4);
        assert_eq!(e.member(sid).core.local_sessions(), 1);
    }
}

#[test]
fn the_leader_takes_no_session_of_its_own_that_it_does_not_know_for_one_of_others() {
    let mut e = ensemble(LocalSessions::On);
    e.connect(3, 1);
    let session = e.member(3).sessions[1];
    e.do_on(3, |s| s.send(1, &[Request::CloseSession]));
    e.take_said();
    // Its number says that nobody else can have it; one of server 1 may be there.
    for (session, outcome) in [(session, false), (ox_proto::SessionId(1 << 56), true)] {
        let before = e.member(2).database.tree.node_count();
        e.forward_create(1, session, "/made");
        assert_eq!(
            e.member(2).database.tree.node_count() == before + 1,
            outcome
        );
    }
}
