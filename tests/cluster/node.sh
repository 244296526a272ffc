#!/usr/bin/env bash
# The node: process 1 of its own namespaces, in which `cluster up` starts it. It prepares them, starts the components and waits.
#
# It ends when a component ends, after it wrote its name to $STATE/failed: a test cluster that lost a part must not be half there. With it
# the kernel ends every process of every pod, and takes away the mounts, the addresses and the iptables rules; nothing here cleans up.
# Never run by hand: outside of namespaces of its own it would mount over the folders of the machine.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/settings.sh"
[ $$ = 1 ] || fail "node.sh is started by cluster up"

declare -A component_of=()
# Name and command. Its output goes to a file of its own, so that nothing holds what the caller of `up` waits for.
start() {
    local component=$1
    shift
    "$@" >"$LOG/$component.log" 2>&1 </dev/null &
    component_of[$!]=$component
}
# Nothing comes back from this.
ended() { echo "$1" >"$STATE/failed"; exit 1; }

folders() {
    # As on a real node, volumes mounted here may be seen by pods. They stay in here: `up` cut the ties to the machine.
    mount --make-rshared /
    local folder
    for folder in "${NODE_FOLDERS[@]}"; do
        mkdir -p "$STATE/node$folder" "$folder"
        mount --bind "$STATE/node$folder" "$folder"
    done
    # Of this machine's resolver the node sees nothing.
    printf 'nameserver %s\n' "$NODE_ADDRESS" >"$STATE/resolv.conf"
    mount --bind "$STATE/resolv.conf" /etc/resolv.conf
    # The kubelet sets these for the whole machine. It leaves them alone when they have the value already, and a file does.
    local setting name
    for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
        kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
        name=${setting%=*}
        mkdir -p "$STATE/sysctl/${name%/*}"
        printf '%s\n' "${setting#*=}" >"$STATE/sysctl/$name"
        mount --bind "$STATE/sysctl/$name" "/proc/sys/$name"
    done
}

network() {
    ip link set lo up
    # `up` moves this end of the link in once it sees us.
    local tries
    for ((tries = 0; tries < 200; tries++)); do
        if ip link show node0 >/dev/null 2>&1; then break; fi
        sleep 0.05
    done
    ip address add "$NODE_ADDRESS/${LINK#*/}" dev node0
    ip link set node0 up
    # The kubelet and kube-proxy want one. Beyond the machine's end of the link it leads nowhere.
    ip route add default via "$HOST_ADDRESS"
    echo 1 >/proc/sys/net/ipv4/ip_forward
}

configure_containerd() {
    # A folder that is itself on an overlay (CI in a container) cannot carry another one.
    local snapshotter=overlayfs
    if [ "$(stat -f -c %T "$STATE")" = overlayfs ]; then snapshotter=native; fi
    cat >"$STATE/containerd.toml" <<END
version = 2
root = "$STATE/containerd"
state = "$RUN/containerd"
# opt would make a folder in /opt of the machine, and the others complain about what is not here.
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
address = "$CONTAINERD"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "docker.io/$PAUSE_IMAGE"
# Root in a sandbox may lack CAP_SYS_RESOURCE, and runc dies without a word when it is asked for a lower score than its own.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "$snapshotter"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "$STATE/cni"
END
    mkdir -p "$STATE/cni"
    # hairpinMode: a pod reaches itself through its service.
    cat >"$STATE/cni/10-pods.conflist" <<END
{"cniVersion": "0.3.1", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipMasq": false,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$PODS", "gateway": "$POD_GATEWAY"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}
]}
END
}

