//! What clients of one server see, and when.
//!
//! A line of what is expected is `log <zxid>` for a record handed to the log, or what a client
//! gets: `<client>: <xid> @<zxid> <answer>`, an event, `session`, `refused`, `close`, and `release`
//! when its name is free again. Source: client-protocol.md 3.4, 4.3, 4.7, 5.3, 7, 10 and 11.

use ox_proto::{
    Acl, Id, MultiOp, OpCode, PathRequest, RawAcl, Request, SessionId, SetWatches2, Zxid,
};
use ox_replica::{AuthSettings, Settings, Work};
use ox_session::{ClientId, password};
use ox_tree::DataTree;

use crate::server::*;

/// Runs `script` with two clients connected, by the transactions 1 and 2.
#[track_caller]
fn check(script: impl FnOnce(&mut Server), said: &[&str]) {
    let mut server = Server::new();
    server.connect(1);
    server.connect(2);
    script(&mut server);
    server.expect(said);
}

#[test]
fn nothing_is_answered_before_its_transaction_is_on_disk() {
    check(|s| s.send(1, &[create("/a")]), &["log 3"]);
    check(
        |s| {
            s.send(1, &[create("/a"), create("/b")]);
            s.flush_to(Zxid(3));
        },
        &["log 3", "log 4", "1: 1 @3 /a"],
    );
}

#[test]
fn a_session_is_not_there_before_its_transaction_is_on_disk() {
    let mut server = Server::new();
    server.ask_to_connect(1, SessionId::NONE, &[]);
    server.expect(&["log 1"]);
    server.flush();
    server.expect(&["1: session"]);
}

#[test]
fn a_read_sees_exactly_the_writes_before_it() {
    check(
        |s| {
            let reads = [
                create("/a"),
                data("/a", false),
                set("/a", "1"),
                data("/a", false),
            ];
            s.send(1, &reads);
            s.flush();
        },
        &[
            "log 3",
            "log 4",
            "1: 1 @3 /a",
            "1: 2 @3 0",
            "1: 3 @4 ok",
            "1: 4 @4 1",
        ],
    );
}

#[test]
fn reads_of_others_do_not_wait() {
    check(
        |s| {
            s.send(1, &[create("/a"), data("/a", false)]);
            s.send(2, &[data("/a", false)]);
        },
        &["log 3", "2: 3 @2 !NoNode"],
    );
}

#[test]
fn an_event_comes_before_the_answer_that_caused_it() {
    check(
        |s| {
            s.send(1, &[exists("/a", true), children("/", true), create("/a")]);
            s.flush();
        },
        &[
            "1: 1 @2 !NoNode",
            "1: 2 @2 zookeeper",
            "log 3",
            "1: NodeCreated /a @3",
            "1: NodeChildrenChanged / @3",
            "1: 3 @3 /a",
        ],
    );
}

#[test]
fn an_event_comes_before_a_read_that_can_see_its_cause() {
    check(
        |s| {
            s.done(1, &[create("/a")]);
            s.send(2, &[data("/a", true), create("/b"), data("/a", false)]);
            s.send(1, &[set("/a", "1")]);
            s.flush_to(Zxid(5));
        },
        &[
            "2: 2 @3 0",
            "log 4",
            "log 5",
            "2: 3 @4 /b",
            "2: 4 @4 0",
            "2: NodeDataChanged /a @5",
            "1: 5 @5 ok",
        ],
    );
}

#[test]
fn a_failed_write_takes_a_zxid_and_its_place() {
    check(
        |s| {
            s.send(1, &[create("/a"), delete("/b"), create("/c")]);
            s.flush();
        },
        &[
            "log 3",
            "log 4",
            "log 5",
            "1: 1 @3 /a",
            "1: 2 @4 !NoNode",
            "1: 3 @5 /c",
        ],
    );
    check(
        |s| {
            s.send_work(
                1,
                vec![Work::Undecodable(ox_proto::ErrorCode::MarshallingError)],
            );
            s.flush();
        },
        &["log 3", "1: 1 @3 !MarshallingError"],
    );
}

