//! Opens every real data directory of the fixtures and finds what the real server found in it.
//!
//! Source: `fixtures/datadirs/**/expected.json`, which has last zxid, digest, nodes with data, Stat
//! and ACL, and sessions as the real server had them; or that it must refuse. Where Oxkeeper means
//! to do otherwise, `DEVIATIONS` says so; `docs/storage-deviations.md` says why.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use compat_tests::fixtures;
use compat_tests::server::{Kind, Refused, Server, Setup};
use compat_tests::state::{dump, logged_digest};
use compat_tests::suite::{self, Skip, say};
use compat_tests::tree::{self, Node};
use compat_tests::wire::{Client, Fields, Record, Stat, op};
use serde::{Deserialize, Deserializer};

/// The most that a session's expiry may lie beyond its timeout: two buckets of one tick, and the
/// second to which `dump` is good. It was re-armed up to some seconds before we look.
const EXPIRY_SLACK_MS: i64 = 2 * 2000 + 1000;
const LOOKED_LATE_MS: i64 = 10_000;

#[derive(Deserialize)]
struct Expected {
    loads: bool,
    #[serde(default, deserialize_with = "hexadecimal")]
    last_zxid: i64,
    tree_digest: Option<TreeDigest>,
    #[serde(default)]
    sessions: Vec<Session>,
    #[serde(default)]
    same_result_from_each_snapshot_alone: bool,
    #[serde(default)]
    nodes: Vec<ExpectedNode>,
    changed: Option<Changed>,
}

#[derive(Deserialize)]
struct TreeDigest {
    value: i64,
}

#[derive(Deserialize)]
struct Session {
    #[serde(deserialize_with = "hexadecimal")]
    id: i64,
    timeout_ms: i64,
    ephemeral_count: usize,
}

#[derive(Deserialize)]
struct Changed {
    file: String,
}

#[derive(Deserialize)]
struct ExpectedNode {
    path: String,
    data_hex: Option<String>,
    persisted: Persisted,
    wire: Wire,
    acl: Vec<ExpectedAcl>,
}

#[derive(Deserialize)]
struct Persisted {
    #[serde(deserialize_with = "hexadecimal")]
    czxid: i64,
    #[serde(deserialize_with = "hexadecimal")]
    mzxid: i64,
    #[serde(deserialize_with = "hexadecimal")]
    pzxid: i64,
    ctime: i64,
    mtime: i64,
    version: i32,
    aversion: i32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    cversion: i32,
    #[serde(deserialize_with = "hexadecimal")]
    ephemeral_owner: i64,
    data_length: i32,
    num_children: i32,
}

#[derive(Deserialize)]
struct ExpectedAcl {
    perms: i32,
    scheme: String,
    id: String,
}

fn hexadecimal<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    let text = String::deserialize(from)?;
    let bits = u64::from_str_radix(text.trim_start_matches("0x"), 16);
    let bits = bits.map_err(serde::de::Error::custom)?;
    Ok(i64::from_be_bytes(bits.to_be_bytes()))
}

/// What Oxkeeper does instead of what `expected.json` says.
enum Instead {
    /// Refuses, naming the damaged file.
    Refuses,
    /// Loads what this other directory loads.
    LoadsAs(&'static str),
}

const DEVIATIONS: &[(&str, Instead)] = &[
    ("d-torn/flip-eor-middle", Instead::Refuses),
    ("d-torn/flip-length-middle", Instead::Refuses),
    (
        "d-torn/all-zeros-last-log",
        Instead::LoadsAs("d-torn/cut-header-only"),
    ),
    (
        "d-torn/cut-mid-header",
        Instead::LoadsAs("d-torn/cut-header-only"),
    ),
];

/// Directories that load with a warning: name, and what its line must hold.
const WARNS: &[(&str, &str)] = &[
    ("d-torn/zeros-whole-record-hole", "log.f"),
    ("d-torn/digest-mismatch", "igest"),
];

fn main() -> ExitCode {
    suite::main(
        "datadirs",
        &[
            (
                "each_directory_loads_or_is_refused_as_it_should",
                each_directory,
            ),
            ("each_snapshot_alone_gives_the_same", each_snapshot_alone),
            (
                "logs_without_a_snapshot_load_when_told_so",
                trust_empty_snapshot,
            ),
            ("every_deviation_is_documented", documented),
        ],
    )
}

/// Names of all directories, sorted.
fn names() -> Vec<String> {
    let root = fixtures::path("datadirs");
    let mut names = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        if folder.join("expected.json").exists() {
            let name = folder.strip_prefix(&root).expect("it lies below");
            names.push(name.display().to_string());
        }
        let entries = fs::read_dir(&folder).expect("a folder of ours");
        folders.extend(
            entries
                .map(|entry| entry.expect("readable").path())
                .filter(|path| path.is_dir()),
        );
    }
    names.sort();
    names
}

