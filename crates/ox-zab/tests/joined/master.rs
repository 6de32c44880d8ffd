//! Observers behind followers.

use bytes::Bytes;
use ox_proto::{Id, LearnerInfo, OpCode, PacketType, PeerState, QuorumPacket, ServerId, Zxid};
use ox_zab::{Input, ObserverSettings, Output, Role, ZabSettings};

use super::lonely::{hear, looking};
use super::world::{Hand, World, config, member, settings};

/// Three voters, and observers behind them, all of which serve.
fn ensemble(observers: i64, change: impl Fn(&mut ZabSettings)) -> World {
    let config = config(3, observers);
    let mut world = World::new((1..=3 + observers).map(|id| {
        let mut settings = settings(id);
        settings.observers.master_limit = Some(1 << 20);
        settings.observers.seed = u64::try_from(id).unwrap();
        change(&mut settings);
        (id, member(settings, &config))
    }));
    for server in 1..=3 + observers {
        world.start(server);
    }
    world.run_until(5000, |world| {
        (1..=3 + observers).all(|id| world.server(id).role.is_some())
    });
    assert_eq!(world.leader(), Some(ServerId(3)));
    world
}

fn request(session: i64, cxid: i32, op: OpCode) -> QuorumPacket {
    let data = [
        &session.to_be_bytes()[..],
        &cxid.to_be_bytes(),
        &op.code().to_be_bytes(),
        b"body",
    ];
    QuorumPacket {
        authinfo: Some([Id::new("ip", "127.0.0.1")].into()),
        ..QuorumPacket::with_data(PacketType::Request, QuorumPacket::NO_ZXID, data.concat())
    }
}

fn revalidation(session: i64) -> QuorumPacket {
    let data = [&session.to_be_bytes()[..], &6000_i32.to_be_bytes()].concat();
    QuorumPacket::with_data(PacketType::Revalidate, QuorumPacket::NO_ZXID, data)
}

/// What an observer whose last zxid is `last` says until it is sent something.
fn register(world: &mut World, hand: Hand, sid: i64, last: Zxid) {
    let info = LearnerInfo {
        server: ServerId(sid),
        protocol_version: LearnerInfo::PROTOCOL,
        config_version: 0,
    };
    let zxid = Zxid::ZERO;
    let packet = QuorumPacket::with_data(PacketType::ObserverInfo, zxid, info.to_bytes());
    world.say(hand, packet);
    let epoch = world.heard(hand);
    assert_eq!(types(&epoch), [(PacketType::LeaderInfo, Zxid::new(1, 0))]);
    let current = Bytes::from_static(&[0; 4]);
    let packet = QuorumPacket::with_data(PacketType::AckEpoch, last, current);
    world.say(hand, packet);
}