#[test]
fn writes_see_what_is_proposed_before_them() {
    check(
        |s| {
            s.send(1, &[create("/a")]);
            s.send(
                2,
                &[
                    create("/a"),
                    create("/a/b"),
                    delete("/a"),
                    delete("/a/b"),
                    delete("/a"),
                ],
            );
            s.flush();
        },
        &[
            "log 3",
            "log 4",
            "log 5",
            "log 6",
            "log 7",
            "log 8",
            "1: 1 @3 /a",
            "2: 2 @4 !NodeExists",
            "2: 3 @5 /a/b",
            "2: 4 @6 !NotEmpty",
            "2: 5 @7 ok",
            "2: 6 @8 ok",
        ],
    );
    check(
        |s| {
            s.done(1, &[create("/a")]);
            let versions = [0, 0, 1].map(|v| Request::SetData(set_op("/a", "x", v)));
            s.send(1, &versions);
            s.flush();
        },
        &[
            "log 4",
            "log 5",
            "log 6",
            "1: 2 @4 ok",
            "1: 3 @5 !BadVersion",
            "1: 4 @6 ok",
        ],
    );
}

#[test]
fn sequence_numbers_go_on_before_anything_is_committed() {
    check(
        |s| {
            s.done(1, &[create("/q")]);
            s.send(1, &[sequential("/q/n-"), create("/q/x"), sequential("/q/")]);
            s.send(2, &[sequential("/q/n-")]);
            s.flush();
        },
        &[
            "log 4",
            "log 5",
            "log 6",
            "log 7",
            "1: 2 @4 /q/n-0000000000",
            "1: 3 @5 /q/x",
            "1: 4 @6 /q/0000000002",
            "2: 5 @7 /q/n-0000000003",
        ],
    );
}

#[test]
fn a_failed_multi_leaves_what_is_pending_as_it_was() {
    let number = |path: &str| MultiOp::Create(create_as(path, 2, &[Acl::world(31)]));
    let failing = [
        number("/q/n-"),
        MultiOp::SetData(set_op("/q", "2", -1)),
        MultiOp::Delete(delete_op("/none")),
        MultiOp::Delete(delete_op("/q/x")),
    ];
    check(
        |s| {
            s.done(1, &[create("/q"), create("/q/x")]);
            s.send(1, &[set("/q", "1"), multi(&failing), sequential("/q/n-")]);
            s.send(
                1,
                &[Request::SetData(set_op("/q", "3", 1)), data("/q/x", false)],
            );
            s.flush();
        },
        &[
            "log 5",
            "log 6",
            "log 7",
            "log 8",
            "1: 3 @5 ok",
            "1: 4 @6 !Ok !Ok !NoNode !RuntimeInconsistency",
            "1: 5 @7 /q/n-0000000001",
            "1: 6 @8 ok",
            "1: 7 @8 0",
        ],
    );
}

#[test]
fn a_multi_that_java_runs_into_an_exception_with_fails_whole() {
    let mut nobody = plain("/m/x");
    nobody.acl = Some(vec![RawAcl {
        perms: 31,
        scheme: Some("digest".into()),
        id: None,
    }]);
    let ops = [MultiOp::Create(plain("/m")), MultiOp::Create(nobody)];
    check(
        |s| {
            s.send(1, &[multi(&ops), create("/m")]);
            s.flush();
        },
        &["log 3", "log 4", "1: 1 @3 !MarshallingError", "1: 2 @4 /m"],
    );
}

#[test]
fn the_parts_of_a_multi_see_each_other_and_have_one_zxid() {
    let ops = [
        MultiOp::Create(plain("/m")),
        MultiOp::Create(plain("/m/x")),
        MultiOp::SetData(set_op("/m", "1", 0)),
        MultiOp::Delete(delete_op("/m/x")),
    ];
    check(
        |s| {
            s.send(2, &[exists("/m", true)]);
            s.send(1, &[multi(&ops)]);
            s.flush();
        },
        &[
            "2: 1 @2 !NoNode",
            "log 3",
            "2: NodeCreated /m @3",
            "1: 2 @3 /m /m/x ok ok",
        ],
    );
}

#[test]
fn the_end_of_a_session_deletes_its_ephemerals_pending_ones_too() {
    check(
        |s| {
            s.done(
                2,
                &[
                    exists("/old", true),
                    exists("/new", true),
                    exists("/gone", true),
                ],
            );
            s.done(1, &[ephemeral("/old")]);
            let end = [
                ephemeral("/new"),
                ephemeral("/gone"),
                set("/new", "1"),
                delete("/gone"),
                Request::CloseSession,
            ];
            s.send(1, &end);
            s.send(
                2,
                &[children("/", false), create("/new"), exists("/old", true)],
            );
            s.flush();
        },
        &[
            "log 4",
            "log 5",
            "log 6",
            "log 7",
            "log 8",
            "2: 10 @3 old,zookeeper",
            "log 9",
            "2: NodeCreated /new @4",
            "1: 5 @4 /new",
            "2: NodeCreated /gone @5",
            "1: 6 @5 /gone",
            "1: 7 @6 ok",
            "1: 8 @7 ok",
            "1: 9 @8 ok",
            "1: close",
            "2: 11 @9 /new",
            "2: 12 @9 !NoNode",
        ],
    );
}

