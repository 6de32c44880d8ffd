//! An ensemble whose members change while clients write: it grows from one server to five and shrinks
//! again, of one kind and of both; what is refused, what is written into files, and Java's shell.
//!
//! Quick form: one round of each; `OX_RECONFIGS` asks for more. Source: quorum.md chapter 11,
//! operations.md 1.11 and 10.

mod refused;

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use compat_tests::cache;
use compat_tests::ensemble::{Ensemble, Mode, Plan, Sid, wait_for};
use compat_tests::history::Recording;
use compat_tests::ports::Ports;
use compat_tests::programs;
use compat_tests::server::Kind;
use compat_tests::suite::{self, Skip, rounds, say};
use compat_tests::wire::{Client, Fields, Record, Reply, op};

const WRITERS: usize = 4;

/// Writes that are accepted between two changes.
const BETWEEN: u64 = 200;

/// Long enough for any of the changes, so that a session that is lost is a fault.
const TIMEOUT_MS: i32 = 40_000;

const CONFIG: &str = "/zookeeper/config";

fn main() -> ExitCode {
    suite::main(
        "reconfig",
        &[
            ("one_three_five_three_under_load", || {
                let ours = Kind::under_test();
                grow_and_shrink(&[ours; 5])
            }),
            ("one_three_five_three_with_apache_under_load", || {
                let (ours, java) = (Kind::under_test(), Kind::REFERENCE);
                grow_and_shrink(&[ours, java, ours, java, ours])
            }),
            ("apache_first_and_ours_joining_under_load", || {
                let (ours, java) = (Kind::under_test(), Kind::REFERENCE);
                grow_and_shrink(&[java, ours, java, ours, java])
            }),
            ("roles_change_and_files_say_so_as_apaches", roles),
            (
                "what_apache_refuses_is_refused_with_the_same_error",
                refused::requests,
            ),
            ("who_may_reconfigure_is_as_with_apache", refused::who_may),
            ("removed_servers_are_harmless", removed),
            ("the_shell_of_apache_reconfigures", shell),
            ("the_client_port_moves_and_its_clients_stay", client_port),
            ("existing_data_and_watches_of_the_configuration", watches),
        ],
    )
}

/// The first voter is the ensemble; the others know it and themselves.
fn plan(kinds: &[Kind]) -> Plan {
    Plan::voters(kinds)
        .initial(1)
        .line("standaloneEnabled", "false")
        .line("reconfigEnabled", "true")
        .property("zookeeper.skipACL", "yes")
}

fn grow_and_shrink(kinds: &[Kind]) -> Result<(), Skip> {
    for round in 0..rounds("OX_RECONFIGS", 1) {
        let home = tempfile::tempdir().expect("a temporary folder");
        let mut ensemble = plan(kinds).lay_out(home.path());
        ensemble.start(1)?;
        ensemble.wait_until_serving(1);
        let recording = Recording::start(&ensemble.addresses(), round, WRITERS, TIMEOUT_MS);
        for sid in [2, 3] {
            write_on(&recording);
            join(&mut ensemble, &[sid])?;
        }
        write_on(&recording);
        join(&mut ensemble, &[4, 5])?;
        write_on(&recording);
        let leader = ensemble.leader();
        ensemble.kill(leader);
        write_on(&recording);
        ensemble.start(leader)?;
        ensemble.wait_until_serving(leader);
        write_on(&recording);
        // The leader goes, and another server.
        let leader = ensemble.leader();
        let other = ensemble.learners()[0];
        leave(&mut ensemble, &[leader, other]);
        // They serve their clients still, and have no say.
        write_on(&recording);
        let mut history = recording.finish();
        say(format!("   {}", history.summary()));
        history.check(&ensemble.check_same_state());
        for sid in [leader, other] {
            ensemble.stop(sid);
        }
        history.check(&ensemble.check_same_state());
        history.close_sessions();
        history.check_closed(&ensemble.check_same_state());
    }
    Ok(())
}

