#!/usr/bin/env bash
# Starts, stops and asks a server, with the verbs, words, exit codes and variables that scripts
# around ZooKeeper rely on.

script="$(readlink -f "${BASH_SOURCE[0]}")"
ZOOBINDIR="$(cd "$(dirname "$script")" && pwd)"

if [ "$1" = "--config" ]; then
  if [ ! -d "$2" ]; then
    echo "Error: Cannot find conf directory: $2" >&2
    exit 1
  fi
  ZOOCFGDIR="$2"
  shift 2
fi

. "$ZOOBINDIR/zkEnv.sh"

verb="$1"
case "${2:-}" in
  "") ;;
  */*) ZOOCFG="$2" ;;
  *) ZOOCFG="$ZOOCFGDIR/$2" ;;
esac

echo "ZooKeeper JMX is not there: this server is no JVM" >&2
echo "Using config: $ZOOCFG" >&2

data_dir="$(setting dataDir)"
data_log_dir="$(setting dataLogDir)"
ZOOPIDFILE="${ZOOPIDFILE:-${data_dir:-$ZOO_LOG_DIR}/zookeeper_server.pid}"
out="$ZOO_LOG_DIR/zookeeper-${USER:-$(id -un)}-server-${HOSTNAME:-$(uname -n)}.out"

command=("$OXKEEPER" serve)
if [ -n "${ZOO_DATADIR_AUTOCREATE_DISABLE:-}" ]; then
  command+=(-Dzookeeper.datadir.autocreate=false)
fi
command+=("$ZOOCFG")

running() {
  kill -0 "$1" 2> /dev/null
}

# With automatic creation off, a missing directory ends here and not in the server.
check_directories() {
  [ -n "${ZOO_DATADIR_AUTOCREATE_DISABLE:-}" ] || return 0
  local directory
  for directory in "$data_dir" "${data_log_dir:-$data_dir}"; do
    if [ ! -d "$directory/version-2" ]; then
      echo "ZooKeeper data directory is missing at $directory fix the path or run initialize"
      exit 1
    fi
  done
}

start() {
  echo -n "Starting zookeeper ... "
  if [ -f "$ZOOPIDFILE" ] && running "$(cat "$ZOOPIDFILE")"; then
    echo "already running as process $(cat "$ZOOPIDFILE")."
    exit 1
  fi
  if [ ! -f "$ZOOCFG" ]; then
    echo "FAILED TO START"
    echo "$ZOOCFG: no such file" >&2
    exit 1
  fi
  check_directories
  if [ -z "${ZOO_DATADIR_AUTOCREATE_DISABLE:-}" ]; then
    mkdir -p "$(dirname "$ZOOPIDFILE")"
  fi
  mkdir -p "$ZOO_LOG_DIR"
  nohup "${command[@]}" > "$out" 2>&1 < /dev/null &
  local pid=$!
  if ! echo -n "$pid" > "$ZOOPIDFILE"; then
    kill "$pid"
    echo "FAILED TO WRITE PID"
    exit 1
  fi
  sleep 1
  if running "$pid"; then
    echo "STARTED"
  else
    rm -f "$ZOOPIDFILE"
    echo "FAILED TO START"
    echo "The reason is in $out" >&2
    exit 1
  fi
}

stop() {
  echo -n "Stopping zookeeper ... "
  if [ ! -f "$ZOOPIDFILE" ]; then
    echo "no zookeeper to stop (could not find file $ZOOPIDFILE)"
    return
  fi
  local pid
  pid="$(cat "$ZOOPIDFILE")"
  kill "$pid"
  rm -f "$ZOOPIDFILE"
  # A server ends within ten seconds of SIGTERM.
  local tenths=0
  while running "$pid" && [ "$tenths" -lt 110 ]; do
    sleep 0.1
    tenths=$((tenths + 1))
  done
  echo "STOPPED"
}

# Sets client_address and client_port from a server line: what follows its semicolon.
client_of_server_line() {
  case "$1" in
    *";"*) ;;
    *) return ;;
  esac
  local client="${1##*;}"
  client_port="${client##*:}"
  case "$client" in
    *:*) client_address="${client%:*}" ;;
  esac
}

status() {
  client_port="$(setting clientPort)"
  client_address="$(setting clientPortAddress)"
  if [ -z "$client_port" ]; then
    local id dynamic
    id="$(cat "$data_dir/myid" 2> /dev/null)"
    dynamic="$(setting dynamicConfigFile)"
    client_of_server_line "$(setting "server.${id:-1}" "${dynamic:-$ZOOCFG}")"
  fi
  if [ -z "$client_port" ]; then
    echo "Client port not found in static config file or in a server line."
    exit 1
  fi
  client_address="${client_address#[}"
  client_address="${client_address%]}"
  case "$client_address" in
    "" | 0.0.0.0 | ::) client_address=localhost ;;
  esac
  echo "Client port found: $client_port. Client address: $client_address. Client SSL: false."
  local mode
  mode="$("$OXKEEPER" four-letter-word "$client_address" "$client_port" srvr 2> /dev/null \
    | grep Mode)"
  if [ -z "$mode" ]; then
    echo "Error contacting service. It is probably not running."
    exit 1
  fi
  echo "$mode"
}

case "$verb" in
  start)
    start
    ;;
  start-foreground)
    check_directories
    if [ -n "${ZOO_NOEXEC:-}" ]; then
      "${command[@]}"
    else
      exec "${command[@]}"
    fi
    ;;
  print-cmd)
    echo "${command[@]}"
    ;;
  stop)
    stop
    ;;
  version)
    "$OXKEEPER" version
    ;;
  restart)
    stop
    start
    ;;
  status)
    status
    ;;
  *)
    echo "Usage: $0 [--config <conf-dir>]" \
      "{start|start-foreground|stop|version|restart|status|print-cmd}" >&2
    ;;
esac
