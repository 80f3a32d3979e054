#!/usr/bin/env bash
# Tests with schemathesis whether the API conforms to its OpenAPI description: starts all of twtr in a temporary directory and
# calls it as a new user.
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
"$dev" --http-addr 127.0.0.1:3902 --temporal-addr 127.0.0.1:7903 --temporal-ui-addr 127.0.0.1:8903 >out 2>&1 &
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

token=$(curl -sS http://127.0.0.1:3902/users -H 'Content-Type: application/json' -d '{"username":"fuzz","password":"correct horse",
  "passwordConfirmation":"correct horse","email":"fuzz@example.com","displayName":"Fuzz"}' | sed 's/.*"accessToken":"\([^"]*\)".*/\1/')
# Only these checks: the others report as failures what a schema can't express, such as which cursors are valid.
"$venv/bin/schemathesis" run http://127.0.0.1:3902/openapi.yaml --header "Authorization: Bearer $token" \
  --max-examples "${EXAMPLES:-500}" --workers 2 --continue-on-failure \
  --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance
