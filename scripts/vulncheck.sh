#!/usr/bin/env bash
# Checks the program that ships for known vulnerabilities that its code can reach, with govulncheck and the newest of Go's
# vulnerability database. A finding in a dependency fails. One in Go's standard library is fixed by another Go: it is printed.
#   REQUIRE_VULNDB=1     fails without a database; default: says that this was not checked
#   REQUIRE_FIXED_GO=1   fails if this Go has such vulnerabilities
set -euo pipefail
cd "$(dirname "$0")/.."
export GOWORK=off

# The database that vuln.go.dev serves is made from a Go module, which is to be had wherever modules are. Outside our module, so
# that its go.sum does not change. Without a connection, the newest one that was fetched before.
module=golang.org/x/vulndb
directory=$(cd / && GOFLAGS='' go mod download -json "$module@latest" 2>/dev/null | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p') || true
if [ -z "$directory" ]; then
  directory=$(find "$(go env GOMODCACHE)/${module%/*}" -maxdepth 1 -name "${module##*/}@*" 2>/dev/null | sort | tail -n 1) || true
fi
if [ -z "$directory" ]; then
  echo "NOT CHECKED: known vulnerabilities (the vulnerability database, module $module, is unavailable)" >&2
  [ -z "${REQUIRE_VULNDB:-}" ]
  exit
fi
echo "vulnerability database: $(basename "$directory")"

govulncheck=$(scripts/tools.sh govulncheck)
status=0
report=$("$govulncheck" -db "file://$directory/data/osv" ./...) || status=$?
# Status 3: there are findings. The last sentence says where.
if [ "$status" -eq 3 ] && grep -q '^Your code is affected by [0-9]* vulnerabilit[a-z]* from the Go standard library\.$' <<<"$report"; then
  echo "$(go env GOVERSION) has known vulnerabilities that this program can reach. Another Go fixes them: see go.mod and Dockerfile."
  sed -n 's/^Vulnerability #[0-9]*: //p; s/^    Fixed in: /  fixed in /p' <<<"$report" | paste -d ' ' - -
  [ -z "${REQUIRE_FIXED_GO:-}" ]
  exit
fi
tail -n 200 <<<"$report" # hundreds of lines of a finding are its traces
exit "$status"
