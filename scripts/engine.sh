#!/usr/bin/env bash
# A Docker engine with buildx and compose, for `make compose-test` and for the images of `make cluster-test`: the engine that docker
# finds, or else one of our own, of Debian's packages and Go modules. Nothing is installed. It has a socket, a bridge and a data
# directory (in the cache) of its own, and changes no iptables and no sysctl. It needs Linux, root, apt and Go.
#   scripts/engine.sh start   returns when it answers
#   scripts/engine.sh stop    ends it, with its containers, volumes and networks; keeps its images
#   scripts/engine.sh env     prints shell commands that set DOCKER_HOST, DOCKER_CONFIG, PATH and NETWORK: eval "$(scripts/engine.sh env)"
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${XDG_CACHE_HOME:-$HOME/.cache}/twtr/cluster
state=/var/tmp/twtr-engine
bridge=twtr-engine0
packages=(docker.io containerd runc iptables tini)

die() {
  echo "engine.sh: $*" >&2
  exit 1
}

# usable tells if docker finds an engine that has what we need.
usable() { docker info && docker buildx version && docker compose version; } >/dev/null 2>&1
running() { [ -s "$state/pid" ] && grep -qs docker-init "/proc/$(cat "$state/pid")/comm"; }
ours() { DOCKER_HOST=unix://$state/docker.sock DOCKER_CONFIG=$state/config "$state/bin/docker" "$@"; }

debs() {
  local key
  key=$(cat /etc/debian_version)-${packages[*]}
  [ "$(cat "$cache/engine.key" 2>/dev/null)" != "$key" ] || [ ! -x "$cache/debs/usr/sbin/dockerd" ] || return 0
  echo "unpacking Debian's Docker (once)" >&2
  scripts/debs.sh "$cache/debs" "${packages[@]}" || die "apt cannot download ${packages[*]}"
  ln -sf xtables-nft-multi "$cache/debs/usr/sbin/iptables"
  echo "$key" >"$cache/engine.key"
}

# plugin NAME MODULE PACKAGE prints the path of a plugin of docker.
plugin() {
  local version
  version=$(GOWORK=off go -C "dev/binaries/$1" list -m -f '{{.Version}}' "$2")
  scripts/binary.sh "$1" "docker-$1" "$2/$3" "-X $2/$4=$version"
}

start() {
  local compose buildx relay lib
  if running; then
    echo "already running"
    return
  fi
  if usable; then
    echo "the engine that docker finds is used"
    return
  fi
  [ "$(uname -s) $(id -u)" = "Linux 0" ] || die "docker finds no engine with buildx and compose; only root on Linux can start one"
  command -v apt-get >/dev/null || die "docker finds no engine with buildx and compose; install them (Debian's cannot be used: apt-get is missing)"
  debs
  compose=$(plugin compose github.com/docker/compose/v2 cmd internal.Version)
  buildx=$(plugin buildx github.com/docker/buildx cmd/buildx version.Version)
  relay=$(scripts/binary.sh dnsrelay dnsrelay .)
  clean
  trap clean EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  mkdir -p "$state/bin" "$state/config/cli-plugins" "$cache/engine"
  ln -s "$cache/debs/usr/bin/docker" "$state/bin/docker"
  ln -s "$compose" "$state/config/cli-plugins/docker-compose"
  ln -s "$buildx" "$state/config/cli-plugins/docker-buildx"
  echo '{}' >"$state/daemon.json" # not the machine's
  ip link add "$bridge" type bridge
  ip addr add 10.201.0.1/24 dev "$bridge"
  ip link set "$bridge" up
  # In its own mount and process namespaces, which end with it, whatever it mounted or started. Ports are published by docker's
  # proxies instead of iptables, so containers reach each other and the host but no other network. In its own session, so that a
  # Ctrl-C in this terminal does not stop it. iptables is for the containers' DNS, in their own network namespaces.
  # It asks a relay, since containers do not reach the machine's name server.
  lib=$(echo "$cache"/debs/usr/lib/*-linux-gnu)
  PATH=$cache/debs/usr/bin:$cache/debs/usr/sbin:$PATH LD_LIBRARY_PATH=$lib XTABLES_LIBDIR=$lib/xtables \
    setsid unshare --mount --pid --fork --kill-child --mount-proc dev/images/engine-init.sh "$relay" 10.201.0.1:53 \
    dockerd --dns 10.201.0.1 --host "unix://$state/docker.sock" --data-root "$cache/engine" --exec-root "$state/exec" --pidfile "$state/dockerd.pid" \
    --config-file "$state/daemon.json" --bridge "$bridge" --fixed-cidr 10.201.0.0/24 --default-address-pool base=10.201.128.0/17,size=24 \
    --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false --cgroup-parent /twtr-engine \
    >"$state/log" 2>&1 </dev/null &
  local parent=$!
  for _ in $(seq 300); do
    pgrep -P "$parent" >"$state/pid" || true
    if running && ours info >/dev/null 2>&1; then
      trap - EXIT INT TERM
      echo "the engine answers on $state/docker.sock"
      return
    fi
    kill -0 "$parent" 2>/dev/null || break
    sleep 0.1
  done
  tail -n 5 "$state/log" >&2
  die "the engine does not start"
}

stop() {
  if running; then
    # shellcheck disable=SC2046 # one word per container
    ours rm --force --volumes $(ours ps --all --quiet) >/dev/null 2>&1 || true
    ours network prune --force >/dev/null
    ours volume prune --force >/dev/null
    ours image prune --force >/dev/null # which got another
  fi
  clean
}

# clean ends what runs, and removes what is left of it.
clean() {
  local pid
  if running; then
    pid=$(cat "$state/pid")
    kill -TERM "$pid"
    for _ in $(seq 300); do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
  fi
  ip link delete "$bridge" 2>/dev/null || true
  rmdir /run/containerd 2>/dev/null || true
  # Of containers and of builds. A cgroup that is in use stays.
  find /sys/fs/cgroup -depth -type d \( -path '*/twtr-engine*' -o -path '*/docker*' \) -exec rmdir {} + 2>/dev/null || true
  rm -rf "$state"
}

case ${1:-} in
start | stop) "$1" ;;
env)
  if running; then
    echo "export DOCKER_HOST=unix://$state/docker.sock DOCKER_CONFIG=$state/config PATH=$state/bin:\$PATH"
    echo "export NETWORK=host" # for scripts/docker-build-push.sh: this engine's containers reach no other network
  fi
  ;;
*)
  sed -n 2,7p "$0" >&2
  exit 2
  ;;
esac
