"""Gives a new server something to show: runs that have ended, one that runs, a backfill, and one of each thing that people make."""

import json
import sys
import time
import urllib.request

URL = sys.argv[1]


def ask(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data, {"content-type": "application/json", "accept": "application/json"}, method=method)
    with urllib.request.urlopen(request) as answer:
        text = answer.read()
        return json.loads(text) if text else None


def until(what, holds, seconds=60):
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            sys.exit(f"error: {what} did not happen in {seconds} s")
        time.sleep(0.2)


RUNS = "/api/v2/dags/{}/dagRuns"
DAGS = ["little", "broken_heart", "crowd", "grouped", "daily", "chained", "patient"]
until("the reading of the DAGs", lambda: ask("GET", "/api/v2/dags")["total_entries"] >= len(DAGS))
for dag in ["little", "broken_heart", "crowd", "grouped", "patient"]:
    ask("PATCH", f"/api/v2/dags/{dag}", {"is_paused": False})
    ask("POST", RUNS.format(dag), {"logical_date": None, "dag_run_id": "seeded", "conf": {"why": "a seed"}, "note": "made by seed.py"})
for n in (1, 2, 3):
    ask("POST", RUNS.format("little"), {"logical_date": f"2026-01-0{n}T00:00:00Z", "dag_run_id": f"spare-{n}"})
ask("POST", "/api/v2/pools", {"name": "seeded", "slots": 3, "description": "a pool"})
ask("POST", "/api/v2/variables", {"key": "seeded", "value": "a value"})
ask("POST", "/api/v2/variables", {"key": "a/b", "value": {"api_key": "hidden"}})
ask("POST", "/api/v2/connections", {"connection_id": "seeded", "conn_type": "postgres", "password": "hidden", "extra": "{\"sslmode\": \"require\"}"})
ask("POST", "/api/v2/backfills", {"dag_id": "daily", "from_date": "2026-01-01", "to_date": "2026-01-03"})
over = ("success", "failed")
for dag in ["little", "broken_heart", "crowd", "grouped"]:
    until(f"the end of {dag}", lambda: ask("GET", RUNS.format(dag) + "/seeded")["state"] in over)
ask("POST", RUNS.format("little") + "/seeded/taskInstances/hello/xcomEntries", {"key": "seeded", "value": {"left": ["by", "hand"]}})
