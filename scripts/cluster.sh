#!/usr/bin/env bash
# A real Kubernetes cluster of one node on this machine, for `make cluster-test`. The node has its own network, mounts and
# processes, as kind's has in a container, so that nothing clashes with the host. Needs Linux, root, Debian's apt, and Go.
#   scripts/cluster.sh up             returns when the node and its components are ready: see dev/cluster/README.md
#   scripts/cluster.sh down           ends it, and removes all that it left on the machine but the cache
#   scripts/cluster.sh env            prints shell commands that set KUBECONFIG, PATH and CLUSTER_ADDRESS (of the ingress)
#   scripts/cluster.sh load FILE…     imports archives of images
#   CLUSTER_NAME (twtr: up to 11 letters and digits), CLUSTER_SUBNET (0: 10.200.0.0/24), to run two
set -euo pipefail
cd "$(dirname "$0")/.."
export GOWORK=off GOFLAGS='' # each module with its own versions

name=${CLUSTER_NAME:-twtr}
subnet=10.200.${CLUSTER_SUBNET:-0}
link=k8s-$name
address=$subnet.2
cache=${XDG_CACHE_HOME:-$HOME/.cache}/twtr/cluster
binaries=${XDG_CACHE_HOME:-$HOME/.cache}/twtr/binaries
cgroup=twtr-cluster-$name
state=/var/tmp/twtr-cluster-$name
files=$PWD/dev/cluster
# Those that the kubelet changes for the whole machine. The first cluster saves their values, the last one restores them.
saved=/var/tmp/twtr-cluster.sysctls
sysctls=(vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops)
sysctls+=(kernel.keys.root_maxkeys kernel.keys.root_maxbytes)
packages=(containerd runc iptables etcd-server containernetworking-plugins conntrack ipset)

die() {
  echo "cluster.sh: $*" >&2
  exit 1
}

[[ $name =~ ^[a-z0-9]{1,11}$ ]] || die "CLUSTER_NAME must be up to 11 lower-case letters and digits, not $name"

started=$SECONDS
say() { printf '%4d s  %s\n' $((SECONDS - started)) "$*"; }

node() { nsenter -t "$(cat "$state/init.pid")" -m -n -p -u -i -- "$@"; }
kubectl() { "$binaries/kubectl" --kubeconfig "$state/admin.kubeconfig" "$@"; }
running() { [ -s "$state/init.pid" ] && grep -q node/init.sh "/proc/$(cat "$state/init.pid")/cmdline" 2>/dev/null; }

