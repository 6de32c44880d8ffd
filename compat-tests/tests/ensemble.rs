//! Ensembles of the server under test alone: three and five voters, each with an observer.
//!
//! Quick form: two kills of the leader; `OX_FAILOVERS` asks for more.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use compat_tests::ensemble::{ClientPorts, Ensemble, Mode, Plan, Sid, wait_for};
use compat_tests::load::{Load, Written};
use compat_tests::server::Kind;
use compat_tests::service;
use compat_tests::suite::{self, Skip, rounds, say};
use compat_tests::wire::{Client, Fields, connect_request, create, op};

/// How long a client that looks for a server gives each of them.
const ATTEMPT: Duration = Duration::from_secs(1);

/// Writers on each member.
const WRITERS: usize = 2;

fn main() -> ExitCode {
    suite::main(
        "ensemble",
        &[
            ("three_voters_and_an_observer_serve_as_one", || {
                serve_as_one(3, ClientPorts::InServerLines)
            }),
            ("five_voters_and_an_observer_serve_as_one", || {
                serve_as_one(5, ClientPorts::InOwnLines)
            }),
            (
                "without_a_quorum_nothing_is_written_and_nothing_lost",
                without_a_quorum,
            ),
            (
                "no_acknowledged_write_is_lost_when_leaders_of_three_are_killed",
                || killed_leaders(3),
            ),
            (
                "no_acknowledged_write_is_lost_when_leaders_of_five_are_killed",
                || killed_leaders(5),
            ),
        ],
    )
}

fn plan(voters: usize) -> Plan {
    let kind = Kind::under_test();
    Plan::voters(&vec![kind; voters]).observers(&[kind])
}

fn serve_as_one(voters: usize, client_ports: ClientPorts) -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let plan = plan(voters).client_ports(client_ports);
    let mut ensemble = plan.lay_out(home.path());
    let begun = Instant::now();
    ensemble.start_all()?;
    say(format!(
        "   {voters} voters and an observer serve after {:.1} s",
        begun.elapsed().as_secs_f64()
    ));
    let leader = ensemble.leader();
    for sid in ensemble.sids() {
        let expected = match sid {
            _ if sid == leader => Mode::Leader,
            _ if voters < sid => Mode::Observer,
            _ => Mode::Follower,
        };
        assert_eq!(ensemble.mode(sid), Some(expected), "server {sid}");
    }
    service::check(&ensemble, "/service");
    for sid in ensemble.sids() {
        ensemble.stop(sid);
    }
    Ok(())
}

fn without_a_quorum() -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut ensemble = plan(3).lay_out(home.path());
    ensemble.start_all()?;
    let leader = ensemble.leader();
    let mut client = Client::connect(ensemble.address(leader));
    client.create("/before", b"", 0);
    let followers: Vec<_> = (1..=3).filter(|sid| *sid != leader).collect();
    for sid in &followers {
        ensemble.kill(*sid);
    }
    client.send(op::CREATE, &create("/alone", b"", 0));
    assert!(
        client.reply().is_err(),
        "a write was accepted without a quorum"
    );
    for sid in [leader, 4] {
        wait_for("the end of service", || {
            ensemble.mode(sid).is_none().then_some(())
        });
    }
    ensemble.start_all()?;
    let mut client = Client::connect(ensemble.address(leader));
    assert!(
        client.get("/before").is_some(),
        "an acknowledged write is lost"
    );
    client.create("/after", b"", 0);
    client.close();
    // Of the write without an answer all have the same opinion.
    ensemble.check_same_state();
    Ok(())
}

fn killed_leaders(voters: usize) -> Result<(), Skip> {
    let rounds = rounds("OX_FAILOVERS", 2);
    let home = tempfile::tempdir().expect("a temporary folder");
    // Small files, so that snapshots and new logs are met as well.
    let plan = plan(voters)
        .line("snapCount", "3000")
        .line("preAllocSize", "1024");
    let mut ensemble = plan.lay_out(home.path());
    ensemble.start_all()?;
    let mut all: Vec<Written> = Vec::new();
    let mut times = Vec::new();
    for round in 0..rounds {
        let leader = ensemble.leader();
        let loads: Vec<Load> = ensemble
            .awake()
            .iter()
            .map(|sid| Load::start(ensemble.address(*sid), round * 10 + sid, WRITERS))
            .collect();
        let begun = Instant::now();
        wait_for("some writes", || {
            (loads.iter().all(|load| 200 < load.acknowledged())).then_some(())
        });
        ensemble.kill(leader);
        let killed = Instant::now();
        let zxid = first_write(&ensemble.addresses(), &format!("/round-{round}"), killed);
        times.push(killed.elapsed());
        let written: Vec<Written> = loads.into_iter().flat_map(Load::finish).collect();
        let seen = written.iter().map(|written| written.zxid).max();
        assert!(
            seen < Some(zxid),
            "the new leader's zxid {zxid:#x} is not above {seen:x?}"
        );
        ensemble.start(leader)?;
        ensemble.wait_until_all_serve();
        check(&ensemble, &written);
        say(format!(
            "   round {round}: server {leader} killed after {:.1} s, next write accepted after {:.3} s",
            (killed - begun).as_secs_f64(),
            times[round].as_secs_f64()
        ));
        all.extend(written);
    }
    ensemble.check_same_state();
    check_on(&ensemble, ensemble.leader(), &all);
    times.sort();
    let acknowledged: usize = all.iter().map(Written::acknowledged).sum();
    say(format!(
        "   {rounds} leaders killed, {acknowledged} acknowledged writes, all there; from the kill \
         to the next accepted write: median {:.3} s, longest {:.3} s",
        times[rounds / 2].as_secs_f64(),
        times[rounds - 1].as_secs_f64()
    ));
    Ok(())
}

/// What a new client does that knows all servers: it goes from one to the next until one gives it
/// a session and does its write. Returns the zxid of that.
#[track_caller]
fn first_write(servers: &[SocketAddr], path: &str, since: Instant) -> i64 {
    let request = connect_request(0, &[0; 16], 30_000, 0);
    for server in servers.iter().cycle() {
        assert!(
            since.elapsed() < Duration::from_secs(60),
            "no write is accepted"
        );
        let Ok(mut client) = Client::dial(*server, &request, ATTEMPT) else {
            // A refused connection costs nothing; asking without a rest would cost the servers.
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        client.send(op::CREATE, &create(path, b"", 0));
        match client.reply_within(ATTEMPT) {
            Ok(reply) if reply.error == 0 => return reply.zxid,
            // An earlier try was done after all, and its answer lost.
            Ok(reply) if reply.error == -110 => return reply.zxid,
            Ok(reply) => panic!("create {path}: {}", reply.error),
            Err(_) => {}
        }
    }
    unreachable!("the servers go round and round")
}

/// Every acknowledged write is seen on every member.
#[track_caller]
fn check(ensemble: &Ensemble, written: &[Written]) {
    for sid in ensemble.awake() {
        check_on(ensemble, sid, written);
    }
}

#[track_caller]
fn check_on(ensemble: &Ensemble, sid: Sid, written: &[Written]) {
    let mut client = Client::connect(ensemble.address(sid));
    client.ok(op::SYNC, &Fields::new().string("/"));
    for written in written {
        written.check(&mut client);
    }
    client.close();
}
