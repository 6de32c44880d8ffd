"""kazoo's client against a real server: every call of its API that a server answers."""

import sys
import threading
import time
import uuid

from kazoo.client import KazooState, TransactionRequest
from kazoo.exceptions import (
    AuthFailedError,
    BadVersionError,
    InvalidACLError,
    NoAuthError,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
    RuntimeInconsistency,
    SessionExpiredError,
)
from kazoo.protocol.states import EventType, KeeperState, WatchedEvent
from kazoo.retry import KazooRetry
from kazoo.security import (
    ACL,
    CREATOR_ALL_ACL,
    OPEN_ACL_UNSAFE,
    READ_ACL_UNSAFE,
    Id,
    make_acl,
    make_digest_acl,
)

import steps
from steps import client, eventually


def raises(kind, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except kind:
        return
    raise AssertionError("%s was not raised" % kind.__name__)


def step_session(zk):
    assert zk.state == KazooState.CONNECTED and zk.client_state == KeeperState.CONNECTED
    session, password = zk.client_id
    assert session >> 56 == 1 and len(password) == 16
    assert zk.server_version()[0] == 3
    assert zk.command(b"ruok") == "imok"
    assert "Mode: standalone" in zk.command(b"srvr")


def step_create_get_set_delete(zk):
    assert zk.create("/c", b"one") == "/c"
    data, stat = zk.get("/c")
    assert data == b"one" and stat.version == 0 and stat.data_length == 3
    assert stat.czxid == stat.mzxid == stat.pzxid and stat.numChildren == 0
    assert abs(stat.created - time.time()) < 60
    changed = zk.set("/c", b"two", version=0)
    assert changed.version == 1 and changed.mzxid > stat.mzxid and changed.czxid == stat.czxid
    raises(BadVersionError, zk.set, "/c", b"three", version=0)
    raises(NodeExistsError, zk.create, "/c")
    raises(NoNodeError, zk.create, "/none/child")
    raises(NoNodeError, zk.get, "/none")
    raises(BadVersionError, zk.delete, "/c", version=7)
    zk.create("/c/child")
    raises(NotEmptyError, zk.delete, "/c")
    zk.delete("/c", recursive=True)
    assert zk.exists("/c") is None
    raises(NoNodeError, zk.delete, "/c")


def step_paths_and_data(zk):
    zk.create("/p", b"")
    for name in ("a b", "zäöü", "日本", "..c", "%25"):
        zk.create("/p/" + name, name.encode())
        assert zk.get("/p/" + name)[0] == name.encode()
    assert sorted(zk.get_children("/p")) == sorted(["a b", "zäöü", "日本", "..c", "%25"])
    children, stat = zk.get_children("/p", include_data=True)
    assert len(children) == stat.numChildren == stat.children_count == 5
    big = bytes(range(256)) * 4000
    zk.create("/p/big", big)
    assert zk.get("/p/big")[0] == big
    zk.ensure_path("/p/deep/er/and/deeper")
    assert zk.exists("/p/deep/er/and/deeper")
    zk.create("/p/made/on/the/way", b"x", makepath=True)
    assert zk.create("/p/both", b"x", include_data=True)[1].dataLength == 1
    zk.delete("/p", recursive=True)


def step_sequential_and_ephemeral(zk):
    zk.create("/s")
    names = [zk.create("/s/n-", sequence=True) for _ in range(3)]
    assert names == ["/s/n-%010d" % index for index in range(3)]
    other = client()
    path = other.create("/s/e-", ephemeral=True, sequence=True)
    assert path == "/s/e-0000000003"
    assert zk.exists(path).owner_session_id == other.client_id[0]
    raises(NoChildrenForEphemeralsError, other.create, path + "/child")
    other.stop()
    other.close()
    assert zk.exists(path) is None
    zk.delete("/s", recursive=True)


def step_async(zk):
    results = [zk.create_async("/a%d" % index, b"%d" % index) for index in range(200)]
    assert [result.get(10) for result in results] == ["/a%d" % index for index in range(200)]
    reads = [zk.get_async("/a%d" % index) for index in range(200)]
    assert [result.get(10)[0] for result in reads] == [b"%d" % index for index in range(200)]
    seen = []
    deletes = [zk.delete_async("/a%d" % index) for index in range(200)]
    deletes[-1].rawlink(seen.append)
    assert all(result.get(10) for result in deletes)
    eventually(lambda: seen, "the callback")
    failing = zk.get_async("/a0")
    failing.wait(10)
    assert isinstance(failing.exception, NoNodeError)


def step_watches(zk):
    events = []
    other = client()
    assert zk.exists("/w", watch=events.append) is None
    other.create("/w", b"1")
    eventually(lambda: len(events) == 1, "created")
    zk.get("/w", watch=events.append)
    other.set("/w", b"2")
    eventually(lambda: len(events) == 2, "changed")
    zk.get_children("/w", watch=events.append)
    other.create("/w/child")
    eventually(lambda: len(events) == 3, "children")
    zk.exists("/w/child", watch=events.append)
    other.delete("/w/child")
    eventually(lambda: len(events) == 4, "deleted")
    other.set("/w", b"3")
    zk.sync("/w")
    kinds = [(event.type, event.path) for event in events]
    assert kinds == [
        (EventType.CREATED, "/w"),
        (EventType.CHANGED, "/w"),
        (EventType.CHILD, "/w"),
        (EventType.DELETED, "/w/child"),
    ], kinds
    assert all(event.state == KeeperState.CONNECTED for event in events)
    other.delete("/w")
    other.stop()
    other.close()


def step_watches_after_a_reconnect(zk):
    events, values, children = [], [], []
    zk.create("/rw", b"")
    zk.get("/rw", watch=events.append)
    zk.DataWatch("/rw", lambda data, stat: values.append(data))
    zk.ChildrenWatch("/rw", lambda names: children.append(names))
    session = zk.client_id[0]
    zk._connection._socket.shutdown(2)
    eventually(lambda: [event.type for event in events] == [EventType.NONE], "told of the loss")
    other = client()
    eventually(lambda: zk.connected and zk.client_id[0] == session, "re-attached")
    zk.retry(zk.sync, "/rw")
    other.set("/rw", b"changed")
    other.create("/rw/child")
    eventually(lambda: values[-1] == b"changed", "the data watch lives on")
    eventually(lambda: children[-1] == ["child"], "the children watch lives on")
    other.delete("/rw", recursive=True)
    other.stop()
    other.close()


def step_transactions(zk):
    zk.create("/t", b"")
    transaction = zk.transaction()
    assert isinstance(transaction, TransactionRequest)
    transaction.create("/t/a", b"a")
    transaction.create("/t/s-", sequence=True)
    transaction.set_data("/t", b"set", version=0)
    transaction.check("/t", version=1)
    transaction.delete("/t/a")
    results = transaction.commit()
    assert results[0] == "/t/a" and results[1] == "/t/s-0000000001", results
    assert results[2].version == 1 and results[3] is True and results[4] is True, results
    with zk.transaction() as transaction:
        transaction.create("/t/with")
    assert zk.exists("/t/with")

    transaction = zk.transaction()
    transaction.create("/t/never")
    transaction.check("/t", version=99)
    transaction.delete("/t/with")
    results = transaction.commit()
    assert [type(result) for result in results] == [
        RolledBackError,
        BadVersionError,
        RuntimeInconsistency,
    ], results
    assert zk.exists("/t/never") is None and zk.exists("/t/with")
    zk.delete("/t", recursive=True)


def step_acls(zk):
    owner = client(auth_data=[("digest", "user:password")])
    owner.create("/acl", b"secret", acl=CREATOR_ALL_ACL)
    raises(NoAuthError, zk.get, "/acl")
    raises(NoAuthError, zk.set, "/acl", b"")
    raises(NoAuthError, zk.create, "/acl/child")
    assert owner.get("/acl")[0] == b"secret"
    acls, stat = owner.get_acls("/acl")
    assert acls == [make_digest_acl("user", "password", all=True)] and stat.aversion == 0
    zk.add_auth("digest", "user:password")
    assert zk.get("/acl")[0] == b"secret"
    both = [make_digest_acl("user", "password", all=True), make_acl("world", "anyone", read=True)]
    assert owner.set_acls("/acl", both, version=0).aversion == 1
    reader = client()
    assert reader.get("/acl")[0] == b"secret"
    assert ACL(31, Id("digest", "user:x")) in reader.get_acls("/acl")[0]
    raises(NoAuthError, reader.set, "/acl", b"")
    raises(NoAuthError, reader.set_acls, "/acl", OPEN_ACL_UNSAFE)
    raises(InvalidACLError, reader.create, "/acl2", acl=CREATOR_ALL_ACL)
    raises(InvalidACLError, reader.create, "/acl2", acl=[make_acl("nosuch", "x", all=True)])
    zk.create("/local", acl=[make_acl("ip", "127.0.0.1", all=True)])
    zk.create("/remote", acl=[make_acl("ip", "10.0.0.0/8", all=True)])
    reader.get("/local")
    raises(NoAuthError, reader.get, "/remote")
    zk.create("/read-only", acl=READ_ACL_UNSAFE)
    raises(NoAuthError, zk.set, "/read-only", b"")
    owner.delete("/acl")
    for path in ("/local", "/remote", "/read-only"):
        zk.delete(path)
    for used in (owner, reader):
        used.stop()
        used.close()
    refused = client()
    raises(AuthFailedError, refused.add_auth, "nosuch", "x")
    refused.stop()
    refused.close()


def step_containers(zk):
    zk.ensure_path("/container")
    assert zk.exists("/container").ephemeralOwner == 0
    zk.delete("/container")


def step_retry(zk):
    tries = []

    def third_time():
        tries.append(1)
        if len(tries) < 3:
            raise SessionExpiredError()
        return zk.exists("/")

    assert KazooRetry(max_tries=5, delay=0.01, ignore_expire=True)(third_time)
    assert zk.retry(zk.get, "/zookeeper/quota")[0] == b""


def step_chroot(zk):
    zk.create("/chroot")
    below = steps.Client(hosts=steps.HOSTS + "/chroot")
    below.start()
    below.create("/inside", b"x")
    assert below.get_children("/") == ["inside"]
    assert zk.get("/chroot/inside")[0] == b"x"
    below.stop()
    below.close()
    zk.delete("/chroot", recursive=True)


def step_reattach(zk):
    session = zk.client_id
    zk.create("/mine", ephemeral=True)
    again = steps.Client(hosts=steps.HOSTS, client_id=session)
    again.start()
    assert again.client_id[0] == session[0]
    assert again.exists("/mine").owner_session_id == session[0]
    again.stop()
    again.close()
    other = client()
    eventually(lambda: other.exists("/mine") is None, "the session is closed")
    other.stop()
    other.close()


def step_states(zk):
    states = []
    other = steps.Client(hosts=steps.HOSTS)
    other.add_listener(states.append)
    other.start()
    other._connection._socket.shutdown(2)
    eventually(lambda: states.count(KazooState.CONNECTED) == 2, "connected again")
    other.stop()
    eventually(lambda: states[-1] == KazooState.LOST, "lost")
    assert states[:3] == [KazooState.CONNECTED, KazooState.SUSPENDED, KazooState.CONNECTED]
    other.close()


def step_expired_session(zk):
    short = steps.Client(hosts=steps.HOSTS, timeout=4.0)
    short.start()
    session = short.client_id
    name = "/short-" + uuid.uuid4().hex
    short.create(name, ephemeral=True)
    events = []
    zk.exists(name, watch=events.append)
    # The client goes away without a word; the server ends its session in its own time.
    connection = short._connection
    connection.ping_outstanding.clear()
    short.add_listener(lambda state: False)
    handler = short.handler
    original = handler.select
    silence = threading.Event()

    def silent(*arguments, **named):
        silence.wait(30)
        return original(*arguments, **named)

    handler.select = silent
    try:
        eventually(lambda: events, "the ephemeral goes with its session", patience=20)
    finally:
        silence.set()
    assert events[0] == WatchedEvent(EventType.DELETED, KeeperState.CONNECTED, name)
    again = steps.Client(hosts=steps.HOSTS, client_id=session)
    again.start()
    assert again.client_id[0] != session[0], "an expired session came back"
    again.stop()
    again.close()


if __name__ == "__main__":
    steps.run(sys.modules[__name__])
