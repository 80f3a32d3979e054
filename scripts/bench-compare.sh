#!/usr/bin/env bash
# Measures this working tree against another commit on this machine, in turns, and prints a table of ratios.
#   BASE=commit   what to compare with (HEAD)
#   ROUNDS=n      rounds (3); all take about 2 minutes each
#   ONLY=regexp   only these: rested, burst, feeds, deliveries, follows
# Needs a Cassandra at 127.0.0.1:9042; starts one for the time of the run if there is none.
set -euo pipefail
cd "$(dirname "$0")/.."
export GOWORK=off

base=$(git rev-parse --verify --quiet "${BASE:-HEAD}^{commit}") || {
  echo "bench-compare.sh: there is no commit ${BASE:-HEAD}" >&2
  exit 1
}
dir=$(mktemp -d)
cleanup() {
  if [ -d "$dir/cassandra" ]; then TWTR_CASSANDRA_DIR=$dir/cassandra scripts/cassandra.sh stop >/dev/null 2>&1 || true; fi
  rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir "$dir/base"
git archive "$base" | tar -x -C "$dir/base"
echo "building $base, this tree, and what measures them" >&2
go -C "$dir/base/dev" build -o "$dir/dev-base" .
go -C dev build -o "$dir/dev-new" .
go -C dev build -o "$dir/compare" ./bench/compare
if ! (exec 3<>/dev/tcp/127.0.0.1/9042) 2>/dev/null; then
  TWTR_CASSANDRA_DIR=$dir/cassandra scripts/cassandra.sh start >&2
fi
"$dir/compare" -base "$dir/dev-base" -new "$dir/dev-new" -rounds "${ROUNDS:-3}" -only "${ONLY:-}"
