#!/usr/bin/env bash
# Prepares the cluster of kubectl's current context, once, as an administrator: a namespace, and in it an account that may
# install the chart there and has no rights elsewhere. Running it again changes nothing.
#   scripts/setup-k8s.sh              applies the manifests and prints how to use the account
#   scripts/setup-k8s.sh --dry-run    prints the manifests instead; needs no cluster
#   NAMESPACE (twtr-dev)
set -euo pipefail

NAMESPACE=${NAMESPACE:-twtr-dev}
ACCOUNT=twtr-deployer

die() {
  echo "setup-k8s.sh: $*" >&2
  exit 1
}

manifests() {
  cat <<END
apiVersion: v1
kind: Namespace
metadata:
  name: $NAMESPACE
  labels:
    # All pods of the chart comply with it; other pods are refused.
    pod-security.kubernetes.io/enforce: restricted
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: $ACCOUNT
  namespace: $NAMESPACE
automountServiceAccountToken: false
---
# Rights to the kinds of objects in the chart (helm/chart_test.go compares), and what Helm needs to store its releases and to wait.
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: $ACCOUNT
  namespace: $NAMESPACE
rules:
  - apiGroups: [""]
    resources: [configmaps, persistentvolumeclaims, pods, secrets, serviceaccounts, services]
    verbs: &all [get, list, watch, create, update, patch, delete]
  - apiGroups: [apps]
    resources: [deployments, statefulsets]
    verbs: *all
  - apiGroups: [batch]
    resources: [jobs]
    verbs: *all
  - apiGroups: [autoscaling]
    resources: [horizontalpodautoscalers]
    verbs: *all
  - apiGroups: [networking.k8s.io]
    resources: [ingresses, networkpolicies]
    verbs: *all
  - apiGroups: [policy]
    resources: [poddisruptionbudgets]
    verbs: *all
  - apiGroups: [keda.sh]
    resources: [scaledobjects, triggerauthentications]
    verbs: *all
  - apiGroups: [temporal.io]
    resources: [connections, workerdeployments]
    verbs: *all
  - apiGroups: [monitoring.coreos.com]
    resources: [servicemonitors]
    verbs: *all
  - apiGroups: [apps]
    resources: [replicasets]
    verbs: &read [get, list, watch]
  - apiGroups: [""]
    resources: [events, pods/log]
    verbs: *read
  # For kubectl port-forward, and for cqlsh and nodetool in the chart's own Cassandra.
  - apiGroups: [""]
    resources: [pods/exec, pods/portforward]
    verbs: [create]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: $ACCOUNT
  namespace: $NAMESPACE
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: $ACCOUNT
subjects:
  - kind: ServiceAccount
    name: $ACCOUNT
    namespace: $NAMESPACE
END
}

case ${1:-} in
--dry-run) manifests ;;
'')
  command -v kubectl >/dev/null || die "needs kubectl, which is not installed"
  context=$(kubectl config current-context 2>/dev/null) ||
    die "needs a Kubernetes cluster, and kubectl has no current context (kubectl config use-context NAME, or KUBECONFIG=FILE)"
  manifests | kubectl apply -f - || die "the cluster of context $context refused the manifests"
  cat <<END

To use the account for a day, with its own kubeconfig:

  TOKEN=\$(kubectl -n $NAMESPACE create token $ACCOUNT --duration 24h)
  kubectl config view --raw --minify --flatten > $ACCOUNT.kubeconfig
  export KUBECONFIG=\$PWD/$ACCOUNT.kubeconfig
  kubectl config unset users
  kubectl config set-credentials $ACCOUNT --token "\$TOKEN"
  kubectl config set-context --current --user $ACCOUNT --namespace $NAMESPACE

Then see docs/deploy.md; make helm-install needs no administrator.
END
  ;;
*)
  sed -n 2,6p "$0" >&2
  exit 2
  ;;
esac
