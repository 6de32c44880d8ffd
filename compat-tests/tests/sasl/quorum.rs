//! SASL between servers of both kinds: rolled in, kept out, and what strangers get.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use compat_tests::ensemble::{Ensemble, Plan, Sid, wait_for};
use compat_tests::server::{Kind, Setup};
use compat_tests::suite::{Skip, say};
use compat_tests::wire::{Client, Fields};

use super::jaas;

/// Every packet of authentication begins with it.
const MAGIC: i64 = 0x5f24_3501_3501_edcc;

const ENABLE: &str = "quorum.auth.enableSasl";
const LEARNER_REQUIRES: &str = "quorum.auth.learnerRequireSasl";
const SERVER_REQUIRES: &str = "quorum.auth.serverRequireSasl";

/// How long something must not happen. A member that is let in serves within half of it.
const WATCHED: Duration = Duration::from_secs(8);

/// An ensemble whose members know one user, each from a file of its own. In FIPS mode, which is on
/// unless it is switched off, Java does not authenticate itself by DIGEST-MD5.
fn lay_out(home: &Path, kinds: &[Kind], lines: &[&str]) -> Ensemble {
    let plan = lines
        .iter()
        .fold(Plan::voters(kinds), |plan, key| plan.line(key, "true"));
    let plan = plan.property("zookeeper.fips-mode", "false");
    let mut ensemble = plan.lay_out(home);
    for sid in ensemble.sids() {
        with_passwords(&mut ensemble, sid, RIGHT, RIGHT);
    }
    ensemble
}

/// What a right password is.
const RIGHT: &str = "canary-right";

/// A wrong one.
const WRONG: &str = "canary-wrong";

/// Writes a member's file: the password that it takes, and the one that it gives. Its log holds all
/// that it can.
fn with_passwords(ensemble: &mut Ensemble, sid: Sid, taken: &str, given: &str) {
    ensemble.configure(sid, |setup: Setup| {
        let server = format!("user_test=\"{taken}\"");
        let learner = format!("username=\"test\" password=\"{given}\"");
        let sections = [("QuorumServer", &*server), ("QuorumLearner", &*learner)];
        let file = jaas(setup.home(), &sections);
        let setup = setup.property(
            "java.security.auth.login.config",
            &file.display().to_string(),
        );
        setup.environment("RUST_LOG", "trace")
    });
}

/// A write through each member, which all members then have.
fn write_through_all(ensemble: &Ensemble, folder: &str) {
    let sids = ensemble.sids();
    let mut first = Client::connect(ensemble.address(sids[0]));
    first.create(folder, b"", 0);
    first.close();
    ensemble.wait_until_agreed();
    for &sid in &sids {
        let mut client = Client::connect(ensemble.address(sid));
        client.create(&format!("{folder}/{sid}"), b"", 0);
        client.close();
    }
    ensemble.wait_until_agreed();
    for &sid in &sids {
        let mut client = Client::connect(ensemble.address(sid));
        assert_eq!(client.children(folder).len(), sids.len(), "on server {sid}");
        client.close();
    }
}

/// Followers first, as one does who wants few elections.
fn in_turn(ensemble: &Ensemble) -> Vec<Sid> {
    let leader = ensemble.leader();
    let mut sids = ensemble.sids();
    sids.retain(|sid| *sid != leader);
    sids.push(leader);
    sids
}

/// One setting after the other, each on one server after the other; every kind leads at some time.
pub(super) fn rolled_in() -> Result<(), Skip> {
    let (ours, java) = (Kind::under_test(), Kind::REFERENCE);
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut ensemble = lay_out(home.path(), &[ours, java, ours], &[]);
    ensemble.start_all()?;
    write_through_all(&ensemble, "/none");
    let mut led = Vec::new();
    for key in [ENABLE, LEARNER_REQUIRES, SERVER_REQUIRES] {
        for sid in in_turn(&ensemble) {
            ensemble.stop(sid);
            ensemble.configure(sid, |setup| setup.line(key, "true"));
            ensemble.start(sid)?;
            // Where it led, the others have another leader now.
            ensemble.wait_until_all_serve();
            let leader = ensemble.leader();
            led.push(ensemble.kind(leader));
            write_through_all(&ensemble, &format!("/{key}-{sid}"));
            say(format!(
                "   {key}=true on server {sid} ({}), led by server {leader} ({})",
                ensemble.kind(sid),
                ensemble.kind(leader)
            ));
        }
    }
    assert!(led.contains(&ours) && led.contains(&java), "{led:?}");
    // Nobody has come in without a proof at the end.
    for sid in ensemble.sids() {
        let log = ensemble.log(sid);
        // A server that only dials lets nobody in.
        let proofs = match ensemble.kind(sid) {
            Kind::Oxkeeper => [
                "a server has authenticated itself as test",
                "this server has authenticated itself",
            ],
            Kind::Apache(_) => ["Successfully completed the authentication using SASL"; 2],
        };
        let has_one = proofs.iter().any(|proof| log.contains(proof));
        assert!(has_one, "server {sid}:\n{log}");
    }
    ensemble.check_same_state();
    Ok(())
}

