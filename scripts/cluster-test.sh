#!/usr/bin/env bash
# Checks twtr on a real Kubernetes cluster: see dev/clustertest. It makes a cluster of one node on this machine, builds the image and
# what can't be pulled, and ends all of it. Needs Linux, root, Debian's apt, and Go, and 30 GB of disk; the first run takes about 35
# minutes.
#   CLUSTER=existing   the cluster of kubectl's current context, as an administrator, which has an ingress controller of class traefik, and
#                      Temporal in namespace temporal (docs/deploy.md); its namespace twtr-dev must not exist
#   ADDRESS            with it: host or IP of the ingress controller; default: that of Service traefik in namespace traefik
#   IMAGE, UPGRADE     with it: two images that the cluster can pull, or has (twtr:v1, twtr:v2)
#   ONLY=regexp        only the checks whose names match
#   KEEP=1             leave the cluster running
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
  echo "cluster-test.sh: $*" >&2
  exit 1
}

run() { GOWORK=off go -C dev run ./clustertest -only "${ONLY:-}" "$@"; }

if [ "${CLUSTER:-}" = existing ]; then
  kubectl get --raw /version >/dev/null || die "the cluster of kubectl's current context is unavailable"
  address=${ADDRESS:-$(kubectl -n traefik get service traefik -o jsonpath='{.status.loadBalancer.ingress[0].ip}{.status.loadBalancer.ingress[0].hostname}')}
  [ -n "$address" ] || die "set ADDRESS: Service traefik in namespace traefik has no address"
  run -address "$address" -image "${IMAGE:-twtr:v1}" -upgrade "${UPGRADE:-twtr:v2}"
  exit
fi
[ -z "${CLUSTER:-}" ] || die "CLUSTER is $CLUSTER; it can be existing"

started=$SECONDS
say() { printf '%8d s  %s\n' $((SECONDS - started)) "$*"; }

cleanup() {
  local status=$?
  trap '' HUP INT TERM
  if [ -z "${KEEP:-}" ]; then
    scripts/cluster.sh down || status=1
    scripts/engine.sh stop || status=1
  fi
  exit "$status"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

scripts/engine.sh start
eval "$(scripts/engine.sh env)"
say "a Docker engine runs"
images=(cassandra nats postgres temporal-server temporal-admin-tools temporal-ui)
archives=$(scripts/images.sh --save "${images[@]}")
say "images that the chart needs"
scripts/images.sh golang distroless
eval "$(scripts/images.sh env)"
for version in v1 v2; do TAG=$version scripts/docker-build-push.sh build; done
archive=$(mktemp -d)/twtr.tar
docker save twtr:v1 twtr:v2 -o "$archive"
say "the image of this version, twice"
scripts/cluster.sh up
eval "$(scripts/cluster.sh env)"
say "a Kubernetes node runs"
mapfile -t archives <<<"$archives"
scripts/cluster.sh load "${archives[@]}" "$archive"
rm -r "$(dirname "$archive")"
say "images imported"
run -address "$CLUSTER_ADDRESS" -temporal dev/cluster/temporal.yaml
