"""The steps of the matrix with kazoo. Arguments: the connect string, then the steps to do.

Prints of each "ok NAME" or "FAILED NAME: why". Where a step needs something done to the servers it
prints "please WHAT" and waits for a line.
"""

import queue
import sys
import traceback

from kazoo.client import KazooClient
from kazoo.exceptions import (
    BadVersionError,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
)
from kazoo.protocol.states import EventType
from kazoo.retry import KazooRetry
from kazoo.security import CREATOR_ALL_ACL, READ_ACL_UNSAFE

HOSTS = sys.argv[1]
TIMEOUT = 30.0


def opened(**settings):
    zk = KazooClient(hosts=HOSTS, timeout=TIMEOUT, **settings)
    zk.start(timeout=30)
    return zk


def closed(*clients):
    for zk in clients:
        zk.stop()
        zk.close()


def raises(kind, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except kind:
        return
    raise AssertionError("%s was not raised" % kind.__name__)


class Events(queue.Queue):
    """A watcher that keeps what it was told."""

    def __call__(self, event):
        self.put(event)

    def expect(self, kind, path):
        event = self.get(timeout=15)
        assert (event.type, event.path) == (kind, path), event


def connect():
    zk = opened()
    assert zk.connected
    session, password = zk.client_id
    again = opened(client_id=(session, password))
    assert again.client_id[0] == session
    closed(again, zk)


def crud():
    zk = opened()
    assert zk.create("/crud", b"one") == "/crud"
    raises(NodeExistsError, zk.create, "/crud")
    data, stat = zk.get("/crud")
    assert (data, stat.version) == (b"one", 0)
    assert zk.set("/crud", b"two", version=0).version == 1
    raises(BadVersionError, zk.set, "/crud", b"", version=0)
    for count in range(2):
        path = zk.create("/crud/s-", ephemeral=True, sequence=True)
        assert path == "/crud/s-%010d" % count
    raises(NotEmptyError, zk.delete, "/crud")
    zk.delete("/crud", recursive=True)
    raises(NoNodeError, zk.get, "/crud")
    closed(zk)


def exists_children():
    zk = opened()
    assert zk.exists("/none") is None
    for name in ("a", "b", "ü"):
        zk.create("/children/" + name, name.encode(), makepath=True)
    assert sorted(zk.get_children("/children")) == ["a", "b", "ü"]
    assert zk.exists("/children").numChildren == 3
    assert zk.exists("/children/ü").dataLength == 2
    closed(zk)


def data_watch():
    zk, other, events = opened(), opened(), Events()
    zk.create("/data", b"")
    zk.get("/data", watch=events)
    other.set("/data", b"x")
    events.expect(EventType.CHANGED, "/data")
    zk.get("/data", watch=events)
    other.delete("/data")
    events.expect(EventType.DELETED, "/data")
    closed(zk, other)


def child_watch():
    zk, other, events = opened(), opened(), Events()
    zk.create("/child", b"")
    zk.get_children("/child", watch=events)
    other.create("/child/c")
    events.expect(EventType.CHILD, "/child")
    closed(zk, other)


def exists_watch():
    zk, other, events = opened(), opened(), Events()
    assert zk.exists("/later", watch=events) is None
    other.create("/later")
    events.expect(EventType.CREATED, "/later")
    closed(zk, other)


def multi():
    zk = opened()
    zk.create("/gone")
    transaction = zk.transaction()
    transaction.create("/multi", b"m")
    transaction.set_data("/multi", b"n", version=0)
    transaction.check("/multi", version=1)
    transaction.delete("/gone", version=0)
    results = transaction.commit()
    assert results[0] == "/multi" and results[1].version == 1, results
    assert results[2:] == [True, True], results
    assert zk.exists("/gone") is None
    transaction = zk.transaction()
    transaction.create("/undone")
    transaction.check("/multi", version=7)
    undone, why = transaction.commit()
    assert isinstance(undone, RolledBackError) and isinstance(why, BadVersionError)
    assert zk.exists("/undone") is None
    closed(zk)


def acl():
    zk = opened()
    zk.add_auth("digest", "user:secret")
    zk.create("/acl", b"mine", acl=CREATOR_ALL_ACL)
    assert zk.get_acls("/acl")[0][0].id.scheme == "digest"
    other = opened()
    raises(NoAuthError, other.get, "/acl")
    other.add_auth("digest", "user:wrong")
    raises(NoAuthError, other.get, "/acl")
    other.add_auth("digest", "user:secret")
    assert other.get("/acl")[0] == b"mine"
    assert zk.set_acls("/acl", READ_ACL_UNSAFE, version=0).aversion == 1
    raises(NoAuthError, zk.set, "/acl", b"")
    closed(zk, other)


def survive(event):
    """Session and ephemeral znode are there after what happens to the servers."""
    retry = KazooRetry(max_tries=-1, delay=0.02, backoff=1, deadline=60)
    zk = opened(connection_retry=retry, command_retry=retry)
    session, path = zk.client_id[0], "/" + event
    zk.create(path, b"here", ephemeral=True)
    print("please", event, flush=True)
    assert sys.stdin.readline() == "done\n"
    assert zk.retry(zk.exists, path).ephemeralOwner == session
    assert zk.client_id[0] == session
    assert zk.retry(zk.set, path, b"there", version=0).version == 1
    closed(zk)
    other = opened()
    other.sync("/")
    assert other.exists(path) is None
    closed(other)


def restart():
    survive("restart")


def leader_change():
    survive("leader_change")


def main():
    failed = 0
    for name in sys.argv[2:]:
        try:
            globals()[name]()
            print("ok", name, flush=True)
        except BaseException as error:
            failed += 1
            traceback.print_exc()
            print("FAILED %s: %r" % (name, error), flush=True)
    sys.exit(1 if failed else 0)


main()
