#!/usr/bin/env bash
# Records twtr top while tweets are delivered: docs/top.svg. It starts everything in a directory of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
export GOWORK=off
dir=$(mktemp -d)
api=127.0.0.1:3992
export TEMPORAL_ADDRESS=127.0.0.1:7992
cleanup() {
  [ -z "${pid:-}" ] || { kill "$pid" && wait "$pid"; } || true
  rm -rf "$dir"
}
trap cleanup EXIT

go build -o "$dir/twtr" ./cmd/twtr
go -C dev build -o "$dir/dev" .
go -C dev build -o "$dir/recording" ./recording
out=$PWD/docs/top.svg
cd "$dir"
./dev --http-addr $api --temporal-addr $TEMPORAL_ADDRESS --temporal-ui-addr 127.0.0.1:8992 --nats-addr '' --feed-rows-per-second 12000 >dev.out 2>&1 &
pid=$!
./twtr healthcheck $api --timeout 1m || { cat dev.out >&2; exit 1; }

sign_up() { # name
  curl -sf --retry 5 $api/users -d '{"username":"'"$1"'","password":"correct horse","passwordConfirmation":"correct horse","email":"'"$1"'@example.com","displayName":"'"$1"'"}' |
    sed 's/.*"accessToken":"\([^"]*\)".*/\1/'
}
tweet() { # token
  curl -sf --retry 5 $api/tweets -H "Authorization: Bearer $1" -d '{"content":"hello"}' >/dev/null
}
ann=$(sign_up ann) bob=$(sign_up bob) eve=$(sign_up eve) joe=$(sign_up joe)
./twtr generate --followers 100000 --of ann
./twtr generate --followers 40000 --of bob
./twtr generate --followers 20000 --of eve
./twtr generate --followers 200 --of joe
tweet "$bob"
tweet "$ann"
tweet "$eve"
for _ in $(seq 40); do tweet "$joe" || true; sleep 0.4; done &
tweets=$!
./recording -out "$out" -frames 16 ./twtr top --interval 1s
wait $tweets || true
ls -l "$out"
