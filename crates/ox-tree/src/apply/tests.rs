use bytes::Bytes;
use ox_proto::{
    CheckVersionTxn, CloseSessionTxn, CreateContainerTxn, CreateSessionTxn, CreateTtlTxn,
    CreateTxn, DeleteTxn, ErrorTxn, MultiTxn, SetAclTxn, SetDataTxn,
};

use super::*;
use crate::TreeOptions;

const OPTIONS: TreeOptions = TreeOptions {
    extended_types: true,
    emulate_353_ttl: false,
    digest: true,
};

fn tree() -> DataTree {
    DataTree::new(1, OPTIONS)
}

fn header(zxid: i64) -> TxnHeader {
    let time = 1_000 + zxid;
    let client_id = SessionId(7);
    TxnHeader {
        client_id,
        cxid: 0,
        zxid: Zxid(zxid),
        time,
        op: ox_proto::OpCode::Create,
    }
}

fn apply(tree: &mut DataTree, zxid: i64, txn: Txn) -> Outcome {
    tree.apply(&header(zxid), &txn, &mut |_| {})
}

/// The changes that were told, as text.
fn changes(tree: &mut DataTree, zxid: i64, txn: Txn) -> Vec<String> {
    let mut told = Vec::new();
    tree.apply(&header(zxid), &txn, &mut |change| {
        let perms = (change.acl[0].perms, change.parent_acl[0].perms);
        told.push(format!("{:?} {} {perms:?}", change.kind, change.path));
    });
    told
}

fn record(path: &str, perms: i32, ephemeral: bool) -> CreateTxn {
    CreateTxn {
        path: path.into(),
        data: Some(Bytes::from_static(b"data")),
        acl: vec![Acl::world(perms)],
        ephemeral,
        parent_cversion: -1,
    }
}

fn create(path: &str) -> Txn {
    Txn::Create(record(path, 31, false))
}

fn ephemeral(path: &str) -> Txn {
    Txn::Create(record(path, 31, true))
}

fn delete(path: &str) -> Txn {
    Txn::Delete(DeleteTxn { path: path.into() })
}

fn set_data(path: &str, data: &'static [u8], version: i32) -> Txn {
    let data = Some(Bytes::from_static(data));
    Txn::SetData(SetDataTxn {
        path: path.into(),
        data,
        version,
    })
}

fn error(err: i32) -> Txn {
    Txn::Error(ErrorTxn { err })
}

fn close(paths: Option<&[&str]>) -> Txn {
    let paths_to_delete = paths.map(|paths| paths.iter().map(|p| (*p).into()).collect());
    Txn::CloseSession(CloseSessionTxn { paths_to_delete })
}

#[track_caller]
fn persisted(tree: &DataTree, path: &str) -> StatPersisted {
    tree.node(path)
        .expect("the znode is there")
        .stat_persisted()
}

#[test]
fn the_fresh_tree_is_that_of_a_new_server() {
    let tree = tree();
    let seen = |path: &str| {
        let node = tree.node(path).unwrap();
        let stat = node.stat();
        (
            node.data(),
            node.acl()[0].perms,
            stat.cversion,
            stat.aversion,
            stat.num_children,
        )
    };
    let empty = Some(&b""[..]);
    assert_eq!(seen("/"), (empty, 31, -1, 0, 1));
    assert_eq!(seen(""), seen("/"));
    assert_eq!(seen("/zookeeper"), (empty, 31, -2, 0, 2));
    assert_eq!(seen("/zookeeper/quota"), (empty, 31, 0, 0, 0));
    assert_eq!(seen("/zookeeper/config"), (empty, 1, 0, -1, 0));
    assert_eq!((tree.node_count(), tree.approximate_data_size()), (4, 44));
    assert_eq!(
        (tree.descendants("/"), tree.descendants("")),
        (Some(3), Some(4))
    );
    assert!(
        ["zookeeper", "/zookeeper/", "//zookeeper", "/zoo", "x/y"]
            .iter()
            .all(|path| tree.node(path).is_none())
    );
}