# The control groups' hierarchies: of version 2, or one a controller.
cgroups() {
  if [ -f /sys/fs/cgroup/cgroup.procs ]; then echo /sys/fs/cgroup; else ls -d /sys/fs/cgroup/*/; fi
}

# Debian's packages, unpacked in the cache: nothing is installed.
debs() {
  local key
  key=$(cat /etc/debian_version)-${packages[*]}
  [ "$(cat "$cache/debs.key" 2>/dev/null)" != "$key" ] || return 0
  say "Debian's packages"
  scripts/debs.sh "$cache/debs" "${packages[@]}"
  local tool
  for tool in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
    ln -sf xtables-nft-multi "$cache/debs/usr/sbin/$tool"
  done
  echo "$key" >"$cache/debs.key"
}

binaries() {
  local version command
  version=$(go -C dev/binaries/kubernetes list -m -f '{{.Version}}' k8s.io/kubernetes)
  local -a parts
  IFS=. read -ra parts <<<"${version#v}"
  local v="-X k8s.io/component-base/version"
  v="$v.gitVersion=$version $v.gitMajor=${parts[0]} $v.gitMinor=${parts[1]} -X k8s.io/client-go/pkg/version.gitVersion=$version"
  for command in kubectl kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy; do
    scripts/binary.sh kubernetes "$command" "k8s.io/kubernetes/cmd/$command" "$v" >/dev/null
  done
  scripts/binary.sh pause pause . >/dev/null
  scripts/binary.sh coredns coredns . >/dev/null
  scripts/binary.sh kube-router kube-router github.com/cloudnativelabs/kube-router/v2/cmd/kube-router >/dev/null
  scripts/binary.sh traefik traefik github.com/traefik/traefik/v3/cmd/traefik >/dev/null
  scripts/binary.sh metrics-server metrics-server sigs.k8s.io/metrics-server/cmd/metrics-server >/dev/null
  scripts/binary.sh keda keda github.com/kedacore/keda/v2/cmd/operator >/dev/null
  scripts/binary.sh keda keda-adapter github.com/kedacore/keda/v2/cmd/adapter >/dev/null
  ln -sf "$(scripts/tools.sh helm)" "$binaries/helm"
}

images() {
  local program
  for program in pause coredns traefik metrics-server keda keda-adapter; do
    [ "$cache/images/$program.tar" -nt "$binaries/$program" ] ||
      "$files/image.sh" "$binaries/$program" "$cache/images/$program.tar"
  done
}

start_node() {
  mkdir -p "$state"/{cni,logs,run,volumes}
  local s
  [ -f "$saved" ] || for s in "${sysctls[@]}"; do echo "$s=$(sysctl -n "$s")"; done >"$saved"
  "$files/node/pki.sh" "$state" "$address"
  local file to
  for file in containerd.toml cni.conflist kubelet.yaml node.yaml proxy.yaml; do
    to=$state/$file
    [ "$file" != cni.conflist ] || to=$state/cni/10-pods.conflist
    sed "s|@STATE@|$state|g; s|@CACHE@|$cache|g; s|@ADDRESS@|$address|g; s|@CGROUP@|$cgroup|g" "$files/node/$file" >"$to"
  done
  for s in $(cgroups); do mkdir -p "$s/$cgroup"; done
  setsid unshare --mount --net --pid --uts --ipc --fork --kill-child --mount-proc --propagation private \
    "$files/node/init.sh" >"$state/logs/init.log" 2>&1 </dev/null &
  local parent=$!
  for _ in $(seq 50); do
    pgrep -P "$parent" >"$state/init.pid" && running && break
    sleep 0.1
  done
  running || die "the node does not start: $(cat "$state/logs/init.log")"
  ip link add "$link" type veth peer name eth0 netns "$(cat "$state/init.pid")"
  # Several addresses, so that a test can be several clients.
  for s in 1 3 4; do ip addr add "$subnet.$s/24" dev "$link"; done
  ip link set "$link" up
  node ip link set lo up
  node ip addr add "$address/24" dev eth0
  node ip link set eth0 up
  node ip route add default via "$subnet.1"
  node "$files/node/up.sh" "$binaries" "$cache/debs" "$state" "$address"
}

load() {
  local archive log=$state/logs/import.log
  for archive in "$@"; do
    node "$cache/debs/usr/bin/ctr" -a "$state/run/containerd.sock" -n k8s.io \
      images import --all-platforms "$(realpath "$archive")" >"$log" 2>&1 ||
      die "the image $archive can't be imported: $(tail -n 1 "$log")"
  done
}

# The manifests in a module's directory, with the images built here, and sized for one node: MODULE PATH DIRECTORY
manifests() {
  local directory
  go -C "dev/binaries/$1" mod download "$2"
  directory=$(go -C "dev/binaries/$1" list -m -f '{{.Dir}}' "$2")
  kubectl kustomize "$directory/$3" 2>"$state/logs/manifests.log" | sed -E \
    -e 's|image: .*/keda:.*|image: docker.io/stand-in/keda:1|' \
    -e 's|image: .*/keda-metrics-apiserver:.*|image: docker.io/stand-in/keda-adapter:1|' \
    -e 's|image: .*/metrics-server:.*|image: docker.io/stand-in/metrics-server:1|' \
    -e 's|imagePullPolicy: .*|imagePullPolicy: Never|' \
    -e 's|cpu: 100m|cpu: 10m|' \
    -e '/readinessProbe:/,/resources:/ s|initialDelaySeconds: .*|initialDelaySeconds: 1|' \
    -e '/readinessProbe:/,/resources:/ s|periodSeconds: .*|periodSeconds: 2|' \
    -e 's|( +)- --metric-resolution=15s|&\n\1- --kubelet-insecure-tls|' ||
    die "the manifests of $2 can't be had: $(tail -n 1 "$state/logs/manifests.log")"
}

