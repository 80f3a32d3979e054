#!/bin/bash
# Writes the settings in the environment to the configuration, as the real image's entry point does.
set -euo pipefail
[ $# -gt 0 ] && [ "${1:0:1}" != - ] || set -- cassandra -f "$@"
[ "$1" = cassandra ] || exec "$@"

if [ "$(id -u)" = 0 ]; then
  chown -R cassandra:cassandra /var/lib/cassandra /var/log/cassandra "$CASSANDRA_CONF"
  exec setpriv --reuid cassandra --regid cassandra --clear-groups "$0" "$@"
fi

address=$(hostname -i | cut -d ' ' -f 1)
: "${CASSANDRA_RPC_ADDRESS:=0.0.0.0}" "${CASSANDRA_LISTEN_ADDRESS:=auto}"
[ "$CASSANDRA_LISTEN_ADDRESS" != auto ] || CASSANDRA_LISTEN_ADDRESS=$address
: "${CASSANDRA_BROADCAST_ADDRESS:=$CASSANDRA_LISTEN_ADDRESS}"
[ "$CASSANDRA_BROADCAST_ADDRESS" != auto ] || CASSANDRA_BROADCAST_ADDRESS=$address
: "${CASSANDRA_BROADCAST_RPC_ADDRESS:=$CASSANDRA_BROADCAST_ADDRESS}" "${CASSANDRA_SEEDS:=$CASSANDRA_BROADCAST_ADDRESS}"

# edit FILE EXPRESSION. Not in place, which needs a writable directory.
edit() {
  local text
  text=$(sed -E "$2" "$1")
  echo "$text" >"$1"
}

edit "$CASSANDRA_CONF/cassandra.yaml" "s/(- seeds:).*/\1 \"$CASSANDRA_SEEDS\"/"
for setting in broadcast_address broadcast_rpc_address cluster_name endpoint_snitch listen_address num_tokens rpc_address; do
  variable=CASSANDRA_${setting^^}
  [ -z "${!variable:-}" ] || edit "$CASSANDRA_CONF/cassandra.yaml" "s/^(# )?($setting:).*/\2 ${!variable}/"
done
for setting in dc rack; do
  variable=CASSANDRA_${setting^^}
  [ -z "${!variable:-}" ] || edit "$CASSANDRA_CONF/cassandra-rackdc.properties" "s/^($setting *=).*/\1 ${!variable}/"
done
exec "$@"
