# Read by fetch.sh: the test suites that clients ship with, for the suite `peers`.
# shellcheck shell=bash disable=SC2154 # here, cache and log are fetch.sh's
# shellcheck source=fetch-matrix.sh
. "$here/fetch-matrix.sh"

kazoo_suite() {
    local folder=peers/kazoo want
    want=$(cat "$here/python/requirements-peers.txt")
    filled $folder "$want" && return
    [ -x "$cache/venv/bin/pip" ] || { missing "kazoo's suite" "no pip"; return; }
    echo "fetch: kazoo's suite"
    rm -rf "${cache:?}/$folder"
    mkdir -p "$cache/$folder"
    if (cd "$cache/$folder" &&
        "$cache/venv/bin/pip" download -q --disable-pip-version-check --no-deps \
            --no-binary :all: kazoo==2.11.0 &&
        tar xzf kazoo-2.11.0.tar.gz &&
        python3 -m venv venv &&
        venv/bin/pip install -q --disable-pip-version-check \
            -r "$here/python/requirements-peers.txt" ./kazoo-2.11.0) >>"$log" 2>&1; then
        stamp $folder "$want"
    else
        missing "kazoo's suite" "pip failed"
    fi
}

# The module with its tests, which wait for their servers in another way; see serving_test.go.
go_suite() {
    local folder=peers/go want module=$cache/clients/go/github.com/go-zookeeper/zk@v1.0.4
    want=$(cat "$here/stand-ins/go/serving_test.go")
    filled $folder "$want" && return
    [ -d "$module" ] || { missing "the suite of go-zookeeper/zk" "the module is not there"; return; }
    echo "fetch: the suite of go-zookeeper/zk"
    rm -rf "${cache:?}/$folder"
    mkdir -p "$cache/$folder"
    cp "$module"/*.go "$module/go.mod" "$here/stand-ins/go/serving_test.go" "$cache/$folder"
    chmod -R u+w "$cache/$folder"
    sed -i 's/_, ok := FLWSrvr(serverAddrs, time.Second)/ok := allServe(serverAddrs)/' \
        "$cache/$folder/server_help_test.go"
    stamp $folder "$want"
}

# A crate with its tests, built with these words of `cargo test`; lines for its Cargo.toml, if any,
# come from standard input.
crate_suite() { # name, version, words
    local name=$1 version=$2 folder=peers/$1 lines want source
    shift 2
    lines=$(cat)
    want=$(cat "$here"/stand-ins/testcontainers/{Cargo.toml,src/*.rs} | cksum)
    filled "$folder" "$want" && return
    echo "fetch: the suite of the crate $name"
    rm -rf "${cache:?}/$folder"
    mkdir -p "$cache/peers"
    # A package that needs it has cargo unpack it.
    cargo fetch --locked --manifest-path "$here/rust/Cargo.toml" >>"$log" 2>&1
    source=$(find "${CARGO_HOME:-$HOME/.cargo}/registry/src" -maxdepth 2 \
        -name "$name-$version" 2>>"$log" | head -n 1)
    [ -d "$source" ] || { missing "the suite of $name" "cargo has not got it"; return; }
    cp -r "$source" "$cache/$folder"
    chmod -R u+w "$cache/$folder"
    # Its lock file may name the crate that the stand-in stands for.
    rm -f "$cache/$folder/Cargo.lock"
    printf '\n%s\n\n[workspace]\n' "$lines" >>"$cache/$folder/Cargo.toml"
    if (cd "$cache/$folder" && CARGO_TARGET_DIR=$cache/$folder/target CARGO_PROFILE_DEV_LTO=off \
        cargo test --no-run "$@") >>"$log" 2>&1; then
        stamp "$folder" "$want"
    else
        missing "the suite of $name" "cargo could not build it"
    fi
}

jars "the tests of Curator's recipes" 5.9.0 pom-curator-tests.xml peers/curator curator.version
kazoo_suite
go_suite
crate_suite zookeeper-client 0.11.2 --features tokio --test zookeeper <<END
[dev-dependencies.testcontainers]
path = "$here/stand-ins/testcontainers"
END
crate_suite tokio-zookeeper 0.4.0 --lib </dev/null
