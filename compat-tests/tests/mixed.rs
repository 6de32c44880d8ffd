//! Ensembles of the server under test and Apache ZooKeeper, for each of its versions: either leads,
//! follows and observes, and either is brought to the other's state in each of the three ways.
//!
//! Quick form: the ways of synchronization with 3.9.5 alone; `OX_MIXED=full` tries them with all.

use std::fs;
use std::process::ExitCode;

use compat_tests::ensemble::{Ensemble, Plan, Sid, wait_for};
use compat_tests::server::{ApacheVersion, Kind};
use compat_tests::service;
use compat_tests::suite::{self, Case, Skip, say};
use compat_tests::synchronization::{self, Synchronization};
use compat_tests::wire::{Client, Fields, create, op};

/// A test of two kinds: the one that leads, and the one that joins it.
type Test = fn(Kind, Kind) -> Result<(), Skip>;

fn main() -> ExitCode {
    let full = std::env::var("OX_MIXED").is_ok_and(|form| form == "full");
    let mut cases = Vec::new();
    for version in ApacheVersion::ALL {
        let (ours, java) = (Kind::under_test(), Kind::Apache(version));
        let mut case = |name: String, test: Test, pair: (Kind, Kind)| {
            cases.push(Case {
                name,
                run: Box::new(move || test(pair.0, pair.1)),
            });
        };
        case(
            format!("ours_follows_and_observes_{java}"),
            serve,
            (java, ours),
        );
        case(format!("ours_leads_{java}"), serve, (ours, java));
        if full || java == Kind::REFERENCE {
            case(format!("ours_joins_{java}_by_each_way"), join, (java, ours));
            case(format!("{java}_joins_ours_by_each_way"), join, (ours, java));
        }
    }
    suite::run("mixed", cases)
}

/// One kind leads; the other is a follower and an observer. Another follower is of the leader's
/// kind, so that neither kind has a majority without the leader.
fn serve(leader: Kind, learner: Kind) -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let plan = Plan::voters(&[leader, learner, leader]).observers(&[learner]);
    let mut ensemble = plan.lay_out(home.path());
    form_with_leader(&mut ensemble, 3)?;
    service::check(&ensemble, "/service");
    for sid in ensemble.sids() {
        ensemble.stop(sid);
    }
    Ok(())
}

/// Starts the last voter and the first, both without data: the higher server id decides. Then
/// the others.
#[track_caller]
fn form_with_leader(ensemble: &mut Ensemble, leader: Sid) -> Result<(), Skip> {
    ensemble.start(leader)?;
    ensemble.start(1)?;
    ensemble.wait_until_all_serve();
    assert_eq!(ensemble.leader(), leader, "the higher id leads");
    ensemble.start_all()
}

/// Server 3, of one kind, joins servers 1 and 2, of the other, in each way.
fn join(leader: Kind, learner: Kind) -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    // A leader that never reads its log for others: what has left the memory is sent as a tree.
    let plan = Plan::voters(&[leader, leader, learner])
        .property("zookeeper.snapshotSizeFactor", "-1")
        .line("snapCount", "1000");
    let mut ensemble = plan.lay_out(home.path());
    form_with_leader(&mut ensemble, 3)?;

    say("   by TRUNC: what it logged and nobody else knows is cut off");
    write(&ensemble, 3, "/agreed", 10);
    leave_a_tail(&mut ensemble, "/tail")?;
    // No client may come before it is back: a transaction of the new epoch makes it a SNAP.
    rejoins_by(&mut ensemble, Synchronization::Trunc)?;
    without_a_trace(&mut ensemble, "/tail")?;

    say("   by DIFF: the others have gone on");
    ensemble.wait_until_agreed();
    ensemble.kill(3);
    write(&ensemble, 1, "/diff", 50);
    rejoins_by(&mut ensemble, Synchronization::Diff)?;
    ensemble.check_same_state();

    say("   by SNAP: the others have gone on for long");
    ensemble.stop(3);
    write(&ensemble, 2, "/snap", 700);
    remove(&ensemble, 2, "/diff", 50);
    rejoins_by(&mut ensemble, Synchronization::Snap)?;
    ensemble.check_same_state();

    say("   by SNAP: it has logged what nobody else knows, and the others have gone on");
    for sid in [1, 2, 3] {
        ensemble.stop(sid);
    }
    form_with_leader(&mut ensemble, 3)?;
    leave_a_tail(&mut ensemble, "/other-tail")?;
    write(&ensemble, 1, "/onward", 10);
    rejoins_by(&mut ensemble, Synchronization::Snap)?;
    without_a_trace(&mut ensemble, "/other-tail")
}

