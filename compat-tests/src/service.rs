//! What clients may expect of an ensemble whose members all serve, whatever they are.
//!
//! Each check opens its own clients on every member and works below a folder of its own.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::ensemble::{Ensemble, Sid, wait_for};
use crate::server::{ApacheVersion, Kind};
use crate::suite::say;
use crate::wire::{
    Client, Event, Fields, OPEN_ACL, PATIENCE, Record, connect_request, create, data_watches, op,
    password,
};

/// Pause between writes that only keep commits coming.
const STIR: Duration = Duration::from_millis(100);

/// Error codes.
const NO_NODE: i32 = -101;
const NO_AUTH: i32 = -102;
const BAD_VERSION: i32 = -103;
const NODE_EXISTS: i32 = -110;
const EXPIRED: i32 = -112;
const MOVED: i32 = -118;

/// Flags of create.
const EPHEMERAL: i32 = 1;
const SEQUENTIAL: i32 = 2;

/// Types of events.
const CREATED: i32 = 1;
const DELETED: i32 = 2;
const CHANGED: i32 = 3;
const CHILDREN: i32 = 4;

type Check = fn(&Ensemble, &str);

const CHECKS: &[(&str, Check)] = &[
    ("a write through each member is seen on all", writes),
    ("a write that fails, fails for its reason", failing_writes),
    ("sequential names are given out once", sequential_names),
    ("identities go with a request to the leader", identities),
    ("a session moves to each member", sessions_move),
    ("a watch fires on each member", watches),
    (
        "watches that are set again fire for what was missed",
        missed_changes,
    ),
    (
        "ephemerals go with a session that is closed",
        closed_sessions,
    ),
    (
        "ephemerals go with a session that expires",
        expired_sessions,
    ),
];

/// Runs all checks and then compares the members' states; `folder` is a new node to work below.
#[track_caller]
pub fn check(ensemble: &Ensemble, folder: &str) {
    client(ensemble, 1).create(folder, b"", 0);
    let stirring = Stirring::start(ensemble, folder);
    for (index, (name, check)) in CHECKS.iter().enumerate() {
        say(format!("   {name}"));
        let path = format!("{folder}/{index}");
        client(ensemble, 1).create(&path, b"", 0);
        check(ensemble, &path);
    }
    drop(stirring);
    say("   trees and digests agree");
    ensemble.check_same_state();
}

#[track_caller]
fn client(ensemble: &Ensemble, sid: Sid) -> Client {
    Client::connect(ensemble.address(sid))
}

/// What others have written is read after this.
#[track_caller]
fn sync(client: &mut Client, path: &str) {
    client.ok(op::SYNC, &Fields::new().string(path));
}

/// Writes now and then, until it is dropped. Apache 3.8.0 leaves one read or sync in some thousands
/// without an answer until the next commit; its successors do not, and are tried without this.
struct Stirring {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Stirring {
    /// Does something only if a member needs it.
    #[track_caller]
    fn start(ensemble: &Ensemble, folder: &str) -> Option<Self> {
        let kind = Kind::Apache(ApacheVersion::V3_8_0);
        if ensemble
            .sids()
            .iter()
            .all(|sid| ensemble.kind(*sid) != kind)
        {
            return None;
        }
        say("   known, not counted: 3.8.0 may answer a read only after the next write");
        let stop = Arc::<AtomicBool>::default();
        let mut client = client(ensemble, ensemble.leader());
        let set = Fields::new().string(folder).buffer(Some(b"")).int(-1);
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                client.ok(op::SET_DATA, &set);
                thread::sleep(STIR);
            }
            client.close();
        });
        Some(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Stirring {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed; ours, if there is one, matters more.
            let _ = thread.join();
        }
    }
}

