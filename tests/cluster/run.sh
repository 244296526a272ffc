#!/usr/bin/env bash
# Runs the tests that need a Kubernetes: run.sh [ARGUMENT OF cargo nextest…], called by `make test-cluster`. Without arguments it also deploys
# the chart (deploy/), on the cluster of this folder.
#
# With KUBECONFIG set it uses that cluster and starts none; its nodes must be able to pull UPDRAFT_TEST_IMAGE, any image with a `sh`.
# Otherwise it starts the cluster of this folder, and stops it again unless it ran before or UPDRAFT_CLUSTER_KEEP is 1.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

# The tests are ignored without a cluster. What else they need is started around them. The whole workspace's features, so that nothing is built
# twice.
tests=("$root/tools/with-rabbitmq.sh" "$root/tools/with-postgres.sh" cargo nextest run --locked --workspace --profile cluster --run-ignored only)

# What is to be done at the end, whatever the end is.
cleanup=()
finish() { for step in "${cleanup[@]}"; do eval "$step" || true; done; }
trap finish EXIT
ours=0
if [ -n "${KUBECONFIG:-}" ]; then
    export UPDRAFT_TEST_IMAGE=${UPDRAFT_TEST_IMAGE:-docker.io/library/busybox:1.36}
else
    if ! "$here/cluster" status >/dev/null 2>&1; then
        if [ "${UPDRAFT_CLUSTER_KEEP:-0}" != 1 ]; then cleanup+=("'$here/cluster' down"); fi
        trap 'exit 130' INT TERM HUP
        "$here/cluster" up
    fi
    KUBECONFIG=$("$here/cluster" kubeconfig)
    export KUBECONFIG UPDRAFT_TEST_IMAGE=updraft-test/busybox:1
    ours=1
fi
export UPDRAFT_TEST_CLUSTER=1
cd "$root"
# What is tested has the chart's Role and nothing else; the tests themselves look and kill with the administrator's rights.
export UPDRAFT_TEST_ADMIN_KUBECONFIG=$KUBECONFIG
rights=$(mktemp)
cleanup+=("rm -f $rights")
"$here/worker-role.sh" kubeconfig "$rights"
"$here/worker-role.sh" default
KUBECONFIG=$rights "${tests[@]}" "$@"
# Then as its users install it. The images cannot be loaded on another's cluster.
if [ "$ours" = 1 ] && [ $# = 0 ]; then "$here/deploy/run.sh"; fi
