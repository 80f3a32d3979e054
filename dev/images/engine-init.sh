#!/bin/sh
# The first process of the engine's namespaces: engine-init.sh RELAY ADDRESS COMMAND…, with the DNS relay of dev/binaries.
set -e
# The shims' sockets are here, whatever the configuration says, and a containerd of the machine must not be taken for ours.
mkdir -p /run/containerd
mount -t tmpfs tmpfs /run/containerd
"$1" "$2" &
shift 2
exec docker-init -- "$@"
