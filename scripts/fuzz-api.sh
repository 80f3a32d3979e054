#!/usr/bin/env bash
# Tests with schemathesis whether the API conforms to its OpenAPI description: starts all of twtr in a temporary directory and
# calls it as new users.
#   EXAMPLES=500   examples per operation
set -euo pipefail
cd "$(dirname "$0")/.."

version=4.32.5
venv=${XDG_CACHE_HOME:-$HOME/.cache}/twtr/tools/schemathesis-$version
if [ ! -x "$venv/bin/schemathesis" ]; then
  echo "installing schemathesis $version (once)" >&2
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet "schemathesis==$version" >&2 || { rm -rf "$venv"; exit 1; }
fi

go build -o bin/dev ./dev
dev=$PWD/bin/dev
dir=$(mktemp -d)
cd "$dir"
"$dev" --http-addr 127.0.0.1:3902 --temporal-addr 127.0.0.1:7903 --temporal-ui-addr 127.0.0.1:8903 --nats-addr '' --ops-addr '' >out 2>&1 &
pid=$!
cleanup() {
  kill "$pid" 2>/dev/null && wait "$pid" || true
  rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
for _ in $(seq 300); do
  grep -q 'twtr is running' out && break
  kill -0 "$pid" 2>/dev/null || { cat out >&2; exit 1; }
  sleep 0.2
done

# All checks but those that report as failures what a schema can't express: which cursors are valid, that a repeated
# Idempotency-Key returns its tweet even if that is deleted by now, and that the parameters of a page are nothing to one tweet.
cat >schemathesis.toml <<'END'
[checks]
positive_data_acceptance.enabled = false
ensure_resource_availability.enabled = false

[[operations]]
include-operation-id = "readTweetOrList"
checks.negative_data_rejection.enabled = false
END

# fuzz USER OPTION... calls the API as a new user. One worker: with more, Python 3.11 now and then fails to parse what schemathesis
# generates.
fuzz() {
  local token
  token=$(curl -sS http://127.0.0.1:3902/users -H 'Content-Type: application/json' -d '{"username":"'"$1"'","password":"correct horse",
    "passwordConfirmation":"correct horse","email":"fuzz@example.com","displayName":"Fuzz"}' | sed 's/.*"accessToken":"\([^"]*\)".*/\1/')
  shift
  "$venv/bin/schemathesis" run http://127.0.0.1:3902/openapi.yaml --header "Authorization: Bearer $token" \
    --max-examples "${EXAMPLES:-500}" --workers 1 --continue-on-failure --mode all "$@"
}
# Those that end the session have users of their own: without it the other calls would only be refused.
fuzz fuzz1 --exclude-operation-id endSession --exclude-operation-id deleteMe
fuzz fuzz2 --include-operation-id listSessions --include-operation-id endSession
fuzz fuzz3 --include-operation-id deleteMe --phases coverage,fuzzing
