#!/usr/bin/env bash
# Prepares the cluster of kubectl's current context (Kubernetes 1.30 or newer), once, as an administrator: a namespace, in it an
# account that may install the chart there and has no rights elsewhere, and policies that keep it so. Running it again changes
# nothing.
#   scripts/setup-k8s.sh              applies the manifests and prints how to use the account
#   scripts/setup-k8s.sh --dry-run    prints the manifests instead; needs no cluster
#   NAMESPACE (twtr-dev)
#   WITH                  rights that only some values of the chart need: keda, load-balancer, monitoring, worker-controller;
#                         several: WITH="keda monitoring". They act through operators or outside the namespace: see docs/deploy.md
#   INGRESS_HOSTS (twtr-dev.com)      the hosts that an Ingress may have
#   TOKEN_AUDIENCES       what pods may have tokens for, for example sts.amazonaws.com; never the API server
#   CPU (10), MEMORY (40Gi), STORAGE (100Gi)    the quota: the pods' CPU requests and memory limits, and the volumes' sizes. The
#                         default fits ten replicas of each process and three Cassandra nodes, during an upgrade
set -euo pipefail

NAMESPACE=${NAMESPACE:-twtr-dev}
WITH=${WITH:-}
INGRESS_HOSTS=${INGRESS_HOSTS:-twtr-dev.com}
TOKEN_AUDIENCES=${TOKEN_AUDIENCES:-}
CPU=${CPU:-10} MEMORY=${MEMORY:-40Gi} STORAGE=${STORAGE:-100Gi}
ACCOUNT=twtr-deployer

die() {
  echo "setup-k8s.sh: $*" >&2
  exit 1
}

with() { [[ " $WITH " == *" $1 "* ]]; }

# list 'a b' prints ['a', 'b'], in the language of the policies.
list() {
  local item items=
  for item in $1; do items="$items${items:+, }'$item'"; done
  echo "[$items]"
}

