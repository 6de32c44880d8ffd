//! Apache ZooKeeper 3.9.5 opens data directories that Oxkeeper wrote, and the other way round.
//!
//! For each snapshot form (plain, gz, snappy) and each end (clean stop, kill -9 under load): a rich
//! tree is written, the server ends, and copies of its directory are opened by both servers. Both
//! must find the same last zxid, digest, nodes with data, Stat and ACL, sessions, timeouts and
//! ephemerals. Apache opens the whole directory, then the newest snapshot alone, then the oldest
//! one alone (a replay of the whole log, in which it checks the digest of every transaction). Then
//! Apache writes, and Oxkeeper opens what it left.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use compat_tests::cache;
use compat_tests::load::Load;
use compat_tests::server::{Kind, Server, Setup};
use compat_tests::state::{dump, logged_digest};
use compat_tests::suite::{self, Skip, say};
use compat_tests::tree::{self, Node};
use compat_tests::wire::{AclEntry, Client, Fields, OPEN_ACL, Record, create, op};

fn main() -> ExitCode {
    suite::main(
        "reverse",
        &[
            ("plain_after_a_clean_stop", || {
                there_and_back("CHECKED", End::Clean)
            }),
            ("plain_after_kill_9_under_load", || {
                there_and_back("CHECKED", End::Kill)
            }),
            ("gz_after_a_clean_stop", || there_and_back("gz", End::Clean)),
            ("gz_after_kill_9_under_load", || {
                there_and_back("gz", End::Kill)
            }),
            ("snappy_after_a_clean_stop", || {
                there_and_back("snappy", End::Clean)
            }),
            ("snappy_after_kill_9_under_load", || {
                there_and_back("snappy", End::Kill)
            }),
        ],
    )
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Clean,
    Kill,
}

/// Sessions left open by the rich tree: their timeouts.
const TIMEOUTS_MS: [i32; 2] = [40_000, 123_456];

/// All that can be seen of a server that has just loaded its data.
#[derive(Debug, PartialEq, Eq)]
struct State {
    last_zxid: i64,
    digest: i64,
    sessions: BTreeSet<i64>,
    ephemerals: BTreeMap<i64, BTreeSet<String>>,
    nodes: BTreeMap<String, Node>,
}