components() {
  local i
  for i in $(seq 20); do
    mkdir -p "$state/volumes/$i"
    chmod 0777 "$state/volumes/$i" # whatever user a pod runs as
    sed "s|@I@|$i|g; s|@STATE@|$state|g" "$files/components/volume.yaml"
  done | kubectl apply -f - >/dev/null
  kubectl apply -f "$files/components/storage.yaml" -f "$files/components/coredns.yaml" \
    -f "$files/components/traefik.yaml" >/dev/null
  manifests metrics-server sigs.k8s.io/metrics-server manifests/base | kubectl apply -f - >/dev/null
  # KEDA's definitions are too large for the annotation of a client-side apply.
  manifests keda github.com/kedacore/keda/v2 config/minimal | kubectl apply --server-side -f - >/dev/null
  # The address that a cloud's controller would set; kube-proxy takes what is sent to it.
  kubectl -n traefik patch service traefik --subresource status --type merge \
    -p "{\"status\":{\"loadBalancer\":{\"ingress\":[{\"ip\":\"$address\"}]}}}" >/dev/null
  kubectl wait --for condition=Available deployment --all -A --timeout 120s >/dev/null || {
    kubectl get pods -A
    die "the components are not available"
  }
  kubectl wait --for condition=Available apiservice --all --timeout 60s >/dev/null || {
    kubectl get apiservices
    die "the API of metrics-server or KEDA is not available"
  }
}

up() {
  local tool directory
  for tool in apt-get curl go ip nsenter openssl pgrep; do
    command -v $tool >/dev/null || die "needs $tool, which is not installed"
  done
  ! running || {
    echo "it already runs"
    return
  }
  mkdir -p "$cache/images"
  # On a disk that becomes full the kubelet ends pods.
  for directory in "$cache" /var/tmp; do
    [ "$(df --output=avail -k "$directory" | tail -n 1)" -gt $((8 << 20)) ] || die "needs 8 GB of free disk at $directory (the first time 25 GB)"
  done
  (
    flock 9 # two at once would build the same twice
    debs
    binaries
    images
  ) 9>"$cache/lock"
  say "programs and images in the cache"
  down
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'trap "" HUP INT TERM; echo "cluster.sh: the cluster does not come up: it is ended" >&2; down' EXIT
  start_node
  say "node ready"
  load "$cache"/images/{pause,coredns,traefik,metrics-server,keda,keda-adapter}.tar
  say "images of the components imported"
  components
  trap - EXIT HUP INT TERM
  say "components available"
}

# Also what a part of an interrupted up or down left.
down() {
  local hierarchy
  if running; then
    kill -KILL "$(cat "$state/init.pid")"
    while running; do sleep 0.1; done
  fi
  ! ip link show "$link" >/dev/null 2>&1 || ip link del "$link"
  # The last processes may take a moment to end.
  for hierarchy in $(cgroups); do
    [ ! -d "$hierarchy/$cgroup" ] ||
      retry find "$hierarchy/$cgroup" -depth -type d -exec rmdir {} + ||
      die "the control group $hierarchy/$cgroup can't be removed"
  done
  retry rm -rf "$state" || die "$state can't be removed"
  if [ -f "$saved" ] && ! compgen -G '/var/tmp/twtr-cluster-*' >/dev/null; then
    sysctl -qp "$saved"
    rm "$saved"
  fi
}

retry() {
  for _ in $(seq 50); do
    if "$@" 2>/dev/null; then return 0; fi # in a trap, a return alone is of the status before it
    sleep 0.1
  done
  return 1
}

[ "$(id -u)" = 0 ] || [ $# -eq 0 ] || die "needs root"
case ${1:-} in
up) up ;;
down) down ;;
env)
  running || die "it does not run: scripts/cluster.sh up"
  echo "export KUBECONFIG=$state/admin.kubeconfig CLUSTER_ADDRESS=$address"
  echo "export PATH=$binaries:\$PATH"
  ;;
load)
  running || die "it does not run: scripts/cluster.sh up"
  shift
  load "$@"
  ;;
*)
  sed -n 2,8p "$0" >&2
  exit 2
  ;;
esac
