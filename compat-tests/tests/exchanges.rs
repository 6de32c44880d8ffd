//! Replays captured exchanges of real servers and compares the reply bytes field by field.
//!
//! Source: `fixtures/client-exchanges.json`. Each server version is one run against fresh servers,
//! in file order. A label in `conn` that has not been seen yet means a new TCP connection. `before`
//! holds silent steps: `open` (connect, handshake, one frame), `send` (and read `replies` frames; a
//! connection closed by the peer is passed over), `drain` (read until 0.2 s of silence). Fields in
//! `substitute` are overwritten with this run's values before sending.
//!
//! What may vary: session ids (one for one; high byte 1), passwords (the function of the id), ctime
//! and mtime (equal where the capture has them equal, 0 where it has 0), the order of children,
//! ephemerals and ids, and the ports of the ensemble whose one member serves reads. Zxids must be equal, but for those that an intended difference moved: each
//! such difference says from which captured zxid on and by how much. All else is compared as is.

#[path = "exchanges/differences.rs"]
mod differences;
#[path = "exchanges/reply.rs"]
mod reply;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use compat_tests::fixtures;
use compat_tests::ports::Port;
use compat_tests::server::{Kind, Server, Setup};
use compat_tests::suite::{self, Skip, say};
use compat_tests::wire::{Connection, Incoming, PATIENCE, op, password};
use serde::Deserialize;

use reply::{Context, Expectation, Kind as ReplyKind};

/// digest of super:secret.
const SUPER_DIGEST: &str = "super:lK75jTNcA+U9vtVEw5vB51mj/w4=";

#[derive(Deserialize)]
struct Item {
    name: String,
    server_version: String,
    server: String,
    conn: String,
    before: Vec<Step>,
    sent_hex: String,
    received_hex: String,
    server_closes: bool,
    #[serde(default)]
    substitute: Vec<Substitute>,
}

#[derive(Deserialize)]
struct Step {
    #[serde(rename = "do")]
    action: Action,
    conn: String,
    #[serde(default)]
    server: String,
    #[serde(default)]
    sent_hex: String,
    #[serde(default)]
    replies: usize,
    #[serde(default)]
    save_zxid: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Open,
    Send,
    Drain,
}

#[derive(Deserialize)]
struct Substitute {
    offset: usize,
    length: usize,
    value: Value,
    of: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Value {
    SessionId,
    Password,
    SavedZxid,
}

/// One label of the capture.
struct Labelled {
    connection: Connection,
    /// Id from the ConnectResponse, once there was one.
    session: Option<i64>,
    saved_zxid: i64,
    /// Whether the server has to have left it open.
    open: bool,
}

struct Run<'a> {
    addresses: BTreeMap<&'a str, SocketAddr>,
    labels: BTreeMap<String, Labelled>,
    context: Context,
}

