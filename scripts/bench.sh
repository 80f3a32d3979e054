#!/usr/bin/env bash
# Measures twtr on this machine (docs/performance.md), and writes bench/.
#   STORE=cassandra|sqlite   default: cassandra, if one runs or can be started
#   ONLY=regexp              runs only these benchmarks; writes nothing
set -euo pipefail
cd "$(dirname "$0")/.."
export GOWORK=off

own=''
cleanup() {
  if [ -n "$own" ]; then
    TWTR_CASSANDRA_DIR=$own scripts/cassandra.sh stop >/dev/null 2>&1 || true
    rm -rf "$own"
  fi
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ "${STORE:-cassandra}" = cassandra ] && ! (exec 3<>/dev/tcp/127.0.0.1/9042) 2>/dev/null; then
  own=$(mktemp -d)
  if ! TWTR_CASSANDRA_DIR=$own scripts/cassandra.sh start >&2; then
    [ -z "${STORE:-}" ] || exit 1
    echo "bench.sh: no Cassandra, measuring SQLite" >&2
    STORE=sqlite
  fi
fi
mkdir -p bin
go -C dev build -o ../bin/bench ./bench
if [ -n "${ONLY:-}" ]; then
  bin/bench -store "${STORE:-cassandra}" -only "$ONLY"
else
  bin/bench -store "${STORE:-cassandra}" -out bench
fi
