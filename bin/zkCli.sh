#!/usr/bin/env bash
# The shell; its options are those of ZooKeeper's.

script="$(readlink -f "${BASH_SOURCE[0]}")"
ZOOBINDIR="$(cd "$(dirname "$script")" && pwd)"
. "$ZOOBINDIR/zkEnv.sh"

export CLIENT_JVMFLAGS="${CLIENT_JVMFLAGS:-}"
exec "$OXKEEPER" shell "$@"
