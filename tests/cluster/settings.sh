# shellcheck shell=bash disable=SC2034
# What the parts of the test cluster must agree on: folders, addresses, names. Sourced, sets variables and nothing else.

# Outlives `down`: the programs, the keys, the kubeconfig, the logs of the last start.
CLUSTER_HOME=${UPDRAFT_CLUSTER_HOME:-$HOME/.cache/updraft/cluster}
BIN=$CLUSTER_HOME/bin
KEYS=$CLUSTER_HOME/keys
LOG=$CLUSTER_HOME/log
ADMIN=$CLUSTER_HOME/kubeconfig

# Dies with `down`: etcd's data, the images, the pods' volumes and logs.
STATE=$CLUSTER_HOME/state
# Outside the home, since a socket's path has at most 107 characters.
RUN=/run/updraft-cluster
CONTAINERD=$RUN/containerd.sock

# Where the kubelet, containerd and CNI insist on writing. The node has folders of its own there.
NODE_FOLDERS=(/var/lib/kubelet /var/lib/cni /var/log/pods /var/log/containers /run/netns /run/containerd)

# All addresses are of 198.18.0.0/15, which is set aside for benchmarks: no real network is hidden behind them.
HOST_ADDRESS=198.18.0.1
NODE_ADDRESS=198.18.0.2
LINK=198.18.0.0/30
HOST_LINK=updraft-node
SERVICES=198.18.64.0/18
API_SERVICE=198.18.64.1
PODS=198.19.0.0/16
POD_GATEWAY=198.19.0.1
API=https://$NODE_ADDRESS:6443

NODE=updraft-node
# Every process of a pod is below this control group.
CGROUP=updraft-cluster

TASK_IMAGE=updraft-test/busybox:1
PAUSE_IMAGE=updraft-test/pause:1

say() { printf 'cluster: %s\n' "$*" >&2; }
fail() { printf 'cluster: error: %s\n' "$*" >&2; exit 1; }
