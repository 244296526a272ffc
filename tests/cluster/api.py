"""Asks the API server of the test cluster, for dns.py and ready.py: as the administrator, with the keys of the home. Reads only."""
import http.client
import json
import ssl


class Unreachable(Exception):
    """The API server gave no answer, or not the wanted one."""


class Api:
    """One connection at a time; a failed one is opened again at the next question."""

    def __init__(self, address: str, keys: str) -> None:
        context = ssl.create_default_context(cafile=f"{keys}/ca.crt")
        context.load_cert_chain(f"{keys}/admin.crt", f"{keys}/admin.key")
        self._connection = http.client.HTTPSConnection(address, 6443, timeout=3, context=context)

    def get(self, path: str) -> bytes:
        try:
            self._connection.request("GET", path)
            response = self._connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Unreachable(str(error)) from error
        if response.status != 200:
            raise Unreachable(f"GET {path} answers {response.status}: {body[:200].decode(errors='replace')}")
        return body

    def get_json(self, path: str) -> dict:
        return json.loads(self.get(path))