#[test]
fn an_ephemeral_that_changed_hands_stays_with_its_new_owner() {
    check(
        |s| {
            s.done(1, &[ephemeral("/e")]);
            s.send(2, &[delete("/e"), ephemeral("/e")]);
            s.send(1, &[Request::CloseSession]);
            s.flush();
            s.expect_to(1, &["4 @6 ok", "close"]);
            s.send(2, &[data("/e", false)]);
        },
        &["2: 5 @6 0"],
    );
}

#[test]
fn requests_behind_a_close_get_no_answer() {
    check(
        |s| {
            s.send(
                1,
                &[data("/a", false), Request::CloseSession, Request::Ping],
            );
            s.send(1, &[create("/a"), Request::CloseSession]);
            s.flush();
            s.send(1, &[Request::Ping]);
            s.disconnect(1);
        },
        &[
            "1: 1 @2 !NoNode",
            "log 3",
            "1: 2 @3 ok",
            "1: close",
            "1: release",
        ],
    );
}

#[test]
fn a_silent_session_expires_and_a_touched_one_does_not() {
    check(
        |s| {
            s.done(1, &[ephemeral("/e")]);
            s.wait(3000);
            s.send(2, &[Request::Ping]);
            s.wait(3000);
            s.expect(&["2: -2 @3 ok", "log 4"]);
            s.send(1, &[create("/late"), Request::Ping]);
            s.reattach(3, s.sessions[1]);
            s.expect(&["1: close", "3: refused", "3: close"]);
            s.flush();
            s.send(2, &[children("/", false)]);
        },
        &["2: 5 @4 zookeeper"],
    );
    check(
        |s| {
            s.wait(3000);
            s.send(2, &[Request::Ping]);
            s.wait(3000);
            s.flush();
        },
        &["2: -2 @2 ok", "log 3", "1: close"],
    );
}

#[test]
fn silence_counts_from_the_last_read_however_late_that_is_told() {
    check(
        |s| {
            s.wait(3900);
            s.touched_before(1, 3800);
            s.touched_before(2, 900);
            s.wait(2100);
            s.flush();
            s.send(2, &[children("/", false)]);
        },
        &["log 3", "1: close", "2: 1 @3 zookeeper"],
    );
}

#[test]
fn sessions_from_disk_start_with_their_whole_timeout_and_orphans_go() {
    let mut server = Server::new();
    let kept = server.connect(1);
    server.connect(2);
    server.done(1, &[ephemeral("/kept")]);
    server.done(2, &[ephemeral("/lost")]);
    let tree = server.database.tree;
    let mut server = Server::on(tree, settings(), &[(kept, 10_000)]);
    server.expect(&["log 5"]);
    server.flush();
    server.wait(10_000);
    server.expect(&[]);
    server.reattach(1, kept);
    server.send(1, &[children("/", false)]);
    server.expect(&["1: session", "1: 1 @5 kept,zookeeper"]);
    assert!(kept < server.connect(3));
}

#[test]
fn taking_a_session_up_again_closes_its_other_connection_whatever_the_password() {
    check(
        |s| {
            s.ask_to_connect(3, s.sessions[1], &[7; 16]);
            s.expect(&["1: close", "3: refused", "3: close"]);
            s.reattach(4, s.sessions[1]);
            s.expect(&["4: session"]);
            s.reattach(5, s.sessions[1]);
            s.disconnect(4);
            s.send(5, &[Request::Ping]);
        },
        &["4: close", "5: session", "4: release", "5: -2 @2 ok"],
    );
}

#[test]
fn a_session_that_is_only_being_made_has_one_connection_in_the_end() {
    let mut server = Server::new();
    let next = SessionId(server.connect(1).0 + 1);
    server.ask_to_connect(2, SessionId::NONE, &[]);
    server.ask_to_connect(3, next, &password(next));
    server.flush();
    server.expect(&["log 2", "3: session", "3: close", "2: session"]);
}

