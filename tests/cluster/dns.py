#!/usr/bin/env python3
"""The name server of the test cluster: dns.py ADDRESS KEYS.

It answers for services, SERVICE.NAMESPACE.svc.cluster.local, with what the API server knows. It never asks another server: every other name
is refused at once as unknown, so that a pod that wants the internet fails the same way, and quickly, on every machine.
"""
import socket
import struct
import sys
import time

from api import Api, Unreachable

ZONE = ".svc.cluster.local"
PORT = 53
SECONDS_FRESH = 1.0
NO_ERROR, SERVER_FAILURE, UNKNOWN_NAME = 0, 2, 3
TYPE_A, CLASS_INTERNET = 1, 1
# Response, authoritative, recursion as if it were there.
FLAGS = 0x8580


def addresses_by_name(services: list, endpoints: list) -> dict[str, list[str]]:
    """The names below the zone. A service without an address has those of its pods, and one name for each pod with a hostname."""
    names, headless = {}, set()
    for service in services:
        name = f"{service['metadata']['name']}.{service['metadata']['namespace']}"
        address = service["spec"].get("clusterIP", "None")
        if address == "None":
            headless.add(name)
        else:
            names[name] = [address]
    for item in endpoints:
        name = f"{item['metadata']['name']}.{item['metadata']['namespace']}"
        if name not in headless:
            continue
        pods = [pod for subset in item.get("subsets") or [] for pod in subset.get("addresses") or []]
        names[name] = [pod["ip"] for pod in pods]
        for pod in pods:
            if "hostname" in pod:
                names[f"{pod['hostname']}.{name}"] = [pod["ip"]]
    return names


class Names:
    """What the API server said last, asked again when a question comes and the answer is older than a second."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._asked = float("-inf")
        self._names: dict[str, list[str]] | None = None

    def current(self) -> dict[str, list[str]] | None:
        """None until the API server answered for the first time. Later its last answer is better than none."""
        if time.monotonic() - self._asked > SECONDS_FRESH:
            try:
                services = self._api.get_json("/api/v1/services")["items"]
                self._names = addresses_by_name(services, self._api.get_json("/api/v1/endpoints")["items"])
            except Unreachable as error:
                print(f"no news of services: {error}", flush=True)
            self._asked = time.monotonic()
        return self._names


def answer(query: bytes, names: dict[str, list[str]] | None) -> bytes:
    """The packet that answers the packet. Raises IndexError or struct.error for one that is cut off."""
    (ident,) = struct.unpack_from("!H", query)
    labels, at = [], 12
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode("ascii", "replace").lower())
        at += 1 + length
    kind, _class = struct.unpack_from("!HH", query, at + 1)
    question = query[12 : at + 5]
    name = ".".join(labels)

    found = names.get(name.removesuffix(ZONE)) if names is not None and name.endswith(ZONE) else None
    if names is None:
        code = SERVER_FAILURE
    else:
        # A known name without an address of the asked kind is no error: an error for AAAA makes some libraries give up on A.
        code = UNKNOWN_NAME if found is None else NO_ERROR
    # 25 addresses keep the packet below the 512 bytes of plain DNS.
    addresses = (found or [])[:25] if kind == TYPE_A else []
    head = struct.pack("!HHHHHH", ident, FLAGS | code, 1, len(addresses), 0, 0)
    # 0xc00c points at the name in the question; two seconds to live, since pods come and go.
    record = struct.pack("!HHHIH", 0xC00C, TYPE_A, CLASS_INTERNET, 2, 4)
    return head + question + b"".join(record + socket.inet_aton(address) for address in addresses)


def main() -> None:
    address, keys = sys.argv[1:]
    names = Names(Api(address, keys))
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, PORT))
    while True:
        query, peer = server.recvfrom(4096)
        try:
            server.sendto(answer(query, names.current()), peer)
        except (IndexError, struct.error, OSError) as error:
            print(f"no answer to {peer}: {error}", flush=True)


if __name__ == "__main__":
    main()