fn types(packets: &[QuorumPacket]) -> Vec<(PacketType, Zxid)> {
    let packets = packets.iter();
    packets.map(|packet| (packet.r#type, packet.zxid)).collect()
}

fn ack(zxid: Zxid) -> QuorumPacket {
    QuorumPacket::bare(PacketType::Ack, zxid)
}

const START: Zxid = Zxid(1 << 32);

fn zxid(counter: u32) -> Zxid {
    Zxid::new(1, counter)
}

#[test]
fn observers_connect_to_followers_and_hear_of_all_that_commits() {
    let mut world = ensemble(2, |_| {});
    for observer in [4, 5] {
        let master = world.connected_to(observer);
        assert!(master == [1] || master == [2], "{master:?}");
        assert_eq!(world.server(observer).role, Some((Role::Observing, 1)));
    }
    for cxid in 0..3 {
        world.propose(7, cxid);
    }
    world.settle();
    for server in 1..=5 {
        let applied = &world.server(server).applied;
        assert_eq!(*applied, [zxid(1), zxid(2), zxid(3)], "{server}");
    }
}

#[test]
fn what_an_observer_asks_comes_to_the_leader_as_it_was_asked() {
    let mut world = ensemble(1, |_| {});
    let asked = request(7, 1, OpCode::Create);
    world.ask(4, asked.clone());
    world.settle();
    let came = &world.server(3).requests;
    assert_eq!(
        *came,
        [(asked.data.unwrap(), asked.authinfo.unwrap().to_vec())]
    );
    assert_eq!(world.server(4).applied, [zxid(1)]);
}

#[test]
fn answers_go_to_whom_has_asked() {
    let mut world = ensemble(1, |_| {});
    let master = world.connected_to(4)[0];
    for first in [master, 4] {
        let second = master + 4 - first;
        for asker in [first, second] {
            world.ask(asker, request(7, 1, OpCode::Sync));
            world.settle();
        }
        let before = world.server(first).synced;
        for answered in 1..=2 {
            world.answer_sync();
            assert_eq!(world.server(first).synced, before + 1);
            assert_eq!(world.server(second).synced, before + answered - 1);
        }
    }
    world.ask(4, revalidation(7));
    world.ask(master, revalidation(8));
    world.ask(master, revalidation(9));
    world.settle();
    let answer = |session: i64| Bytes::from([&session.to_be_bytes()[..], &[1]].concat());
    assert_eq!(world.server(4).revalidated, [answer(7)]);
    assert_eq!(world.server(master).revalidated, [answer(8), answer(9)]);
    // A session that is taken up has been heard from.
    assert_eq!(
        world.server(master).touched,
        [&7_i64.to_be_bytes()[..], &6000_i32.to_be_bytes()].concat()
    );
}

#[test]
fn a_sync_comes_through_behind_the_commits_before_it() {
    let mut world = ensemble(0, |_| {});
    let hand = world.visit(1, true);
    register(&mut world, hand, 4, START);
    world.say(hand, ack(START));
    world.heard(hand);
    world.hang_disk(1);
    world.propose(7, 1);
    world.settle();
    // It has committed, but not here yet.
    world.say(hand, request(7, 2, OpCode::Sync));
    world.answer_sync();
    assert_eq!(world.heard(hand), []);
    world.flush(1);
    let heard = types(&world.heard(hand));
    assert_eq!(
        heard,
        [
            (PacketType::Inform, zxid(1)),
            (PacketType::Sync, Zxid::ZERO)
        ]
    );
}

#[test]
fn the_sessions_of_observers_are_heard_of_at_the_leader() {
    let mut world = ensemble(1, |_| {});
    let touched = [&7_i64.to_be_bytes()[..], &6000_i32.to_be_bytes()].concat();
    world.server(4).touched.clone_from(&touched);
    world.run(1500);
    assert_eq!(world.server(3).touched, touched);
}

#[test]
fn an_observer_that_has_lost_its_follower_goes_to_the_next() {
    let mut world = ensemble(1, |_| {});
    world.propose(7, 1);
    world.settle();
    let master = world.connected_to(4)[0];
    world.kill(master);
    assert_eq!(world.server(4).role, None);
    let other = 3 - master;
    world.run_until(1000, |world| world.server(4).role.is_some());
    assert_eq!(world.connected_to(4), [other]);
    world.propose(7, 2);
    world.settle();
    assert_eq!(world.server(4).applied, [zxid(1), zxid(2)]);
}

#[test]
fn a_follower_that_loses_its_leader_lets_its_observers_go() {
    let mut world = ensemble(1, |_| {});
    world.kill(3);
    assert_eq!(world.server(4).role, None);
    world.run_until(5000, |world| {
        world.server(4).role == Some((Role::Observing, 2))
    });
}

#[test]
fn an_observer_is_synchronized_from_what_its_follower_has() {
    let mut world = ensemble(0, |_| {});
    for cxid in 0..3 {
        world.propose(7, cxid);
    }
    world.settle();
    let hand = world.visit(1, true);
    register(&mut world, hand, 4, zxid(1));
    let sent = world.heard(hand);
    assert_eq!(
        types(&sent),
        [
            (PacketType::Diff, zxid(3)),
            (PacketType::Proposal, zxid(2)),
            (PacketType::Commit, zxid(2)),
            (PacketType::Proposal, zxid(3)),
            (PacketType::Commit, zxid(3)),
            (PacketType::NewLeader, START),
        ]
    );
    // What commits meanwhile waits.
    world.propose(7, 4);
    world.settle();
    assert_eq!(world.heard(hand), []);
    world.say(hand, ack(START));
    let sent = types(&world.heard(hand));
    let up_to_date = (PacketType::UpToDate, QuorumPacket::NO_ZXID);
    assert_eq!(sent, [up_to_date, (PacketType::Inform, zxid(4))]);
    world.say(hand, ack(START));
    world.run(1000);
    let pings = types(&world.heard(hand));
    assert!((2..=3).contains(&pings.len()), "{pings:?}");
    assert!(
        pings
            .iter()
            .all(|ping| *ping == (PacketType::Ping, zxid(4)))
    );
}

#[test]
fn an_observer_that_is_ahead_of_its_follower_is_waited_for_and_not_truncated() {
    let mut world = ensemble(0, |_| {});
    world.propose(7, 1);
    world.settle();
    let hand = world.visit(1, true);
    register(&mut world, hand, 4, zxid(3));
    world.propose(7, 2);
    world.settle();
    assert_eq!(world.heard(hand), []);
    world.propose(7, 3);
    world.settle();
    let sent = types(&world.heard(hand));
    assert_eq!(
        sent,
        [(PacketType::Diff, zxid(3)), (PacketType::NewLeader, START)]
    );
}

#[test]
fn an_observer_that_lags_too_far_is_dropped() {
    let mut world = ensemble(0, |settings| settings.observers.master_limit = Some(100));
    let hand = world.visit(1, true);
    register(&mut world, hand, 4, START);
    // 36 bytes each.
    world.propose(7, 1);
    world.propose(7, 2);
    world.settle();
    assert!(!world.is_closed(hand));
    world.propose(7, 3);
    world.settle();
    assert!(world.is_closed(hand));
}

#[test]
fn who_wants_to_follow_or_speaks_out_of_turn_is_refused() {
    let mut world = ensemble(0, |_| {});
    let info = LearnerInfo {
        server: ServerId(2),
        protocol_version: LearnerInfo::PROTOCOL,
        config_version: 0,
    };
    let follower = QuorumPacket::with_data(PacketType::FollowerInfo, START, info.to_bytes());
    for first in [follower, ack(START)] {
        let hand = world.visit(1, true);
        world.say(hand, first);
        assert!(world.is_closed(hand));
        assert_eq!(world.heard(hand), []);
    }
    let hand = world.visit(1, true);
    register(&mut world, hand, 4, START);
    world.say(hand, request(7, 1, OpCode::Create));
    assert!(world.is_closed(hand));
    assert!(world.server(3).requests.is_empty());
}

#[test]
fn only_a_follower_that_serves_has_observers() {
    let mut world = ensemble(1, |_| {});
    for server in [3, 4] {
        let hand = world.visit(server, true);
        world.settle();
        assert!(world.is_closed(hand), "{server}");
    }
    let mut off = ensemble(1, |settings| settings.observers.master_limit = None);
    assert_eq!(off.connected_to(4), [3]);
    let hand = off.visit(1, true);
    off.settle();
    assert!(off.is_closed(hand));
}

/// On the leader as on a follower.
#[test]
fn only_so_many_observers_are_synchronized_at_once() {
    for (server, by_master) in [(1, true), (3, false)] {
        for by_state in [false, true] {
            let mut world = ensemble(0, |settings| {
                settings.force_snapshot_sync = by_state;
                let (few, many) = (1, 9);
                let (snaps, diffs) = if by_state { (few, many) } else { (many, few) };
                settings.leader.max_concurrent_snap_syncs = snaps;
                settings.leader.max_concurrent_diff_syncs = diffs;
            });
            let first = world.visit(server, by_master);
            register(&mut world, first, 4, START);
            let second = world.visit(server, by_master);
            register(&mut world, second, 5, START);
            assert!(!world.is_closed(first) && world.is_closed(second));
            assert_eq!(world.heard(second), []);
            world.say(first, ack(START));
            let third = world.visit(server, by_master);
            register(&mut world, third, 6, START);
            assert!(!world.is_closed(third));
        }
    }
}

#[test]
fn an_observer_waits_before_it_connects_and_before_it_elects_again() {
    let mut settings = settings(4);
    settings.observers = ObserverSettings {
        reconnect_delay_ms: 1000,
        election_delay_ms: 1000,
        ..ObserverSettings::default()
    };
    let mut peer = member(settings, &config(3, 1));
    peer.start(0);
    for voter in [1, 2, 3] {
        let state = Some(match voter {
            3 => PeerState::Leading,
            _ => PeerState::Following,
        });
        hear(
            &mut peer,
            0,
            voter,
            ox_proto::Notification {
                state,
                ..looking(3, 1)
            },
        );
    }
    assert_eq!(peer.state(), PeerState::Observing);
    let dial = Output::Dial {
        server: ServerId(3),
    };
    assert!(!std::iter::from_fn(|| peer.poll_output()).any(|output| output == dial));
    let at = peer.poll_timeout();
    assert!((1..1000).contains(&at));
    peer.handle(at, Input::Timeout { delivered: true });
    assert_eq!(peer.poll_output(), Some(dial));
    let (server, link) = (ServerId(3), None);
    peer.handle(at, Input::Dialed { server, link });
    assert_eq!(peer.poll_output(), None);
    let again = peer.poll_timeout();
    assert!((at + 1..at + 1000).contains(&again));
    peer.handle(again - 1, Input::Timeout { delivered: true });
    assert_eq!(peer.poll_output(), None);
    peer.handle(again, Input::Timeout { delivered: true });
    assert!(matches!(peer.poll_output(), Some(Output::Notify { .. })));
}