#[test]
fn who_has_seen_more_than_there_is_is_sent_away() {
    let mut server = Server::new();
    let request = ox_proto::ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid(1),
        timeout_ms: 0,
        session_id: SessionId::NONE,
        password: None,
        read_only: None,
    };
    server.handle(ox_replica::Input::Connect {
        client: ClientId(1),
        ids: [].into(),
        request,
    });
    server.expect(&["1: close"]);
    server.disconnect(1);
    server.expect(&["1: release"]);
}

#[test]
fn an_event_that_may_not_be_heard_uses_its_watch_up() {
    let secret = Acl {
        perms: Acl::READ,
        id: Id::new("digest", "u:h"),
    };
    check(
        |s| {
            s.done(2, &[exists("/s", true), exists("/open", true)]);
            let secret = create_as("/s", 0, &[secret, Acl::world(Acl::WRITE | Acl::DELETE)]);
            s.send(
                1,
                &[
                    Request::Create(secret),
                    delete("/s"),
                    create("/s"),
                    create("/open"),
                ],
            );
            s.flush();
            s.expect_to(2, &["NodeCreated /open @6"]);
        },
        &[],
    );
}

#[test]
fn identities_count_from_the_moment_they_are_there() {
    let secret = Acl {
        perms: Acl::READ,
        id: Id::new("digest", "u:h"),
    };
    check(
        |s| {
            s.done(2, &[exists("/s", true)]);
            s.send(1, &[Request::Create(create_as("/s", 0, &[secret]))]);
            s.database
                .identify(ClientId(2), [Id::new("digest", "u:h")].into());
            s.flush();
        },
        &["log 3", "2: NodeCreated /s @3", "1: 2 @3 /s"],
    );
}

#[test]
fn watches_set_again_tell_at_once_what_was_missed() {
    let sets = SetWatches2 {
        relative_zxid: 3,
        data_watches: ["/same", "/changed", "/gone"].map(Into::into).into(),
        exist_watches: ["/same", "/none"].map(Into::into).into(),
        child_watches: ["/same", "/changed", "/gone"].map(Into::into).into(),
        persistent_watches: vec!["/none".into()],
        persistent_recursive_watches: vec!["/changed".into()],
    };
    check(
        |s| {
            s.done(1, &[create("/same")]);
            s.done(1, &[create("/changed"), create("/changed/x")]);
            s.send(2, &[Request::SetWatches(sets)]);
            s.expect(&[
                "2: NodeDataChanged /changed missed",
                "2: NodeDeleted /gone missed",
                "2: NodeCreated /same missed",
                "2: NodeChildrenChanged /changed missed",
                "2: NodeDeleted /gone missed",
                "2: 4 @5 ok",
            ]);
            s.send(
                1,
                &[
                    set("/same", "1"),
                    create("/none"),
                    delete("/changed/x"),
                    create("/gone"),
                ],
            );
            s.flush();
            s.expect_to(
                2,
                &[
                    "NodeDataChanged /same @6",
                    "NodeCreated /none @7",
                    "NodeDeleted /changed/x @8",
                ],
            );
        },
        &[],
    );
}

#[test]
fn hard_quotas_refuse_and_count_what_is_committed() {
    let limits = "count=-1,bytes=-1=;byteHardLimit=4;countHardLimit=3";
    check(
        |s| {
            let quota = "/zookeeper/quota/q";
            let [limits_node, stats_node] =
                ["limits", "stats"].map(|n| format!("{quota}/zookeeper_{n}"));
            s.done(
                1,
                &[
                    create("/q"),
                    create(quota),
                    create(&limits_node),
                    set(&limits_node, limits),
                ],
            );
            s.done(1, &[create(&stats_node), create("/q/a")]);
            s.send(1, &[create("/q/b")]);
            s.flush();
            s.send(
                1,
                &[
                    create("/q/c"),
                    set("/q/a", "12345"),
                    Request::SetData(set_op("/q/a", "12345", 9)),
                ],
            );
            s.send(1, &[data(&stats_node, false)]);
            s.flush();
            s.expect_to(
                1,
                &[
                    "7 @9 /q/b",
                    "8 @10 !QuotaExceeded",
                    "9 @11 !QuotaExceeded",
                    "10 @12 !QuotaExceeded",
                    "11 @12 count=3,bytes=3",
                ],
            );
        },
        &[],
    );
}