impl Run<'_> {
    /// The connection of a label; a new label connects first.
    fn label(&mut self, label: &str, server: &str) -> &mut Labelled {
        let address = self.addresses.get(server);
        self.labels.entry(label.to_owned()).or_insert_with(|| {
            let address = *address.unwrap_or_else(|| panic!("no server {server}"));
            let connection = Connection::open(address).expect("the server accepts");
            Labelled {
                connection,
                session: None,
                saved_zxid: 0,
                open: true,
            }
        })
    }

    fn step(&mut self, step: &Step) {
        let sent = hex::decode(&step.sent_hex).expect("fixtures are hexadecimal");
        let labelled = self.label(&step.conn, &step.server);
        match step.action {
            Action::Open => {
                labelled.connection.send(&sent);
                let Incoming::Frame(frame) = labelled.connection.receive(PATIENCE) else {
                    panic!("no handshake on {}", step.conn);
                };
                labelled.session = Some(session_of(&frame));
            }
            Action::Send => {
                labelled.connection.send(&sent);
                labelled.open &=
                    ReplyKind::of_request(&sent, true) != ReplyKind::Reply(op::CLOSE_SESSION);
                for _ in 0..step.replies {
                    match labelled.connection.receive(PATIENCE) {
                        Incoming::Frame(frame) if step.save_zxid => {
                            labelled.saved_zxid = zxid_of(&frame);
                        }
                        Incoming::Frame(_) => {}
                        Incoming::Closed => {
                            labelled.open = false;
                            break;
                        }
                        Incoming::Silence => panic!("no reply to a step on {}", step.conn),
                    }
                }
            }
            Action::Drain => {
                while let Incoming::Frame(_) =
                    labelled.connection.receive(Duration::from_millis(200))
                {}
            }
        }
    }

    fn item(&mut self, item: &Item, expected: &Expectation) -> Result<(), String> {
        for step in &item.before {
            self.step(step);
        }
        let mut sent = hex::decode(&item.sent_hex).expect("fixtures are hexadecimal");
        for substitute in &item.substitute {
            let of = &self.labels[&substitute.of];
            let (session, saved_zxid) = (of.session.unwrap_or_default(), of.saved_zxid);
            // Whoever had the session loses its connection, even to a wrong password.
            for labelled in self
                .labels
                .values_mut()
                .filter(|other| other.session == Some(session))
            {
                labelled.open &= !matches!(substitute.value, Value::SessionId);
            }
            let bytes = match substitute.value {
                Value::SessionId => session.to_be_bytes().to_vec(),
                Value::Password => password(session).to_vec(),
                Value::SavedZxid => saved_zxid.to_be_bytes().to_vec(),
            };
            sent[substitute.offset..substitute.offset + substitute.length].copy_from_slice(&bytes);
        }
        let labelled = self.label(&item.conn, &item.server);
        let kind = ReplyKind::of_request(&sent, labelled.session.is_some());
        if !sent.is_empty() {
            labelled.connection.send(&sent);
        }
        let mut received = Vec::new();
        while received.len() < expected.frames.len() {
            match labelled.connection.receive(PATIENCE) {
                Incoming::Frame(frame) => received.push(frame),
                Incoming::Closed => {
                    return Err(format!(
                        "closed after {} of {} frames",
                        received.len(),
                        expected.frames.len()
                    ));
                }
                Incoming::Silence => {
                    return Err(format!(
                        "silent after {} of {} frames",
                        received.len(),
                        expected.frames.len()
                    ));
                }
            }
        }
        if expected.closes {
            match labelled.connection.receive(PATIENCE) {
                Incoming::Closed => {}
                Incoming::Frame(frame) => return Err(format!("one more: {}", hex::encode(frame))),
                Incoming::Silence => return Err("the server did not close".to_owned()),
            }
            labelled.open = false;
        } else if expected.frames.is_empty() {
            let incoming = labelled.connection.receive(Duration::from_millis(200));
            if incoming != Incoming::Silence {
                return Err(format!("expected nothing, got {incoming:?}"));
            }
        }
        if kind == ReplyKind::Connect
            && labelled.session.is_none()
            && let Some(frame) = received.first()
        {
            labelled.session = Some(session_of(frame));
        }
        self.context.compare(kind, &received, expected)
    }

    /// What was left open is open, and nothing more has come.
    fn finish(&mut self) -> Result<(), String> {
        for (label, labelled) in self.labels.iter_mut().filter(|(_, labelled)| labelled.open) {
            match labelled.connection.receive(Duration::from_millis(20)) {
                Incoming::Silence => {}
                other => return Err(format!("connection {label} at the end: {other:?}")),
            }
        }
        Ok(())
    }
}

fn session_of(frame: &[u8]) -> i64 {
    i64::from_be_bytes(frame[8..16].try_into().expect("eight bytes"))
}

fn zxid_of(frame: &[u8]) -> i64 {
    i64::from_be_bytes(frame[4..12].try_into().expect("eight bytes"))
}