configure_kubelet() {
    # The images cannot be pulled again: image garbage collection, and eviction for a full disk, are off.
    # The first report says NotReady; by default the second comes ten seconds later. Reports without news stay at one in five minutes.
    # 250 pods is twice the default; a node of two cores starts two or three each second anyway.
    cat >"$STATE/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $NODE_ADDRESS
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}, x509: {clientCAFile: $KEYS/ca.crt}}
authorization: {mode: AlwaysAllow}
tlsCertFile: $KEYS/node.crt
tlsPrivateKeyFile: $KEYS/node.key
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP
failSwapOn: false
oomScoreAdj: 0
volumePluginDir: $STATE/volume-plugins
nodeStatusUpdateFrequency: 2s
evictionHard: {memory.available: 100Mi}
imageGCHighThresholdPercent: 100
maxPods: 250
clusterDNS: [$NODE_ADDRESS]
clusterDomain: cluster.local
serializeImagePulls: false
registryPullQPS: 0
eventRecordQPS: 0
kubeAPIQPS: 100
kubeAPIBurst: 200
END
}

mkdir -p "$LOG" "$STATE" "$RUN"
hostname "$NODE"
folders
network
configure_containerd
configure_kubelet

# A test cluster's data need not survive the machine: without fsync a write costs microseconds on any disk.
start etcd etcd --data-dir "$STATE/etcd" --unsafe-no-fsync --logger zap --log-level warn \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380
start containerd containerd --config "$STATE/containerd.toml"
start kube-apiserver "$BIN/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 --bind-address="$NODE_ADDRESS" --secure-port=6443 \
    --advertise-address="$NODE_ADDRESS" --client-ca-file="$KEYS/ca.crt" \
    --tls-cert-file="$KEYS/apiserver.crt" --tls-private-key-file="$KEYS/apiserver.key" \
    --service-account-key-file="$KEYS/accounts.pub" --service-account-signing-key-file="$KEYS/accounts.key" \
    --service-account-issuer=https://kubernetes.default.svc --service-cluster-ip-range="$SERVICES" \
    --kubelet-client-certificate="$KEYS/admin.crt" --kubelet-client-key="$KEYS/admin.key" --kubelet-preferred-address-types=InternalIP \
    --anonymous-auth=false --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction,PodSecurityPolicy --allow-privileged=true --event-ttl=15m --profiling=false

# The others give up when they find no API server within ten seconds. A component that ends meanwhile is named below.
python3 "$here/ready.py" api "$NODE_ADDRESS" "$KEYS" "$NODE" "$STATE/failed" 120 >"$LOG/ready.log" 2>&1 &
waiting=$!
component_of[$waiting]=kube-apiserver
status=0
wait -n -p first || status=$?
if [ "$first" != "$waiting" ] || [ "$status" != 0 ]; then ended "${component_of[$first]}"; fi
unset "component_of[$waiting]"

start kube-controller-manager "$BIN/kube-controller-manager" --kubeconfig="$ADMIN" --bind-address=127.0.0.1 --leader-elect=false \
    --service-account-private-key-file="$KEYS/accounts.key" --root-ca-file="$KEYS/ca.crt" \
    --flex-volume-plugin-dir="$STATE/volume-plugins" --profiling=false
start kube-scheduler "$BIN/kube-scheduler" --kubeconfig="$ADMIN" --bind-address=127.0.0.1 --leader-elect=false --profiling=false
# Pods of one bridge answer each other directly, past the rule that turned the address: masquerade-all sends the answer back through it.
# The limits of connection tracking belong to the whole machine and cannot be set from here.
start kube-proxy "$BIN/kube-proxy" --kubeconfig="$ADMIN" --proxy-mode=iptables --masquerade-all --cluster-cidr="$PODS" \
    --hostname-override="$NODE" --healthz-bind-address="$NODE_ADDRESS:10256" --metrics-bind-address=127.0.0.1:10249 \
    --conntrack-max-per-core=0 --oom-score-adj=0
start dns python3 "$here/dns.py" "$NODE_ADDRESS" "$KEYS"
# Words, not one argument.
# shellcheck disable=SC2086
start kubelet "$BIN/kubelet" --kubeconfig="$KEYS/node.kubeconfig" --config="$STATE/kubelet.yaml" \
    --hostname-override="$NODE" --node-ip="$NODE_ADDRESS" \
    --container-runtime=remote --container-runtime-endpoint="unix://$CONTAINERD" ${UPDRAFT_CLUSTER_KUBELET_ARGS:-}

wait -n -p first || true
ended "${component_of[$first]}"
