#!/usr/bin/env bash
# Fills the cache folder with the reference server and the real clients that the compat tests
# drive: jars (Maven), a Python environment (pip) and the C client (Debian packages). Apache
# ZooKeeper 3.9.5 lies in jars, the versions of mixed ensembles in jars-<version>. The packaged C
# client has neither TLS nor SASL; one that has both is built from its source, in c-secure.
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

jars() { # version, pom, folder
    local want
    want=$(cksum <"$here/java/$2")
    filled "$3" "$want" && return
    command -v mvn >/dev/null || { missing "Apache ZooKeeper $1 (jars)" "no mvn in PATH"; return; }
    echo "fetch: jars of Apache ZooKeeper $1"
    rm -rf "${cache:?}/$3"
    if mvn -B -q -f "$here/java/$2" -Dzookeeper.version="$1" dependency:copy-dependencies \
        -DoutputDirectory="$cache/$3" >>"$log" 2>&1; then
        stamp "$3" "$want"
    else
        rm -rf "${cache:?}/$3"
        missing "Apache ZooKeeper $1 (jars)" "Maven could not fetch them"
    fi
}

venv() {
    local want
    want=$(cat "$here/python/requirements.txt")
    filled venv "$want" && [ -x "$cache/venv/bin/python" ] && return
    command -v python3 >/dev/null || { missing kazoo "no python3 in PATH"; return; }
    echo "fetch: kazoo and pure-sasl"
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

debian() {
    local packages="zookeeper-bin libzookeeper-mt2 libzookeeper-mt-dev"
    filled debian "$packages" && return
    command -v apt-get >/dev/null && command -v dpkg >/dev/null ||
        { missing "the C client" "not a Debian system"; return; }
    echo "fetch: the C client"
    rm -rf "$cache/debian"
    mkdir -p "$cache/debian/packages"
    # An old or empty package list is brought up to date once.
    # shellcheck disable=SC2086 # the list is split on purpose
    if (cd "$cache/debian/packages" &&
        { apt-get download $packages || { apt-get update && apt-get download $packages; }; }) \
        >>"$log" 2>&1; then
        for package in "$cache"/debian/packages/*.deb; do
            dpkg -x "$package" "$cache/debian/root" >>"$log" 2>&1 ||
                { missing "the C client" "dpkg -x failed"; rm -rf "$cache/debian"; return; }
        done
        stamp debian "$packages"
    else
        rm -rf "$cache/debian"
        missing "the C client" "apt-get download failed"
    fi
}

# The C client with OpenSSL and Cyrus SASL, from Debian's source package. Its records are generated
# by the compiler among the jars, as ZooKeeper's own build does it.
c_secure() {
    local packages="libssl-dev libssl3 libsasl2-dev libsasl2-2 libsasl2-modules"
    local what="the C client with TLS and SASL" folder=$cache/c-secure step
    filled c-secure "$packages" && return
    for step in apt-get dpkg dpkg-source cmake cc java; do
        command -v $step >/dev/null || { missing "$what" "no $step in PATH"; return; }
    done
    [ -f "$cache/jars/.stamp" ] || { missing "$what" "it needs the jars"; return; }
    echo "fetch: $what (a build)"
    rm -rf "$folder"
    mkdir -p "$folder/packages" "$folder/source"
    for step in c_secure_libraries c_secure_source c_secure_build; do
        # Not behind `if` or `||`, where `set -e` has no effect.
        (set -e; $step "$folder" "$packages") >>"$log" 2>&1
        # shellcheck disable=SC2181
        [ $? = 0 ] || { rm -rf "$folder"; missing "$what" "$step failed"; return; }
    done
    rm -rf "$folder/packages" "$folder/source" "$folder/build" "$folder/apt"
    stamp c-secure "$packages"
}

c_secure_libraries() { # folder, packages
    cd "$1/packages"
    # shellcheck disable=SC2086 # the list is split on purpose
    apt-get download $2 || { apt-get update && apt-get download $2; }
    for package in ./*.deb; do
        dpkg -x "$package" "$1/root"
    done
}

# The machine's own package sources, asked for source code; in lists of their own, so that no rights
# are needed.
c_secure_source() { # folder
    mkdir -p "$1/apt/lists/partial" "$1/apt/archives/partial"
    apt-get indextargets --format 'deb-src $(REPO_URI) $(RELEASE) $(COMPONENT)' \
        'Created-By: Packages' >"$1/apt/sources.list"
    local options=(-o "Dir::Etc::SourceList=$1/apt/sources.list" -o Dir::Etc::SourceParts=-
        -o "Dir::State::Lists=$1/apt/lists" -o "Dir::Cache::Archives=$1/apt/archives"
        -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=)
    cd "$1/source"
    apt-get "${options[@]}" update
    apt-get "${options[@]}" source zookeeper
}

c_secure_build() { # folder
    local tree client
    tree=$(echo "$1"/source/zookeeper-*/)
    client=$tree/zookeeper-client/zookeeper-client-c
    mkdir "$client/generated"
    cd "$client/generated"
    java -cp "$cache/jars/*" org.apache.jute.compiler.generated.Rcc -l c \
        "$tree/zookeeper-jute/src/main/resources/zookeeper.jute"
    cmake -S "$client" -B "$1/build" -DCMAKE_BUILD_TYPE=Release -DWANT_CPPUNIT=OFF \
        -DCMAKE_PREFIX_PATH="$1/root/usr" -DOPENSSL_ROOT_DIR="$1/root/usr"
    grep -q 'CYRUS_SASL_SHARED_LIB:FILEPATH=/' "$1/build/CMakeCache.txt"
    grep -q 'OPENSSL_SSL_LIBRARY:FILEPATH=/' "$1/build/CMakeCache.txt"
    cmake --build "$1/build" --target zookeeper
    mkdir "$1/lib" "$1/include"
    cp "$1"/build/lib*.a "$1/lib"
    cp "$client"/include/*.h "$client"/generated/*.h "$1/include"
}

jars 3.9.5 pom.xml jars
jars 3.8.0 pom-3.8.xml jars-3.8.0
jars 3.8.6 pom-3.8.xml jars-3.8.6
venv
debian
c_secure
