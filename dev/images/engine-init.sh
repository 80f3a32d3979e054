#!/bin/sh
# The first process of the engine's namespaces: engine-init.sh RELAY ADDRESS COMMAND…, with the DNS relay of dev/binaries.
set -e
# The shims' sockets are here, whatever the configuration says, and a containerd of the machine must not be taken for ours.
mkdir -p /run/containerd
mount -t tmpfs tmpfs /run/containerd
# Without the relay no container would find another by name: the engine ends with it.
{
  "$1" "$2" || true
  sleep 1 # until docker-init, which handles the signal, has replaced this shell
  kill -TERM 1
} &
shift 2
exec docker-init -- "$@"