/// Creates a node with children through a member.
#[track_caller]
fn write(ensemble: &Ensemble, sid: Sid, folder: &str, count: usize) {
    let mut client = Client::connect(ensemble.address(sid));
    client.create(folder, b"", 0);
    for index in 0..count {
        client.send(
            op::CREATE,
            &create(&format!("{folder}/{index}"), b"some data", 0),
        );
    }
    answered(&mut client, count);
    client.close();
}

/// Takes them away again.
#[track_caller]
fn remove(ensemble: &Ensemble, sid: Sid, folder: &str, count: usize) {
    let mut client = Client::connect(ensemble.address(sid));
    for index in 0..count {
        client.send(
            op::DELETE,
            &Fields::new().string(&format!("{folder}/{index}")).int(0),
        );
    }
    answered(&mut client, count);
    client.close();
}

#[track_caller]
fn answered(client: &mut Client, count: usize) {
    for index in 0..count {
        let reply = client.reply().expect("an answer");
        assert_eq!(reply.error, 0, "write {index} of {count}");
    }
}

/// Server 3, the leader, logs transactions that the others never hear of; then all end, and the
/// others form a quorum of their own.
#[track_caller]
fn leave_a_tail(ensemble: &mut Ensemble, path: &str) -> Result<(), Skip> {
    assert_eq!(ensemble.leader(), 3);
    let mut client = Client::connect(ensemble.address(3));
    ensemble.wait_until_agreed();
    ensemble.pause(1);
    ensemble.pause(2);
    for index in 0..10 {
        client.send(
            op::CREATE,
            &create(&format!("{path}-{index}"), b"never agreed", 0),
        );
    }
    let last = format!("{path}-9");
    wait_for("the leader's log of its last proposal", || {
        logged(ensemble, 3, last.as_bytes()).then_some(())
    });
    for sid in [3, 1, 2] {
        ensemble.kill(sid);
    }
    for sid in [1, 2] {
        ensemble.start(sid)?;
    }
    ensemble.wait_until_all_serve();
    Ok(())
}

/// Whether some file of a member's log contains the bytes.
fn logged(ensemble: &Ensemble, sid: Sid, bytes: &[u8]) -> bool {
    let files = fs::read_dir(ensemble.data(sid)).expect("the member has a log");
    files
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.to_string_lossy().contains("/log."))
        .any(|path| {
            let log = fs::read(path).unwrap_or_default();
            log.windows(bytes.len()).any(|window| window == bytes)
        })
}

/// Starts server 3, which must be brought up to date in the way named.
#[track_caller]
fn rejoins_by(ensemble: &mut Ensemble, way: Synchronization) -> Result<(), Skip> {
    ensemble.start(3)?;
    ensemble.wait_until_serving(3);
    let ways = synchronization::since_start(ensemble, 3);
    assert_eq!(ways.first(), Some(&way), "{ways:?}");
    Ok(())
}

/// No member knows the nodes, also not after server 3 has read its disk again.
#[track_caller]
fn without_a_trace(ensemble: &mut Ensemble, path: &str) -> Result<(), Skip> {
    for again in [false, true] {
        if again {
            ensemble.kill(3);
            ensemble.start_all()?;
        }
        let tree = ensemble.check_same_state();
        let left: Vec<&String> = tree
            .keys()
            .filter(|found| found.starts_with(path))
            .collect();
        assert!(left.is_empty(), "restarted: {again}; still there: {left:?}");
    }
    Ok(())
}
