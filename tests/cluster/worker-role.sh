#!/usr/bin/env bash
# The worker of the tests has the rights of a worker of the chart, and no other.
#
#   worker-role.sh kubeconfig FILE    makes the service account default/updraft-test-worker and writes its kubeconfig
#   worker-role.sh NAMESPACE          gives it the Role of the chart's golden manifests in that namespace
#
# KUBECONFIG is an administrator's. ../cluster/run.sh calls the first, the tests call the second for each namespace that they make.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
account=updraft-test-worker

case ${1:-} in
    '') sed -n '/^#   worker-role/s/^# *//p' "$0" >&2; exit 2 ;;
    kubeconfig)
        kubectl --namespace default create serviceaccount "$account" --dry-run=client -o yaml | kubectl --namespace default apply -f - >/dev/null
        # Servers before 1.24 make a secret for it, in a moment; later ones make tokens on request.
        token=
        for _ in $(seq 100); do
            if token=$(kubectl --namespace default create token "$account" --duration=4h 2>/dev/null); then break; fi
            secret=$(kubectl --namespace default get serviceaccount "$account" -o jsonpath='{.secrets[0].name}')
            if [ -n "$secret" ]; then token=$(kubectl --namespace default get secret "$secret" -o jsonpath='{.data.token}' | base64 -d); fi
            if [ -n "$token" ]; then break; fi
            sleep 0.1
        done
        [ -n "$token" ] || { echo "error: no token for $account" >&2; exit 1; }
        umask 077
        kubectl config view --raw --minify --flatten -o json | TOKEN=$token python3 -c '
import json, os, sys
config = json.load(sys.stdin)
config["users"] = [{"name": "worker", "user": {"token": os.environ["TOKEN"]}}]
config["contexts"][0]["context"].update(user="worker", namespace="default")
json.dump(config, sys.stdout)' >"$2"
        ;;
    *)
        python3 - "$1" <<'PY' | kubectl apply -f - >/dev/null
import json, re, sys
# The golden file is text of our own making: a document is found by its kind, and no YAML library is asked for.
namespace, golden = sys.argv[1], "tests/chart/golden/minimal.yaml"
documents = [d for d in open(golden, encoding="utf-8").read().split("\n---\n") if re.search(r"^kind: Role$", d, re.M)]
assert len(documents) == 1, f"{golden} has {len(documents)} Roles"
role = re.sub(r"(?m)^  namespace: .*$", f"  namespace: {namespace}", documents[0])
name = re.search(r"(?m)^  name: (\S+)$", role).group(1)
binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name, "namespace": namespace},
           "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
           "subjects": [{"kind": "ServiceAccount", "name": "updraft-test-worker", "namespace": "default"}]}
print(role + "\n---\n" + json.dumps(binding))
PY
        ;;
esac