fn writes(ensemble: &Ensemble, folder: &str) {
    let sids = ensemble.awake();
    let mut clients: Vec<Client> = sids.iter().map(|sid| client(ensemble, *sid)).collect();
    for (writer, sid) in sids.iter().enumerate() {
        let path = format!("{folder}/by-{sid}");
        let writing = &mut clients[writer];
        sync(writing, folder);
        writing.create(&path, b"first", 0);
        writing.create(&format!("{path}/gone"), b"", 0);
        let set = Fields::new().string(&path).buffer(Some(b"second")).int(0);
        writing.ok(op::SET_DATA, &set);
        let delete = Fields::new().string(&format!("{path}/gone")).int(0);
        writing.ok(op::DELETE, &delete);
        let part = |name: &str| {
            let header = Fields::new().int(op::CREATE).boolean(false).int(-1);
            header.raw(&create(&format!("{path}/{name}"), b"multi", 0).0)
        };
        let end = Fields::new().int(-1).boolean(true).int(-1);
        let reply = writing.ok(op::MULTI, &part("a").raw(&part("b").0).raw(&end.0));
        for client in &mut clients {
            sync(client, &path);
            let (data, stat) = client.get(&path).expect("just created");
            assert_eq!(data.as_deref(), Some(&b"second"[..]), "{path}");
            assert_eq!((stat.version, stat.pzxid), (1, reply.zxid), "{path}");
            assert_eq!(client.children(&path), ["a", "b"], "{path}");
        }
    }
}

fn failing_writes(ensemble: &Ensemble, folder: &str) {
    for sid in ensemble.awake() {
        let mut client = client(ensemble, sid);
        let path = format!("{folder}/{sid}");
        client.create(&path, b"", 0);
        let mut fails = |opcode, body: Fields, error| {
            let reply = client.call(opcode, &body);
            assert_eq!(reply.error, error, "opcode {opcode} at server {sid}");
        };
        fails(op::CREATE, create(&path, b"", 0), NODE_EXISTS);
        fails(
            op::CREATE,
            create(&format!("{path}/no/parent"), b"", 0),
            NO_NODE,
        );
        let set = Fields::new().string(&path).buffer(Some(b"x"));
        fails(op::SET_DATA, set.int(7), BAD_VERSION);
        let missing = Fields::new().string(&format!("{path}/none"));
        fails(op::DELETE, missing.int(-1), NO_NODE);

        // A multi that fails leaves nothing behind.
        let good = Fields::new().int(op::CREATE).boolean(false).int(-1);
        let good = good.raw(&create(&format!("{path}/never"), b"", 0).0);
        let bad = Fields::new().int(op::CHECK).boolean(false).int(-1);
        let bad = bad.string(&path).int(7);
        let end = Fields::new().int(-1).boolean(true).int(-1);
        // Its answer's header says success; the results say what failed.
        client.call(op::MULTI, &good.raw(&bad.0).raw(&end.0));
        assert_eq!(client.children(&path), [""; 0], "after a failed multi");
    }
}

fn sequential_names(ensemble: &Ensemble, folder: &str) {
    let prefix = format!("{folder}/n-");
    for (count, sid) in ensemble.awake().iter().cycle().take(12).enumerate() {
        let made = client(ensemble, *sid).create(&prefix, b"", SEQUENTIAL);
        assert_eq!(made, format!("{prefix}{count:010}"), "through server {sid}");
    }
}

fn identities(ensemble: &Ensemble, folder: &str) {
    let authenticate = |client: &mut Client| {
        let body = Fields::new().int(0).string("digest");
        let reply = client.call_with_xid(-4, op::AUTH, &body.buffer(Some(b"user:password")));
        assert_eq!(reply.error, 0, "auth");
    };
    for sid in ensemble.awake() {
        let path = format!("{folder}/{sid}");
        let mut owner = client(ensemble, sid);
        authenticate(&mut owner);
        let body = Fields::new().string(&path).buffer(Some(b"secret"));
        owner.ok(op::CREATE, &body.acl(&[(31, "auth", "")]).int(0));
        for other in ensemble.awake() {
            let mut other = client(ensemble, other);
            sync(&mut other, &path);
            let set = Fields::new().string(&path).buffer(Some(b"more")).int(-1);
            assert_eq!(other.call(op::SET_DATA, &set).error, NO_AUTH, "{path}");
            let get = Fields::new().string(&path).boolean(false);
            assert_eq!(other.call(op::GET_DATA, &get).error, NO_AUTH, "{path}");
            authenticate(&mut other);
            other.ok(op::SET_DATA, &set);
            other.ok(op::GET_DATA, &get);
        }
        // All can be read when the trees are compared.
        let set = Fields::new().string(&path).acl(OPEN_ACL).int(-1);
        owner.ok(op::SET_ACL, &set);
    }
}

