"""Connects with TLS, writes and reads. Arguments: the connect string, the authority, for how many
seconds it tries, and perhaps a file with a key and its certificate."""

import sys

from kazoo.client import KazooClient

own = sys.argv[4] if len(sys.argv) > 4 else None
zk = KazooClient(
    hosts=sys.argv[1],
    timeout=10.0,
    use_ssl=True,
    ca=sys.argv[2],
    certfile=own,
    keyfile=own,
    verify_certs=True,
    check_hostname=True,
)
zk.start(timeout=float(sys.argv[3]))
path = zk.create("/kazoo-", b"x" * 200_000, sequence=True)
assert zk.get(path)[0] == b"x" * 200_000
for index in range(200):
    zk.set(path, b"%d" % index)
assert zk.get(path)[0] == b"199"
zk.delete(path)
zk.stop()
zk.close()
print("done")