#[test]
fn the_digest_follows_the_worked_example() {
    // storage.md 9.3, from the log of d-torn-base.
    let at = |zxid| TxnHeader {
        time: 1_795_341_857_838,
        ..header(zxid)
    };
    let mut tree = tree();
    let mut steps = Vec::new();
    let session = Txn::CreateSession(CreateSessionTxn { timeout_ms: 60_000 });
    let data = Some(Bytes::from_static(b"root of torn"));
    let top = CreateTxn {
        path: "/t".into(),
        data,
        parent_cversion: 1,
        ..record("", 31, false)
    };
    for (zxid, txn) in [(1, session), (2, Txn::Create(top))] {
        tree.apply(&at(zxid), &txn, &mut |_| {});
        steps.push(tree.digest());
    }
    assert_eq!(steps, [0x51c6_d660, 0xb2e9_739f]);
    let mut off = DataTree::new(
        1,
        TreeOptions {
            digest: false,
            ..OPTIONS
        },
    );
    apply(&mut off, 1, create("/a"));
    assert_eq!(off.digest(), 0);
}

// Java's DataTree.createNode copies the stat before it counts: seed 849 of the small world.
#[test]
fn a_quotas_own_count_is_answered_as_it_was_sent() {
    let mut tree = tree();
    let quota = "/zookeeper/quota/q";
    for (zxid, path) in (1..).zip(["/q", quota, "/zookeeper/quota/q/zookeeper_limits"]) {
        apply(&mut tree, zxid, create(path));
    }
    let stats = "/zookeeper/quota/q/zookeeper_stats";
    let stat = apply(&mut tree, 4, create(stats)).stat.unwrap();
    let counted = tree.node(stats).unwrap().stat();
    assert_eq!(stat.data_length, 4);
    assert_ne!(counted.data_length, 4);
}

#[test]
fn a_create_sets_its_stat_and_counts_in_the_parents() {
    let mut tree = tree();
    let outcome = apply(&mut tree, 5, create("/a"));
    let stat = outcome.stat.unwrap();
    assert_eq!(
        (stat.czxid, stat.mzxid, stat.pzxid, stat.ctime),
        (5, 5, 5, 1_005)
    );
    assert_eq!(
        (stat.data_length, stat.num_children, stat.ephemeral_owner),
        (4, 0, 0)
    );
    let root = persisted(&tree, "/");
    assert_eq!((root.cversion, root.pzxid, root.mzxid), (1, 5, 0));
    apply(&mut tree, 6, delete("/a"));
    let root = tree.node("/").unwrap();
    assert_eq!(
        (root.stat_persisted().cversion, root.stat_persisted().pzxid),
        (1, 6)
    );
    assert_eq!(root.stat().cversion, 1);
}

#[test]
fn the_parents_cversion_only_rises() {
    let mut tree = tree();
    let numbered = |path, n| {
        Txn::Create(CreateTxn {
            parent_cversion: n,
            ..record(path, 31, false)
        })
    };
    apply(&mut tree, 5, numbered("/a", 9));
    apply(&mut tree, 6, numbered("/b", 4));
    let root = persisted(&tree, "/");
    assert_eq!((root.cversion, root.pzxid), (9, 5));
}

