#!/usr/bin/env bash
# Installs the chart on the cluster of kubectl's current context, and tests it. Further arguments go to helm: -f FILE, --set K=V.
#   scripts/helm.sh install|upgrade [ARGUMENT…]   returns when every pod is ready
#   scripts/helm.sh debug [ARGUMENT…]             prints what would be installed; needs no cluster
#   scripts/helm.sh purge [ARGUMENT…]             uninstalls it; keeps the data
#   scripts/helm.sh test                          tests the chart itself; needs no cluster
#   RELEASE (twtr), NAMESPACE (twtr-dev)
set -euo pipefail
cd "$(dirname "$0")/.."

RELEASE=${RELEASE:-twtr} NAMESPACE=${NAMESPACE:-twtr-dev}

die() {
  echo "helm-$action: $*" >&2
  exit 1
}

cluster() {
  local context
  command -v kubectl >/dev/null || die "needs kubectl, which is not installed"
  context=$(kubectl config current-context 2>/dev/null) ||
    die "needs a Kubernetes cluster, and kubectl has no current context (kubectl config use-context NAME, or KUBECONFIG=FILE)"
  kubectl get --raw /version --request-timeout 10s >/dev/null 2>&1 ||
    die "needs a Kubernetes cluster, and the cluster of context $context is unavailable"
}

# Fails if a secret is missing: a pod without its secret would never start, and the installation would wait for it.
secrets() {
  local name
  for name in $(render "$@" | sed -nE 's/.*(secretKeyRef: \{name|secretName): ([^,}]*).*/\2/p' | sort -u); do
    kubectl -n "$NAMESPACE" get secret "$name" >/dev/null 2>&1 ||
      die "needs the secret $name in namespace $NAMESPACE: see docs/deploy.md"
  done
}

# A helm that was built from source has no default version of Kubernetes and assumes an ancient one.
render() { "$helm" template "$RELEASE" helm -n "$NAMESPACE" --kube-version 1.30.0 "$@"; }

action=${1:-}
[ $# -eq 0 ] || shift
case $action in
install | upgrade | purge) cluster ;;
debug | test) ;;
*)
  sed -n 2,7p "$0" >&2
  exit 2
  ;;
esac
# The installed one, 3 or 4, or the one of tools.sh.
helm=$(command -v helm) || helm=$(scripts/tools.sh helm)

case $action in
install)
  secrets "$@"
  "$helm" install "$RELEASE" helm -n "$NAMESPACE" --wait --timeout 10m "$@"
  ;;
upgrade)
  # Keeps values that were set before.
  "$helm" upgrade "$RELEASE" helm -n "$NAMESPACE" --wait --timeout 10m --reset-then-reuse-values "$@"
  ;;
debug) render --debug "$@" ;;
purge)
  "$helm" uninstall "$RELEASE" -n "$NAMESPACE" --wait "$@"
  echo "The volumes of the chart's own Cassandra are kept. To delete them and all data:"
  echo "  kubectl -n $NAMESPACE delete pvc -l app.kubernetes.io/instance=$RELEASE"
  ;;
test)
  # One per line: of several in one command only the last one's failure would be noticed.
  HELM=$(scripts/tools.sh helm)
  HELM4=$(scripts/tools.sh helm4)
  KUBECTL_VALIDATE=$(scripts/tools.sh kubectl-validate)
  KEDA_CRDS=$(scripts/tools.sh keda-crds)
  PROMETHEUS_CRDS=$(scripts/tools.sh prometheus-crds)
  export HELM HELM4 KUBECTL_VALIDATE KEDA_CRDS PROMETHEUS_CRDS
  GOWORK=off REQUIRE_HELM=1 go test -count=1 ./helm/
  # The chart's processes, started as the manifests say, on a Cassandra and a PostgreSQL that it starts if there is none.
  GOWORK=off TWTR_TEST_CHART=1 go -C dev test -count=1 -run TestTheCharts .
  ;;
esac
