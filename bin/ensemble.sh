#!/usr/bin/env bash
# Runs three servers of one ensemble on this machine until Ctrl-C, with clients on ports 2181, 2182
# and 2183.
#
#   ensemble.sh [directory]
#
# Server N has its zoo.cfg, its myid and its data in <directory>/N, ./data/ensemble/N if none is
# given. Files that exist are left as they are. A server that ends leaves the others running.

set -euo pipefail

ZOOBINDIR="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)"
. "$ZOOBINDIR/zkEnv.sh"

directory="${1:-data/ensemble}"
mkdir -p "$directory"
directory="$(cd "$directory" && pwd)"

settings() {
  cat << END
tickTime=2000
initLimit=10
syncLimit=5
dataDir=$directory/$1
4lw.commands.whitelist=ruok, srvr, stat, mntr, conf
server.1=127.0.0.1:2887:3887;2181
server.2=127.0.0.1:2888:3888;2182
server.3=127.0.0.1:2889:3889;2183
END
}

for id in 1 2 3; do
  mkdir -p "$directory/$id"
  [ -f "$directory/$id/myid" ] || echo "$id" > "$directory/$id/myid"
  [ -f "$directory/$id/zoo.cfg" ] || settings "$id" > "$directory/$id/zoo.cfg"
done

servers=()
failed=0
await() {
  local server status
  for server in "${servers[@]}"; do
    status=0
    wait "$server" 2> /dev/null || status=$?
    # 127: it has been waited for before.
    [ "$status" -eq 0 ] || [ "$status" -eq 127 ] || failed=1
  done
}
stop() {
  trap '' INT TERM
  # One that has ended already is no failure.
  kill "${servers[@]}" 2> /dev/null || true
  await
  exit "$failed"
}
trap stop INT TERM

for id in 1 2 3; do
  # Ctrl-C reaches the whole group; what passes the log lines on has to outlive the servers.
  "$OXKEEPER" serve "$directory/$id/zoo.cfg" \
    > >(trap '' INT TERM; exec sed -u "s/^/server.$id: /") 2>&1 &
  servers+=($!)
  echo "server.$id is process $!"
done

await
exit "$failed"