/// Starts servers and takes them into the ensemble.
#[track_caller]
fn join(ensemble: &mut Ensemble, sids: &[Sid]) -> Result<(), Skip> {
    let begun = Instant::now();
    let lines: Vec<String> = sids
        .iter()
        .map(|&sid| format!("server.{sid}={}", ensemble.line(sid)))
        .collect();
    for &sid in sids {
        ensemble.start(sid)?;
    }
    change(ensemble, Some(&lines.join(",")), None);
    for &sid in sids {
        ensemble.wait_until_serving(sid);
    }
    say(format!(
        "   {sids:?} joined in {:.1} s",
        begun.elapsed().as_secs_f64()
    ));
    Ok(())
}

#[track_caller]
fn leave(ensemble: &mut Ensemble, sids: &[Sid]) {
    let begun = Instant::now();
    let ids: Vec<String> = sids.iter().map(ToString::to_string).collect();
    change(ensemble, None, Some(&ids.join(",")));
    for sid in ensemble.awake() {
        ensemble.wait_until_serving(sid);
    }
    say(format!(
        "   {sids:?} left in {:.1} s",
        begun.elapsed().as_secs_f64()
    ));
}

/// Asks until a quorum of the new members is up to date, which is for nobody to know from outside.
#[track_caller]
fn change(ensemble: &Ensemble, joining: Option<&str>, leaving: Option<&str>) -> String {
    wait_for("a reconfiguration", || {
        let address = ensemble.address(ensemble.leader());
        let mut client = Client::handshake(address, 0, &[0; 16], 30_000).ok()?;
        client.send(op::RECONFIG, &body(joining, leaving, None, -1));
        let reply = client.reply_within(Duration::from_secs(20)).ok()?;
        match reply.error {
            0 => Some(text_of(&reply)),
            // No quorum of the new members is there, or another change is under way.
            -13 | -14 => None,
            other => panic!("{joining:?} {leaving:?}: error {other}"),
        }
    })
}

fn body(
    joining: Option<&str>,
    leaving: Option<&str>,
    members: Option<&str>,
    version: i64,
) -> Fields {
    let text = |text: Option<&str>| text.map(str::to_owned);
    [joining, leaving, members]
        .into_iter()
        .fold(Fields::new(), |fields, it| {
            fields.buffer(text(it).as_deref().map(str::as_bytes))
        })
        .long(version)
}

fn text_of(reply: &Reply) -> String {
    let mut record = Record(&reply.body);
    let data = record.buffer().expect("a configuration");
    let stat = record.stat();
    let text = String::from_utf8(data.to_vec()).expect("text");
    assert!(
        text.ends_with(&format!("\nversion={:x}", stat.mzxid)),
        "{text} {stat:?}"
    );
    assert_eq!((stat.version, stat.mzxid), (-1, reply.zxid));
    text
}

#[track_caller]
fn write_on(recording: &Recording) {
    let before = recording.acknowledged();
    wait_for("writes", || {
        (before + BETWEEN <= recording.acknowledged()).then_some(())
    });
}

fn config_on(ensemble: &Ensemble, sid: Sid) -> Option<String> {
    let mut client = Client::handshake(ensemble.address(sid), 0, &[0; 16], 30_000).ok()?;
    let (data, _) = client.get(CONFIG)?;
    String::from_utf8(data?).ok()
}

