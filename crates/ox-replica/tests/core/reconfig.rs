//! The members of an ensemble change: what clients are told, and who votes and leads then.
//!
//! Lines are those of the scenarios of one server, with the member's number before them. Server 3
//! leads at first. Source: quorum.md chapter 11.

use ox_proto::{ReconfigRequest, Request, ServerId, Zxid};
use ox_replica::{Mode, Settings};

use crate::ensemble::{Ensemble, member_line};
use crate::server::*;

/// Three voters and an observer, each with a client, all of whom may do anything.
fn ensemble() -> Ensemble {
    let mut settings = Settings {
        reconfig_enabled: true,
        ..settings()
    };
    settings.auth.skip_acl = true;
    let mut e = Ensemble::with(3, 1, settings);
    for sid in 1..=4 {
        e.connect(sid, 1);
    }
    e
}

fn reconfig(joining: &str, leaving: &str) -> Request {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Request::Reconfig(ReconfigRequest {
        joining_servers: some(joining),
        leaving_servers: some(leaving),
        new_members: None,
        current_config_id: -1,
    })
}

fn line(sid: i64, role: &str) -> String {
    format!("server.{sid}={}:{role};h{sid}:3", member_line(sid))
}

fn voters(e: &Ensemble, sid: usize) -> Vec<i64> {
    let config = e.member(sid).core.peer().config();
    config.voters().map(|ServerId(id)| id).collect()
}

#[test]
fn the_first_leader_gives_the_configuration_its_version() {
    let e = ensemble();
    for sid in 1..=4 {
        let config = e.member(sid).core.peer().config();
        assert_eq!(config.version, Zxid::new(1, 0).0);
    }
}

#[test]
fn an_observer_becomes_a_voter_and_a_voter_an_observer() {
    let mut e = ensemble();
    // The observer cannot be waited for: it has no vote before.
    let observer = line(1, "observer");
    e.do_on(2, |s| s.send(1, &[reconfig(&observer, "")]));
    let said = e.take_said();
    let answered = |line: &String| line.starts_with("2/1: 1 @1/5 server.");
    assert!(said.iter().any(answered), "{said:?}");
    e.wait(1000);
    for sid in 1..=4 {
        assert_eq!(voters(&e, sid), [2, 3], "server {sid}");
    }
    assert_eq!(
        e.modes(),
        [Mode::Observer, Mode::Follower, Mode::Leader, Mode::Observer].map(Some)
    );
    // Of four voters three would have to follow, and an observer does not.
    let both = format!("{},{}", line(1, "participant"), line(4, "participant"));
    e.do_on(2, |s| s.send(1, &[reconfig(&both, "")]));
    let said = e.take_said();
    assert_eq!(said, ["2/1: 2 @1/6 !NewConfigNoQuorum"]);
    for sid in [1, 4] {
        let participant = line(sid, "participant");
        e.do_on(2, |s| s.send(1, &[reconfig(&participant, "")]));
        e.wait(1000);
    }
    assert_eq!(
        e.modes(),
        [Mode::Follower, Mode::Follower, Mode::Leader, Mode::Follower].map(Some)
    );
    assert_eq!(voters(&e, 4), [1, 2, 3, 4]);
}

#[test]
fn a_leader_that_goes_names_another_and_there_is_no_election() {
    let mut e = ensemble();
    e.do_on(1, |s| s.send(1, &[create("/a"), reconfig("", "3")]));
    let said = e.take_said();
    assert!(said[0].starts_with("1/1: 1 @1/5 /a"), "{said:?}");
    e.wait(100);
    let modes = e.modes();
    assert_eq!(modes[2], Some(Mode::Follower), "it has no vote");
    assert!(modes[..2].contains(&Some(Mode::Leader)), "{modes:?}");
    for sid in 1..=3 {
        assert_eq!(voters(&e, sid), [1, 2], "server {sid}");
        assert_eq!(e.member(sid).core.peer().epochs().current, Some(2));
    }
    // The old leader is not needed, and does not count.
    e.set_reachable(3, false);
    let leader = 1 + modes
        .iter()
        .position(|mode| *mode == Some(Mode::Leader))
        .unwrap();
    e.take_said();
    e.connect(leader, 2);
    e.do_on(leader, |s| s.send(2, &[create("/b")]));
    assert!(e.take_said()[0].ends_with("/b"));
    let other = 3 - leader;
    e.set_reachable(other, false);
    e.set_reachable(3, true);
    e.wait(20_000);
    assert!(!e.modes().contains(&Some(Mode::Leader)), "{:?}", e.modes());
}