/// Takes a session to another member.
#[track_caller]
fn attach(address: SocketAddr, session: i64, last_zxid: i64) -> Client {
    // A member that has not seen what the client has closes the connection: it may soon.
    wait_for("a member that takes up the session", || {
        let request = connect_request(session, &password(session), 30_000, last_zxid);
        let client = Client::dial(address, &request, PATIENCE).ok()?;
        assert_eq!(
            client.session, session,
            "the session was refused by {address}"
        );
        Some(client)
    })
}

fn sessions_move(ensemble: &Ensemble, folder: &str) {
    let sids = ensemble.awake();
    let mut holder = *sids.last().expect("some run");
    let mut client = client(ensemble, holder);
    let (session, path) = (client.session, format!("{folder}/mine"));
    let mut zxid = client.ok(op::CREATE, &create(&path, b"", EPHEMERAL)).zxid;
    for sid in &sids {
        let mut next = attach(ensemble.address(*sid), session, zxid);
        next.number_from(client.next_xid());
        let (_, stat) = next.get(&path).expect("the ephemeral has come along");
        assert_eq!(stat.ephemeral_owner, session);
        zxid = next
            .ok(op::CREATE, &create(&format!("{folder}/at-{sid}"), b"", 0))
            .zxid;
        let before = std::mem::replace(&mut holder, *sid);
        if ensemble.share_a_follower(before, *sid) {
            client = next;
            continue;
        }
        // Who held the session before has it no more.
        let late = client.send(op::CREATE, &create(&format!("{folder}/late"), b"", 0));
        if let Ok(reply) = client.reply() {
            assert_eq!((reply.xid, reply.error), (late, MOVED), "at server {sid}");
        }
        client = next;
    }
    let names = client.children(folder);
    assert!(
        !names.contains(&"late".to_owned()),
        "written by a session that had moved"
    );
    client.close();
}

/// An event without the zxid of its header, which 3.8 does not give.
fn told(event: &Event) -> (i32, &str) {
    (event.kind, &event.path)
}

fn watches(ensemble: &Ensemble, folder: &str) {
    let sids = ensemble.awake();
    for (turn, writer) in sids.iter().enumerate() {
        let mut writing = client(ensemble, *writer);
        let (path, later) = (format!("{folder}/{turn}"), format!("{folder}/{turn}-later"));
        writing.create(&path, b"", 0);
        let mut watching: Vec<(Sid, Client)> = sids
            .iter()
            .map(|sid| {
                let mut client = client(ensemble, *sid);
                sync(&mut client, &path);
                let set = |path: &str| Fields::new().string(path).boolean(true);
                client.ok(op::GET_DATA, &set(&path));
                client.ok(op::GET_CHILDREN, &set(&path));
                assert_eq!(client.call(op::EXISTS, &set(&later)).error, NO_NODE);
                (*sid, client)
            })
            .collect();
        let change = Fields::new().string(&path).buffer(Some(b"new")).int(-1);
        writing.ok(op::SET_DATA, &change);
        writing.create(&format!("{path}/child"), b"", 0);
        writing.create(&later, b"", 0);
        // The watches have fired: this is told to nobody.
        writing.ok(op::SET_DATA, &change);
        for (sid, client) in &mut watching {
            for wanted in [(CHANGED, &path), (CHILDREN, &path), (CREATED, &later)] {
                let event = client.event();
                let wanted = (wanted.0, wanted.1.as_str());
                assert_eq!(told(&event), wanted, "at server {sid}, written at {writer}");
            }
            sync(client, &path);
            assert!(
                client.events.is_empty(),
                "at server {sid}: {:?}",
                client.events
            );
            let (data, _) = client.get(&path).expect("it is there");
            assert_eq!(data.as_deref(), Some(&b"new"[..]));
        }
    }
}

