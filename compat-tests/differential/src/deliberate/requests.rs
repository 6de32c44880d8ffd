//! The requests of the table of deliberate differences.

use compat_tests::wire::op;

use crate::draw::open_acl;
use crate::script::{Cut, Field, Part, Request, byte, int, long, nullable, text};

/// Where its znodes are: nothing else of a script is there.
const FOLDER: &str = "/deliberate";

fn create(xid: i32, path: &str, data: &str) -> Request {
    let body = vec![
        text("path", path),
        text("data", data),
        open_acl(),
        int("flags", 0),
    ];
    Request::op(xid, op::CREATE, body)
}

fn delete(xid: i32, path: &str) -> Request {
    let body = vec![text("path", path), int("version", -1)];
    Request::op(xid, op::DELETE, body)
}

pub(super) fn create_session(xid: i32) -> Request {
    Request::op(xid, op::CREATE_SESSION, vec![int("timeOut", 30_000)])
}

pub(super) fn delete_container(xid: i32) -> Request {
    Request::op(xid, op::DELETE_CONTAINER, vec![text("path", "/a")])
}

pub(super) fn create_open(xid: i32) -> Request {
    create(xid, FOLDER, "")
}

pub(super) fn missing(xid: i32) -> Request {
    delete(xid, "/nowhere/at-all")
}

pub(super) fn unknown(xid: i32) -> Request {
    Request::op(xid, 999, Vec::new())
}

pub(super) fn close(xid: i32) -> Request {
    Request::op(xid, op::CLOSE_SESSION, Vec::new())
}

fn paths(name: &'static str, paths: &[Option<&str>]) -> Field {
    let records = paths.iter();
    let records = records.map(|path| vec![nullable("path", path.map(Into::into))]);
    Field {
        name,
        part: Part::Vector(records.collect()),
    }
}

pub(super) fn set_watches_null_path(xid: i32) -> Request {
    let body = vec![
        long("relativeZxid", 0),
        paths("dataWatches", &[Some("/nowhere"), None]),
        paths("existWatches", &[]),
        paths("childWatches", &[]),
    ];
    Request::op(xid, op::SET_WATCHES, body)
}

pub(super) fn set_watches_null_list(xid: i32) -> Request {
    let body = vec![
        long("relativeZxid", 0),
        paths("dataWatches", &[Some("/nowhere")]),
        paths("existWatches", &[]),
        int("childWatches", -1),
        paths("persistentWatches", &[]),
        paths("persistentRecursiveWatches", &[]),
    ];
    Request::op(xid, op::SET_WATCHES2, body)
}

pub(super) fn remove_null(xid: i32) -> Request {
    let body = vec![nullable("path", None), int("type", 5)];
    Request::op(xid, op::REMOVE_WATCHES, body)
}

fn sequence(opcode: i32, body: Vec<Field>) -> Vec<Field> {
    let head = |kind, done| vec![int("type", kind), byte("done", done), int("err", -1)];
    let record = [head(opcode, 0), body].concat();
    vec![Field {
        name: "ops",
        part: Part::Sequence(vec![record, head(-1, 1)]),
    }]
}

pub(super) fn empty_sequence(xid: i32) -> Request {
    let nothing = Field {
        name: "ops",
        part: Part::Sequence(Vec::new()),
    };
    Request::op(xid, op::MULTI, vec![nothing])
}

pub(super) fn exists_nowhere(xid: i32) -> Request {
    let body = vec![text("path", "/nowhere"), byte("watch", 0)];
    Request::op(xid, op::EXISTS, body)
}

pub(super) fn empty_multi(xid: i32) -> Request {
    let end = vec![int("type", -1), byte("done", 1), int("err", -1)];
    let only = Field {
        name: "ops",
        part: Part::Sequence(vec![end]),
    };
    Request::op(xid, op::MULTI, vec![only])
}

pub(super) fn multi_read_null(xid: i32) -> Request {
    let body = vec![nullable("path", None), byte("watch", 0)];
    Request::op(xid, op::MULTI_READ, sequence(op::GET_DATA, body))
}

pub(super) fn multi_null_acl(xid: i32) -> Request {
    let body = vec![
        text("path", FOLDER),
        text("data", ""),
        int("acl", -1),
        int("flags", 0),
    ];
    Request::op(xid, op::MULTI, sequence(op::CREATE, body))
}

pub(super) fn create_null_wrong(xid: i32) -> Request {
    let body = vec![
        nullable("path", None),
        text("data", ""),
        open_acl(),
        int("flags", 99),
    ];
    Request::op(xid, op::CREATE, body)
}

pub(super) fn ephemeral_container(xid: i32) -> Request {
    let body = vec![
        text("path", FOLDER),
        text("data", ""),
        open_acl(),
        int("flags", 1),
    ];
    Request::op(xid, op::CREATE_CONTAINER, body)
}

pub(super) fn child_of_container(xid: i32) -> Request {
    create(xid, &format!("{FOLDER}/child"), "")
}

pub(super) fn ttl_without_mode(xid: i32) -> Request {
    let body = vec![
        text("path", FOLDER),
        text("data", ""),
        open_acl(),
        int("flags", 0),
        long("ttl", -1),
    ];
    Request::op(xid, op::CREATE_TTL, body)
}

pub(super) fn limits_of_the_root(xid: i32) -> Request {
    create(xid, "/zookeeper/quota/zookeeper_limits", "count=1,bytes=1")
}

pub(super) fn misplaced_limits(xid: i32) -> Request {
    create(xid, "/zookeeper/zookeeper_limits", "count=1,bytes=1")
}

pub(super) fn delete_misplaced(xid: i32) -> Request {
    delete(xid, "/zookeeper/zookeeper_limits")
}

pub(super) fn quota_folder(xid: i32) -> Request {
    create(xid, "/zookeeper/quota/deliberate", "")
}

pub(super) fn quota_limits(xid: i32) -> Request {
    let path = "/zookeeper/quota/deliberate/zookeeper_limits";
    create(xid, path, "count=9,bytes=99")
}

pub(super) fn quota_stats(xid: i32) -> Request {
    let path = "/zookeeper/quota/deliberate/zookeeper_stats";
    create(xid, path, "count=0,bytes=0")
}

pub(super) fn spoil_stats(xid: i32) -> Request {
    let path = "/zookeeper/quota/deliberate/zookeeper_stats";
    let body = vec![
        text("path", path),
        text("data", "spoiled"),
        int("version", -1),
    ];
    Request::op(xid, op::SET_DATA, body)
}

pub(super) fn create_below(xid: i32) -> Request {
    create(xid, FOLDER, "")
}

pub(super) fn delete_below(xid: i32) -> Request {
    delete(xid, FOLDER)
}

pub(super) fn cut_create(xid: i32) -> Request {
    let Request::Op { opcode, body, .. } = create(xid, FOLDER, "") else {
        unreachable!("a create has a header");
    };
    Request::Op {
        xid,
        opcode,
        body,
        cut: Cut::Short(3),
    }
}