#[test]
fn owners_are_told_to_clients_for_ephemerals_alone() {
    let mut tree = tree();
    let (acl, parent_cversion) = (vec![Acl::world(31)], -1);
    let container = CreateContainerTxn {
        path: "/c".into(),
        data: None,
        acl: acl.clone(),
        parent_cversion,
    };
    let ttl = |ttl| CreateTtlTxn {
        path: "/t".into(),
        data: None,
        acl: acl.clone(),
        parent_cversion,
        ttl,
    };
    apply(&mut tree, 1, Txn::CreateContainer(container));
    assert_eq!(
        apply(&mut tree, 2, Txn::CreateTtl(ttl(-1))).error,
        ErrorCode::BadArguments
    );
    apply(&mut tree, 3, Txn::CreateTtl(ttl(500)));
    apply(&mut tree, 4, ephemeral("/e"));
    let owners = ["/c", "/t", "/e"].map(|path| {
        let node = tree.node(path).unwrap();
        (
            node.stat_persisted().ephemeral_owner,
            node.stat().ephemeral_owner,
        )
    });
    assert_eq!(
        owners,
        [
            (i64::MIN, 0),
            (0xff00_0000_0000_01f4_u64.cast_signed(), 0),
            (7, 7)
        ]
    );
    assert_eq!(
        tree.containers()
            .chain(tree.ttl_nodes())
            .collect::<Vec<_>>(),
        ["/c", "/t"]
    );
    assert_eq!(tree.ephemerals(SessionId(7)).collect::<Vec<_>>(), ["/e"]);
    assert_eq!(
        tree.sessions_with_ephemerals().collect::<Vec<_>>(),
        [SessionId(7)]
    );
    assert_eq!(tree.ephemeral_count(), 1);
}

#[test]
fn a_session_that_nobody_gives_out_owns_nothing() {
    let mut tree = tree();
    // The mark of a TTL node, with a feature that nobody knows.
    let client_id = SessionId(-256);
    let header = TxnHeader {
        client_id,
        ..header(1)
    };
    let outcome = tree.apply(&header, &ephemeral("/e"), &mut |_| {});
    assert_eq!(outcome.error, ErrorCode::BadArguments);
    assert!(tree.resolve("/e").is_none());
}

#[test]
fn without_extended_types_a_ttl_node_passes_for_an_ephemeral() {
    let mut tree = DataTree::new(1, TreeOptions::default());
    assert_eq!(tree.mistaken_ttl_node(|_| false), None);
    let ttl = CreateTtlTxn {
        path: "/t".into(),
        ttl: 500,
        ..CreateTtlTxn::default()
    };
    apply(&mut tree, 3, Txn::CreateTtl(ttl));
    assert_eq!(tree.mistaken_ttl_node(|_| false), Some("/t".into()));
    assert_eq!(tree.mistaken_ttl_node(|_| true), None);
    assert_eq!(tree.ephemeral_count(), 1);
}

#[test]
fn changes_are_told_in_the_order_in_which_watches_fire() {
    let mut tree = tree();
    assert_eq!(changes(&mut tree, 1, create("/a")), ["Created /a (31, 31)"]);
    let reader = Txn::Create2(record("/a/r", 1, false));
    assert_eq!(changes(&mut tree, 2, reader), ["Created /a/r (1, 31)"]);
    assert_eq!(
        changes(&mut tree, 3, set_data("/a/r", b"x", 1)),
        ["DataChanged /a/r (1, 31)"]
    );
    assert_eq!(
        changes(&mut tree, 4, set_data("/", b"x", 1)),
        ["DataChanged / (31, 31)"]
    );
    let acl = vec![Acl::world(3)];
    let set_acl = Txn::SetAcl(SetAclTxn {
        path: "/a".into(),
        acl,
        version: 1,
    });
    assert!(changes(&mut tree, 5, set_acl).is_empty());
    assert_eq!(
        changes(&mut tree, 6, delete("/a/r")),
        ["Deleted /a/r (1, 3)"]
    );
    assert!(changes(&mut tree, 7, delete("/a/r")).is_empty());
    for (zxid, path) in [(8, "/e1"), (9, "/a/e2"), (10, "/e3")] {
        apply(&mut tree, zxid, ephemeral(path));
    }
    // What the record names comes first, then what it does not.
    let told = changes(&mut tree, 11, close(Some(&["/e3", "/gone"])));
    assert_eq!(
        told,
        [
            "Deleted /e3 (31, 31)",
            "Deleted /a/e2 (31, 3)",
            "Deleted /e1 (31, 31)"
        ]
    );
}