#[test]
fn the_requests_that_stop_a_java_server_do_no_harm() {
    check(
        |s| {
            s.send(1, &[create("/zookeeper/quota/zookeeper_limits")]);
            s.send(
                1,
                &[
                    create("/zookeeper/zookeeper_limits"),
                    delete("/zookeeper/zookeeper_limits"),
                ],
            );
            s.flush();
            s.expect_to(
                1,
                &[
                    "1 @3 /zookeeper/quota/zookeeper_limits",
                    "2 @4 /zookeeper/zookeeper_limits",
                    "3 @5 ok",
                ],
            );
            let [quota, limits, stats] = ["", "/zookeeper_limits", "/zookeeper_stats"]
                .map(|n| format!("/zookeeper/quota/q{n}"));
            s.done(
                1,
                &[
                    create("/q"),
                    create(&quota),
                    create(&limits),
                    set(&limits, "count=9,bytes=9"),
                ],
            );
            s.done(1, &[create(&stats), set(&stats, "junk"), create("/q/a")]);
            s.done(1, &[set(&stats, "junk"), delete("/q/a")]);
            let Request::Create(mut create) = with_ttl("/t", 1) else {
                unreachable!()
            };
            (create.flags, create.ttl) = (0, -1);
            s.send(1, &[Request::Create(create), data(&stats, false)]);
            s.flush();
            s.expect_to(1, &["13 @15 !BadArguments", "14 @15 count=1,bytes=1"]);
        },
        &[],
    );
}

#[test]
fn a_container_goes_once_it_has_had_a_child_and_has_none() {
    check(
        |s| {
            s.done(
                1,
                &[container("/used"), container("/new"), container("/full")],
            );
            s.done(
                1,
                &[create("/used/x"), delete("/used/x"), create("/full/x")],
            );
            s.done(2, &[exists("/used", true)]);
            keep_alive(s, 60_010);
            s.expect_to(2, &["NodeDeleted /used @9"]);
        },
        &[],
    );
}

#[test]
fn what_came_into_use_between_the_look_and_the_deletion_stays() {
    check(
        |s| {
            s.done(1, &[container("/a"), create("/a/x"), delete("/a/x")]);
            s.done(1, &[container("/b"), create("/b/x"), delete("/b/x")]);
            s.done(1, &[with_ttl("/t", 30_000)]);
            s.done(1, &[container("/c"), create("/c/x"), delete("/c/x")]);
            s.done(
                2,
                &[exists("/a", true), exists("/b", true), exists("/t", true)],
            );
            keep_alive(s, 59_000);
            // Not in the tree yet when the reaper looks at it.
            s.send(1, &[create("/b/y"), set("/t", "1")]);
            s.send(1, &[delete("/c"), container("/c")]);
            s.wait(1030);
            s.flush();
            s.expect_to(2, &["NodeDataChanged /t @14", "NodeDeleted /a @17"]);
            s.send(2, &[children("/", false)]);
            s.expect_to(2, &["18 @17 b,c,t,zookeeper"]);
        },
        &[],
    );
}

#[test]
fn a_ttl_node_goes_when_it_has_not_changed_for_its_time() {
    check(
        |s| {
            s.done(1, &[with_ttl("/t", 50_000), with_ttl("/u", 50_000)]);
            keep_alive(s, 20_000);
            s.done(1, &[set("/u", "1")]);
            s.done(2, &[exists("/t", true), exists("/u", true)]);
            keep_alive(s, 40_010);
            s.expect_to(2, &["NodeDeleted /t @6"]);
        },
        &[],
    );
}

/// Lets time go by while both clients ping, and says nothing but what they are told unasked.
fn keep_alive(server: &mut Server, ms: i64) {
    for _ in 0..ms / 1000 {
        server.touch(1);
        server.touch(2);
        server.wait(1000);
        server.flush();
    }
    server.wait(ms % 1000);
    server.flush();
}

/// The newest session in use is the same at both starts, and the one that each start gave out is over.
#[test]
fn ids_behind_a_clock_that_has_gone_back_are_others_after_each_start() {
    let start = |last: u32, kept: SessionId| {
        let mut tree = DataTree::new(1, TREE);
        tree.set_last_zxid(Zxid::new(4, last));
        let mut server = Server::on(tree, settings(), &[(kept, 10_000)]);
        server.connect(1)
    };
    let earlier = Server::new().connect(1);
    let kept = SessionId(earlier.0 + (3_600_000 << 16));
    let (one, other) = (start(7, kept), start(8, kept));
    assert!(kept < one && one < other, "{kept} {one} {other}");
    assert_eq!(one.0 >> 56, kept.0 >> 56, "of this server");
}