/// Server 1, of each kind, gives a wrong password, or has one that nobody gives; it is refused with
/// a reason and comes in when it has been told the right one.
pub(super) fn wrong_password() -> Result<(), Skip> {
    let (ours, java) = (Kind::under_test(), Kind::REFERENCE);
    for (kinds, taken) in [
        ([ours, java, ours], WRONG),
        ([ours, ours, java], RIGHT),
        ([java, ours, ours], WRONG),
    ] {
        let home = tempfile::tempdir().expect("a temporary folder");
        let lines = [ENABLE, LEARNER_REQUIRES, SERVER_REQUIRES];
        let mut ensemble = lay_out(home.path(), &kinds, &lines);
        with_passwords(&mut ensemble, 1, taken, WRONG);
        ensemble.start(2)?;
        ensemble.start(3)?;
        ensemble.wait_until_all_serve();
        ensemble.start(1)?;
        let refused_by_ours = "wrong password for user 'test'";
        let refused_by_java = "Failed to authenticate using SASL";
        wait_for("a refusal in a log", || {
            [2, 3].into_iter().find(|&sid| {
                let log = ensemble.log(sid);
                log.contains(refused_by_ours) || log.contains(refused_by_java)
            })
        });
        let until = Instant::now() + WATCHED;
        while Instant::now() < until {
            assert_eq!(ensemble.mode(1), None, "server 1 is in");
            std::thread::sleep(Duration::from_millis(100));
        }
        if kinds[0] == Kind::Oxkeeper {
            let log = ensemble.log(1);
            assert!(
                log.contains("does not accept this server's authentication"),
                "{log}"
            );
        }
        for sid in ensemble.sids() {
            // The server that is kept out has no word to say.
            let told = ensemble.log(sid) + &ensemble.ask(sid, "conf");
            assert!(!told.contains("canary"), "server {sid}:\n{told}");
        }
        say(format!(
            "   {} stays out of {} and {}; its own section {}",
            kinds[0],
            kinds[1],
            kinds[2],
            if taken == WRONG {
                "is wrong too"
            } else {
                "is right"
            }
        ));
        ensemble.stop(1);
        with_passwords(&mut ensemble, 1, RIGHT, RIGHT);
        ensemble.start(1)?;
        ensemble.wait_until_serving(1);
        write_through_all(&ensemble, "/let-in");
    }
    Ok(())
}

/// A connection that has said something: all that comes until it is closed.
fn answer(port: u16, said: &[u8], patience: Duration) -> Vec<u8> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the port is open");
    stream.set_read_timeout(Some(patience)).expect("a timeout");
    // It may be closed before all is said.
    let _ = stream.write_all(said);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => assert_eq!(
            error.kind(),
            std::io::ErrorKind::ConnectionReset,
            "it stays open: {error}"
        ),
    }
    answer
}

fn initial(sid: i64) -> Vec<u8> {
    Fields::new().long(-65536).long(sid).string("127.0.0.1:1").0
}

fn packet(status: i32, token: &[u8]) -> Vec<u8> {
    Fields::new().long(MAGIC).int(status).buffer(Some(token)).0
}

/// Where everybody must authenticate, nobody else is told a vote or a packet; and many that say
/// nothing keep no member out.
pub(super) fn strangers() -> Result<(), Skip> {
    let (ours, java) = (Kind::under_test(), Kind::REFERENCE);
    let home = tempfile::tempdir().expect("a temporary folder");
    let lines = [ENABLE, LEARNER_REQUIRES, SERVER_REQUIRES];
    let mut ensemble = lay_out(home.path(), &[java, ours, ours], &lines);
    ensemble.start(2)?;
    ensemble.start(3)?;
    ensemble.wait_until_all_serve();
    let leader = ensemble.leader();
    let (election, quorum) = ensemble.peer_ports(leader);
    let patience = Duration::from_secs(60);
    let vote = Fields::new().raw(&[0; 60]).framed();
    let introduction = {
        let info = Fields::new().long(9).int(0x10000).long(0).0;
        Fields::new().int(11).long(0).buffer(Some(&info)).int(-1).0
    };
    for (what, port, said) in [
        ("a vote", election, [initial(9), vote].concat()),
        ("a packet", quorum, introduction.clone()),
        (
            "a packet on the election port",
            election,
            [initial(9), introduction].concat(),
        ),
        ("nothing", quorum, Vec::new()),
        ("nothing behind the initial message", election, initial(9)),
    ] {
        let told = answer(port, &said, patience);
        assert_eq!(told, b"", "{what}");
        say(format!("   {what} is answered by nothing"));
    }
    let empty = packet(0, b"");
    let old = "username=\"test\",realm=\"zk-quorum-sasl-md5\",nonce=\"AAAA\",cnonce=\"AAAA\",\
               digest-uri=\"zookeeper-quorum/zk-quorum-sasl-md5\",response=0,qop=auth";
    for (what, token) in [
        ("a replayed response", old.as_bytes().to_vec()),
        ("an empty response", Vec::new()),
        ("as much as a token can hold", vec![b'='; 4096]),
    ] {
        for (port, before) in [(quorum, Vec::new()), (election, initial(9))] {
            let said = [before, empty.clone(), packet(0, &token)].concat();
            let told = answer(port, &said, patience);
            let challenge = packet(0, b"realm=");
            assert!(told.starts_with(&challenge[..12]), "{what}: {told:02x?}");
            let error = packet(-1, b"");
            assert!(told.ends_with(&error), "{what}: {told:02x?}");
        }
        say(format!("   {what} is refused"));
    }
    let huge = Fields::new().long(MAGIC).int(0).int(i32::MAX).0;
    assert_eq!(answer(quorum, &huge, patience), b"", "a token of 2 GiB");
    // More than may wait on a port, and still a member comes in.
    let silent: Vec<TcpStream> = (0..600)
        .flat_map(|index| {
            let port = [election, quorum][index % 2];
            TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        })
        .collect();
    ensemble.start(1)?;
    ensemble.wait_until_serving(1);
    drop(silent);
    write_through_all(&ensemble, "/members");
    Ok(())
}
