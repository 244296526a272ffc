#!/usr/bin/env python3
"""Asks a running API each of its lists many times, and prints a JSON line for each call: milliseconds at the median and at the 95th percentile.

    tools/bench_lists.py http://127.0.0.1:8080 [--times 50] [--only TEXT] [--limit-ms 50]

The lists are asked as pages and clients ask them, one request after another over one connection. What the calls name is looked up first, so
any installation will do; tools/history.sql makes one that is large. With --limit-ms the program ends with 1 when a call is slower at the 95th
percentile. A password is taken from $UPDRAFT_API_PASSWORD.
"""

import argparse
import base64
import http.client
import json
import math
import os
import sys
import time
import urllib.parse

V2 = "/api/v2"


class Api:
    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=120)
        self.headers = {}
        password = os.environ.get("UPDRAFT_API_PASSWORD")
        if password:
            self.headers["Authorization"] = "Basic " + base64.b64encode(f"admin:{password}".encode()).decode()

    def ask(self, path, body=None):
        """Milliseconds, and the answer as bytes."""
        began = time.perf_counter()
        sent = None if body is None else json.dumps(body)
        headers = {**self.headers, **({"Content-Type": "application/json"} if sent else {})}
        self.connection.request("POST" if sent else "GET", path, body=sent, headers=headers)
        answer = self.connection.getresponse()
        data = answer.read()
        took = (time.perf_counter() - began) * 1000
        if answer.status != 200:
            sys.exit(f"error: {path} answered {answer.status}: {data[:300].decode(errors='replace')}")
        return took, data

    def json(self, path, body=None):
        return json.loads(self.ask(path, body)[1])