fn missed_changes(ensemble: &Ensemble, folder: &str) {
    let sids = ensemble.awake();
    for (turn, sid) in sids.iter().enumerate() {
        let next = sids[(turn + 1) % sids.len()];
        let mut watching = client(ensemble, *sid);
        let session = watching.session;
        let (changed, kept) = (
            format!("{folder}/{turn}-changed"),
            format!("{folder}/{turn}-kept"),
        );
        watching.create(&changed, b"", 0);
        watching.create(&kept, b"", 0);
        let get = |path: &str| Fields::new().string(path).boolean(true);
        watching.ok(op::GET_DATA, &get(&changed));
        let zxid = watching.ok(op::GET_DATA, &get(&kept)).zxid;
        drop(watching);

        let mut writing = client(ensemble, *sid);
        let set = |path: &str| Fields::new().string(path).buffer(Some(b"missed")).int(-1);
        let missed = writing.ok(op::SET_DATA, &set(&changed)).zxid;

        let mut again = attach(ensemble.address(next), session, missed);
        again.set_data_watches(&data_watches(zxid, &[&changed, &kept]));
        assert_eq!(
            told(&again.event()),
            (CHANGED, changed.as_str()),
            "at server {next}"
        );
        assert_eq!(
            again.reply().map(|reply| reply.error).ok(),
            Some(0),
            "setWatches"
        );
        writing.ok(op::SET_DATA, &set(&kept));
        assert_eq!(
            told(&again.event()),
            (CHANGED, kept.as_str()),
            "at server {next}"
        );
        again.close();
    }
}

fn closed_sessions(ensemble: &Ensemble, folder: &str) {
    for owner in ensemble.awake() {
        let path = format!("{folder}/of-{owner}");
        let mut owning = client(ensemble, owner);
        owning.create(&path, b"", EPHEMERAL);
        let ephemeral = [(path, owning.session)];
        let mut watching = on_all(ensemble, &ephemeral);
        owning.close();
        all_see_them_gone(&mut watching, &ephemeral);
    }
}

fn expired_sessions(ensemble: &Ensemble, folder: &str) {
    let path = |owner: Sid| format!("{folder}/of-{owner}");
    let owners = ensemble.awake().into_iter().map(|owner| {
        let address = ensemble.address(owner);
        let mut owning = Client::handshake(address, 0, &[0; 16], 4_000).expect("a handshake");
        owning.create(&path(owner), b"", EPHEMERAL);
        (owner, owning)
    });
    // Nothing more is heard of them, although their connections stay open.
    let owners: Vec<(Sid, Client)> = owners.collect();
    let ephemerals: Vec<(String, i64)> = owners
        .iter()
        .map(|(owner, owning)| (path(*owner), owning.session))
        .collect();
    let mut watching = on_all(ensemble, &ephemerals);
    all_see_them_gone(&mut watching, &ephemerals);
    for (owner, mut owning) in owners {
        for sid in ensemble.awake() {
            let again = Client::attach(ensemble.address(sid), owning.session, 30_000);
            let again = again.expect("an answer, and be it a refusal");
            assert_eq!(
                again.timeout_ms, 0,
                "server {sid} takes up an expired session"
            );
        }
        let late = owning.send(op::CREATE, &create(&path(owner), b"", 0));
        if let Ok(reply) = owning.reply() {
            assert_eq!(
                (reply.xid, reply.error),
                (late, EXPIRED),
                "at server {owner}"
            );
        }
    }
}

/// A client on each member that sees ephemerals, with their owners, and waits for their end.
#[track_caller]
fn on_all(ensemble: &Ensemble, ephemerals: &[(String, i64)]) -> Vec<(Sid, Client)> {
    let on_one = |sid: Sid| {
        let mut client = client(ensemble, sid);
        for (path, owner) in ephemerals {
            sync(&mut client, path);
            let reply = client.ok(op::EXISTS, &Fields::new().string(path).boolean(true));
            let stat = Record(&reply.body).stat();
            assert_eq!(stat.ephemeral_owner, *owner, "{path} at server {sid}");
        }
        (sid, client)
    };
    ensemble.awake().into_iter().map(on_one).collect()
}

#[track_caller]
fn all_see_them_gone(watching: &mut [(Sid, Client)], ephemerals: &[(String, i64)]) {
    for (sid, client) in watching {
        let events: Vec<Event> = ephemerals.iter().map(|_| client.event()).collect();
        let told: BTreeSet<(i32, &str)> = events.iter().map(told).collect();
        let wanted = ephemerals.iter().map(|(path, _)| (DELETED, path.as_str()));
        assert_eq!(told, wanted.collect(), "at server {sid}");
        for (path, _) in ephemerals {
            assert!(client.get(path).is_none(), "{path} at server {sid}");
        }
    }
}