fn there_and_back(compression: &str, end: End) -> Result<(), Skip> {
    cache::jars()?;
    let home = tempfile::tempdir().expect("a temporary folder");
    let setup = settings(Setup::new(Kind::under_test(), &home.path().join("ours")))
        .property("zookeeper.snapshot.compression.method", compression);

    // Written here.
    let server = setup.start()?;
    let sessions = rich_tree(&server);
    let load = Load::start(server.address(), 0, 3);
    std::thread::sleep(Duration::from_millis(150));
    let before = match end {
        End::Kill => {
            server.kill();
            load.finish();
            None
        }
        End::Clean => {
            // The writers see the stop as we do: nothing they were told may be missing.
            server.terminate();
            let written = load.finish();
            Some(written)
        }
    };
    let ours_only = copy(&setup, &home.path().join("ours again")).start()?;
    let ours = observe(&ours_only);
    if let Some(written) = before {
        let mut client = Client::connect(ours_only.address());
        written
            .iter()
            .for_each(|written| written.check(&mut client));
        client.close();
    }
    ours_only.kill();
    let forms = snapshots(&setup);
    assert!(
        forms.len() > 1,
        "the run was to write several snapshots: {forms:?}"
    );
    let extension = match compression {
        "gz" => Some("gz"),
        "snappy" => Some("snappy"),
        _ => None,
    };
    let newest = forms.last().expect("there are several");
    let found = newest
        .extension()
        .filter(|_| extension.is_some())
        .and_then(|text| text.to_str());
    assert_eq!(found, extension, "form of {}", newest.display());

    // Read there.
    let theirs = settings(Setup::new(Kind::REFERENCE, &home.path().join("theirs")))
        .line("dataDir", setup.value("dataDir").expect("set by new"));
    for kept in [None, forms.last(), forms.first()] {
        let what = kept.map_or_else(|| "all".into(), |kept| kept.display().to_string());
        let setup = copy(
            &theirs,
            &home.path().join(format!("theirs {}", line_of(&what))),
        );
        if let Some(kept) = kept {
            for path in snapshots(&setup)
                .iter()
                .filter(|path| path.file_name() != kept.file_name())
            {
                fs::remove_file(path).expect("a file of ours");
            }
        }
        let server = setup.start()?;
        compare(&format!("Apache on {what}"), &observe(&server), &ours);
        let log = server.log();
        assert!(
            !log.contains("Digests are not matching"),
            "Apache on {what}:\n{log}"
        );
        assert!(
            !log.contains("problem reading snap file"),
            "Apache on {what}:\n{log}"
        );
        let timeouts = timeouts_in_snapshot(&setup, ours.last_zxid);
        for (session, timeout) in sessions.iter().zip(TIMEOUTS_MS) {
            assert_eq!(
                timeouts.get(session),
                Some(&timeout),
                "timeout of {session:#x}"
            );
        }
        assert_eq!(
            timeouts.keys().copied().collect::<BTreeSet<_>>(),
            ours.sessions
        );
        server.kill();
    }

    // Written there, read here.
    let theirs = copy(&theirs, &home.path().join("theirs, written"));
    let server = theirs.start()?;
    let mut client = Client::connect(server.address());
    client.create("/from-java", b"written by Apache", 0);
    client.ok(
        op::SET_DATA,
        &Fields::new().string("/").buffer(Some(b"again")).int(-1),
    );
    client.create("/from-java/child-", b"", 2);
    client.close();
    server.kill();
    let wanted = observe(&copy(&theirs, &home.path().join("theirs again")).start()?);
    let back = settings(Setup::new(Kind::under_test(), &home.path().join("back")))
        .line("dataDir", theirs.value("dataDir").expect("set by copy"));
    let server = copy(&back, &home.path().join("ours, back")).start()?;
    compare("Oxkeeper on what Apache wrote", &observe(&server), &wanted);
    say(format!(
        "   {} nodes, zxid {:#x}",
        wanted.nodes.len(),
        wanted.last_zxid
    ));
    Ok(())
}

