//! Members whose ensemble changes while they run.

use std::sync::Arc;

use ox_proto::{EnsembleConfig, MemberRole, PeerState, ServerId, Zxid};
use ox_zab::Peer;

use super::world::{World, changeable, config, member};

/// Servers 1 to `count`, each told of the same `voters`; whoever is none of them follows.
fn world(voters: i64, count: i64) -> World {
    world_of(config(voters, 0), count)
}

fn world_of(config: Arc<EnsembleConfig>, count: i64) -> World {
    let member = |id| (id, member(changeable(id), &config));
    let mut world = World::new((1..=count).map(member));
    for id in 1..=count {
        world.start(id);
    }
    world
}

fn version(world: &mut World, server: i64) -> i64 {
    world.server(server).peer.config().version
}

#[track_caller]
fn all_serve(world: &mut World, servers: &[i64]) {
    let servers = servers.to_vec();
    world.run_until(60_000, |world| {
        let serves = |id: &i64| world.server(*id).role.is_some();
        servers.iter().all(serves)
    });
}

/// These voters, and these observers.
fn to(voters: &[i64], observers: &[i64]) -> EnsembleConfig {
    let mut next = EnsembleConfig::clone(&config(
        voters.iter().chain(observers).copied().max().unwrap(),
        0,
    ));
    next.members.retain(|id, member| {
        if observers.contains(&id.0) {
            member.role = MemberRole::Observer;
        }
        voters.contains(&id.0) || observers.contains(&id.0)
    });
    next
}

#[test]
fn the_first_leader_numbers_the_configuration() {
    let mut world = world(3, 3);
    all_serve(&mut world, &[1, 2, 3]);
    for id in 1..=3 {
        assert_eq!(version(&mut world, id), Zxid::new(1, 0).0, "server {id}");
    }
}

#[test]
fn who_joins_follows_first_and_votes_then() {
    let mut world = world(3, 5);
    all_serve(&mut world, &[1, 2, 3, 4, 5]);
    let zxid = world.propose_reconfig(to(&[1, 2, 3, 4, 5], &[]));
    world.run_until(5_000, |world| {
        (1..=5).all(|id| version(world, id) == zxid.0)
    });
    assert_eq!(world.leader(), Some(ServerId(3)), "the leader stays");
    world.kill(1);
    world.kill(2);
    let zxid = world.propose(1, 1);
    world.run_until(10_000, |world| {
        world.server(5).applied.last() == Some(&zxid)
    });
}

#[test]
fn a_configuration_is_in_force_only_with_both_quorums() {
    let mut world = world(3, 5);
    all_serve(&mut world, &[1, 2, 3, 4, 5]);
    let before = version(&mut world, 3);
    world.hang_disk(1);
    world.hang_disk(2);
    // Three of the new one have it, and one of the old.
    world.propose_reconfig(to(&[3, 4, 5], &[]));
    world.run(1_000);
    assert_eq!(version(&mut world, 3), before);
    let behind = world.propose(1, 1);
    world.run(1_000);
    assert!(!world.server(3).applied.contains(&behind));
    world.flush(2);
    world.run_until(5_000, |world| version(world, 5) != before);
}

#[test]
fn a_leader_that_leaves_hands_over_without_an_election() {
    let mut world = world(3, 3);
    all_serve(&mut world, &[1, 2, 3]);
    let elections = |world: &mut World| (1..=3).map(|id| world.server(id).elections).sum::<usize>();
    let before = elections(&mut world);
    let zxid = world.propose_reconfig(to(&[1, 2], &[]));
    world.run_until(10_000, |world| {
        let leader = world.leader().is_some_and(|leader| leader != ServerId(3));
        leader && (1..=3).all(|id| version(world, id) == zxid.0 && world.server(id).role.is_some())
    });
    assert_eq!(elections(&mut world), before);
    assert_eq!(world.server(3).peer.state(), PeerState::Following);
    let zxid = world.propose(1, 1);
    world.run_until(5_000, |world| world.server(3).applied.last() == Some(&zxid));
}

#[test]
fn a_follower_that_is_to_observe_does() {
    let mut world = world(3, 3);
    all_serve(&mut world, &[1, 2, 3]);
    world.propose_reconfig(to(&[2, 3], &[1]));
    world.run_until(10_000, |world| {
        let server = world.server(1);
        server.peer.state() == PeerState::Observing && server.role.is_some()
    });
    let zxid = world.propose(1, 1);
    world.run_until(5_000, |world| world.server(1).applied.last() == Some(&zxid));
}

/// The next leader finds what was proposed and completes it.
#[test]
fn a_reconfiguration_survives_its_leader() {
    let mut world = world(3, 3);
    all_serve(&mut world, &[1, 2, 3]);
    let zxid = world.propose_reconfig(to(&[1, 2], &[3]));
    let known = |peer: &Peer| peer.last_seen_config().version == zxid.0;
    world.run_until(1_000, |world| {
        known(&world.server(1).peer) && known(&world.server(2).peer)
    });
    world.kill(3);
    all_serve(&mut world, &[1, 2]);
    world.run_until(60_000, |world| {
        world.leader().is_some() && version(world, 1) == zxid.0 && version(world, 2) == zxid.0
    });
}

/// Those who are to vote connect as observers still, and the next leader needs them for its quorum of
/// the new configuration.
#[test]
fn observers_that_are_to_vote_count_for_the_leader_that_completes_it() {
    let mut world = world_of(config(3, 2), 5);
    all_serve(&mut world, &[1, 2, 3, 4, 5]);
    world.hang_disk(1);
    world.hang_disk(2);
    let zxid = world.propose_reconfig(to(&[1, 2, 3, 4, 5], &[]));
    let known = |peer: &Peer| peer.last_seen_config().version == zxid.0;
    world.run_until(1_000, |world| {
        known(&world.server(1).peer) && known(&world.server(2).peer)
    });
    let was = version(&mut world, 4);
    assert!(was < zxid.0, "nothing is in force yet");
    world.kill(3);
    world.heal_disk(1);
    world.heal_disk(2);
    let survivors = [1, 2, 4, 5];
    world.run_until(60_000, |world| {
        let serves = |id: &i64| world.server(*id).role.is_some();
        survivors.iter().all(serves) && survivors.iter().all(|id| version(world, *id) == zxid.0)
    });
    let next = world.propose(1, 1);
    world.run_until(5_000, |world| world.server(5).applied.last() == Some(&next));
}
