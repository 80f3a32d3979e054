#!/usr/bin/env bash
# Starts the cluster's processes, in the node: up.sh BINARIES DEBS STATE ADDRESS. Each one's log is STATE/logs/NAME.log.
set -euo pipefail
binaries=$1 debs=$2 state=$3 address=$4 pki=$3/pki
export PATH=$binaries:$debs/usr/sbin:$debs/usr/bin:$PATH
LD_LIBRARY_PATH=$debs/usr/lib/$(uname -m)-linux-gnu
export LD_LIBRARY_PATH XTABLES_LIBDIR=$LD_LIBRARY_PATH/xtables

run() { # NAME COMMAND…
  setsid "${@:2}" >"$state/logs/$1.log" 2>&1 </dev/null &
}

until_ok() { # NAME COMMAND…: the process NAME has started once the command succeeds
  for _ in $(seq 300); do
    if "${@:2}" >/dev/null 2>&1; then return; fi
    sleep 0.2
  done
  echo "$1 does not start:" >&2
  tail -n 5 "$state/logs/$1.log" >&2
  exit 1
}

modprobe -a br_netfilter overlay 2>/dev/null || true # where they are not built into the kernel
# Both are of this network namespace.
sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1
# Traffic to a Service that kube-proxy has no rule for stays in the node.
ip link add services0 type bridge
ip link set services0 up
ip route add 10.96.0.0/16 dev services0

run containerd containerd -c "$state/containerd.toml"
run etcd etcd --data-dir "$state/etcd" --unsafe-no-fsync
until_ok etcd curl -sf http://127.0.0.1:2379/health
run apiserver kube-apiserver --etcd-servers http://127.0.0.1:2379 \
  --bind-address "$address" --advertise-address "$address" --secure-port 6443 --service-cluster-ip-range 10.96.0.0/16 \
  --client-ca-file "$pki/ca.crt" --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" \
  --kubelet-client-certificate "$pki/apiserver-kubelet.crt" --kubelet-client-key "$pki/apiserver-kubelet.key" \
  --kubelet-preferred-address-types InternalIP --service-account-issuer https://kubernetes.default.svc \
  --service-account-key-file "$pki/sa.pub" --service-account-signing-key-file "$pki/sa.key" \
  --requestheader-client-ca-file "$pki/front-proxy-ca.crt" --requestheader-allowed-names front-proxy-client \
  --requestheader-username-headers X-Remote-User --requestheader-group-headers X-Remote-Group \
  --requestheader-extra-headers-prefix X-Remote-Extra- \
  --proxy-client-cert-file "$pki/front-proxy-client.crt" --proxy-client-key-file "$pki/front-proxy-client.key" \
  --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction --allow-privileged=true
kubectl="kubectl --kubeconfig $state/admin.kubeconfig"
# shellcheck disable=SC2086 # a command and its arguments
until_ok apiserver $kubectl get --raw /readyz
run controllers kube-controller-manager --kubeconfig "$state/controllers.kubeconfig" --bind-address 127.0.0.1 \
  --service-account-private-key-file "$pki/sa.key" --root-ca-file "$pki/ca.crt" --use-service-account-credentials \
  --leader-elect=false --horizontal-pod-autoscaler-sync-period 5s
run scheduler kube-scheduler --kubeconfig "$state/scheduler.kubeconfig" --bind-address 127.0.0.1 --leader-elect=false
until_ok containerd ctr -a "$state/run/containerd.sock" version
# kube-proxy's rules and the network policies are there before the kubelet, and so before any pod.
$kubectl create -f "$state/node.yaml" >/dev/null
run proxy kube-proxy --config "$state/proxy.yaml"
run kube-router kube-router --run-router=false --run-firewall=true --run-service-proxy=false --run-loadbalancer=false \
  --kubeconfig "$state/admin.kubeconfig" --hostname-override node1 --service-cluster-ip-range 10.96.0.0/16 \
  --iptables-sync-period 30s --health-port 0 --v 1
until_ok proxy iptables -t nat -S KUBE-SERVICES
until_ok kube-router iptables -S KUBE-ROUTER-FORWARD
run kubelet kubelet --config "$state/kubelet.yaml" --kubeconfig "$state/kubelet.kubeconfig" --root-dir "$state/kubelet" \
  --hostname-override node1 --node-ip "$address" --v 1
# shellcheck disable=SC2086
until_ok kubelet $kubectl wait --for condition=Ready node/node1 --timeout 1s