/// A participant becomes an observer and a participant again, and its files are those of a Java server
/// in its place.
fn roles() -> Result<(), Skip> {
    let (ours, java) = (Kind::under_test(), Kind::REFERENCE);
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut ensemble = plan(&[ours, java, ours, java])
        .initial(4)
        .lay_out(home.path());
    ensemble.start_all()?;
    for (sid, other) in [(1, 2), (2, 1), (4, 3)] {
        if sid == ensemble.leader() {
            // It names another as it goes.
            say(format!("   the leader, {sid}, becomes an observer"));
        }
        let line = ensemble.line(sid).to_owned();
        let observer = line.replace(":participant", ":observer");
        let text = change(&ensemble, Some(&format!("server.{sid}={observer}")), None);
        wait_for("an observer", || {
            (ensemble.mode(sid) == Some(Mode::Observer)).then_some(())
        });
        wait_for("a leader", || {
            let leaders = ensemble.sids().into_iter();
            let mut leaders = leaders.filter(|it| ensemble.mode(*it) == Some(Mode::Leader));
            leaders.next().filter(|leader| *leader != sid)
        });
        for sid in ensemble.sids() {
            ensemble.wait_until_serving(sid);
            wait_for("the configuration", || {
                (config_on(&ensemble, sid)? == text).then_some(())
            });
        }
        same_files(&ensemble, sid, other);
        change(&ensemble, Some(&format!("server.{sid}={line}")), None);
        for sid in ensemble.sids() {
            ensemble.wait_until_serving(sid);
        }
        wait_for("a participant", || {
            let mode = ensemble.mode(sid);
            matches!(mode, Some(Mode::Follower | Mode::Leader)).then_some(())
        });
    }
    // Each starts again with what was written for it.
    for sid in ensemble.sids() {
        ensemble.stop(sid);
    }
    ensemble.start_all()?;
    ensemble.check_same_state();
    Ok(())
}

/// What two servers have written beside their zoo.cfg, and the keys of that.
#[track_caller]
fn same_files(ensemble: &Ensemble, one: Sid, other: Sid) {
    let read = |sid: Sid| {
        let folder = ensemble.home(sid);
        let mut files: Vec<(String, String)> = Vec::new();
        for entry in fs::read_dir(folder).expect("a folder") {
            let name = entry.expect("an entry").file_name();
            let name = name.into_string().expect("a name");
            if !name.starts_with("zoo.cfg.dynamic.") {
                continue;
            }
            let text = fs::read_to_string(folder.join(&name)).expect("a file");
            files.push((name, text));
        }
        files.sort();
        let text = fs::read_to_string(folder.join("zoo.cfg")).expect("zoo.cfg");
        let mut keys: Vec<String> = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .filter_map(|line| Some(line.split_once('=')?.0.trim().to_owned()))
            .collect();
        keys.sort();
        assert!(folder.join("zoo.cfg.bak").exists(), "server {sid}");
        (files, keys)
    };
    wait_for("the same files", || {
        let (one, other) = (read(one), read(other));
        (one == other).then_some(())
    });
}

/// Who has left serves its clients, votes for nobody, refuses to start again as Apache does, and with its
/// first file follows without a vote.
fn removed() -> Result<(), Skip> {
    let (ours, java) = (Kind::under_test(), Kind::REFERENCE);
    for kind in [ours, java] {
        let home = tempfile::tempdir().expect("a temporary folder");
        let mut ensemble = plan(&[ours, kind, ours]).initial(3).lay_out(home.path());
        ensemble.start_all()?;
        let gone = ensemble.leader();
        let text = change(&ensemble, None, Some(&gone.to_string()));
        for sid in ensemble.sids() {
            ensemble.wait_until_serving(sid);
        }
        assert_eq!(ensemble.mode(gone), Some(Mode::Follower));
        ensemble.stop(gone);
        if ensemble.kind(gone) == ours {
            let refused = ensemble.refusal(gone)?;
            let said = format!("My id {gone} not in the peer list");
            assert!(refused.log.contains(&said), "{}", refused.log);
            assert_eq!(refused.code, Some(1));
        }
        let folder = ensemble.home(gone).to_owned();
        fs::copy(folder.join("zoo.cfg.bak"), folder.join("zoo.cfg")).expect("a file is put back");
        ensemble.start(gone)?;
        assert_eq!(ensemble.wait_until_serving(gone), Mode::Follower);
        wait_for("the configuration", || {
            (config_on(&ensemble, gone)? == text).then_some(())
        });
        let mut client = Client::connect(ensemble.address(gone));
        client.create("/by-the-one-removed", b"", 0);
        client.close();
        ensemble.check_same_state();
        // With it there would be two of three.
        let others: Vec<Sid> = ensemble
            .sids()
            .into_iter()
            .filter(|it| *it != gone)
            .collect();
        ensemble.stop(others[0]);
        wait_for("the end of the quorum", || {
            let modes = [gone, others[1]].map(|sid| ensemble.mode(sid));
            (modes == [None, None]).then_some(())
        });
        ensemble.start(others[0])?;
        for sid in ensemble.sids() {
            ensemble.wait_until_serving(sid);
        }
        ensemble.check_same_state();
    }
    Ok(())
}