def calls(api):
    """Name, path, body."""
    quote = lambda text: urllib.parse.quote(text, safe="")
    newest = api.json(f"{V2}/dags/~/dagRuns?order_by=-run_after&limit=1")["dag_runs"][0]
    dag, run = quote(newest["dag_id"]), quote(newest["dag_run_id"])
    at = quote(newest["run_after"])
    runs, instances = f"{V2}/dags/~/dagRuns", f"{V2}/dags/~/dagRuns/~/taskInstances"

    def deep(path, pages):
        """A cursor some pages into a list."""
        cursor = ""
        for _ in range(pages):
            cursor = api.json(f"{path}&cursor={quote(cursor)}").get("next_cursor") or ""
        return cursor

    yield "dags", f"{V2}/dags", None
    yield "dags, by name", f"{V2}/dags?order_by=dag_display_name&limit=50&offset=100", None
    yield "dags, by last run", f"{V2}/dags?order_by=-last_run_start_date&limit=50", None
    yield "dags, tag", f"{V2}/dags?tags=team_7", None
    yield "dags, owner", f"{V2}/dags?owners=owner_3", None
    yield "dags, pattern", f"{V2}/dags?dag_id_pattern=dag_01", None
    yield "dags, name pattern", f"{V2}/dags?dag_display_name_pattern=team", None
    yield "dags, last run failed", f"{V2}/dags?last_dag_run_state=failed", None
    yield "dags, any run running", f"{V2}/dags?dag_run_state=running", None
    yield "dags, favorites", f"{V2}/dags?is_favorite=true", None
    yield "dag details", f"{V2}/dags/{dag}/details", None
    yield "dag stats, all", f"{V2}/dagStats", None
    yield "dag stats, page", f"{V2}/dagStats?" + "&".join(f"dag_ids={quote(d['dag_id'])}" for d in api.json(f"{V2}/dags?limit=50")["dags"]), None
    yield "dag tags", f"{V2}/dagTags", None
    yield "dag warnings", f"{V2}/dagWarnings", None
    yield "dag versions, all", f"{V2}/dags/~/dagVersions", None
    yield "import errors", f"{V2}/importErrors", None
    yield "tasks", f"{V2}/dags/{dag}/tasks", None
    yield "runs, of a dag", f"{V2}/dags/{dag}/dagRuns?order_by=-run_after&limit=25", None
    yield "runs, all", runs, None
    yield "runs, newest", f"{runs}?order_by=-run_after", None
    yield "runs, newest by start", f"{runs}?order_by=-start_date", None
    yield "runs, longest", f"{runs}?order_by=-duration", None
    yield "runs, page 1000", f"{runs}?order_by=-run_after&limit=50&offset=50000", None
    yield "runs, failed", f"{runs}?state=failed&order_by=-run_after", None
    yield "runs, running", f"{runs}?state=running", None
    yield "runs, since", f"{runs}?run_after_gte={at}&order_by=-run_after", None
    yield "runs, run id pattern", f"{runs}?run_id_pattern=manual&order_by=-run_after", None
    yield "runs, conf", f"{runs}?conf_contains=%22n%22%3A%206", None
    yield "runs, cursor first", f"{runs}?order_by=-run_after&cursor=", None
    yield "runs, cursor deep", f"{runs}?order_by=-run_after&cursor={quote(deep(f'{runs}?order_by=-run_after&limit=1000', 20))}", None
    yield "runs, by body", f"{runs}/list", {"states": ["failed"], "order_by": "-run_after", "page_limit": 50}
    yield "grid: overview", "/ui/overview?limit=50", None
    yield "grid: a run", f"/ui/runs/{dag}/{run}", None
    yield "grid: its tasks", f"/ui/runs/{dag}/{run}/tasks?limit=1000", None
    yield "grid: tasks of a dag", f"{V2}/dags/{dag}/dagRuns/~/taskInstances?order_by=-run_after&limit=500", None
    yield "instances, of a run", f"{V2}/dags/{dag}/dagRuns/{run}/taskInstances", None
    yield "instances, of a dag", f"{V2}/dags/{dag}/dagRuns/~/taskInstances", None
    yield "instances, of a dag by start", f"{V2}/dags/{dag}/dagRuns/~/taskInstances?order_by=-start_date", None
    yield "instances, failed of a dag", f"{V2}/dags/{dag}/dagRuns/~/taskInstances?state=failed", None
    yield "instances, one task of a dag", f"{V2}/dags/{dag}/dagRuns/~/taskInstances?task_id=step_003&order_by=-run_after", None
    yield "instances, all", instances, None
    yield "instances, page 1000", f"{instances}?limit=50&offset=50000", None
    yield "instances, newest", f"{instances}?order_by=-run_after", None
    yield "instances, running", f"{instances}?state=running", None
    yield "instances, failed since", f"{instances}?state=failed&run_after_gte={at}", None
    yield "instances, failed", f"{instances}?state=failed", None
    yield "instances, failed by cursor", f"{instances}?state=failed&cursor=", None
    yield "instances, cursor first", f"{instances}?cursor=", None
    yield "instances, cursor deep", f"{instances}?cursor={quote(deep(f'{instances}?limit=1000', 50))}", None
    yield "xcoms, all", f"{V2}/dags/~/dagRuns/~/taskInstances/~/xcomEntries", None
    yield "xcoms, of a run", f"{V2}/dags/{dag}/dagRuns/{run}/taskInstances/~/xcomEntries", None
    yield "audit, newest", f"{V2}/eventLogs?order_by=-when", None
    yield "audit, of a dag", f"{V2}/eventLogs?dag_id={dag}&order_by=-when", None
    yield "audit, of a run", f"{V2}/eventLogs?dag_id={dag}&run_id={run}", None
    yield "pools", f"{V2}/pools", None
    yield "jobs", f"{V2}/jobs", None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--only", default="", help="calls whose name has this")
    parser.add_argument("--limit-ms", type=float)
    options = parser.parse_args()
    api = Api(options.url)
    slow = []
    for name, path, body in calls(api):
        if options.only not in name:
            continue
        # What is cached in a server that has run for a while is cached.
        for _ in range(3):
            took, data = api.ask(path, body)
        # A call that is hopeless is not asked fifty times.
        times = options.times if took < 500 else 5
        taken = sorted(api.ask(path, body)[0] for _ in range(times))
        at = lambda q: round(taken[max(0, math.ceil(q * len(taken)) - 1)], 1)
        line = {"call": name, "p50_ms": at(0.5), "p95_ms": at(0.95), "times": times, "bytes": len(data)}
        print(json.dumps(line), flush=True)
        if options.limit_ms is not None and line["p95_ms"] > options.limit_ms:
            slow.append(name)
    if slow:
        sys.exit(f"slower than {options.limit_ms:g} ms: {', '.join(slow)}")


if __name__ == "__main__":
    main()