#[test]
fn what_is_under_way_needs_both_quorums() {
    let mut e = ensemble();
    e.set_disk(1, false);
    e.set_disk(2, false);
    // To the leader and the observer: of the old voters a quorum is lacking.
    let both = format!("{},{}", line(4, "participant"), line(1, "observer"));
    e.do_on(3, |s| s.send(1, &[reconfig(&both, "")]));
    e.wait(100);
    assert!(e.take_said().iter().all(|line| !line.starts_with("3/1: 1")));
    e.do_on(3, |s| s.send(1, &[reconfig("", "2"), create("/x")]));
    e.set_disk(2, true);
    let said = e.take_said();
    let of_leader: Vec<_> = said.iter().filter(|it| it.starts_with("3/1: ")).collect();
    assert!(of_leader[0].starts_with("3/1: 1 @1/5 server."), "{said:?}");
    assert!(of_leader[1].ends_with("!ReconfigInProgress"), "{said:?}");
    assert!(of_leader[2].ends_with("/x"), "{said:?}");
}

#[test]
fn refusals_keep_their_place_and_change_nothing() {
    let mut e = ensemble();
    let requests = [
        reconfig("server.9=x", ""),
        reconfig(&line(7, "participant"), "1,2"),
        reconfig("", "x"),
        create("/a"),
    ];
    e.do_on(1, |s| s.send(1, &requests));
    e.expect(&[
        "1/1: 1 @1/5 !BadArguments",
        "1/1: 2 @1/6 !NewConfigNoQuorum",
        "1/1: 3 @1/7 !MarshallingError",
        "1/1: 4 @1/8 /a",
    ]);
    assert_eq!(voters(&e, 3), [1, 2, 3]);
}

#[test]
fn another_version_than_the_one_in_force_comes_before_what_is_malformed() {
    let mut e = ensemble();
    let of_version = |version: i64, leaving: &str| match reconfig("", leaving) {
        Request::Reconfig(request) => Request::Reconfig(ReconfigRequest {
            current_config_id: version,
            ..request
        }),
        other => other,
    };
    let in_force = Zxid::new(1, 0).0;
    let requests = [of_version(7, "x"), of_version(in_force, "x")];
    e.do_on(1, |s| s.send(1, &requests));
    e.expect(&["1/1: 1 @1/5 !BadVersion", "1/1: 2 @1/6 !MarshallingError"]);
}

#[test]
fn where_it_is_off_nothing_else_is_looked_at() {
    let mut e = Ensemble::with(3, 0, settings());
    e.connect(1, 1);
    e.do_on(1, |s| s.send(1, &[reconfig("server.4", "x")]));
    e.expect(&["1/1: 1 @1/2 !ReconfigDisabled"]);
}

#[test]
fn whom_the_acl_does_not_let_is_refused_last() {
    let settings = Settings {
        reconfig_enabled: true,
        ..settings()
    };
    let mut e = Ensemble::with(3, 0, settings);
    e.connect(1, 1);
    let requests = [reconfig("", "one"), reconfig("", "1")];
    e.do_on(1, |s| s.send(1, &requests));
    e.expect(&["1/1: 1 @1/2 !MarshallingError", "1/1: 2 @1/3 !NoAuth"]);
}
