#!/bin/sh
# The address that other containers reach, which the server must tell its peers when it listens on all addresses.
set -eu
address=$(hostname -i | cut -d ' ' -f 1)
export BIND_ON_IP="${BIND_ON_IP:-$address}"
if [ "$BIND_ON_IP" = 0.0.0.0 ]; then
  export TEMPORAL_BROADCAST_ADDRESS="${TEMPORAL_BROADCAST_ADDRESS:-$address}"
fi
exec temporal-server start
