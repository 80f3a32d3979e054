#!/usr/bin/env bash
# The whole system as containers on this machine (docker-compose.yml).
#   scripts/compose.sh up     builds the image, starts everything, and returns when all services are healthy
#   scripts/compose.sh down   stops it; keeps the data (docker compose down --volumes removes it, too)
#   scripts/compose.sh logs   follows the logs until Ctrl-C
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
  echo "compose.sh: $*" >&2
  exit 1
}

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

# Adds missing secrets to .env. Existing values stay: the user may have chosen them, and running workflows are sealed with them.
secrets() {
  local line
  for line in "TWTR_AUTH_KEYS=k1:$(random)" "TWTR_SEAL_KEY=$(random)" "POSTGRES_PASSWORD=$(random)"; do
    grep -qs "^${line%%=*}=" .env || (umask 077 && echo "$line" >>.env)
  done
}

case ${1:-} in
up | down | logs) ;;
*)
  sed -n 2,5p "$0"
  exit 2
  ;;
esac
command -v docker >/dev/null || die "needs Docker: docker is missing (make run needs Go only)"
docker info >/dev/null 2>&1 || die "needs a Docker engine: none answers (docker info); make run needs Go only"
docker compose version >/dev/null 2>&1 || die "needs Docker's plug-in compose: docker compose does not work"

case $1 in
up)
  secrets
  docker compose build
  docker compose up --detach
  # Wait only for our long-running services: --wait takes a service that has exited for a failure.
  docker compose config --services | grep -E '^(api|worker-.*)$' | xargs docker compose up --detach --no-deps --wait
  echo "twtr is running: the API at http://localhost:3002, the Temporal Web UI at http://localhost:8233"
  ;;
down) docker compose down ;;
logs) exec docker compose logs --follow ;;
esac