/// A part of a path that can be a folder's name.
fn line_of(path: &str) -> String {
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

fn settings(setup: Setup) -> Setup {
    setup
        .line("minSessionTimeout", "1000")
        .line("maxSessionTimeout", "600000")
        .line("snapCount", "300")
        .line("preAllocSize", "64")
        .line("autopurge.purgeInterval", "0")
        .property("zookeeper.extendedTypesEnabled", "true")
        .property("zookeeper.skipACL", "yes")
        .property("znode.container.checkIntervalMs", "600000")
        .environment("TZ", "UTC")
}

/// The same server on a copy of its data.
fn copy(setup: &Setup, home: &Path) -> Setup {
    fs::create_dir_all(home).expect("a folder of ours");
    let data = home.join("data");
    let status = Command::new("cp")
        .arg("-a")
        .arg(setup.value("dataDir").expect("set by new"))
        .arg(&data)
        .status()
        .expect("cp can be run");
    assert!(status.success(), "cannot copy the data");
    setup.at(home).line("dataDir", &data.display().to_string())
}

/// Snapshot files, oldest first.
fn snapshots(setup: &Setup) -> Vec<PathBuf> {
    let mut found: Vec<(i64, PathBuf)> = fs::read_dir(setup.snapshots())
        .expect("version-2 is there")
        .map(|entry| entry.expect("readable").path())
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.strip_prefix("snapshot.")?;
            let zxid = i64::from_str_radix(name.split('.').next()?, 16).ok()?;
            Some((zxid, path))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

/// The session table of the plain snapshot that Apache writes when it starts.
#[track_caller]
fn timeouts_in_snapshot(setup: &Setup, zxid: i64) -> BTreeMap<i64, i32> {
    let path = setup.snapshots().join(format!("snapshot.{zxid:x}"));
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    // The table follows the file header: magic, version, database id.
    let mut record = Record(&bytes[16..]);
    let count = record.int();
    (0..count).map(|_| (record.long(), record.int())).collect()
}

#[track_caller]
fn observe(server: &Server) -> State {
    let last_zxid = server.last_zxid();
    let digest = logged_digest(server);
    let dumped = dump(server);
    let mut client = Client::connect(server.address());
    let nodes = tree::read(&mut client);
    client.close();
    State {
        last_zxid,
        digest,
        sessions: dumped.sessions.into_keys().collect(),
        ephemerals: dumped.ephemerals,
        nodes,
    }
}

#[track_caller]
fn compare(what: &str, found: &State, wanted: &State) {
    assert_eq!(
        (found.last_zxid, &found.sessions, &found.ephemerals),
        (wanted.last_zxid, &wanted.sessions, &wanted.ephemerals),
        "{what}: zxid, sessions, ephemerals"
    );
    tree::compare(what, &found.nodes, &wanted.nodes);
    assert_eq!(found.digest, wanted.digest, "{what}: digest");
}

/// Writes nodes of every kind and in every state; returns the two sessions it leaves open.
fn rich_tree(server: &Server) -> [i64; 2] {
    let mut client =
        Client::handshake(server.address(), 0, &[0; 16], TIMEOUTS_MS[0]).expect("a handshake");
    let all = |fields: Fields| fields.acl(OPEN_ACL);

    // Data: some, none, null, binary, long, replaced, taken away.
    client.ok(
        op::SET_DATA,
        &Fields::new().string("/").buffer(Some(b"root data")).int(-1),
    );
    client.create("/data", b"", 0);
    client.create("/data/empty", b"", 0);
    client.ok(
        op::CREATE,
        &all(Fields::new().string("/data/null").buffer(None)).int(0),
    );
    client.create("/data/binary", &(0..=255).collect::<Vec<u8>>(), 0);
    client.create("/data/long", &[b'x'; 100_000], 0);
    client.create("/data/set", b"first", 0);
    for index in 0..5 {
        let data = format!("version {index}");
        let fields = Fields::new()
            .string("/data/set")
            .buffer(Some(data.as_bytes()))
            .int(index);
        client.ok(op::SET_DATA, &fields);
    }
    client.create("/data/gone", b"soon null", 0);
    client.ok(
        op::SET_DATA,
        &Fields::new().string("/data/gone").buffer(None).int(0),
    );

    // Names: deep, odd, not ASCII.
    let mut deep = String::new();
    for level in 0..13 {
        deep += &format!("/level-{level}");
        client.create(&deep, b"", 0);
    }
    client.create("/names", b"", 0);
    for name in [
        "a b",
        "..c",
        "d..",
        "%25",
        "zäöü",
        "日本",
        "Ω≈ç",
        "-_.!~*'()",
        "\u{f900}",
    ] {
        client.create(&format!("/names/{name}"), name.as_bytes(), 0);
    }

    // Kinds.
    client.create("/kinds", b"", 0);
    for flags in [2, 2] {
        client.create("/kinds/sequence-", b"s", flags);
    }
    client.create("/kinds/", b"number only", 2);
    let container = |path: &str| all(Fields::new().string(path).buffer(Some(b"c"))).int(4);
    client.ok(op::CREATE_CONTAINER, &container("/kinds/container"));
    client.create("/kinds/container/child", b"", 0);
    client.ok(op::CREATE_CONTAINER, &container("/kinds/container-empty"));
    for (path, flags, ttl) in [
        ("/kinds/ttl", 5, 3_600_000),
        ("/kinds/ttl-max", 5, (1_i64 << 40) - 1),
        ("/kinds/ttl-sequence-", 6, 7_200_000),
    ] {
        let fields = all(Fields::new().string(path).buffer(Some(b"t")))
            .int(flags)
            .long(ttl);
        client.ok(op::CREATE_TTL, &fields);
    }

    // ACLs.
    let auth = Fields::new()
        .int(0)
        .string("digest")
        .buffer(Some(b"alice:secret"));
    client.ok(op::AUTH, &auth);
    client.create("/acl", b"", 0);
    let lists: &[(&str, &[AclEntry<'_>])] = &[
        ("/acl/auth", &[(31, "auth", "")]),
        (
            "/acl/ip",
            &[
                (1, "ip", "10.0.0.0/8"),
                (31, "ip", "127.0.0.1"),
                (2, "ip", "fe80::1"),
            ],
        ),
        ("/acl/read", &[(1, "world", "anyone")]),
        (
            "/acl/mixed",
            &[
                (5, "digest", "bob:IJkq0tSKCu7Yk2SQIRyQcxXvFG8="),
                (31, "world", "anyone"),
            ],
        ),
        ("/acl/none", &[(0, "world", "anyone")]),
    ];
    for (path, acl) in lists {
        let fields = Fields::new()
            .string(path)
            .buffer(Some(b"a"))
            .acl(acl)
            .int(0);
        client.ok(op::CREATE, &fields);
    }
    client.create("/acl/changed", b"", 0);
    let fields = Fields::new()
        .string("/acl/changed")
        .acl(&[(9, "world", "anyone")])
        .int(0);
    client.ok(op::SET_ACL, &fields);

    // A quota with hard and soft limits, and usage below it.
    client.create("/limited", b"12345", 0);
    client.create("/zookeeper/quota/limited", b"", 0);
    let limits = b"count=10,bytes=1000=;byteHardLimit=100000;countHardLimit=100";
    client.create("/zookeeper/quota/limited/zookeeper_limits", limits, 0);
    client.create(
        "/zookeeper/quota/limited/zookeeper_stats",
        b"count=0,bytes=0",
        0,
    );
    for index in 0..3 {
        client.create(&format!("/limited/n{index}"), b"1234567890", 0);
    }
    client.ok(op::DELETE, &Fields::new().string("/limited/n1").int(-1));

    // What fails takes a zxid too.
    for (opcode, fields, error) in [
        (op::CREATE, create("/data", b"", 0), -110),
        (op::CREATE, create("/no/such/parent", b"", 0), -101),
        (op::DELETE, Fields::new().string("/data").int(-1), -111),
        (
            op::SET_DATA,
            Fields::new().string("/data").buffer(None).int(99),
            -103,
        ),
    ] {
        assert_eq!(client.call(opcode, &fields).error, error);
    }

    // Multi: one that does all, one that does nothing.
    let part = |opcode: i32, fields: &Fields| {
        Fields::new()
            .int(opcode)
            .boolean(false)
            .int(-1)
            .raw(&fields.0)
    };
    let end = Fields::new().int(-1).boolean(true).int(-1);
    let good = part(op::CREATE, &create("/multi", b"m", 0))
        .raw(&part(op::CREATE, &create("/multi/s-", b"", 2)).0)
        .raw(&part(op::CREATE, &create("/multi/s-", b"", 2)).0)
        .raw(
            &part(
                op::SET_DATA,
                &Fields::new().string("/multi").buffer(Some(b"n")).int(0),
            )
            .0,
        )
        .raw(&part(op::CHECK, &Fields::new().string("/multi").int(1)).0)
        .raw(
            &part(
                op::CREATE_TTL,
                &all(Fields::new().string("/multi/ttl").buffer(None))
                    .int(5)
                    .long(99_000_000),
            )
            .0,
        )
        .raw(&part(op::CREATE_CONTAINER, &container("/multi/container")).0)
        .raw(&end.0);
    client.ok(op::MULTI, &good);
    let bad = part(op::CREATE, &create("/multi/never", b"", 0))
        .raw(&part(op::DELETE, &Fields::new().string("/multi").int(77)).0)
        .raw(&end.0);
    client.ok(op::MULTI, &bad);

    // Sessions: two that stay with ephemerals, one that closes and takes its own along.
    client.create("/owned", b"", 0);
    client.create("/owned/one", b"1", 1);
    client.create("/owned/s-", b"1", 3);
    let mut second =
        Client::handshake(server.address(), 0, &[0; 16], TIMEOUTS_MS[1]).expect("a handshake");
    second.create("/owned/two", b"2", 1);
    let mut third = Client::connect(server.address());
    third.create("/owned/three", b"3", 1);
    third.close();
    let sessions = [client.session, second.session];
    // Dropping a client breaks its connection and leaves its session.
    drop((client, second));
    sessions
}