fn expected(name: &str) -> Expected {
    fixtures::json(&format!("datadirs/{name}/expected.json"))
}

fn each_directory() -> Result<(), Skip> {
    let names = names();
    assert_eq!(names.len(), 50, "directories of the fixtures");
    let (mut loaded, mut refused, mut failures) = (0, 0, Vec::new());
    let only = std::env::var("OX_DATADIR").unwrap_or_default();
    for name in names.iter().filter(|name| name.contains(&only)) {
        let home = tempfile::tempdir().expect("a temporary folder");
        let setup = setup_on(name, home.path());
        let started = setup.try_start()?;
        let result =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| verdict(name, started)));
        match result {
            Ok(true) => loaded += 1,
            Ok(false) => refused += 1,
            Err(_) => failures.push(name),
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {}: {failures:?}",
        failures.len(),
        names.len()
    );
    say(format!(
        "   {loaded} directories loaded as expected, {refused} refused as expected"
    ));
    Ok(())
}

/// Checks one start; true if the directory loaded.
#[track_caller]
fn verdict(name: &str, started: Result<Server, Refused>) -> bool {
    let mut wanted = expected(name);
    if Kind::under_test() == Kind::Oxkeeper {
        match DEVIATIONS.iter().find(|(deviating, _)| *deviating == name) {
            Some((_, Instead::Refuses)) => wanted.loads = false,
            Some((_, Instead::LoadsAs(other))) => wanted = expected(other),
            None => {}
        }
    }
    match started {
        Ok(server) => {
            assert!(wanted.loads, "{name} must be refused, but it loads");
            check_state(name, &server, &wanted);
            if Kind::under_test() == Kind::Oxkeeper
                && let Some((_, hint)) = WARNS.iter().find(|(warned, _)| *warned == name)
            {
                let log = server.log();
                let warned = log.lines().any(|line| {
                    (line.contains("WARN") || line.contains("ERROR")) && line.contains(hint)
                });
                assert!(warned, "{name}: no word of it:\n{log}");
            }
            true
        }
        Err(Refused { code, log }) => {
            assert!(
                !wanted.loads,
                "{name} must load, but it ends with {code:?}:\n{log}"
            );
            assert_eq!(code, Some(1), "{name}: exit code");
            if Kind::under_test() == Kind::Oxkeeper {
                assert!(!log.contains("panicked"), "{name}:\n{log}");
                assert!(
                    culprits(name, &wanted)
                        .iter()
                        .any(|file| log.contains(file.as_str())),
                    "{name}: the refusal does not name the file:\n{log}"
                );
            }
            false
        }
    }
}

/// Any of these names in the message is a fair one.
fn culprits(name: &str, expected: &Expected) -> Vec<String> {
    match name {
        // A gap lies between two files.
        "d-torn/torn-tail-of-first-log" => vec!["log.1".into(), "log.f".into()],
        "i-snapshot-fallback/logs-without-snapshot" => vec!["version-2".into()],
        _ => {
            let file = &expected.changed.as_ref().expect("a damaged file").file;
            vec![
                Path::new(file)
                    .file_name()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned(),
            ]
        }
    }
}

/// A server that lets everybody read everything and expires nobody while we look.
fn setup_on(name: &str, home: &Path) -> Setup {
    let unpacked = fixtures::unpack(name, home);
    let setup = Setup::new(Kind::under_test(), &home.join("server"))
        .line("minSessionTimeout", "1000")
        .line("maxSessionTimeout", "600000")
        .property("zookeeper.extendedTypesEnabled", "true")
        .property("zookeeper.skipACL", "yes")
        .property("jute.maxbuffer", "4194304")
        .property("znode.container.checkIntervalMs", "600000")
        .environment("TZ", "UTC");
    if unpacked.join("datalog").exists() {
        setup
            .line("dataDir", &unpacked.join("data").display().to_string())
            .line(
                "dataLogDir",
                &unpacked.join("datalog").display().to_string(),
            )
    } else {
        setup.line("dataDir", &unpacked.display().to_string())
    }
}

#[track_caller]
fn check_state(name: &str, server: &Server, expected: &Expected) {
    // First what our own session would change.
    assert_eq!(server.last_zxid(), expected.last_zxid, "{name}: last zxid");
    let digest = expected
        .tree_digest
        .as_ref()
        .expect("a directory that loads has one")
        .value;
    assert_eq!(logged_digest(server), digest, "{name}: tree digest");
    check_sessions(name, server, expected);
    let mut client = Client::connect(server.address());
    let (mut found, mut wanted) = (tree::read(&mut client), wanted_nodes(expected));
    if name.starts_with("e-") {
        // Each member of an ensemble writes it by itself at its start, outside the log.
        for nodes in [&mut found, &mut wanted] {
            nodes.remove("/zookeeper/config");
        }
    }
    tree::compare(name, &found, &wanted);
    client.close();
}

