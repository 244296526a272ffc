"""Hands a result on to the tasks that come after (XCom).

With do_xcom_push=True the file is there to be written, in place: it is a mount, and a rename onto it fails. What Kubernetes hands back are at
most 4,096 bytes, so a larger result belongs into a store, and its address into the XCom.
"""

import json
import os

# The variable is set where a task runs as a process and not in a pod.
DEFAULT = "/airflow/xcom/return.json"
LIMIT = 4095


def hand_on(value, path=None) -> bool:
    """Writes the value. Says whether anybody asked for it."""
    path = path or os.environ.get("UPDRAFT_XCOM_PATH", DEFAULT)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    if not os.path.isdir(os.path.dirname(path)):
        return False
    if len(text.encode()) > LIMIT:
        raise ValueError(f"the result has {len(text.encode())} bytes, {LIMIT} can be handed on: write it to a store, and hand its address on")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return True
