#!/usr/bin/env bash
# A real Cassandra 5.0 for development: with Docker if an engine is available and has or gets the image, otherwise on Java, from
# Maven Central.
#   scripts/cassandra.sh start [nodes]   1 to 3 nodes on 127.0.0.1, .2, .3, port 9042 (several: on Java); returns when they are ready;
#                                        default: as many as have data, or one; starts those that do not run
#   scripts/cassandra.sh stop|status     the nodes that start started; keeps the data
#   scripts/cassandra.sh fetch           prints the directory of its Java archives
#   TWTR_CASSANDRA_DIR                   the directory of data, logs and process ids (.twtr/cassandra)
#   TWTR_CASSANDRA_NETWORK               the first three numbers of the nodes' addresses (127.0.0); with others a second cluster can run
#   TWTR_CASSANDRA_CLIENTS               those of the addresses that the nodes tell clients to connect to, as of proxies (the same)
#   TWTR_CASSANDRA_TLS                   clients must use TLS, with a certificate: the directory of ca.crt, and of keystore.pem with the
#                                        nodes' key and certificate
set -euo pipefail
cd "$(dirname "$0")/.."

VERSION=5.0.6
DIR=$(realpath -m "${TWTR_CASSANDRA_DIR:-.twtr/cassandra}")
# Outside the checkout, so that a new clone finds it.
LIB=${XDG_CACHE_HOME:-$HOME/.cache}/twtr/cassandra-$VERSION
CONTAINER=twtr-cassandra
NETWORK=${TWTR_CASSANDRA_NETWORK:-127.0.0}
TLS=${TWTR_CASSANDRA_TLS:+$(realpath "$TWTR_CASSANDRA_TLS")}

die() {
  echo "cassandra.sh: $*" >&2
  exit 1
}

# The container has the default network, and no TLS.
docker_engine() { [ "$NETWORK$TLS" = 127.0.0 ] && command -v docker >/dev/null && docker info >/dev/null 2>&1; }
docker_ours() { [ -n "$(docker ps -aq --filter "name=^$CONTAINER\$" 2>/dev/null)" ]; }

# docker_run makes our container. An engine that is offline, or whose registry is blocked, has no image for it.
docker_run() {
  local out
  if out=$(docker run -d --name "$CONTAINER" -p 127.0.0.1:9042:9042 -e MAX_HEAP_SIZE=1G -e HEAP_NEWSIZE=256M "cassandra:$VERSION" 2>&1); then
    return
  fi
  docker rm -f "$CONTAINER" >/dev/null 2>&1 || true # if it was made but did not start
  echo "cassandra.sh: Docker cannot run cassandra:$VERSION, Java and Maven are used instead: $(grep -m1 -i error <<<"$out" || head -n 1 <<<"$out")" >&2
  return 1
}

listens() { (exec 3<>"/dev/tcp/$1/9042") 2>/dev/null; }

# pids prints the process ids of our running nodes, or of one: its number.
pids() {
  local file pid
  for file in "$DIR"/node${1:-*}/pid; do
    [ -f "$file" ] || continue
    pid=$(<"$file")
    # Process ids are reused: our process has our directory in its command line.
    if tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "${file%/pid}/cassandra.yaml"; then echo "$pid"; fi
  done
}

fetch() {
  [ -d "$LIB" ] && return
  command -v mvn >/dev/null || die "needs a Docker engine, or Java 17 and Maven: mvn is missing"
  mkdir -p "$(dirname "$LIB")"
  local part
  part=$(mktemp -d "$LIB.part.XXXXXX")
  cat >"$part/pom.xml" <<END
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>twtr</groupId><artifactId>cassandra</artifactId><version>1</version>
<dependencies><dependency><groupId>org.apache.cassandra</groupId><artifactId>cassandra-all</artifactId><version>$VERSION</version></dependency></dependencies>
</project>
END
  echo "fetching Cassandra $VERSION (once)" >&2
  mvn -B -q -f "$part/pom.xml" dependency:copy-dependencies -DoutputDirectory="$part/lib" >"$part/log" 2>&1 ||
    die "Maven could not fetch Cassandra: $(grep -m1 ERROR "$part/log" || tail -n 1 "$part/log")"
  # Renamed when complete, so that an interrupted download, or two at once, leave nothing incomplete.
  mv -T "$part/lib" "$LIB" 2>/dev/null || [ -d "$LIB" ]
  rm -rf "$part"
}

