//! Whatever clients do, what is logged is what is done: every digest prepared fits the tree that
//! the log gives, and the tree's own digest is the sum of its znodes.

use ox_proto::{Acl, MultiOp, OpCode, Request, TxnRecord, Zxid};
use ox_tree::DataTree;
use ox_tree::digest::node_digest;
use proptest::prelude::*;

use crate::server::*;

#[derive(Clone, Debug)]
enum Step {
    Send(u32, Vec<Request>),
    /// Of what waits for the log, so many.
    Flush(usize),
    Wait(i64),
    Disconnect(u32),
    Connect(u32),
    Reattach(u32, u32),
}

fn any_path() -> impl Strategy<Value = String> {
    prop_oneof![9 => "(/[ab]){1,3}", 1 => "/zookeeper/[ab]"]
}

fn any_write() -> impl Strategy<Value = MultiOp> {
    let flags = prop_oneof![3 => Just(0), 2 => Just(1), 2 => Just(2), 1 => Just(3), 1 => Just(4)];
    let ops = prop_oneof![
        Just(OpCode::Create),
        Just(OpCode::Create2),
        Just(OpCode::CreateContainer)
    ];
    prop_oneof![
        4 => (any_path(), flags, ops).prop_map(|(path, flags, op)| {
            let mut create = create_as(&path, flags, &[Acl::world(Acl::ALL)]);
            create.op = if flags == 4 { OpCode::CreateContainer } else { op };
            MultiOp::Create(create)
        }),
        3 => any_path().prop_map(|path| MultiOp::Delete(delete_op(&path))),
        2 => (any_path(), "[a-c]{0,3}", -1..2).prop_map(|(path, data, version)| {
            MultiOp::SetData(set_op(&path, &data, version))
        }),
    ]
}

pub(crate) fn any_request() -> impl Strategy<Value = Request> {
    let single = any_write().prop_map(|op| match op {
        MultiOp::Create(create) => Request::Create(create),
        MultiOp::Delete(request) => Request::Delete(request),
        MultiOp::SetData(request) => Request::SetData(request),
        other => Request::Multi(vec![other]),
    });
    prop_oneof![
        8 => single,
        3 => proptest::collection::vec(any_write(), 0..5).prop_map(Request::Multi),
        1 => any_path().prop_map(|path| with_ttl(&path, 3000)),
        2 => any_path().prop_map(|path| exists(&path, true)),
        1 => Just(Request::CloseSession),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let client = || 1..4_u32;
    prop_oneof![
        8 => (client(), proptest::collection::vec(any_request(), 1..6))
            .prop_map(|(client, requests)| Step::Send(client, requests)),
        5 => (1..8_usize).prop_map(Step::Flush),
        2 => (0..70_000_i64).prop_map(Step::Wait),
        1 => client().prop_map(Step::Disconnect),
        3 => client().prop_map(Step::Connect),
        1 => (client(), client()).prop_map(|(client, of)| Step::Reattach(client, of)),
    ]
}

/// Connections that are there have the names 1 to 3; one that ends makes its name wait until it is
/// released, as the server does.
fn run(steps: Vec<Step>) -> Server {
    let mut server = Server::new();
    let mut is_there = [false; 4];
    let mut flushed = 0;
    for step in steps {
        match step {
            Step::Send(client, requests) if is_there[at(client)] => server.send(client, &requests),
            Step::Disconnect(client) if is_there[at(client)] => {
                is_there[at(client)] = false;
                server.disconnect(client);
            }
            Step::Connect(client) if server.is_free(client) => {
                is_there[at(client)] = true;
                server.ask_to_connect(client, ox_proto::SessionId::NONE, &[]);
            }
            Step::Reattach(client, of) if server.is_free(client) => {
                is_there[at(client)] = true;
                server.reattach(client, server.sessions[at(of)]);
            }
            Step::Flush(count) => {
                flushed = (flushed + count).min(server.log.len());
                if let Some((zxid, _)) = flushed.checked_sub(1).map(|last| &server.log[last]) {
                    server.flush_to(*zxid);
                }
            }
            Step::Wait(ms) => server.wait(ms),
            Step::Send(..) | Step::Disconnect(_) | Step::Connect(_) | Step::Reattach(..) => {}
        }
    }
    server.flush();
    server
}

fn at(client: u32) -> usize {
    usize::try_from(client).expect("small")
}

fn sum_of_digests(tree: &DataTree, path: &str) -> i64 {
    let node = tree.node(path).expect("a child is there");
    let below = node
        .children()
        .map(|name| sum_of_digests(tree, &ox_proto::path::child(path, name)));
    let own = node_digest(path, node.data(), &node.stat_persisted());
    below.fold(own, i64::wrapping_add)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_log_gives_the_tree_and_every_digest_fits(steps in proptest::collection::vec(any_step(), 1..40)) {
        let server = run(steps);
        let mut replayed = DataTree::new(7, TREE);
        let mut before = Zxid::ZERO;
        for (zxid, payload) in &server.log {
            let record = TxnRecord::decode(payload, 1 << 20).expect("a record");
            let mut again = Vec::new();
            record.encode(&mut again);
            prop_assert_eq!(&again, payload);
            prop_assert!(record.header.zxid == *zxid && zxid.follows(before));
            before = *zxid;
            let outcome = replayed.apply(&record.header, &record.txn, &mut |_| {});
            if let Some(digest) = &record.digest {
                prop_assert_eq!(digest.tree_digest, replayed.digest(), "{:?}: {:?}", record, outcome);
            }
        }
        let tree = &server.database.tree;
        prop_assert_eq!(tree.digest(), sum_of_digests(tree, "/"));
        prop_assert_eq!(tree.digest(), replayed.digest());
        prop_assert_eq!(tree.node_count(), replayed.node_count());
        let owners: Vec<_> = tree.sessions_with_ephemerals().collect();
        for owner in owners {
            prop_assert!(server.database.sessions.contains_key(&owner), "{} is gone", owner);
        }
    }
}