#[track_caller]
fn check_sessions(name: &str, server: &Server, expected: &Expected) {
    let dumped = dump(server);
    let ids: BTreeSet<i64> = expected.sessions.iter().map(|session| session.id).collect();
    assert_eq!(
        dumped.sessions.keys().copied().collect::<BTreeSet<_>>(),
        ids,
        "{name}: sessions"
    );
    for Session {
        id,
        timeout_ms,
        ephemeral_count,
    } in &expected.sessions
    {
        let left = dumped.sessions[id];
        assert!(
            (timeout_ms - LOOKED_LATE_MS..=timeout_ms + EXPIRY_SLACK_MS).contains(&left),
            "{name}: session {id:#x} has {left} ms left of {timeout_ms}"
        );
        let owned = dumped.ephemerals.get(id).map_or(0, BTreeSet::len);
        assert_eq!(owned, *ephemeral_count, "{name}: ephemerals of {id:#x}");
        let timeout = i32::try_from(*timeout_ms).expect("a timeout");
        let mut client = Client::attach(server.address(), *id, timeout).expect("a handshake");
        assert_eq!(
            (client.session, client.timeout_ms),
            (*id, timeout),
            "{name}: re-attach to {id:#x}"
        );
        let reply = client.ok(op::GET_EPHEMERALS, &Fields::new().string("/"));
        assert_eq!(
            Record(&reply.body).strings().len(),
            *ephemeral_count,
            "{name}: {id:#x}"
        );
    }
}

fn wanted_nodes(expected: &Expected) -> BTreeMap<String, Node> {
    expected
        .nodes
        .iter()
        .map(|node| (node.path.clone(), wanted_node(node)))
        .collect()
}

fn wanted_node(node: &ExpectedNode) -> Node {
    let ExpectedNode {
        persisted, wire, ..
    } = node;
    Node {
        data: node
            .data_hex
            .as_ref()
            .map(|text| hex::decode(text).expect("hexadecimal")),
        stat: Stat {
            czxid: persisted.czxid,
            mzxid: persisted.mzxid,
            ctime: persisted.ctime,
            mtime: persisted.mtime,
            version: persisted.version,
            cversion: wire.cversion,
            aversion: persisted.aversion,
            ephemeral_owner: wire.ephemeral_owner,
            data_length: wire.data_length,
            num_children: wire.num_children,
            pzxid: persisted.pzxid,
        },
        acl: node
            .acl
            .iter()
            .map(|entry| (entry.perms, entry.scheme.clone(), entry.id.clone()))
            .collect(),
    }
}

fn each_snapshot_alone() -> Result<(), Skip> {
    let mut starts = 0;
    for name in names() {
        let wanted = expected(&name);
        if !wanted.same_result_from_each_snapshot_alone {
            continue;
        }
        for kept in snapshots_of(&name) {
            let home = tempfile::tempdir().expect("a temporary folder");
            let setup = setup_on(&name, home.path());
            for file in snapshot_files(&setup) {
                if file.file_name().is_some_and(|file| *file != *kept) {
                    fs::remove_file(&file).expect("a file of ours");
                }
            }
            check_state(
                &format!("{name} from {kept} alone"),
                &setup.start()?,
                &wanted,
            );
            starts += 1;
        }
    }
    say(format!("   {starts} starts from one snapshot alone"));
    assert!(starts > 0, "no directory is marked for this");
    Ok(())
}

fn snapshots_of(name: &str) -> Vec<String> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let setup = setup_on(name, home.path());
    let mut names: Vec<String> = snapshot_files(&setup)
        .iter()
        .map(|file| {
            file.file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

fn snapshot_files(setup: &Setup) -> Vec<std::path::PathBuf> {
    fs::read_dir(setup.snapshots())
        .expect("version-2 is there")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| {
            path.file_name()
                .is_some_and(|n| n.to_string_lossy().starts_with("snapshot."))
        })
        .collect()
}

fn trust_empty_snapshot() -> Result<(), Skip> {
    let name = "i-snapshot-fallback/logs-without-snapshot";
    let home = tempfile::tempdir().expect("a temporary folder");
    let setup = setup_on(name, home.path()).property("zookeeper.snapshot.trust.empty", "true");
    check_state(name, &setup.start()?, &expected(name));
    Ok(())
}

fn documented() -> Result<(), Skip> {
    let path = compat_tests::cache::repository().join("docs/storage-deviations.md");
    let text = fs::read_to_string(&path).expect("the document is there");
    for (name, _) in DEVIATIONS {
        assert!(
            text.contains(&format!("`{name}`")),
            "{name} is not in {}",
            path.display()
        );
    }
    Ok(())
}