node() { # node NUMBER NODES
  local address=$NETWORK.$1 home=$DIR/node$1 heap=1G delay=0 package
  # Of what is synced periodically, Cassandra's default, a node that is killed loses the last tenth of a second. Where several nodes may
  # be killed at once, a write must be on the disk before it is acknowledged.
  local sync=$'commitlog_sync: periodic\ncommitlog_sync_period: 10000ms'
  [ "$2" -eq 1 ] || heap=512M delay=3000 sync='commitlog_sync: batch'
  mkdir -p "$home"
  cat >"$home/cassandra.yaml" <<END
cluster_name: twtr
num_tokens: 16
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
auto_bootstrap: false
$sync
data_file_directories: [$home/data]
commitlog_directory: $home/commitlog
saved_caches_directory: $home/saved_caches
hints_directory: $home/hints
cdc_raw_directory: $home/cdc_raw
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    # All of them: a node that is no seed ends if it finds none, as when all start again at once.
    parameters: [{seeds: "$(seq -s , -f "$NETWORK.%g:7000" "$2")"}]
listen_address: $address
rpc_address: $address
broadcast_rpc_address: ${TWTR_CASSANDRA_CLIENTS:-$NETWORK}.$1
endpoint_snitch: SimpleSnitch
END
  [ -z "$TLS" ] || cat >>"$home/cassandra.yaml" <<END
client_encryption_options:
  enabled: true
  optional: false
  require_client_auth: true
  ssl_context_factory: {class_name: org.apache.cassandra.security.PEMBasedSslContextFactory}
  keystore: $TLS/keystore.pem
  truststore: $TLS/ca.crt
END
  cat >"$home/logback.xml" <<'END'
<configuration><appender name="OUT" class="ch.qos.logback.core.ConsoleAppender"><encoder>
<pattern>%d{HH:mm:ss.SSS} %-5level %logger{20} - %msg%n</pattern>
</encoder></appender><root level="INFO"><appender-ref ref="OUT"/></root></configuration>
END
  # The same flags as in Cassandra's own conf/jvm17-server.options.
  local flags=()
  for package in java.base/jdk.internal.misc java.base/jdk.internal.ref java.base/sun.nio.ch java.rmi/sun.rmi.registry \
    java.management.rmi/com.sun.jmx.remote.internal.rmi java.rmi/sun.rmi.server java.sql/java.sql jdk.unsupported/sun.misc; do
    flags+=(--add-exports "$package=ALL-UNNAMED")
  done
  for package in java.base/java.io java.base/java.lang java.base/java.lang.module java.base/java.lang.reflect java.base/java.math \
    java.base/java.net java.base/java.nio java.base/java.util java.base/java.util.concurrent java.base/java.util.concurrent.atomic \
    java.base/jdk.internal.loader java.base/jdk.internal.math java.base/jdk.internal.module java.base/jdk.internal.ref \
    java.base/jdk.internal.reflect java.base/jdk.internal.util.jar java.base/sun.nio.ch jdk.management/com.sun.management.internal; do
    flags+=(--add-opens "$package=ALL-UNNAMED")
  done
  # For nodetool. JMX listens on 127.0.0.1 in every network, so only one cluster can have these ports.
  [ "$NETWORK" != 127.0.0 ] || flags+=("-Dcassandra.jmx.local.port=$((7198 + $1))")
  # In its own session, so that a later Ctrl-C in this terminal does not stop it.
  setsid java "-Xms$heap" "-Xmx$heap" -XX:+UseG1GC -Djdk.attach.allowAttachSelf=true "${flags[@]}" \
    "-Dcassandra.config=file://$home/cassandra.yaml" "-Dlogback.configurationFile=$home/logback.xml" "-Dcassandra.storagedir=$home" \
    -Dcassandra.skip_wait_for_gossip_to_settle=0 "-Dcassandra.ring_delay_ms=$delay" \
    "-javaagent:$(echo "$LIB"/jamm-*.jar)" -cp "$LIB/*" org.apache.cassandra.service.CassandraDaemon >"$home/log" 2>&1 </dev/null &
  echo $! >"$home/pid"
}