#[test]
fn set_data_and_set_acl_touch_their_own_part_of_the_stat() {
    let mut tree = tree();
    apply(&mut tree, 1, create("/a"));
    let stat = apply(&mut tree, 2, set_data("/a", b"longer", 1))
        .stat
        .unwrap();
    assert_eq!(
        (stat.version, stat.mzxid, stat.mtime, stat.data_length),
        (1, 2, 1_002, 6)
    );
    let acl = vec![Acl::world(3)];
    let set_acl = Txn::SetAcl(SetAclTxn {
        path: "/a".into(),
        acl: acl.clone(),
        version: 4,
    });
    let changed = apply(&mut tree, 3, set_acl).stat.unwrap();
    assert_eq!(
        changed,
        Stat {
            aversion: 4,
            ..stat
        }
    );
    assert_eq!(**tree.node("/a").unwrap().acl(), acl);
    assert_eq!(
        apply(&mut tree, 4, set_data("/b", b"", 1)).error,
        ErrorCode::NoNode
    );
}

#[test]
fn a_node_that_exists_gets_the_acl_and_only_type_1_raises_the_parent() {
    let mut tree = tree();
    apply(&mut tree, 1, create("/a"));
    let before = persisted(&tree, "/a");
    assert_eq!(
        apply(&mut tree, 2, Txn::Create2(record("/a", 3, true))).error,
        ErrorCode::NodeExists
    );
    assert_eq!(persisted(&tree, "/").cversion, 1);
    assert_eq!(tree.node("/a").unwrap().acl()[0].perms, 3);
    assert_eq!(
        apply(&mut tree, 3, Txn::Create(record("/a", 5, true))).error,
        ErrorCode::NodeExists
    );
    let root = persisted(&tree, "/");
    assert_eq!((root.cversion, root.pzxid), (2, 3));
    assert_eq!(tree.node("/a").unwrap().acl()[0].perms, 5);
    assert_eq!(
        (persisted(&tree, "/a"), tree.ephemeral_count()),
        (before, 0)
    );
    // Within a multi likewise.
    apply(
        &mut tree,
        4,
        Txn::Multi(MultiTxn {
            txns: vec![create("/a")],
        }),
    );
    assert_eq!(persisted(&tree, "/").cversion, 3);
}

#[test]
fn deleting_what_has_gone_still_raises_the_parents_pzxid() {
    let mut tree = tree();
    apply(&mut tree, 5, create("/a"));
    assert_eq!(apply(&mut tree, 9, delete("/a/x")).error, ErrorCode::NoNode);
    assert_eq!(persisted(&tree, "/a").pzxid, 9);
    apply(&mut tree, 8, delete("/a/x"));
    assert_eq!(persisted(&tree, "/a").pzxid, 9);
    assert_eq!(
        apply(&mut tree, 10, delete("/x/y")).error,
        ErrorCode::NoNode
    );
    assert_eq!(apply(&mut tree, 11, delete("/")).error, ErrorCode::NoNode);
    assert_eq!(tree.last_zxid(), Zxid(11));
}

#[test]
fn children_made_after_the_deletion_that_is_replayed_go_with_it() {
    let mut tree = tree();
    for (zxid, path) in [(4, "/a"), (5, "/a/b"), (6, "/a/b/c")] {
        apply(&mut tree, zxid, create(path));
    }
    apply(&mut tree, 7, ephemeral("/a/e"));
    let before = tree.digest();
    assert_eq!(changes(&mut tree, 3, delete("/a")), ["Deleted /a (31, 31)"]);
    assert_eq!((tree.node_count(), tree.ephemeral_count()), (4, 0));
    assert!(tree.node("/a/b/c").is_none());
    assert_ne!(tree.digest(), before);
}

#[test]
fn a_multi_with_an_error_applies_nothing() {
    let mut tree = tree();
    let digest = tree.digest();
    let txns = vec![create("/a"), error(-103), error(-2), create("/b")];
    let outcome = apply(&mut tree, 3, Txn::Multi(MultiTxn { txns }));
    let codes: Vec<i32> = outcome.subs.iter().map(|sub| sub.error.code()).collect();
    assert_eq!(
        (codes, outcome.error),
        (vec![0, -103, -2, -2], ErrorCode::BadVersion)
    );
    assert_eq!(
        (tree.node_count(), tree.digest(), tree.last_zxid()),
        (4, digest, Zxid(3))
    );
}