manifests() {
  cat <<END
apiVersion: v1
kind: Namespace
metadata:
  name: $NAMESPACE
  labels:
    # All pods of the chart comply with it; other pods are refused: hostPath, privileged, host network and the like.
    pod-security.kubernetes.io/enforce: restricted
    pod-security.kubernetes.io/enforce-version: v1.30
    pod-security.kubernetes.io/warn: restricted
    pod-security.kubernetes.io/warn-version: v1.30
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: $ACCOUNT
  namespace: $NAMESPACE
automountServiceAccountToken: false
---
# Rights to the kinds of objects in the chart (helm/chart_test.go compares), and what Helm needs to store its releases and to wait.
# What is missing is missing on purpose: serviceaccounts/token, roles, rolebindings, endpoints, endpointslices, resourcequotas,
# pods/ephemeralcontainers, services/status, impersonation, and everything outside the namespace.
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
  - apiGroups: [apps]
    resources: [deployments/scale, statefulsets/scale]
    verbs: [get, update, patch]
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
END
  with keda && cat <<END
  - apiGroups: [keda.sh]
    resources: [scaledobjects, triggerauthentications]
    verbs: *all
END
  with worker-controller && cat <<END
  - apiGroups: [temporal.io]
    resources: [connections, workerdeployments]
    verbs: *all
END
  with monitoring && cat <<END
  - apiGroups: [monitoring.coreos.com]
    resources: [servicemonitors, prometheusrules]
    verbs: *all
END
  cat <<END
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
---
apiVersion: v1
kind: ResourceQuota
metadata:
  name: twtr
  namespace: $NAMESPACE
spec:
  hard:
    requests.cpu: "$CPU"
    limits.memory: $MEMORY
    requests.storage: $STORAGE
    pods: "200"
    persistentvolumeclaims: "20"
    services: "20"
    # They bypass the ingress controller.
    services.loadbalancers: "$(with load-balancer && echo 1 || echo 0)"
    services.nodeports: "$(with load-balancer && echo 1 || echo 0)"
    secrets: "100"
    configmaps: "100"
    count/jobs.batch: "50"
    count/ingresses.networking.k8s.io: "10"
---
# What a container gets that states nothing, which the quota would refuse. The chart states everything.
apiVersion: v1
kind: LimitRange
metadata:
  name: twtr
  namespace: $NAMESPACE
spec:
  limits:
    - type: Container
      defaultRequest: {cpu: 50m, memory: 64Mi}
      default: {memory: 256Mi}
END
  # A deployer without rights to other accounts could still use them: by a pod or a Secret that gets their tokens.
  policy "" secrets CREATE <<END
    - message: "a Secret must not be a service account's token, which would never expire: use kubectl create token"
      expression: "object.?type.orValue('') != 'kubernetes.io/service-account-token'"
END
  policy "" pods CREATE <<END
    - message: "a pod must not have a service account's token: set automountServiceAccountToken: false (TOKEN_AUDIENCES of setup-k8s.sh: $TOKEN_AUDIENCES)"
      expression: >-
        object.spec.?volumes.orValue([]).all(v, v.?projected.?sources.orValue([]).all(s,
          !has(s.serviceAccountToken) || s.serviceAccountToken.?audience.orValue('') in $(list "$TOKEN_AUDIENCES")))
    - message: "a pod must not have a priority class of the system: it would stop other pods of the cluster"
      expression: "!object.spec.?priorityClassName.orValue('').startsWith('system-')"
END
  # Traffic for addresses and hosts of others.
  policy "" services 'CREATE, UPDATE' <<END
    - message: "a Service must not have externalIPs: it would receive other hosts' traffic"
      expression: "object.spec.?externalIPs.orValue([]).size() == 0"
    - message: "a Service must not be of type ExternalName: an Ingress would expose what the ingress controller can reach"
      expression: "object.spec.?type.orValue('') != 'ExternalName'"
END
  policy networking.k8s.io ingresses 'CREATE, UPDATE' <<END
    - message: "an Ingress must be for these hosts only: $INGRESS_HOSTS (INGRESS_HOSTS of setup-k8s.sh)"
      expression: >-
        !has(object.spec.defaultBackend)
        && object.spec.?rules.orValue([]).all(r, r.?host.orValue('') in $(list "$INGRESS_HOSTS"))
        && object.spec.?tls.orValue([]).all(t, t.?hosts.orValue([]).all(h, h in $(list "$INGRESS_HOSTS")))
    # Traefik copies paths and some annotations into its rule of hosts and paths; nginx has an annotation for more hosts.
    - message: "an Ingress must have simple paths: letters, digits and . _ ~ / -"
      expression: >-
        object.spec.?rules.orValue([]).all(r, r.?http.?paths.orValue([]).all(p, p.?path.orValue('/').matches('^[A-Za-z0-9._~/-]*\$')))
    - message: "an Ingress must not have annotations for the ingress controller, other than Traefik's router.entrypoints, router.tls and router.tls.certresolver"
      expression: >-
        object.metadata.?annotations.orValue({}).all(a, !a.contains('ingress.kubernetes.io/')
          || a in $(list "traefik.ingress.kubernetes.io/router.entrypoints traefik.ingress.kubernetes.io/router.tls traefik.ingress.kubernetes.io/router.tls.certresolver"))
END
  # KEDA and Prometheus would act with their own accounts.
  policy keda.sh scaledobjects 'CREATE, UPDATE' <<END
    - message: "a ScaledObject must have triggers of type temporal only"
      expression: "object.spec.triggers.all(t, t.type == 'temporal')"
    - message: "a ScaledObject must not use a ClusterTriggerAuthentication"
      expression: "object.spec.triggers.all(t, t.?authenticationRef.?kind.orValue('TriggerAuthentication') == 'TriggerAuthentication')"
END
  policy keda.sh triggerauthentications 'CREATE, UPDATE' <<END
    - message: "a TriggerAuthentication must have nothing but secretTargetRef"
      expression: "object.spec.all(field, field == 'secretTargetRef')"
END
  policy monitoring.coreos.com servicemonitors 'CREATE, UPDATE' <<END
    - message: "a ServiceMonitor must not select other namespaces"
      expression: "!has(object.spec.namespaceSelector)"
    - message: "a ServiceMonitor must not send Prometheus' own files, nor go through a proxy"
      expression: >-
        object.spec.endpoints.all(e, !has(e.bearerTokenFile) && !has(e.proxyUrl)
          && !has(e.?tlsConfig.caFile) && !has(e.?tlsConfig.certFile) && !has(e.?tlsConfig.keyFile))
END
  policy monitoring.coreos.com prometheusrules 'CREATE, UPDATE' <<END
    - message: "a PrometheusRule must have alerts only: recorded series could be those of others"
      expression: "!has(object.spec.groups) || object.spec.groups.all(g, !has(g.rules) || g.rules.all(r, !has(r.record)))"
END
}

# policy API-GROUP RESOURCE OPERATIONS prints a policy with the validations on its input. It holds for everybody in the namespace,
# administrators and controllers, too: otherwise the deployer could have them act for it.
policy() {
  local name=$NAMESPACE.$2${1:+.$1}
  cat <<END
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: $name
spec:
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: $NAMESPACE}}
    resourceRules:
      - {apiGroups: ["$1"], apiVersions: ["*"], resources: [$2], operations: [$3], scope: "*"}
  validations:
$(cat)
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: $name
spec:
  policyName: $name
  validationActions: [Deny]
END
}

for word in $WITH; do
  case $word in
  keda | load-balancer | monitoring | worker-controller) ;;
  *) die "WITH: there is no $word; it may have keda, load-balancer, monitoring, worker-controller" ;;
  esac
done
for host in $INGRESS_HOSTS $TOKEN_AUDIENCES; do
  [[ $host =~ ^[A-Za-z0-9.:/_-]+$ ]] || die "INGRESS_HOSTS and TOKEN_AUDIENCES are names separated by spaces, and $host is none"
done

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
  (umask 077; kubectl config view --raw --minify --flatten > $ACCOUNT.kubeconfig)
  export KUBECONFIG=\$PWD/$ACCOUNT.kubeconfig
  kubectl config unset users
  kubectl config set-credentials $ACCOUNT --token "\$TOKEN"
  kubectl config set-context --current --user $ACCOUNT --namespace $NAMESPACE

Then see docs/deploy.md; make helm-install needs no administrator.
END
  ;;
*)
  sed -n 2,15p "$0" >&2
  exit 2
  ;;
esac
