//! A member that has promised a later epoch than the others have agreed on.

use ox_proto::{MemberRole, ServerId, Zxid};
use ox_zab::{ElectionTiming, Epochs, History, Membership, Peer};

use super::world::{World, config, settings};

/// A member of so many voters, and observers behind them, that has accepted that epoch.
fn member(id: i64, accepted: u32, (voters, observers): (i64, i64)) -> Peer {
    let membership = Membership {
        role: match id <= voters {
            true => MemberRole::Participant,
            false => MemberRole::Observer,
        },
        config: config(voters, observers),
        epochs: Epochs {
            accepted,
            current: Some(0),
        },
        timing: ElectionTiming::default(),
    };
    Peer::member(settings(id), membership, History::new(Zxid::ZERO, 500))
}

/// Each member has accepted the epoch of its place; one of them comes when the others serve.
#[track_caller]
fn check(accepted: &[u32], voters: i64, late: i64) {
    let all = i64::try_from(accepted.len()).unwrap();
    let peer = |id: i64| {
        let accepted = accepted[usize::try_from(id - 1).unwrap()];
        member(id, accepted, (voters, all - voters))
    };
    let early: Vec<_> = (1..=all).filter(|&server| server != late).collect();
    let mut world = World::new(early.iter().map(|&id| (id, peer(id))));
    for server in early {
        world.start(server);
    }
    world.run_until(5000, |world| world.leader().is_some());
    let leader = world.leader().unwrap();
    let (_, before) = world.servers[&leader].role.unwrap();
    world.add(late, peer(late));
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
