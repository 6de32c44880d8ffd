#!/usr/bin/env bash
# Deletes old snapshots and logs: zkCleanup.sh -n <count>, or with the directories given,
# zkCleanup.sh <dataLogDir> [<snapDir>] -n <count>.

script="$(readlink -f "${BASH_SOURCE[0]}")"
ZOOBINDIR="$(cd "$(dirname "$script")" && pwd)"
. "$ZOOBINDIR/zkEnv.sh"

case "${1:-}" in
  -n*)
    data_dir="$(setting dataDir)"
    data_log_dir="$(setting dataLogDir)"
    if [ -z "$data_dir" ]; then
      echo "$ZOOCFG: no dataDir there" >&2
      exit 1
    fi
    exec "$OXKEEPER" purge "${data_log_dir:-$data_dir}" "$data_dir" "$@"
    ;;
  *)
    exec "$OXKEEPER" purge "$@"
    ;;
esac
