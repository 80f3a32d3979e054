#!/usr/bin/env bash
# Tests docker-compose.yml on a Docker engine: `make up`, the README's calls, each container restarted and killed under load, `make down`
# and `make up` again. It takes the engine that docker finds, or starts one (scripts/engine.sh); images that cannot be pulled get
# stand-ins (scripts/images.sh). It uses a copy of this directory and a project of its own, twtr-test, so the data and the secrets of
# `make up` stay as they are; but the ports are the same, so `make down` must come first. At the end, whatever it is, it removes
# what it made, except images. It needs Go, curl and git, and what these scripts need.
#   ONLY   a regular expression: only the checks whose names it matches ("make up|crash"); default: all
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
  echo "compose-test.sh: $*" >&2
  exit 1
}

export COMPOSE_PROJECT_NAME=twtr-test
# Those of a user's own deployment must not count.
unset TWTR_AUTH_KEYS TWTR_SEAL_KEY POSTGRES_PASSWORD COMPOSE_FILE COMPOSE_PROFILES COMPOSE_ENV_FILES
started=
work=$(mktemp -d)

finish() {
  trap '' INT TERM # a second Ctrl-C does not interrupt it
  if [ -f "$work/twtr/.env" ]; then
    docker compose --project-directory "$work/twtr" down --volumes --remove-orphans --timeout 5 >"$work/down" 2>&1 || cat "$work/down" >&2
  fi
  rm -rf "$work"
  [ -z "$started" ] || scripts/engine.sh stop
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

for port in 3002 7233 8233; do
  ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || die "port $port is in use: stop what uses it (make down, Ctrl-C in make run)"
done
[ -n "$(scripts/engine.sh env)" ] || started=1
scripts/engine.sh start
environment=$(scripts/engine.sh env)
if [ -n "$environment" ]; then
  eval "$environment"
  # Bake, with which compose builds by default, would ask for permission to use this machine's network.
  export COMPOSE_BAKE=false
else
  started=
fi
[ -z "$(docker volume ls --quiet --filter label=com.docker.compose.project=$COMPOSE_PROJECT_NAME)" ] ||
  die "a run is active, or was killed: docker compose --project-name $COMPOSE_PROJECT_NAME down --volumes removes what it left"
scripts/images.sh golang distroless cassandra nats postgres temporal-server temporal-admin-tools temporal-ui
environment=$(scripts/images.sh env)
eval "$environment"
GOPROXY=$(go env GOPROXY)
export GOPROXY

mkdir "$work/twtr"
git ls-files -z --cached --others --exclude-standard | tar --null --files-from - --ignore-failed-read -cf - | tar -C "$work/twtr" -xf -
GOWORK=off go -C dev build -o "$work/composetest" ./composetest
"$work/composetest" -project "$work/twtr" -only "${ONLY:-}"
