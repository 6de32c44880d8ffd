"""Runs the functions of a script whose names begin with "step_", each on clients of its own."""

import sys
import time
import traceback

from kazoo.client import KazooClient

HOSTS = sys.argv[1]


def client(**settings):
    """A started client; steps stop those they open."""
    opened = KazooClient(hosts=HOSTS, timeout=10.0, **settings)
    opened.start(timeout=15)
    return opened


def eventually(condition, what, patience=15.0):
    """Waits for what another thread or the server brings about."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "never: " + what
        time.sleep(0.01)


def run(module):
    """Exit code 0 only if every step came to its end."""
    steps = [(name[5:], step) for name, step in vars(module).items() if name.startswith("step_")]
    failed = 0
    for name, step in steps:
        zk = client()
        try:
            step(zk)
            print("ok", name, flush=True)
        except BaseException:
            failed += 1
            traceback.print_exc()
            print("FAILED", name, flush=True)
        finally:
            zk.stop()
            zk.close()
    print("%d steps, %d failed" % (len(steps), failed))
    sys.exit(1 if failed or not steps else 0)
