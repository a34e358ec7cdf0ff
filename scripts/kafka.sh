#!/usr/bin/env bash
# A real Apache Kafka broker for tests and trials: one node in KRaft mode, on loopback.
#
#   scripts/kafka.sh fetch            downloads the broker once (Maven, about 45 MB)
#   scripts/kafka.sh start DIR PORT [OWNER]
#                                     formats DIR, starts a broker on 127.0.0.1:PORT (and a
#                                     controller on PORT + 1), prints its pid; with OWNER the
#                                     broker ends when the process of that id does, however it ends
#   scripts/kafka.sh stop DIR         stops the broker that was started on DIR
#
# What DIR/more.properties says is added to the broker's settings; KENG_KAFKA_JVM replaces the Java
# options, which make it start quickly and not run fast.
#
# It is no way to run Kafka for real: nothing is replicated and 512 MB of heap is all it gets.
set -eu

version=4.4.0
parts="${KENG_PARTS:-$HOME/.cache/keng/parts}/kafka"
libs="$parts/$version"
seconds_to_start=60

fail() {
    echo "kafka.sh: $1" >&2
    exit "${2:-1}"
}

fetch() {
    [ -e "$libs/.complete" ] && return 0
    command -v mvn >/dev/null || fail "maven is missing: install 'maven'"
    mkdir -p "$parts"
    work=$(mktemp -d "$parts/fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    cat >"$work/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>keng</groupId>
  <artifactId>kafka-for-tests</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>$version</version>
    </dependency>
  </dependencies>
</project>
POM
    mvn --batch-mode --quiet --file "$work/pom.xml" dependency:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$work/libs" >&2
    touch "$work/libs/.complete"
    # Another process may have finished first; its copy is as good.
    mv -T "$work/libs" "$libs" 2>/dev/null || [ -e "$libs/.complete" ]
}

start() {
    dir=$1 port=$2 owner=${3:-}
    [ -e "$libs/.complete" ] || fail "the broker was not fetched: run 'scripts/kafka.sh fetch'" 3
    command -v java >/dev/null || fail "java is missing: install a Java runtime, 17 or later" 3
    controller=$((port + 1))
    mkdir -p "$dir"
    cat >"$dir/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=$dir/logs
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
PROPERTIES
    [ ! -e "$dir/more.properties" ] || cat "$dir/more.properties" >>"$dir/server.properties"
    # shellcheck disable=SC2086 # several options
    set -- java ${KENG_KAFKA_JVM:--Xms64m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1} -cp "$libs/*"
    if [ ! -e "$dir/logs/meta.properties" ]; then
        id=$("$@" kafka.tools.StorageTool random-uuid 2>/dev/null)
        "$@" kafka.tools.StorageTool format --cluster-id "$id" \
            --config "$dir/server.properties" >"$dir/format.log" 2>&1 ||
            fail "formatting failed, see $dir/format.log"
    fi
    setsid nohup "$@" kafka.Kafka "$dir/server.properties" >"$dir/server.log" 2>&1 </dev/null &
    pid=$!
    echo "$pid" >"$dir/pid"
    waited=0
    # The broker brings no logging backend, so its log says nothing: ask the port instead.
    until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
        kill -0 "$pid" 2>/dev/null || fail "the broker ended, see $dir/server.log"
        [ "$waited" -lt $((seconds_to_start * 5)) ] || {
            kill -9 "$pid"
            fail "the broker did not answer within $seconds_to_start s, see $dir/server.log"
        }
        sleep 0.2
        waited=$((waited + 1))
    done
    if [ -n "$owner" ]; then
        setsid nohup "$0" watch "$pid" "$owner" >/dev/null 2>&1 </dev/null &
    fi
    echo "$pid"
}

# Ends the broker when its owner is gone: a test that is killed cannot.
watch() {
    while kill -0 "$1" 2>/dev/null; do
        kill -0 "$2" 2>/dev/null || kill -9 "$1"
        sleep 1
    done
}

stop() {
    [ -e "$1/pid" ] || return 0
    pid=$(cat "$1/pid")
    kill "$pid" 2>/dev/null || true
    waited=0
    while kill -0 "$pid" 2>/dev/null; do
        [ "$waited" -lt 50 ] || kill -9 "$pid" 2>/dev/null || true
        sleep 0.2
        waited=$((waited + 1))
    done
    rm -f "$1/pid"
}

case "${1:-}" in
fetch) fetch ;;
start) [ $# -ge 3 ] || fail "usage: kafka.sh start DIR PORT [OWNER]" 2 && start "$2" "$3" "${4:-}" ;;
stop) [ $# -eq 2 ] || fail "usage: kafka.sh stop DIR" 2 && stop "$2" ;;
watch) watch "$2" "$3" ;;
*) fail "usage: kafka.sh fetch | start DIR PORT [OWNER] | stop DIR" 2 ;;
esac