/// Replays one version's run; the number of exchanges that matched is all of them or it panics.
fn replay(version: &str) -> Result<usize, Skip> {
    let all: Vec<Item> = fixtures::json("client-exchanges.json");
    let by_name: BTreeMap<&str, &Item> =
        all.iter().map(|item| (item.name.as_str(), item)).collect();
    let items: Vec<&Item> = all
        .iter()
        .filter(|item| item.server_version == version)
        .collect();

    let home = tempfile::tempdir().expect("a temporary folder");
    let main = server(&home.path().join("main"))
        .property("zookeeper.extendedTypesEnabled", "true")
        .property("zookeeper.enforceQuota", "true")
        .property(
            "zookeeper.DigestAuthenticationProvider.superDigest",
            SUPER_DIGEST,
        )
        .start()?;
    let enforce_auth = server(&home.path().join("enforce-auth"))
        .property("zookeeper.enforce.auth.enabled", "true")
        .property("zookeeper.enforce.auth.schemes", "digest")
        .start()?;
    let lonely = Lonely::start(&home.path().join("read-only"), true)?;
    let no_local = Lonely::start(&home.path().join("read-only-no-local"), false)?;
    let mut run = Run {
        addresses: BTreeMap::from([
            ("main", main.address()),
            ("enforce-auth", enforce_auth.address()),
            ("read-only", lonely.server.address()),
            ("read-only-no-local", no_local.server.address()),
        ]),
        labels: BTreeMap::new(),
        context: Context::default(),
    };

    let mut failures = Vec::new();
    for item in &items {
        let difference = differences::intended(&item.name);
        let expected = match difference {
            None => {
                let received_hex = lonely.with_its_ports(&item.received_hex);
                Expectation::captured(&received_hex, item.server_closes)
            }
            Some(difference) => difference.expectation(&by_name),
        };
        for (from, by) in difference.map_or(&[][..], |difference| difference.moves) {
            run.context.move_zxids(&item.server, *from, *by);
        }
        run.context.server = item.server.clone();
        if let Err(why) = run.item(item, &expected) {
            say(format!("   {}: {why}", item.name));
            failures.push(item.name.as_str());
        }
    }
    if let Err(why) = run.finish() {
        panic!("{why}");
    }
    assert!(
        failures.is_empty(),
        "{} of {} exchanges differ: {failures:?}",
        failures.len(),
        items.len()
    );
    Ok(items.len())
}

/// All that the other two cannot match by themselves.
fn intended_differences() -> Result<(), Skip> {
    let all: Vec<Item> = fixtures::json("client-exchanges.json");
    differences::print(&all.iter().map(|item| (item.name.as_str(), item)).collect());
    Ok(())
}

fn of_3_8_0() -> Result<(), Skip> {
    say(format!(
        "   {} of 159 exchanges of 3.8.0 match",
        replay("3.8.0")?
    ));
    Ok(())
}

fn of_3_9_5() -> Result<(), Skip> {
    say(format!(
        "   {} of 166 exchanges of 3.9.5 match",
        replay("3.9.5")?
    ));
    Ok(())
}

fn server(home: &Path) -> Setup {
    Setup::new(Kind::under_test(), home)
}

/// The only one of three members that is there; it serves reads.
struct Lonely {
    server: Server,
    ports: [Port; 6],
}

impl Lonely {
    /// The quorum and election ports of the captured servers.
    const CAPTURED: [u16; 6] = [21_021, 21_022, 21_023, 21_024, 21_025, 21_026];

    fn start(home: &Path, local_sessions: bool) -> Result<Self, Skip> {
        let ports = [(); 6].map(|()| Port::claim());
        let mut setup = server(home)
            .line("tickTime", "1000")
            .line("initLimit", "10")
            .line("syncLimit", "5")
            .property("readonlymode.enabled", "true");
        if local_sessions {
            setup = setup.line("localSessionsEnabled", "true");
        }
        for (id, ports) in (7..).zip(ports.chunks_exact(2)) {
            let value = format!("127.0.0.1:{}:{}", ports[0].number(), ports[1].number());
            setup = setup.line(&format!("server.{id}"), &value);
        }
        let data = home.join("data");
        std::fs::create_dir_all(&data).expect("a folder can be made");
        std::fs::write(data.join("myid"), "7\n").expect("myid can be written");
        let server = setup.start()?;
        Ok(Self { server, ports })
    }

    /// What was captured, with the ports of this ensemble where it tells of its members.
    fn with_its_ports(&self, captured: &str) -> String {
        let text = |port: u16| hex::encode(port.to_string());
        let pairs = Self::CAPTURED.iter().zip(&self.ports);
        pairs.fold(captured.to_owned(), |hex, (theirs, ours)| {
            let (theirs, ours) = (text(*theirs), text(ours.number()));
            hex.replace(&format!("3a{theirs}"), &format!("3a{ours}"))
        })
    }
}

fn main() -> ExitCode {
    suite::main(
        "exchanges",
        &[
            ("intended_differences", intended_differences),
            ("of_3_8_0", of_3_8_0),
            ("of_3_9_5", of_3_9_5),
        ],
    )
}
