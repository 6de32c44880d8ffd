//! A leader that is not followed.

use ox_proto::{Notification, PeerState, ServerId, Zxid};
use ox_zab::{Input, LeaderSettings, Output, Peer};

use super::world::{World, config, member, settings};

/// A vote of a server that elects.
pub(crate) fn looking(leader: i64, round: i64) -> Notification {
    Notification {
        state: Some(PeerState::Looking),
        leader: ServerId(leader),
        zxid: Zxid::ZERO,
        election_epoch: round,
        peer_epoch: 0,
        version: Notification::VERSION,
        config: None,
    }
}

pub(crate) fn hear(peer: &mut Peer, now: i64, from: i64, notification: Notification) {
    let from = ServerId(from);
    peer.handle(now, Input::Notification { from, notification });
}

/// The server with the highest id of so many, elected in round 1 by those that `electors` names.
fn elected(voters: i64, electors: &[i64], leader: LeaderSettings) -> Peer {
    let settings = ox_zab::ZabSettings {
        reconfig: None,
        leader,
        ..settings(voters)
    };
    let mut peer = member(settings, &config(voters, 0));
    peer.start(0);
    for &elector in electors {
        hear(&mut peer, 0, elector, looking(voters, 1));
    }
    if peer.state() == PeerState::Looking {
        let at = peer.poll_timeout();
        peer.handle(at, Input::Timeout { delivered: true });
    }
    assert_eq!(peer.state(), PeerState::Leading);
    while peer.poll_output().is_some() {}
    peer
}

#[test]
fn a_leader_gives_up_when_those_it_needs_elect_in_a_later_round() {
    let mut peer = elected(3, &[2], LeaderSettings::default());
    // The same round, or one before, is a word that comes late.
    hear(&mut peer, 300, 2, looking(3, 1));
    assert_eq!(peer.state(), PeerState::Leading);
    hear(&mut peer, 300, 2, looking(2, 2));
    assert_eq!(peer.state(), PeerState::Looking);
    let votes = std::iter::from_fn(|| peer.poll_output()).filter_map(|output| match output {
        Output::Notify {
            to: ServerId(2),
            notification,
        } => Some(notification),
        _ => None,
    });
    assert_eq!(votes.last().unwrap().election_epoch, 2);
}

#[test]
fn a_leader_gives_up_when_those_it_needs_go_over_to_a_better_vote() {
    let mut peer = elected(3, &[2], LeaderSettings::default());
    let better = Notification {
        zxid: Zxid(5),
        ..looking(1, 1)
    };
    hear(&mut peer, 0, 1, better.clone());
    assert_eq!(peer.state(), PeerState::Leading, "the other may still come");
    hear(&mut peer, 0, 2, better);
    assert_eq!(peer.state(), PeerState::Looking);
}

#[test]
fn a_leader_goes_on_while_others_may_still_come() {
    let mut peer = elected(3, &[1, 2], LeaderSettings::default());
    hear(&mut peer, 0, 2, looking(2, 2));
    assert_eq!(peer.state(), PeerState::Leading);
    let server = ServerId(1);
    peer.handle(0, Input::Silenced { server });
    assert_eq!(peer.state(), PeerState::Looking);
}

#[test]
fn a_leader_gives_up_when_a_voter_elects_after_the_time_for_the_epoch() {
    let limited = LeaderSettings {
        max_wait_for_epoch_ms: Some(500),
        ..LeaderSettings::default()
    };
    let mut peer = elected(3, &[1, 2], limited);
    hear(&mut peer, 499, 2, looking(3, 1));
    assert_eq!(peer.state(), PeerState::Leading);
    hear(&mut peer, 500, 2, looking(3, 1));
    assert_eq!(peer.state(), PeerState::Looking);
}

fn world(voters: i64) -> World {
    let config = config(voters, 0);
    World::new((1..=voters).map(|id| (id, member(settings(id), &config))))
}

/// Its only possible follower could not reach it at first.
#[test]
fn who_was_missed_elects_the_same_leader_again_without_waiting_for_init_limit() {
    let mut world = world(3);
    world.kill(1);
    world.cut.insert((ServerId(2), ServerId(3)));
    world.start(3);
    world.start(2);
    world.run_until(1000, |world| {
        world.server(3).peer.state() == PeerState::Leading
    });
    world.run(500);
    world.cut.clear();
    world.run_until(2000, |world| world.leader() == Some(ServerId(3)));
}

/// A slow disk keeps the leader from being established, while one voter that cannot reach it
/// begins a round after the other.
#[test]
fn a_voter_that_cannot_reach_the_leader_ends_nothing_however_often_it_elects() {
    let mut world = world(5);
    world.hang_disk(5);
    world.cut.insert((ServerId(1), ServerId(5)));
    for server in 1..=5 {
        world.start(server);
    }
    for _ in 0..95 {
        world.run(100);
        assert_eq!(world.server(5).peer.state(), PeerState::Leading);
    }
    // Four votes for itself are one election.
    assert!(4 * 5 < world.server(1).elections);
    assert!(world.leader().is_none());
}