#[test]
fn a_spent_counter_goes_on_in_the_next_epoch() {
    let mut tree = DataTree::new(1, TREE);
    tree.set_last_zxid(Zxid::new(4, 0xffff_fffd));
    let mut server = Server::on(tree, settings(), &[]);
    server.connect(1);
    server.send(1, &[create("/a"), create("/b"), data("/a", false)]);
    server.flush();
    server.expect(&[
        "log 5/1",
        "log 5/2",
        "1: 1 @5/1 /a",
        "1: 2 @5/2 /b",
        "1: 3 @5/2 0",
    ]);
}

#[test]
fn a_name_is_free_when_nothing_of_its_client_is_on_its_way() {
    check(
        |s| {
            s.send(1, &[create("/a"), data("/b", true), create("/b")]);
            s.disconnect(1);
            s.flush_to(Zxid(3));
            s.expect(&["log 3", "log 4", "1: 1 @3 /a"]);
            s.flush();
            s.connect(1);
            // Whoever has the name now has none of the watches that came too late.
            s.send(2, &[delete("/b"), create("/b")]);
            s.flush();
            s.expect_to(1, &[]);
        },
        &[],
    );
    check(
        |s| {
            s.ask_to_connect(3, SessionId::NONE, &[]);
            s.disconnect(3);
            s.expect(&["log 3"]);
            s.flush();
        },
        &["3: release"],
    );
}

#[test]
fn a_record_too_long_to_be_read_back_is_not_written() {
    let mut server = Server::with(Settings {
        max_record: 300,
        ..settings()
    });
    server.connect(1);
    server.send(
        1,
        &[
            sequential("/n"),
            create(&format!("/{}", "x".repeat(300))),
            sequential("/n"),
        ],
    );
    server.flush();
    server.expect(&[
        "log 2",
        "log 3",
        "log 4",
        "1: 1 @2 /n0000000000",
        "1: 2 @3 !MarshallingError",
        "1: 3 @4 /n0000000001",
    ]);
    // The list of what a session leaves behind can be left out.
    let paths: Vec<_> = (0..10)
        .map(|n| ephemeral(&format!("/{n}{}", "x".repeat(40))))
        .collect();
    server.done(1, &paths);
    server.connect(2);
    server.send(1, &[Request::CloseSession]);
    server.flush();
    server.send(2, &[children("/", false)]);
    server.expect(&[
        "log 16",
        "1: 14 @16 ok",
        "1: close",
        "2: 15 @16 n0000000000,n0000000001,zookeeper",
    ]);
    assert!(server.log.iter().all(|(_, payload)| payload.len() <= 300));
}

#[test]
fn the_roots_other_name_has_one_descendant_more() {
    let number = |path: &str| Request::GetAllChildrenNumber(PathRequest { path: path.into() });
    check(
        |s| s.send(1, &[number("/"), number(""), number("/zookeeper")]),
        &["1: 1 @2 3", "1: 2 @2 4", "1: 3 @2 2"],
    );
}

#[test]
fn a_multi_read_that_grows_too_large_is_refused() {
    let read = MultiOp::GetData(ox_proto::ReadRequest {
        path: "/a".into(),
        watch: false,
    });
    let mut big = plain("/a");
    big.data = Some(vec![b'x'; 900_000].into());
    check(
        |s| {
            s.done(1, &[Request::Create(big)]);
            s.send(1, &[Request::MultiRead(vec![read; 40])]);
        },
        &["1: 2 @3 !MarshallingError"],
    );
}

#[test]
fn skipping_acls_lets_everything_through() {
    let mut server = Server::with(Settings {
        auth: AuthSettings {
            skip_acl: true,
            ..settings().auth
        },
        ..settings()
    });
    server.connect(1);
    let closed = Acl {
        perms: Acl::READ,
        id: Id::new("digest", "u:h"),
    };
    let mut secret = create_as("/s", 0, &[closed]);
    secret.op = OpCode::Create;
    server.send(
        1,
        &[exists("/s", true), Request::Create(secret), delete("/s")],
    );
    server.flush();
    server.expect_to(
        1,
        &["1 @1 !NoNode", "NodeCreated /s @2", "2 @2 /s", "3 @3 ok"],
    );
}
