#!/usr/bin/env bash
# Makes the keys of a new cluster and the kubeconfig of its administrator: identities.sh, called by `cluster up` before each start.
#
# New ones at each start: elliptic keys cost a quarter of a second, and nothing can be stale.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/settings.sh"

umask 077
mkdir -p "$KEYS"
cd "$KEYS"
# What openssl says is of use only when it fails.
exec 3>&2 2>openssl.log
trap 'if [ $? != 0 ]; then cat openssl.log >&3; fi' EXIT

new_key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)

signed() { # name subject alternative-names
    openssl req "${new_key[@]}" -keyout "$1.key" -subj "$2" -out "$1.request"
    # Rust's TLS takes no certificate without an alternative name.
    printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$3" >"$1.extensions"
    openssl x509 -req -in "$1.request" -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 -extfile "$1.extensions" -out "$1.crt"
    rm "$1.request" "$1.extensions"
}

openssl req -x509 "${new_key[@]}" -keyout ca.key -subj "/CN=updraft test cluster" -days 365 -out ca.crt
names=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local
signed apiserver "/CN=kube-apiserver" "$names,IP:$NODE_ADDRESS,IP:$API_SERVICE"
signed admin "/O=system:masters/CN=admin" "DNS:admin"
signed node "/O=system:nodes/CN=system:node:$NODE" "DNS:$NODE,IP:$NODE_ADDRESS"
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out accounts.key
openssl pkey -in accounts.key -pubout -out accounts.pub

kubeconfig() { # name
    cat <<END
apiVersion: v1
kind: Config
current-context: updraft-test
contexts: [{name: updraft-test, context: {cluster: updraft-test, user: $1}}]
clusters: [{name: updraft-test, cluster: {server: "$API", certificate-authority-data: $(base64 -w0 ca.crt)}}]
users: [{name: $1, user: {client-certificate-data: $(base64 -w0 "$1.crt"), client-key-data: $(base64 -w0 "$1.key")}}]
END
}
# Renamed into place: somebody may be reading the one before.
kubeconfig admin >"$ADMIN.new" && mv "$ADMIN.new" "$ADMIN"
kubeconfig node >node.kubeconfig
