"""Runs the functions of a script whose names begin with "step_", each on clients of its own.

Arguments: the connect string; then "unsettled" if it names several servers that come and go; then
"without=NAME" for each step that is left out.

On one server a step is done once. On several, what one client has written another may not see yet:
every read is sent behind a sync. And a step that fails while the connection of one of its clients
broke is done again, on a tree as empty as at first; how often, is limited and printed.
"""

import sys
import time
import traceback

from kazoo.client import KazooClient
from kazoo.protocol.states import KazooState

HOSTS = sys.argv[1]
UNSETTLED = "unsettled" in sys.argv[2:]
WITHOUT = {word[8:] for word in sys.argv[2:] if word.startswith("without=")}
ATTEMPTS = 8


class Roaming(KazooClient):
    """A client of several servers: its reads see what others have written before."""

    opened = []
    interruptions = 0

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        Roaming.opened.append(self)
        self.add_listener(self._note)

    def _note(self, state):
        if state == KazooState.SUSPENDED:
            Roaming.interruptions += 1

    def get_async(self, *arguments, **named):
        self.sync_async("/")
        return super().get_async(*arguments, **named)

    def exists_async(self, *arguments, **named):
        self.sync_async("/")
        return super().exists_async(*arguments, **named)

    def get_children_async(self, *arguments, **named):
        self.sync_async("/")
        return super().get_children_async(*arguments, **named)

    def get_acls_async(self, *arguments, **named):
        self.sync_async("/")
        return super().get_acls_async(*arguments, **named)


Client = Roaming if UNSETTLED else KazooClient


def client(**settings):
    """A started client; steps stop those they open."""
    opened = Client(hosts=HOSTS, timeout=10.0, **settings)
    opened.start(timeout=15)
    return opened


def eventually(condition, what, patience=15.0):
    """Waits for what another thread or the server brings about."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "never: " + what
        time.sleep(0.01)


def attempt(step):
    """Whether the step came to its end."""
    try:
        zk = client()
        print("begin", step.__name__[5:], flush=True)
        try:
            step(zk)
        finally:
            zk.stop()
            zk.close()
        return True
    except BaseException:
        traceback.print_exc(file=sys.stdout)
        return False


def end_clients():
    """Ends all clients that were opened, in whatever state they are."""
    while Roaming.opened:
        used = Roaming.opened.pop()
        try:
            used.stop()
            used.close()
        except Exception:
            pass  # A step has left it without a thread that could end it.


def tidy():
    """Ends all clients, and leaves the tree empty."""
    end_clients()
    deadline = time.monotonic() + 60
    while True:
        try:
            zk = client()
            for name in zk.get_children("/"):
                if name != "zookeeper":
                    zk.delete("/" + name, recursive=True)
            return
        except Exception:
            assert time.monotonic() < deadline, "the tree cannot be emptied"
        finally:
            end_clients()


def settled(step):
    """Does a step until it is not interrupted; whether it came to its end."""
    for _ in range(ATTEMPTS):
        before = Roaming.interruptions
        done = attempt(step)
        interrupted = Roaming.interruptions != before
        tidy()
        if done or not interrupted:
            return done
        print("interrupted", step.__name__[5:], flush=True)
    return False


def run(module):
    """Exit code 0 only if every step came to its end."""
    steps = [(name[5:], step) for name, step in vars(module).items() if name.startswith("step_")]
    steps = [(name, step) for name, step in steps if name not in WITHOUT]
    failed = 0
    for name, step in steps:
        if (settled if UNSETTLED else attempt)(step):
            print("ok", name, flush=True)
        else:
            failed += 1
            print("FAILED", name, flush=True)
    print("%d steps, %d failed" % (len(steps), failed))
    sys.exit(1 if failed or not steps else 0)
