//! Observers behind a follower, of the server under test and of Apache ZooKeeper on either side.
//!
//! There are two voters, so that one follower has the port for observers: all servers of an
//! ensemble have it in common, and here all are on one machine.

use std::fs;
use std::process::ExitCode;

use compat_tests::ensemble::{Ensemble, Plan, wait_for};
use compat_tests::ports::Port;
use compat_tests::server::Kind;
use compat_tests::service;
use compat_tests::suite::{self, Case, Skip, say};
use compat_tests::wire::{Client, Fields, op};

/// The voter that follows, and the observers.
const FOLLOWER: usize = 1;
const LEADER: usize = 2;
const OBSERVERS: [usize; 2] = [3, 4];

/// Created by the client that makes it, and gone with its session.
const EPHEMERAL: i32 = 1;

fn main() -> ExitCode {
    let (ours, java) = (Kind::under_test(), Kind::REFERENCE);
    let case = |name: &str, leader: Kind, follower: Kind, observer: Kind| Case {
        name: name.to_owned(),
        run: Box::new(move || serve(leader, follower, observer)),
    };
    suite::run(
        "observer_masters",
        vec![
            case("observers_of_ours_behind_ours", ours, ours, ours),
            case("observers_of_java_behind_ours", ours, ours, java),
            case("observers_of_ours_behind_java", java, java, ours),
            case(
                "ours_between_a_leader_and_observers_of_java",
                java,
                ours,
                java,
            ),
        ],
    )
}

fn serve(leader: Kind, follower: Kind, observer: Kind) -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let port = Port::claim();
    let plan = Plan::voters(&[follower, leader])
        .observers(&[observer; 2])
        .line("observerMasterPort", &port.number().to_string());
    let mut ensemble = plan.lay_out(home.path());
    ensemble.start(LEADER)?;
    ensemble.start(FOLLOWER)?;
    ensemble.wait_until_all_serve();
    assert_eq!(ensemble.leader(), LEADER, "the higher id leads");
    let mut client = Client::connect(ensemble.address(LEADER));
    client.create("/before", b"what observers are brought up to", 0);
    client.close();
    ensemble.start_all()?;
    behind_the_follower(port.number());
    service::check(&ensemble, "/service");
    heard_of(&ensemble);

    say("   a follower that comes back has its observers again");
    for observer in OBSERVERS {
        ensemble.kill(observer);
    }
    ensemble.kill(FOLLOWER);
    ensemble.start_all()?;
    behind_the_follower(port.number());
    let mut client = Client::connect(ensemble.address(OBSERVERS[0]));
    client.create("/behind", b"", 0);
    client.close();
    ensemble.check_same_state();
    for sid in ensemble.sids() {
        ensemble.stop(sid);
    }
    Ok(())
}

/// Waits until the observers are connected to this port, which only a follower opens.
#[track_caller]
fn behind_the_follower(port: u16) {
    wait_for("the observers at the follower", || {
        (connections_to(port) == OBSERVERS.len()).then_some(())
    });
}

/// How many connections to this port of this machine there are.
fn connections_to(port: u16) -> usize {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let texts = tables.map(|table| fs::read_to_string(table).unwrap_or_default());
    let lines = texts.iter().flat_map(|text| text.lines().skip(1));
    let wanted = format!(":{port:04X}");
    // Number, local and remote address, state; 01 is an established connection.
    let ours = lines.filter(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        matches!(columns[..], [_, _, remote, "01", ..] if remote.ends_with(&wanted))
    });
    ours.count()
}

/// A session of an observer that does nothing but ping outlives its timeout by far: its follower
/// tells the leader of it.
#[track_caller]
fn heard_of(ensemble: &Ensemble) {
    say("   a session that only pings stays");
    let mut clients = OBSERVERS.map(|sid| {
        let client = Client::handshake(ensemble.address(sid), 0, &[0; 16], 2000);
        let mut client = client.expect("a handshake");
        client.create(&format!("/alive-{sid}"), b"", EPHEMERAL);
        client
    });
    for _ in 0..12 {
        std::thread::sleep(std::time::Duration::from_millis(500));
        for client in &mut clients {
            let reply = client.call_with_xid(-2, op::PING, &Fields::new());
            assert_eq!(reply.error, 0);
        }
    }
    let mut other = Client::connect(ensemble.address(LEADER));
    for sid in OBSERVERS {
        assert!(
            other.get(&format!("/alive-{sid}")).is_some(),
            "server {sid}"
        );
    }
    other.close();
    for client in clients {
        client.close();
    }
}
