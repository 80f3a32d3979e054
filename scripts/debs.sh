#!/usr/bin/env bash
# Downloads Debian's packages, with those that they depend on and that are not installed, and unpacks them into a directory without
# installing them.
#   scripts/debs.sh DIRECTORY PACKAGE…
set -euo pipefail

[ $# -ge 2 ] || {
  sed -n 2,4p "$0" >&2
  exit 2
}
directory=$1
shift
archives=$(mktemp -d)
trap 'rm -rf "$archives"' EXIT
chmod 0755 "$archives"
mkdir -p "$directory" "$archives/partial"
# An installed package is downloaded, too: whether it is there must not depend on the machine.
apt-get update -qq
apt-get install -qq -y --no-install-recommends --download-only --reinstall -o "Dir::Cache::archives=$archives" -o APT::Sandbox::User=root "$@" >/dev/null
for package in "$archives"/*.deb; do dpkg -x "$package" "$directory"; done
