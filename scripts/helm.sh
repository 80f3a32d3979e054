#!/usr/bin/env bash
# Installs the chart on the cluster of kubectl's current context, and tests it. Further arguments go to helm: -f FILE, --set K=V.
#   scripts/helm.sh install|upgrade [ARGUMENT…]   returns when every pod is ready
#   scripts/helm.sh debug [ARGUMENT…]             prints what would be installed; needs no cluster
#   scripts/helm.sh purge [ARGUMENT…]             uninstalls it; keeps the data
#   scripts/helm.sh test                          tests the chart itself; needs no cluster
#   RELEASE (twtr), NAMESPACE (twtr-dev)
#   ARGS   more arguments, in one text, as from `make helm-install ARGS='…'`: quotes group words, and a backslash is only itself
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
  for name in $(render "$@" | sed -nE 's/.*(secretKeyRef: \{name|secretName): "([^"]*)".*/\2/p' | sort -u); do
    kubectl -n "$NAMESPACE" get secret "$name" >/dev/null 2>&1 ||
      die "needs the secret $name in namespace $NAMESPACE: see docs/deploy.md"
  done
}

# A helm that was built from source has no default version of Kubernetes and assumes an ancient one.
render() { "$helm" template "$RELEASE" helm -n "$NAMESPACE" --kube-version 1.30.0 "$@"; }

# Splits a text into words.
split() {
  local text=$1 word='' quote='' started='' c i
  words=()
  for ((i = 0; i < ${#text}; i++)); do
    c=${text:i:1}
    if [ -n "$quote" ]; then
      if [ "$c" = "$quote" ]; then quote=''; else word+=$c; fi
    elif [[ $c == [\'\"] ]]; then
      quote=$c started=1
    elif [[ $c != [[:space:]] ]]; then
      word+=$c started=1
    elif [ -n "$started" ]; then
      words+=("$word")
      word='' started=''
    fi
  done
  [ -z "$quote" ] || die "ARGS has an opening $quote without a closing one"
  [ -z "$started" ] || words+=("$word")
}

# Prints why an installation or an upgrade is not ready. The pods of a failed Job are among those that are not ready.
explain() {
  local list pod kubectl=(kubectl -n "$NAMESPACE") release=(-l "app.kubernetes.io/instance=$RELEASE")
  list=$("${kubectl[@]}" get pods,jobs "${release[@]}" --no-headers | grep -vE ' ([1-9][0-9]*)/\1 +Running| Completed | Complete ') || return 0
  {
    echo "helm-$action: not ready in namespace $NAMESPACE:"
    echo "$list"
    # A pod that has no node has no condition Ready.
    for pod in $("${kubectl[@]}" get pods "${release[@]}" -o 'jsonpath={range .items[?(@.status.phase!="Succeeded")]}{.metadata.name}{" "}{.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}' |
      sed -n '/ True$/!s/ .*//p'); do
      echo "== $pod"
      "${kubectl[@]}" get events --field-selector "involvedObject.name=$pod,type=Warning" \
        -o 'jsonpath={range .items[*]}{.reason}: {.message}{"\n"}{end}' | tail -n 1 | cut -c-500 || true
      # A container that has not started has no log.
      "${kubectl[@]}" logs "$pod" --all-containers --prefix --tail 3 2>&1 | grep -v 'is waiting to start' | tail -n 6 || true
    done
    [ "$action" = install ] || echo "to go back: helm -n $NAMESPACE history $RELEASE; helm -n $NAMESPACE rollback $RELEASE REVISION --wait"
  } >&2
}

# Runs helm, and returns when every pod is ready: helm itself waits only until no more are missing than maxUnavailable allows.
deploy() {
  "$helm" "$1" "$RELEASE" helm -n "$NAMESPACE" --wait --timeout 10m "${@:2}" &&
    kubectl -n "$NAMESPACE" rollout status deployment -l "app.kubernetes.io/instance=$RELEASE" --timeout 5m >/dev/null
}

action=${1:-}
[ $# -eq 0 ] || shift
split "${ARGS:-}"
set -- "$@" ${words[@]+"${words[@]}"} # an empty array is an error in older versions of bash
case $action in
install | upgrade | purge) cluster ;;
debug | test) ;;
*)
  sed -n 2,8p "$0" >&2
  exit 2
  ;;
esac
# The installed one, 3 or 4, or the one of tools.sh.
helm=$(command -v helm) || helm=$(scripts/tools.sh helm)

case $action in
install)
  secrets "$@"
  deploy install "$@" || { explain; exit 1; }
  ;;
upgrade)
  # Keeps values that were set before.
  deploy upgrade --reset-then-reuse-values "$@" || { explain; exit 1; }
  ;;
debug) render --debug "$@" ;;
purge)
  "$helm" uninstall "$RELEASE" -n "$NAMESPACE" --wait "$@"
  # Helm leaves the hooks that failed: a migration, a test.
  kubectl -n "$NAMESPACE" delete jobs,pods,networkpolicies -l "app.kubernetes.io/instance=$RELEASE,app.kubernetes.io/managed-by=Helm" --ignore-not-found
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
  PROMETHEUS=$(scripts/tools.sh prometheus)
  export HELM HELM4 KUBECTL_VALIDATE KEDA_CRDS PROMETHEUS_CRDS PROMETHEUS
  GOWORK=off REQUIRE_HELM=1 go test -count=1 ./helm/
  # Each panel of the dashboard, with a real Prometheus; and the chart's processes, started as the manifests say, on a Cassandra and a PostgreSQL that it starts if there is none.
  GOWORK=off TWTR_TEST_CHART=1 go -C dev test -count=1 -run 'TestTheCharts|TestEachPanel' .
  ;;
esac
