#!/usr/bin/env bash
# The node's first process: with it all of the node's processes end, and with its namespaces its mounts and addresses.
set -eu
hostname node1
mount --make-rshared /
cgroup=$(stat -f -c %T /sys/fs/cgroup)
controllers=$(ls /sys/fs/cgroup)
mount -t sysfs sysfs /sys # the host's shows the host's network; it hides the control groups, which are mounted again
if [ "$cgroup" = cgroup2fs ]; then
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
else
  mount -t tmpfs cgroups /sys/fs/cgroup
  for c in $controllers; do
    case $c in
    systemd) mkdir -p "/sys/fs/cgroup/$c" && mount -t cgroup -o none,name=systemd cgroup "/sys/fs/cgroup/$c" ;;
    unified) ;;
    *,* | cpu | cpuacct | cpuset | memory | devices | freezer | blkio | pids)
      mkdir -p "/sys/fs/cgroup/$c" && mount -t cgroup -o "$c" cgroup "/sys/fs/cgroup/$c"
      ;;
    esac
  done
fi
mkdir -p /run/netns
mount -t tmpfs netns /run/netns
trap 'exit 0' TERM
while :; do
  sleep 3600 &
  wait $! || true
done
