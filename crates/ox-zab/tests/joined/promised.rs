//! A member that has promised a later epoch than the others have agreed on.

use ox_proto::{MemberRole, ServerId, Zxid};
use ox_zab::{ElectionTiming, Epochs, History, Membership, Peer};

use super::world::{World, config, settings};

/// The world of so many voters and an observer; each has accepted the epoch of its place.
fn world(accepted: &[u32], voters: i64) -> World {
    let observers = i64::try_from(accepted.len()).unwrap() - voters;
    let config = config(voters, observers);
    let peers = (1..).zip(accepted).map(|(id, &accepted)| {
        let membership = Membership {
            role: match id <= voters {
                true => MemberRole::Participant,
                false => MemberRole::Observer,
            },
            config: config.clone(),
            epochs: Epochs {
                accepted,
                current: Some(0),
            },
            timing: ElectionTiming::default(),
        };
        let history = History::new(Zxid::ZERO, 500);
        (id, Peer::member(settings(id), membership, history))
    });
    World::new(peers)
}

#[track_caller]
fn check(accepted: &[u32], voters: i64, late: i64) {
    let mut world = world(accepted, voters);
    let all = i64::try_from(accepted.len()).unwrap();
    for server in (1..=all).filter(|&server| server != late) {
        world.start(server);
    }
    world.run_until(5000, |world| world.leader().is_some());
    let before = world.servers.values().filter_map(|server| server.role);
    let before = before.map(|(_, epoch)| epoch).max().unwrap();
    world.start(late);
    world.run_until(5000, |world| {
        let servers = world.servers.values();
        world.leader().is_some() && servers.clone().all(|server| server.role.is_some())
    });
    let promised = accepted[usize::try_from(late - 1).unwrap()];
    let (_, epoch) = world.servers[&ServerId(late)].role.unwrap();
    assert!(
        before < promised && promised < epoch,
        "{before}, then {epoch}"
    );
    // One election was enough.
    world.run(2000);
    assert_eq!(world.servers[&ServerId(late)].role.unwrap().1, epoch);
}

#[test]
fn a_voter_that_has_promised_more_than_the_others_know_comes_back() {
    check(&[13, 10, 11], 3, 1);
}

#[test]
fn so_does_an_observer() {
    check(&[0, 0, 0, 9], 3, 4);
}
