#!/usr/bin/env bash
# Runs every test: units and the SQLite store, then the Cassandra store against a real Cassandra, then the whole end to
# end. The last line says what was tested and what was not.
#   TWTR_TEST_CASSANDRA=host,…  the Cassandra to use; else one that answers on 127.0.0.1, else one started for this run
#   REQUIRE_CASSANDRA=1         no Cassandra is a failure
set -euo pipefail
cd "$(dirname "$0")/.."

# Each module with the versions of its own go.mod, which are the ones that ship, and not with the workspace's.
export GOWORK=off

failed=() untested=() child='' own=''

# A group of its own for each step: a signal to `go test` alone would leave its test binaries behind.
run() {
  set -m
  "$@" </dev/null &
  child=$!
  set +m
  local status=0
  wait "$child" || status=$?
  child=''
  return "$status"
}

# shellcheck disable=SC2329 # called by the trap
cleanup() {
  local status=$?
  trap '' HUP INT TERM
  if [ -n "$child" ] && kill -TERM -- "-$child" 2>/dev/null; then
    for _ in $(seq 50); do
      kill -0 -- "-$child" 2>/dev/null || break
      sleep 0.1
    done
    kill -KILL -- "-$child" 2>/dev/null || true
  fi
  if [ -n "$own" ]; then
    scripts/cassandra.sh stop >/dev/null 2>&1 || true
    rm -rf "$own"
  fi
  exit "$status"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

step() {
  local name=$1
  shift
  echo "== $name: $*"
  run "$@" || failed+=("$name")
}

# Something that answers an OPTIONS frame with a frame of the same protocol, 0x84 for version 4: not just an open port.
answers_cql() (
  LC_ALL=C
  exec 3<>"/dev/tcp/$1/9042" || exit 1
  printf '\x04\0\0\0\x05\0\0\0\0' >&3
  read -r -t 5 -n 1 -u 3 first && [ "$first" = $'\x84' ]
) 2>/dev/null

find_cassandra() {
  if [ -n "${TWTR_TEST_CASSANDRA:-}" ]; then
    echo "== Cassandra: $TWTR_TEST_CASSANDRA, as TWTR_TEST_CASSANDRA says"
  elif answers_cql 127.0.0.1; then
    echo "== Cassandra: the one that runs on 127.0.0.1"
    export TWTR_TEST_CASSANDRA=127.0.0.1
  else
    echo "== Cassandra: scripts/cassandra.sh start"
    own=$(mktemp -d)
    # Exported for good: a test that pauses the node does so by the same script.
    export TWTR_CASSANDRA_DIR=$own
    if run scripts/cassandra.sh start >"$own/start.log" 2>&1; then
      export TWTR_TEST_CASSANDRA=127.0.0.1
    else
      cat "$own/start.log"
      return 1
    fi
  fi
}

race=-race
if ! command -v "$(go env CC)" >/dev/null; then # which the race detector needs
  race=''
  untested+=("data races (no C compiler)")
fi

# Without what makes the Cassandra store's tests run: their turn is next, and uncached.
step "unit tests and SQLite" env -u TWTR_TEST_CASSANDRA -u REQUIRE_CASSANDRA go test ${race:+"$race"} ./...

if find_cassandra; then
  step "the Cassandra store" go test ${race:+"$race"} -count=1 ./store/cassandra/...
else
  reason="no Docker engine, and no Java 17 with Maven"
  [ ! -s "$own/start.log" ] || reason=$(tail -n 1 "$own/start.log")
  untested+=("the Cassandra store ($reason)")
  [ -z "${REQUIRE_CASSANDRA:-}" ] || failed+=("no Cassandra, and REQUIRE_CASSANDRA is set")
fi

step "end to end" go -C dev test -count=1 -timeout 20m ./...

join() {
  local IFS=';'
  echo "${*/#/ }"
}
if [ ${#failed[@]} -gt 0 ]; then
  [ ${#untested[@]} -eq 0 ] || echo "NOT TESTED:$(join "${untested[@]}")"
  echo "FAILED:$(join "${failed[@]}")"
  exit 1
elif [ ${#untested[@]} -gt 0 ]; then
  echo "The rest passed. NOT TESTED:$(join "${untested[@]}")"
else
  echo "Everything was tested and passed: unit tests, both stores, end to end."
fi