/// Java's shell against the server under test.
fn shell() -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let ours = Kind::under_test();
    let mut ensemble = plan(&[ours; 3]).lay_out(home.path());
    ensemble.start(1)?;
    ensemble.wait_until_serving(1);
    let jars = cache::jars()?;
    let ask = |ensemble: &Ensemble, words: &[&str]| {
        let address = ensemble.address(1).to_string();
        let mut command = programs::java(
            Duration::from_secs(60),
            &jars,
            "org.apache.zookeeper.ZooKeeperMain",
        );
        let output = command.args(["-server", &address]).args(words).output();
        let output = output.expect("java runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text)
    };
    let (code, text) = ask(&ensemble, &["config"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("version=100000000"), "{text}");
    ensemble.start(2)?;
    let line = format!("2={}", ensemble.line(2));
    let text = wait_for("a reconfiguration", || {
        let (code, text) = ask(&ensemble, &["reconfig", "-add", &line]);
        (code == Some(0)).then_some(text)
    });
    assert!(text.contains("Committed new configuration:"), "{text}");
    assert!(
        text.contains(&format!("server.2={}", ensemble.line(2))),
        "{text}"
    );
    ensemble.wait_until_serving(2);
    let (_, text) = ask(&ensemble, &["config", "-c"]);
    for sid in [1, 2] {
        assert!(text.contains(&ensemble.address(sid).to_string()), "{text}");
    }
    let (code, text) = ask(&ensemble, &["reconfig", "-remove", "2"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        !config_on(&ensemble, 1)
            .expect("a text")
            .contains("server.2")
    );
    Ok(())
}

/// A change of the own client address opens the new port; who is connected by the old one stays.
fn client_port() -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut ensemble = plan(&[Kind::under_test(); 1]).lay_out(home.path());
    ensemble.start(1)?;
    ensemble.wait_until_serving(1);
    let before = ensemble.address(1);
    let mut client = Client::connect(before);
    let spare = Ports::claim();
    let there = format!("127.0.0.1:{}", spare.client);
    let line = ensemble.line(1).replace(&before.to_string(), &there);
    change(&ensemble, Some(&format!("server.1={line}")), None);
    client.create("/stays", b"", 0);
    let mut other = wait_for("the new port", || {
        Client::handshake(there.parse().expect("an address"), 0, &[0; 16], 30_000).ok()
    });
    assert!(other.get("/stays").is_some());
    wait_for("the end of the old port", || {
        std::net::TcpStream::connect(before).err()
    });
    client.close();
    other.close();
    Ok(())
}

/// Watches of the configuration fire; data from before reconfiguration was on are kept.
fn watches() -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let ours = Kind::under_test();
    let mut ensemble = plan(&[ours; 2]).lay_out(home.path());
    ensemble.start(1)?;
    ensemble.wait_until_serving(1);
    let mut client = Client::connect(ensemble.address(1));
    client.create("/kept", b"data", 0);
    let watch = Fields::new().string(CONFIG).boolean(true);
    client.ok(op::GET_DATA, &watch);
    ensemble.start(2)?;
    let line = format!("server.2={}", ensemble.line(2));
    let text = change(&ensemble, Some(&line), None);
    let event = client.event();
    assert_eq!((event.kind, event.path.as_str()), (3, CONFIG));
    for sid in [1, 2] {
        ensemble.wait_until_serving(sid);
    }
    for sid in [1, 2] {
        ensemble.stop(sid);
    }
    ensemble.start_all()?;
    let version = |text: &str| text.rsplit_once('=').map(|(_, version)| version.to_owned());
    for sid in [1, 2] {
        let found = config_on(&ensemble, sid).expect("a configuration");
        assert_eq!(version(&found), version(&text));
        let mut client = Client::connect(ensemble.address(sid));
        assert!(client.get("/kept").is_some());
    }
    Ok(())
}
