#!/usr/bin/env python3
"""Waits until the test cluster can be used: ready.py api|all ADDRESS KEYS NODE FAILED SECONDS.

`api` waits for the API server alone; `all` also for the node, the default service account, the names and the services: with less, the first
pod of a test is refused or waits, now and then. Says nothing when all is well. Otherwise it says what is missing and exits 1: at once when
the file FAILED appears (a component ended), or after SECONDS.
"""
import os
import socket
import struct
import sys
import time
import urllib.error
import urllib.request

from api import Api, Unreachable

SECONDS_BETWEEN = 0.3


def missing_api(api: Api) -> str | None:
    api.get("/readyz")
    return None


def missing_node(api: Api, node: str) -> str | None:
    found = api.get_json(f"/api/v1/nodes/{node}")
    ready = next((c for c in found["status"].get("conditions", []) if c["type"] == "Ready"), None)
    if ready is None or ready["status"] != "True":
        return f"node {node} is not Ready: {ready['message'] if ready else 'the kubelet has said nothing yet'}"
    # The taint of a new node goes a moment after it is Ready; until then no pod is placed there.
    taints = [taint["key"] for taint in found["spec"].get("taints", [])]
    return f"node {node} is Ready but keeps the taints {', '.join(taints)}" if taints else None


def missing_account(api: Api) -> str | None:
    found = api.get_json("/api/v1/namespaces/default/serviceaccounts/default")
    return None if found.get("secrets") else "the default service account has no token yet"


def missing_names(address: str) -> str | None:
    """Asks for the API server's own service, as a pod would."""
    name = b"".join(bytes([len(label)]) + label for label in b"kubernetes.default.svc.cluster.local".split(b".")) + b"\0"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect((address, 53))
        client.send(struct.pack("!HHHHHH", 1, 0x0100, 1, 0, 0, 0) + name + struct.pack("!HH", 1, 1))
        reply = client.recv(512)
    (answers,) = struct.unpack_from("!H", reply, 6)
    return None if answers == 1 else "the name server does not know kubernetes.default"


def missing_services(address: str) -> str | None:
    """kube-proxy calls itself healthy once its rules are in the kernel."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{address}:10256/healthz", timeout=3):
        return None


def main() -> None:
    what, address, keys, node, failed, seconds = sys.argv[1:]
    api = Api(address, keys)
    checks = [("the API server", lambda: missing_api(api))]
    if what == "all":
        checks += [
            ("the node", lambda: missing_node(api, node)),
            ("the default service account", lambda: missing_account(api)),
            ("the name server", lambda: missing_names(address)),
            ("kube-proxy", lambda: missing_services(address)),
        ]
    deadline = time.monotonic() + float(seconds)
    missing = "nothing was asked"
    while checks:
        name, check = checks[0]
        try:
            missing = check()
        except (OSError, Unreachable, struct.error) as error:
            missing = f"{name}: {error}"
        if missing is None:
            checks.pop(0)
            continue
        if os.path.exists(failed):
            sys.exit(1)
        if time.monotonic() > deadline:
            sys.exit(f"after {seconds} seconds: {missing}")
        time.sleep(SECONDS_BETWEEN)


if __name__ == "__main__":
    main()
