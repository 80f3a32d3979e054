#!/usr/bin/env bash
# Prints the path of a program that `make cluster-test` or `make compose-test` uses, and builds it if it is missing or its module in
# dev/binaries has changed. The modules pin all versions.
#   scripts/binary.sh MODULE PROGRAM PACKAGE [LDFLAGS]
set -euo pipefail
cd "$(dirname "$0")/../dev/binaries"

[ $# -ge 3 ] || {
  sed -n 2,4p "$0" >&2
  exit 2
}
export GOWORK=off GOFLAGS='' CGO_ENABLED=0
cache=${XDG_CACHE_HOME:-$HOME/.cache}/twtr/binaries
program=$cache/$2
key="$(cat "$1"/* | sha256sum | cut -c1-64) $(go env GOVERSION) ${4:-}"
if [ ! -x "$program" ] || [ "$(cat "$program.key" 2>/dev/null)" != "$key" ]; then
  echo "building $2 (once)" >&2
  mkdir -p "$cache"
  part=$(mktemp "$cache/.part.XXXXXX")
  trap 'rm -f "$part"' EXIT
  go -C "$1" build -trimpath -ldflags "-s -w ${4:-}" -o "$part" "$3"
  chmod 0755 "$part"
  mv "$part" "$program"
  echo "$key" >"$program.key"
fi
echo "$program"