# ready NUMBER waits until that node takes connections.
ready() {
  local home=$DIR/node$1
  for _ in $(seq 240); do
    listens "$NETWORK.$1" && return
    kill -0 "$(<"$home/pid")" 2>/dev/null || break
    sleep 0.5
  done
  tail -n 5 "$home/log" >&2
  die "node $1 did not start; its log is $home/log"
}

start() {
  local have nodes java i
  have=$(find "$DIR" -maxdepth 1 -name 'node[1-3]' 2>/dev/null | wc -l) || true # none yet
  nodes=${1:-$((have > 0 ? have : 1))}
  case $nodes in 1 | 2 | 3) ;; *) die "1 to 3 nodes, not $nodes" ;; esac
  if [ "$(pids | wc -l)" -ge "$nodes" ]; then
    echo "already running"
    return
  fi
  # Fewer nodes than before would wait for the others, a minute for each change of the schema.
  [ "$have" -eq 0 ] || [ "$have" -eq "$nodes" ] || die "$DIR has data of $have nodes: start $have, or remove the directory"
  if docker_engine && docker_ours; then
    docker start "$CONTAINER" >/dev/null
  elif [ -z "$(pids 1)" ] && listens "$NETWORK.1"; then
    die "$NETWORK.1:9042 is already in use, and not by a Cassandra that this script started"
  elif [ "$have" -eq 0 ] && [ "$nodes" -eq 1 ] && docker_engine && docker_run; then # what has data on Java stays there
    :
  else
    java=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1) || true
    case $java in
    11 | 17) ;;
    '') die "needs a Docker engine, or Java 17 and Maven: java is missing" ;;
    *) die "needs a Docker engine, or Java 17 and Maven: this is Java $java" ;;
    esac
    fetch
    for i in $(seq "$nodes"); do
      [ -n "$(pids "$i")" ] || node "$i" "$nodes"
      [ "$have" -gt 0 ] || ready "$i" # new ones join one after the other
    done
    for i in $(seq "$nodes"); do ready "$i"; done
    echo "Cassandra $VERSION is ready on $NETWORK.1:9042"
    return
  fi
  for _ in $(seq 240); do
    if docker exec "$CONTAINER" cqlsh -e 'SELECT now() FROM system.local' >/dev/null 2>&1; then
      echo "Cassandra $VERSION is ready on 127.0.0.1:9042 (container $CONTAINER)"
      return
    fi
    sleep 0.5
  done
  die "container $CONTAINER did not become ready; see docker logs $CONTAINER"
}

stop() {
  local pid all
  all=$(pids)
  for pid in $all; do kill -TERM "$pid" && kill -CONT "$pid"; done
  for pid in $all; do
    for _ in $(seq 150); do
      kill -0 "$pid" 2>/dev/null || continue 2
      sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
  done
  rm -f "$DIR"/node*/pid
  if docker_engine && docker_ours; then docker stop "$CONTAINER" >/dev/null; fi
}

case ${1:-} in
start) start "${2:-}" ;;
stop) stop ;;
status)
  if [ -n "$(pids)" ]; then
    echo "running: process $(pids | xargs)"
  elif docker_engine && [ -n "$(docker ps -q --filter "name=^$CONTAINER\$")" ]; then
    echo "running: container $CONTAINER"
  else
    echo "not running"
    exit 1
  fi
  ;;
fetch)
  fetch
  echo "$LIB"
  ;;
*)
  sed -n 2,12p "$0"
  exit 2
  ;;
esac