#[test]
fn the_parts_of_a_multi_see_each_other() {
    let mut tree = tree();
    let check = Txn::Check(CheckVersionTxn {
        path: "/a".into(),
        version: 1,
    });
    let txns = vec![
        create("/a"),
        create("/a/b"),
        set_data("/a", b"xy", 1),
        check,
        delete("/a/b"),
    ];
    let outcome = apply(&mut tree, 3, Txn::Multi(MultiTxn { txns }));
    assert_eq!(outcome.error, ErrorCode::Ok);
    let stats: Vec<Option<i32>> = outcome
        .subs
        .iter()
        .map(|sub| sub.stat.as_ref().map(|stat| stat.num_children))
        .collect();
    assert_eq!(stats, [Some(0), Some(0), Some(1), None, None]);
    assert_eq!(tree.node("/a").unwrap().data(), Some(&b"xy"[..]));
}

#[test]
fn closing_deletes_what_is_listed_and_what_is_owned() {
    let mut tree = tree();
    for (zxid, txn) in [
        (1, ephemeral("/e")),
        (2, ephemeral("/f")),
        (3, create("/listed")),
    ] {
        apply(&mut tree, zxid, txn);
    }
    apply(&mut tree, 4, close(Some(&["/listed", "/gone/too"])));
    assert_eq!((tree.node_count(), tree.ephemeral_count()), (4, 0));
    apply(&mut tree, 5, ephemeral("/e"));
    assert_eq!(apply(&mut tree, 6, close(None)).error, ErrorCode::Ok);
    assert!(tree.node("/e").is_none());
}

#[test]
fn errors_only_move_the_last_zxid() {
    let mut tree = tree();
    assert_eq!(apply(&mut tree, 8, error(-111)).error, ErrorCode::NotEmpty);
    assert_eq!(
        apply(&mut tree, 3, error(-99)).error,
        ErrorCode::SystemError
    );
    assert_eq!((tree.last_zxid(), tree.node_count()), (Zxid(8), 4));
    for path in ["a", "", "/", "//a", "/x/y"] {
        assert_ne!(
            apply(&mut tree, 9, create(path)).error,
            ErrorCode::Ok,
            "{path}"
        );
    }
    assert_eq!(tree.node_count(), 4);
}

#[test]
fn room_that_was_given_up_is_used_again() {
    let mut tree = tree();
    let names = |n: i64| format!("/n{n}");
    for n in 1..2_000 {
        apply(&mut tree, n, create(&names(n)));
    }
    for n in (1..2_000).filter(|n| n % 3 != 0) {
        apply(&mut tree, 2_000 + n, delete(&names(n)));
    }
    for n in (1..2_000).filter(|n| n % 3 == 1) {
        apply(&mut tree, 4_000 + n, create(&names(n)));
    }
    let expected = |n: i64| n % 3 != 2;
    for n in 1..2_000 {
        assert_eq!(tree.node(&names(n)).is_some(), expected(n), "{n}");
    }
    let children = tree.node("/").unwrap().children().count();
    assert_eq!(children, (1..2_000).filter(|n| expected(*n)).count() + 1);
}

#[test]
fn the_members_are_told_without_a_transaction() {
    let mut tree = tree();
    let (digest, last) = (tree.digest(), tree.last_zxid());
    tree.set_config("server.1=a:1:2:participant\nversion=0", Zxid(0), 77);
    let node = tree.node("/zookeeper/config").unwrap();
    assert_eq!(
        node.data(),
        Some(&b"server.1=a:1:2:participant\nversion=0"[..])
    );
    let stat = node.stat();
    assert_eq!(
        (stat.czxid, stat.mzxid, stat.ctime, stat.mtime),
        (0, 0, 0, 77)
    );
    assert_eq!((stat.version, stat.aversion, stat.pzxid), (-1, -1, 0));
    assert_eq!((tree.digest(), tree.last_zxid()), (digest, last));
}
