#!/usr/bin/env bash
# Fills the cache folder with the reference server and the real clients that the compat tests
# drive: jars (Maven), a Python environment (pip) and the C client (Debian packages). Apache
# ZooKeeper 3.9.5 lies in jars, the versions of mixed ensembles in jars-<version>. What only the
# long form of a suite needs is fetched if the suite is named: fetch.sh matrix.
# Idempotent: what is there already is left alone. What cannot be had is named, and the tests
# that need it report themselves skipped; the exit code is 0 all the same.
set -u
here=$(cd "$(dirname "$0")" && pwd)
cache=${OX_CACHE:-$here/../.cache}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
log=$cache/fetch.log
: >"$log"

missing() { # what, why
    echo "fetch: $1 not available: $2 (see $log)"
}

# Runs a step that fills "$cache/$1"; the stamp holds what was asked for, so that a changed
# version is fetched anew.
filled() { [ -f "$cache/$1/.stamp" ] && [ "$(cat "$cache/$1/.stamp")" = "$2" ]; }
stamp() { printf '%s' "$2" >"$cache/$1/.stamp"; }

jars() { # what, version, pom, folder, the property of the pom that is the version
    local want
    want=$(cksum <"$here/java/$3")
    filled "$4" "$want" && return
    command -v mvn >/dev/null || { missing "$1 $2 (jars)" "no mvn in PATH"; return; }
    echo "fetch: jars of $1 $2"
    rm -rf "${cache:?}/$4"
    if mvn -B -q -f "$here/java/$3" -D"${5:-zookeeper.version}=$2" dependency:copy-dependencies \
        -DoutputDirectory="$cache/$4" >>"$log" 2>&1; then
        stamp "$4" "$want"
    else
        rm -rf "${cache:?}/$4"
        missing "$1 $2 (jars)" "Maven could not fetch them"
    fi
}

venv() {
    local want
    want=$(cat "$here/python/requirements.txt")
    filled venv "$want" && [ -x "$cache/venv/bin/python" ] && return
    command -v python3 >/dev/null || { missing kazoo "no python3 in PATH"; return; }
    echo "fetch: kazoo"
    rm -rf "$cache/venv"
    if python3 -m venv "$cache/venv" >>"$log" 2>&1 &&
        "$cache/venv/bin/pip" install -q --disable-pip-version-check \
            -r "$here/python/requirements.txt" >>"$log" 2>&1; then
        stamp venv "$want"
    else
        rm -rf "$cache/venv"
        missing kazoo "venv or pip failed"
    fi
}

debian() { # folder, packages
    local packages=$2
    filled "$1" "$packages" && return
    command -v apt-get >/dev/null && command -v dpkg >/dev/null ||
        { missing "the C client" "not a Debian system"; return; }
    echo "fetch: the C client"
    rm -rf "$cache/$1"
    mkdir -p "$cache/$1/packages"
    # An old or empty package list is brought up to date once.
    # shellcheck disable=SC2086 # the list is split on purpose
    if (cd "$cache/$1/packages" &&
        { apt-get download $packages || { apt-get update && apt-get download $packages; }; }) \
        >>"$log" 2>&1; then
        for package in "$cache/$1"/packages/*.deb; do
            dpkg -x "$package" "$cache/$1/root" >>"$log" 2>&1 ||
                { missing "the C client" "dpkg -x failed"; rm -rf "$cache/$1"; return; }
        done
        stamp "$1" "$packages"
    else
        rm -rf "$cache/$1"
        missing "the C client" "apt-get download failed"
    fi
}

jars "Apache ZooKeeper" 3.9.5 pom.xml jars
jars "Apache ZooKeeper" 3.8.0 pom-3.8.xml jars-3.8.0
jars "Apache ZooKeeper" 3.8.6 pom-3.8.xml jars-3.8.6
venv
debian debian "zookeeper-bin libzookeeper-mt2 libzookeeper-mt-dev"
debian debian-st "libzookeeper-st2 libzookeeper-st-dev"
for suite in "$@"; do
    # shellcheck source=/dev/null # one of fetch-*.sh
    . "$here/fetch-$suite.sh"
done
