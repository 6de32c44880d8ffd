#!/usr/bin/env bash
# Stands for ZooKeeper's script in `zkServer.sh start-foreground <zoo.cfg>`; the java in PATH may be
# a stand-in, too.
set -eu
# shellcheck disable=SC2086 # flags are words
exec java ${SERVER_JVMFLAGS:-} -cp "${ZOOKEEPER_CLASSPATH:-}" \
    org.apache.zookeeper.server.quorum.QuorumPeerMain "$2"
