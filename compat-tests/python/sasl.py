"""Connects by SASL and prints what comes of it.

Arguments: the connect string, the path of a node, the user that is to own it if it is not there, the
user to connect as, its password.
"""

import sys

from kazoo.client import KazooClient
from kazoo.exceptions import AuthFailedError, ConnectionClosedError, KazooException
from kazoo.security import make_acl

hosts, path, owner, user, password = sys.argv[1:]


def outcome(name, operation):
    """Prints what an operation gives, or the class of what it raises."""
    try:
        text = str(operation())
    except KazooException as error:
        text = type(error).__name__
    print(f"{name}: {text}", flush=True)


client = KazooClient(
    hosts=hosts,
    sasl_options={"mechanism": "DIGEST-MD5", "username": user, "password": password},
    connection_retry={"max_tries": 1},
)
try:
    client.start(timeout=20)
except Exception as error:  # pylint: disable=broad-except
    print(f"start: {type(error).__name__}", flush=True)
    sys.exit(0)
# It counts as connected before it has authenticated itself.
try:
    client.exists("/")
except (AuthFailedError, ConnectionClosedError):
    print("start: AuthFailedError", flush=True)
    sys.exit(0)
print("start: ok", flush=True)
acl = [make_acl("sasl", owner, all=True)]
outcome("create", lambda: client.create(path, b"data", acl=acl))
outcome("get", lambda: client.get(path)[0])
outcome("acl", lambda: client.get_acls(path)[0])
outcome("set", lambda: client.set(path, b"data").version >= 0)
