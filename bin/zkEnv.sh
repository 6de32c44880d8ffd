# Sourced by the scripts beside it: where the configuration is, what it sets, which binary runs.
#
# In: ZOOBINDIR. Out: ZOOCFGDIR, ZOOCFG (a path), ZOO_LOG_DIR, OXKEEPER, JVMFLAGS and
# SERVER_JVMFLAGS (exported: the server takes its -D flags from there).

ZOOKEEPER_PREFIX="$ZOOBINDIR/.."

if [ -z "${ZOOCFGDIR:-}" ]; then
  if [ -e "$ZOOKEEPER_PREFIX/conf" ]; then
    ZOOCFGDIR="$ZOOKEEPER_PREFIX/conf"
  else
    ZOOCFGDIR="$ZOOKEEPER_PREFIX/etc/zookeeper"
  fi
fi

if [ -f "$ZOOCFGDIR/zookeeper-env.sh" ]; then
  . "$ZOOCFGDIR/zookeeper-env.sh"
fi

ZOOCFG="$ZOOCFGDIR/${ZOOCFG:-zoo.cfg}"

if [ -f "$ZOOCFGDIR/java.env" ]; then
  . "$ZOOCFGDIR/java.env"
fi

ZOO_LOG_DIR="${ZOO_LOG_DIR:-$ZOOKEEPER_PREFIX/logs}"

export ZOOCFGDIR JVMFLAGS="${JVMFLAGS:-}" SERVER_JVMFLAGS="${SERVER_JVMFLAGS:-}"
if [ -n "${ZOO_LOG4J_PROP:-}" ]; then
  export ZOO_LOG4J_PROP
fi

find_oxkeeper() {
  local candidate
  for candidate in "${OXKEEPER_BIN:-}" "$ZOOBINDIR/oxkeeper" \
      "$ZOOKEEPER_PREFIX/target/release/oxkeeper"; do
    if [ -n "$candidate" ] && [ -x "$candidate" ]; then
      echo "$candidate"
      return
    fi
  done
  command -v oxkeeper
}

if ! OXKEEPER="$(find_oxkeeper)"; then
  echo "No oxkeeper binary: set OXKEEPER_BIN, or put it beside this script or on the PATH." >&2
  exit 1
fi

# The value of a key in the configuration file; the last line counts.
# Escapes and continued lines of the file's syntax are not for a script to know.
setting() {
  [ -f "$ZOOCFG" ] || return 0
  sed -n "s/^[[:space:]]*$(key_pattern "$1")[[:space:]]*[=:[:space:]][[:space:]]*//p" "${2:-$ZOOCFG}" \
    | tail -n 1 | sed 's/[[:space:]]*$//'
}

key_pattern() {
  printf '%s' "$1" | sed 's/\./\\./g'
}
