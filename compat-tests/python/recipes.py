"""kazoo's recipes against a real server, each with several clients at once."""

import sys
import threading

from kazoo.exceptions import CancelledError, ConnectionClosedError, LockTimeout
from kazoo.recipe.barrier import Barrier, DoubleBarrier
from kazoo.recipe.cache import TreeCache, TreeEvent
from kazoo.recipe.partitioner import PartitionState
from kazoo.recipe.watchers import ChildrenWatch, DataWatch, PatientChildrenWatch

import steps
from steps import client, eventually


def together(count, work):
    """Runs `work(client, index)` in threads; an exception in one fails the step."""
    clients = [client() for _ in range(count)]
    errors = []

    def guarded(used, index):
        try:
            work(used, index)
        except BaseException as error:
            errors.append(error)

    threads = [
        threading.Thread(target=guarded, args=pair) for pair in zip(clients, range(count))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a client hangs"
    for used in clients:
        used.stop()
        used.close()
    if errors:
        raise errors[0]


def step_lock(zk):
    holders = []
    order = []

    def work(used, index):
        for _ in range(10):
            with used.Lock("/lock", "client-%d" % index):
                holders.append(index)
                assert len(holders) == 1, "two hold the lock"
                order.append(index)
                holders.pop()

    together(5, work)
    assert len(order) == 50
    assert zk.get_children("/lock") == []


def step_lock_is_fair_and_can_be_given_up(zk):
    first, second = zk.Lock("/fair", "first"), client()
    assert first.acquire()
    waiting = second.Lock("/fair", "second")
    assert not waiting.acquire(blocking=False)
    try:
        waiting.acquire(timeout=0.2)
        raise AssertionError("acquired a lock that is held")
    except LockTimeout:
        pass
    assert first.contenders() == ["first"]
    thread_result = []

    def wait_for_it():
        try:
            thread_result.append(waiting.acquire())
        except CancelledError:
            thread_result.append("cancelled")

    thread = threading.Thread(target=wait_for_it)
    thread.start()
    eventually(lambda: first.contenders() == ["first", "second"], "the second waits")
    waiting.cancel()
    thread.join(10)
    assert thread_result == ["cancelled"]
    first.release()
    second.stop()
    second.close()


def step_lock_of_a_lost_client(zk):
    other = client()
    assert other.Lock("/lost", "other").acquire()
    lock = zk.Lock("/lost", "zk")
    assert not lock.acquire(blocking=False)
    other.stop()
    other.close()
    assert lock.acquire(timeout=10)
    lock.release()


def step_read_write_lock(zk):
    other = client()
    readers = [zk.ReadLock("/rw", "r1"), other.ReadLock("/rw", "r2")]
    assert all(reader.acquire(timeout=5) for reader in readers)
    writer = other.WriteLock("/rw", "w")
    assert not writer.acquire(blocking=False)
    for reader in readers:
        reader.release()
    assert writer.acquire(timeout=5)
    assert not zk.ReadLock("/rw", "r3").acquire(blocking=False)
    writer.release()
    other.stop()
    other.close()


def step_semaphore(zk):
    inside = []
    most = []
    guard = threading.Lock()

    def work(used, index):
        for _ in range(5):
            with used.Semaphore("/semaphore", max_leases=2):
                with guard:
                    inside.append(index)
                    most.append(len(inside))
                with guard:
                    inside.remove(index)

    together(4, work)
    assert max(most) <= 2 and len(most) == 20


def step_election(zk):
    led = []

    def work(used, index):
        used.Election("/election", "client-%d" % index).run(lambda: led.append(index))

    together(4, work)
    assert sorted(led) == [0, 1, 2, 3]


def step_election_after_the_leader_is_lost(zk):
    leader, follower = client(), client()
    reigns = threading.Event()
    hold = threading.Event()

    def reign():
        try:
            leader.Election("/throne", "leader").run(lambda: (reigns.set(), hold.wait(20)))
        except ConnectionClosedError:
            pass  # Its client was taken away while it led.

    threading.Thread(target=reign, daemon=True).start()
    assert reigns.wait(10)
    succeeded = threading.Event()
    election = follower.Election("/throne", "follower")
    threading.Thread(target=lambda: election.run(succeeded.set), daemon=True).start()
    eventually(lambda: election.contenders() == ["leader", "follower"], "both contend")
    leader.stop()
    leader.close()
    assert succeeded.wait(15), "nobody follows"
    hold.set()
    follower.stop()
    follower.close()


def step_barrier(zk):
    barrier = Barrier(zk, "/barrier")
    barrier.create()
    passed = []

    def work(used, index):
        assert not Barrier(used, "/barrier").wait(0.1), "the barrier is closed"
        ready.release()
        assert Barrier(used, "/barrier").wait(15)
        passed.append(index)

    ready = threading.Semaphore(0)
    remover = threading.Thread(
        target=lambda: ([ready.acquire() for _ in range(3)], barrier.remove())
    )
    remover.start()
    together(3, work)
    remover.join()
    assert sorted(passed) == [0, 1, 2]


def step_double_barrier(zk):
    entered, left = [], []

    def work(used, index):
        barrier = DoubleBarrier(used, "/double", 3)
        barrier.enter()
        entered.append(index)
        barrier.leave()
        assert len(entered) == 3, "left before all had entered"
        left.append(index)

    together(3, work)
    assert sorted(left) == [0, 1, 2]


def step_queue(zk):
    queue = zk.Queue("/queue")
    for value in (b"1", b"2", b"3"):
        queue.put(value)
    queue.put(b"first", priority=1)
    assert len(queue) == 4
    assert [queue.get() for _ in range(4)] == [b"first", b"1", b"2", b"3"]
    assert queue.get() is None


def step_locking_queue(zk):
    queue = zk.LockingQueue("/locking")
    queue.put_all([b"%d" % index for index in range(30)])
    taken = []

    def work(used, _):
        mine = used.LockingQueue("/locking")
        while True:
            value = mine.get(timeout=2)
            if value is None:
                return
            assert mine.holds_lock() and mine.consume()
            taken.append(value)

    together(3, work)
    assert sorted(taken, key=int) == [b"%d" % index for index in range(30)]


def step_counter(zk):
    def work(used, _):
        counter = used.Counter("/counter")
        for _ in range(20):
            counter += 2
            counter -= 1

    together(4, work)
    assert zk.Counter("/counter").value == 80
    floating = zk.Counter("/floating", default=1.5)
    floating += 2.25
    assert floating.value == 3.75


def step_party(zk):
    def work(used, index):
        party = used.Party("/party", "guest-%d" % index)
        party.join()
        eventually(lambda: len(party) == 3, "everybody is there")
        assert sorted(party) == ["guest-0", "guest-1", "guest-2"]

    together(3, work)
    shallow = zk.ShallowParty("/shallow", "guest")
    shallow.join()
    assert list(shallow) == ["guest"]
    shallow.leave()
    assert len(shallow) == 0


def step_partitioner(zk):
    done = []

    def work(used, index):
        partitioner = used.SetPartitioner(
            "/partition", set=range(6), time_boundary=1, identifier="worker-%d" % index
        )
        eventually(lambda: partitioner.state != PartitionState.ALLOCATING, "allocated", 30)
        assert partitioner.acquired
        done.append(list(partitioner))
        barrier.wait(30)
        partitioner.finish()

    barrier = threading.Barrier(2)
    together(2, work)
    assert sorted(done[0] + done[1]) == list(range(6)) and len(done[0]) == 3


def step_data_watch(zk):
    seen = []
    DataWatch(zk, "/data-watch", lambda data, stat: seen.append((data, stat and stat.version)))
    other = client()
    eventually(lambda: len(seen) == 1, "the first call")
    other.create("/data-watch", b"a")
    eventually(lambda: len(seen) == 2, "created")
    for value in (b"b", b"c"):
        other.set("/data-watch", value)
        eventually(lambda: seen[-1][0] == value, "changed")
    other.delete("/data-watch")
    eventually(lambda: seen[-1] == (None, None), "deleted")
    assert seen == [(None, None), (b"a", 0), (b"b", 1), (b"c", 2), (None, None)], seen
    other.stop()
    other.close()


def step_children_watch(zk):
    zk.create("/children-watch")
    seen = []
    ChildrenWatch(zk, "/children-watch", lambda children: seen.append(sorted(children)))
    other = client()
    for name in ("a", "b"):
        other.create("/children-watch/" + name)
        eventually(lambda: name in seen[-1], "a child more")
    other.delete("/children-watch/a")
    eventually(lambda: seen[-1] == ["b"], "a child less")
    assert seen == [[], ["a"], ["a", "b"], ["b"]], seen
    patient = PatientChildrenWatch(zk, "/children-watch", time_boundary=0.3).start()
    children, changed = patient.get(timeout=10)
    assert children == ["b"]
    other.create("/children-watch/c")
    changed.wait(10)
    assert changed.ready()
    other.stop()
    other.close()


def step_tree_cache(zk):
    events = []
    zk.ensure_path("/cache/a")
    cache = TreeCache(zk, "/cache")
    cache.listen(events.append)
    cache.start()
    eventually(lambda: any(e.event_type == TreeEvent.INITIALIZED for e in events), "filled")
    other = client()
    other.create("/cache/a/b", b"deep")
    eventually(lambda: cache.get_data("/cache/a/b") is not None, "added")
    assert cache.get_data("/cache/a/b").data == b"deep"
    other.set("/cache/a/b", b"changed")
    eventually(lambda: cache.get_data("/cache/a/b").data == b"changed", "updated")
    assert cache.get_children("/cache") == frozenset(["a"])
    other.delete("/cache/a", recursive=True)
    eventually(lambda: cache.get_data("/cache/a") is None, "removed")
    # The cache forgets a node before it tells its listeners.
    removed = lambda: [e.event_type for e in events].count(TreeEvent.NODE_REMOVED)
    eventually(lambda: removed() == 2, "told of both")
    cache.close()
    other.stop()
    other.close()


def step_lease(zk):
    import datetime

    lease = zk.NonBlockingLease("/lease", datetime.timedelta(seconds=30), identifier="one")
    assert lease
    assert not zk.NonBlockingLease("/lease", datetime.timedelta(seconds=30), identifier="two")
    multiple = zk.MultiNonBlockingLease(
        2, "/leases", datetime.timedelta(seconds=30), identifier="one"
    )
    assert multiple


if __name__ == "__main__":
    steps.run(sys.modules[__name__])
