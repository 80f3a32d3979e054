#!/usr/bin/env bash
# A PostgreSQL for a test, on 127.0.0.1, with temporary data.
#   scripts/postgres.sh start PORT   returns when it is ready, and prints its directory; its user temporal needs no password
#   scripts/postgres.sh stop DIR     also removes the directory. It stops by itself soon after the process that started it has ended
# If PostgreSQL is not installed and this runs as root, it installs Debian's.
set -euo pipefail

die() {
  echo "postgres.sh: $*" >&2
  exit 1
}

case "${1:-} $#" in
'start 2' | 'stop 2') ;;
*)
  sed -n 2,5p "$0"
  exit 2
  ;;
esac

# The newest of Debian's versions, which are not in the PATH, or the one in the PATH.
bin() {
  local dirs
  dirs=$(find /usr/lib/postgresql -mindepth 3 -maxdepth 3 -name initdb 2>/dev/null | sort -V)
  if [ -n "$dirs" ]; then
    dirname "$(tail -n 1 <<<"$dirs")"
  elif command -v initdb >/dev/null; then
    dirname "$(command -v initdb)"
  fi
}

install() {
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    die "needs PostgreSQL: initdb is missing (on Debian: apt-get install postgresql)"
  fi
  echo "installing PostgreSQL (once)" >&2
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >&2
  apt-get install -qq -y --no-install-recommends postgresql-common >&2
  # Otherwise the package would start a cluster on the default port.
  sed -i 's/^#\?create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
  apt-get install -qq -y --no-install-recommends postgresql >&2
}

[ -n "$(bin)" ] || install
bin=$(bin)
# PostgreSQL refuses to run as root.
as=()
if [ "$(id -u)" = 0 ]; then as=(runuser -u postgres --); fi
self=$(realpath "$0")
cd / # which its user can access

case $1 in
start)
  # Its user creates the directory: it may not have access to one of root's in a test's directory.
  data=$("${as[@]}" mktemp -d /tmp/twtr-postgres.XXXXXX)
  "${as[@]}" "$bin/initdb" --pgdata "$data" --username temporal --auth trust --encoding UTF8 --locale C >/dev/null
  "${as[@]}" "$bin/pg_ctl" --pgdata "$data" --log "$data/log" --wait --silent \
    --options "-h 127.0.0.1 -p $2 -c unix_socket_directories= -c fsync=off" start >/dev/null ||
    die "PostgreSQL does not start: $("${as[@]}" tail -n 3 "$data/log" | xargs)"
  # shellcheck disable=SC2016 # its own variables
  setsid bash -c 'while [ -e "$1/postmaster.pid" ]; do kill -0 "$2" || exec "$3" stop "$1"; sleep 1; done' \
    - "$data" "$PPID" "$self" </dev/null >/dev/null 2>&1 &
  echo "$data"
  ;;
stop)
  "${as[@]}" "$bin/pg_ctl" --pgdata "$2" --mode fast --wait --silent stop
  rm -rf "$2"
  ;;
esac
